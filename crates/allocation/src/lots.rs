//! Whole lots: a filling is rounded down to them, and what is left over is given out again.
//!
//! Invariant: afterwards every way carries whole lots, and no further lot fits anywhere. The rounding is bounded:
//! [`PASSES`] fillings of the rest at the pace of the weights, then [`SWEEPS`] times one lot each in the order of
//! ids, then whatever fits in that order. Levels are as fair as whole lots and these passes make them, and no fairer.

use crate::Level;
use crate::fill::{Filled, NONE, Way, fill};

/// How often the rest is filled anew.
const PASSES: usize = 4;

/// How often one lot is given to each that has room.
const SWEEPS: usize = 16;

/// Makes a filling whole. Without lots it is whole already. `O((PASSES log V + SWEEPS) E)`.
pub(crate) fn whole(free: &mut [u64], ways: &[Way], filled: &mut [Filled]) {
    if ways.iter().all(|way| way.lot == 1) {
        return;
    }
    for (way, result) in ways.iter().zip(filled.iter_mut()) {
        round(free, way, &mut result.quantity);
    }
    for _ in 0..PASSES {
        let open: Vec<usize> = (0..ways.len()).filter(|place| room(free, &ways[*place]) > 0).collect();
        let rest: Vec<Way> = open.iter().map(|place| ways[*place]).collect();
        let mut gained = false;
        for (place, mut more) in open.into_iter().zip(fill(free, &rest)) {
            round(free, &ways[place], &mut more.quantity);
            gained |= more.quantity > 0;
            filled[place].quantity += more.quantity;
        }
        if !gained {
            break;
        }
    }
    for sweep in 0..=SWEEPS {
        for (way, result) in ways.iter().zip(filled.iter_mut()) {
            let lots = if sweep < SWEEPS { room(free, way).min(1) } else { room(free, way) };
            for node in way.ends() {
                free[node] -= lots * way.lot;
            }
            result.quantity += lots * way.lot;
        }
    }
    for (way, result) in ways.iter().zip(filled.iter_mut()) {
        let stops = |node: &usize| free[*node] < way.lot;
        if result.node == NONE || !stops(&(result.node as usize)) {
            let node = way.ends().find(stops).expect("invariant: no further lot fits");
            result.node = node as u32;
            result.level = Level { quantity: result.quantity, weight: way.weight };
        }
    }
}

/// How many lots still fit.
fn room(free: &[u64], way: &Way) -> u64 {
    way.ends().map(|node| free[node]).min().unwrap_or(0) / way.lot
}

fn round(free: &mut [u64], way: &Way, quantity: &mut u64) {
    let part = *quantity % way.lot;
    for node in way.ends() {
        free[node] += part;
    }
    *quantity -= part;
}
