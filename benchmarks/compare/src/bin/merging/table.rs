//! The table of a case: medians, ratios within a round with their interval, variation, allocations.
//!
//! Invariant: a ratio is taken within a round, so that what else the machine does meets both sides.

use crate::case::{Case, Outcome, Watch};

/// The load of the machine, as it says itself.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The 95 % interval of the median, by resampling.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut place = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % values.len()
    };
    let mut medians: Vec<f64> =
        (0..2_000).map(|_| median((0..values.len()).map(|_| values[place()]).collect())).collect();
    medians.sort_by(f64::total_cmp);
    (medians[50], medians[1_949])
}

/// Standard deviation over mean, in percent.
fn variation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    square.sqrt() / mean * 100.0
}

fn time(nanos: f64) -> String {
    match nanos {
        ..1_000.0 => format!("{nanos:.1} ns"),
        ..1_000_000.0 => format!("{:.2} us", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

fn rate(nanos: f64) -> String {
    let rate = 1e9 / nanos;
    if rate >= 1e6 { format!("{:.2} M", rate / 1e6) } else { format!("{:.1} k", rate / 1e3) }
}

/// Runs a case, so many rounds in turns after one that counts allocations, and gives its table. An error if two
/// contestants computed different things.
pub fn run(case: &mut Case, rounds: usize) -> Result<String, String> {
    let before = load();
    let mut allocations = Vec::new();
    let mut nanos: Vec<Vec<f64>> = vec![Vec::new(); case.contestants.len()];
    let mut expected: Option<u64> = None;
    let mut check = |name: &str, outcome: &Outcome| match (outcome.sum, expected) {
        (Some(sum), Some(other)) if sum != other => Err(format!("{name} computed {sum}, others {other}")),
        (Some(sum), _) => {
            expected = Some(sum);
            Ok(())
        }
        (None, _) => Ok(()),
    };
    for contestant in &mut case.contestants {
        let mut watch = Watch { counts: true, ..Watch::default() };
        let outcome = (contestant.turn)(&mut watch);
        check(&contestant.name, &outcome)?;
        allocations.push(watch.allocations as f64 / outcome.operations as f64);
    }
    for _ in 0..rounds {
        for (contestant, nanos) in case.contestants.iter_mut().zip(&mut nanos) {
            let mut watch = Watch::default();
            let outcome = (contestant.turn)(&mut watch);
            check(&contestant.name, &outcome)?;
            nanos.push(watch.nanos as f64 / outcome.operations as f64);
        }
    }
    let mut text = format!(
        "| {}; load {before} before, {} after | {} | a second | to the first | 95 % interval | CoV | allocations |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        case.label,
        load(),
        case.unit,
    );
    for ((contestant, own), allocations) in case.contestants.iter().zip(&nanos).zip(&allocations) {
        let ratios: Vec<f64> = own.iter().zip(&nanos[0]).map(|(own, first)| own / first).collect();
        let (low, high) = interval(&ratios);
        let middle = median(own.clone());
        text += &format!(
            "| {} | {} | {} | {:.2} | {low:.2} to {high:.2} | {:.0} % | {allocations:.1} |\n",
            contestant.name,
            time(middle),
            rate(middle),
            median(ratios),
            variation(own),
        );
    }
    if let Some(aim) = case.aim {
        let own = median(nanos[0].clone());
        let word = if own <= aim { "met" } else { "missed" };
        text += &format!("\nAim {}: {word}, {}.\n", time(aim), time(own));
    }
    Ok(text)
}
