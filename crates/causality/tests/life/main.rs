//! The life of ids in a world where everything goes wrong: messages are lost, repeated and reordered, replicas crash
//! at every effect, come back, are restored from backups, retire, die, and operators start new epochs.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

mod history;
mod replica;
mod world;

use world::{Faults, Tally, World};

/// Runs the seeds, and gives what happened in all of them.
fn worlds(seeds: std::ops::Range<u64>, faults: Faults) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut world = World::new(seed, faults);
        world.run(400);
        world.compare_moments();
        if faults.loses_nothing() {
            world.settle();
        }
        tally.add(&world.tally);
    }
    println!("{tally:?}");
    tally
}

#[test]
fn without_faults_everybody_gets_and_gives() {
    let tally = worlds(0..300, Faults::none());
    assert!(tally.joined > 1_500 && tally.left > 500 && tally.stamped > 3_000);
    assert!(tally.before > 1_000 && tally.concurrent > 1_000);
}

#[test]
fn a_lossy_link_loses_no_part_of_the_line() {
    let tally = worlds(1_000..1_500, Faults { link: true, ..Faults::none() });
    assert!(tally.lost > 1_000 && tally.repeated > 1_000 && tally.joined > 2_000 && tally.left > 1_000);
}

#[test]
fn a_crash_at_any_effect_gives_no_part_two_owners_and_loses_none() {
    let tally = worlds(2_000..3_000, Faults { link: true, crashes: true, ..Faults::none() });
    assert!(tally.crashed > 5_000 && tally.crashed_after_persist > 500, "{tally:?}");
    assert!(tally.joined > 3_000 && tally.left > 500, "{tally:?}");
}

#[test]
fn replicas_that_are_gone_for_good_take_their_part_along() {
    let faults = Faults { link: true, crashes: true, deaths: true, ..Faults::none() };
    let tally = worlds(4_000..5_000, faults);
    assert!(tally.died > 500 && tally.abandoned > 20 && tally.joined > 2_000, "{tally:?}");
}

#[test]
fn a_new_epoch_fences_the_old_one() {
    let tally = worlds(5_000..6_000, Faults { link: true, crashes: true, epochs: true, ..Faults::none() });
    assert!(tally.epochs > 500 && tally.fenced > 100 && tally.joined > 1_000, "{tally:?}");
}

#[test]
fn a_restored_replica_is_found_out() {
    let faults = Faults { link: true, crashes: true, restores: true, ..Faults::none() };
    let tally = worlds(6_000..7_500, faults);
    assert!(tally.restored > 2_000 && tally.quarantined > 300 && tally.confirmed > 1_000, "{tally:?}");
}

#[test]
fn all_at_once() {
    let faults = Faults { link: true, crashes: true, restores: true, epochs: true, deaths: false };
    let tally = worlds(8_000..9_500, faults);
    assert!(tally.restored > 2_000 && tally.quarantined > 150 && tally.epochs > 2_000, "{tally:?}");
}

#[test]
fn a_seed_tells_a_run_again() {
    let faults = Faults { link: true, crashes: true, restores: true, epochs: true, deaths: false };
    let run = || {
        let mut world = World::new(42, faults);
        world.run(300);
        world.trace
    };
    let (one, two) = (run(), run());
    assert!(one.len() > 100);
    assert_eq!(one, two);
}
