//! How often it pays to overstate a need: 1,800 trials with one need slot an owner.

use deltaic_allocation::baseline::{Economy, Needs, Network, Run, damped_v2};
use deltaic_allocation::{Commitment, ParticipantId, Quantity, Solution, Time};

use crate::SEED;
use crate::markets::{Dice, Size, market, said};

pub(crate) fn run() {
    let (mut trials, mut ours, mut most, mut theirs) = (0, 0, 0, 0);
    for instance in 0..300 {
        let mut dice = Dice(SEED + instance);
        let providers = 1 + dice.below(4);
        let degree = 1 + dice.below(providers);
        let (recipients, load) = (2 + dice.below(6), 70 + dice.below(100));
        let size = Size { providers, recipients, degree, load, least: 10, heaviest: 99 };
        let truth = said(&mut dice, size, 0);
        for percent in [110, 150, 200, 300, 500, 1_000] {
            let liar = (size.providers + dice.below(size.recipients)) as usize;
            let need = truth[liar].needs[0].quantity;
            let mut lies = truth.clone();
            lies[liar].needs[0].quantity = Quantity(need.0 * percent / 100);
            let owner = truth[liar].owner;
            let gain = |received: &dyn Fn(&[Commitment], ParticipantId) -> u64| {
                received(&lies, owner).min(need.0).saturating_sub(received(&truth, owner).min(need.0))
            };
            let gained = gain(&filled);
            trials += 1;
            most = most.max(gained);
            // A ten-thousandth of a unit: more than rounding can be, less than anybody would lie for.
            ours += u64::from(gained > 100);
            theirs += u64::from(gain(&damped) > 100);
        }
    }
    println!(
        "\nOverstating a need pays in {ours} of {trials} trials of the filling (at most {most} millionths of a unit, by"
    );
    println!("rounding), and in {theirs} of {trials} of damped_v2.\n");
}

fn filled(said: &[Commitment], owner: ParticipantId) -> u64 {
    let solution = Solution::of(&market(said.to_vec()), Time(0));
    let own = solution.allocations.iter().filter(|given| given.edge.need.owner == owner);
    own.map(|given| given.quantity.0).sum()
}

fn damped(said: &[Commitment], owner: ParticipantId) -> u64 {
    let economy = Economy::of(&market(said.to_vec()), Time(0));
    let network = Network { least: 30, most: 30, ..Network::default() };
    let run = Run { needs: Needs::Stated, until: Time(3_000), every: 1_000, network, ..Run::default() };
    let given = damped_v2(&economy, &run).given;
    let own = economy.links.iter().zip(given).filter(|(link, _)| link.edge.need.owner == owner);
    (own.map(|(_, given)| given).sum::<f64>() * 1e6) as u64
}
