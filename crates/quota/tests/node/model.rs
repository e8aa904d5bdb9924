//! One node against a specification in i128: what is available is the limit less what was admitted and not given
//! back. Every answer has to be the specification's, at the edges of the numbers too.

use deltaic_quota::{Flush, Input, Permit, Policy, Units};
use proptest::prelude::*;

use crate::driver::{World, key};

#[derive(Debug, Clone, Copy)]
enum Step {
    Consume(u64),
    Refund(usize),
    Commit(usize, u64),
    Split(usize, u64),
    SetLimit(u64),
    Credit(u64),
    Pass(u64),
    Evict,
    CleanRestart,
}

fn amounts() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => 0_u64..40,
        1 => Just(i64::MAX as u64),
        1 => Just(i64::MAX as u64 + 1),
        1 => Just(u64::MAX),
        1 => any::<u64>(),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = any::<usize>();
    let step = prop_oneof![
        8 => amounts().prop_map(Step::Consume),
        3 => place.prop_map(Step::Refund),
        2 => (place, 0_u64..50).prop_map(|(place, n)| Step::Commit(place, n)),
        1 => (place, 0_u64..50).prop_map(|(place, n)| Step::Split(place, n)),
        1 => (0_u64..120).prop_map(Step::SetLimit),
        1 => (0_u64..30).prop_map(Step::Credit),
        3 => (0_u64..70).prop_map(Step::Pass),
        1 => Just(Step::Evict),
        1 => Just(Step::CleanRestart),
    ];
    proptest::collection::vec(step, 0..80)
}

fn policy() -> Policy {
    Policy {
        flush: Flush { threshold: Units(6), low_water: Units(3), max_age_millis: 1, deadband: Units(2) },
        idle_millis: 500,
        ..Policy::stock(Units(60))
    }
}

struct Model {
    world: World,
    permits: Vec<Permit<'static>>,
    limit: i128,
    net: i128,
}

impl Model {
    fn take(&mut self, place: usize) -> Option<Permit<'static>> {
        (!self.permits.is_empty()).then(|| self.permits.swap_remove(place % self.permits.len()))
    }

    /// What was changed is told, and what a cut calls home has gone: until then it is spent here.
    fn rest(&mut self) {
        for _ in 0..3 {
            self.world.pass(5);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Consume(n) => {
                let fits = i128::from(n) <= (self.limit - self.net).max(0);
                self.world.now += 2;
                let answer = self.world.consume("k", n);
                assert_eq!(answer.is_ok(), fits, "{n} of {} - {}", self.limit, self.net);
                if let Ok(permit) = answer {
                    self.net += i128::from(n);
                    self.permits.push(permit);
                }
            }
            Step::Refund(place) => {
                if let Some(permit) = self.take(place) {
                    self.net -= i128::from(permit.units().0);
                    permit.refund();
                    self.rest();
                }
            }
            Step::Commit(place, actual) => {
                if let Some(permit) = self.take(place) {
                    let units = permit.units().0;
                    // More than permitted is admitted only as far as the lease goes; less always.
                    match permit.commit(Units(actual)) {
                        Ok(()) => self.net += i128::from(actual) - i128::from(units),
                        Err(short) => {
                            assert!(actual > units);
                            self.permits.push(short.permit);
                        }
                    }
                    self.rest();
                }
            }
            Step::Split(place, part) => {
                if let Some(permit) = self.take(place) {
                    match permit.split(Units(part)) {
                        Ok((one, two)) => self.permits.extend([one, two]),
                        Err(small) => self.permits.push(small.permit),
                    }
                }
            }
            Step::SetLimit(limit) => {
                let policy = self.world.policy;
                self.world.step(Input::SetLimit { policy, key: key("k"), limit: Units(limit) });
                self.world.settle();
                self.limit = i128::from(limit);
                self.rest();
            }
            Step::Credit(n) => {
                let policy = self.world.policy;
                self.world.step(Input::Credit { policy, key: key("k"), units: Units(n) });
                self.world.settle();
                self.limit += i128::from(n);
                self.rest();
            }
            Step::Pass(millis) => {
                self.world.pass(millis);
            }
            Step::Evict => {
                self.permits.clear();
                self.world.pass(1_000);
                self.world.pass(1_000);
                self.world.pass(1_000);
                assert_eq!(self.world.node.metrics().keys, 0);
            }
            Step::CleanRestart => {
                self.permits.clear();
                self.world.close();
                let used = i128::from(self.world.used("k"));
                assert_eq!(used, self.net, "what is closed is exact");
                let old = std::mem::replace(&mut self.world, World::new(policy()));
                self.world = old.crash(policy());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_the_specification(steps in steps()) {
        let mut model = Model { world: World::new(policy()), permits: Vec::new(), limit: 60, net: 0 };
        for step in steps {
            model.run(step);
        }
        model.permits.clear();
        model.world.close();
        prop_assert_eq!(i128::from(model.world.used("k")), model.net);
    }
}
