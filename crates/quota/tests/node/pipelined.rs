//! Several batches under way together: each is lost, refused or answered for itself, and what it names is named by no other.

use std::collections::{BTreeSet, VecDeque};

use deltaic_quota::{
    Account, Batch, Budgets, Effects, Flush, Input, Ledger, LedgerError, Lost, MemoryLedger, NodeId, Policy,
    PolicyId, RequestId, Seq, Time, Units, Window,
};
use proptest::prelude::*;

use crate::driver::key;

const LIMIT: u64 = 40;
/// A batch that is not full is so long under way before another is sent behind it.
const PACE: u64 = 2;

struct Piped {
    ledger: MemoryLedger,
    node: Budgets,
    policy: PolicyId,
    now: u64,
    requests: u64,
    under_way: VecDeque<Batch>,
    admitted: u64,
    refused: u64,
}

impl Piped {
    fn new(depth: usize, policy: Policy) -> Self {
        let mut ledger = MemoryLedger::new();
        let opened = ledger.open(NodeId(1)).unwrap();
        let mut node = Budgets::new(NodeId(1));
        node.set_depth(depth);
        let policy = node.declare(policy);
        let mut piped = Self {
            ledger,
            node,
            policy,
            now: 0,
            requests: 0,
            under_way: VecDeque::new(),
            admitted: 0,
            refused: 0,
        };
        piped.step(Input::Opened(opened));
        piped
    }

    fn step(&mut self, input: Input) -> Effects {
        let mut effects = self.node.step(Time(self.now), input);
        self.under_way.extend(effects.send.iter().cloned());
        for (_, answer) in effects.replies.drain(..) {
            // It is kept: what is admitted is spent.
            if answer.is_ok() {
                self.admitted += 1;
            } else {
                self.refused += 1;
            }
        }
        effects
    }

    fn ask(&mut self, name: &str) {
        self.requests += 1;
        let (request, policy) = (RequestId(self.requests), self.policy);
        self.step(Input::Consume { request, policy, key: key(name), units: Units(1) });
    }

    /// Asks for keys, a moment after each other.
    fn ask_all(&mut self, names: &[&str]) {
        for name in names {
            self.now += PACE;
            self.ask(name);
        }
    }

    fn hear(&mut self, seq: Seq, outcome: Result<deltaic_quota::Reply, LedgerError>) -> Effects {
        self.step(Input::Replied(seq, outcome))
    }

    /// What is at the ledger first is applied and answered.
    fn deliver(&mut self) -> Option<Effects> {
        let batch = self.under_way.pop_front()?;
        let outcome = self.ledger.apply(&batch);
        Some(self.hear(batch.seq, outcome))
    }

    fn numbers(&self) -> Vec<u64> {
        self.under_way.iter().map(|batch| batch.seq.0).collect()
    }

    fn close(&mut self) {
        for _ in 0..1_000 {
            self.now += 1;
            if self.deliver().is_none() && self.step(Input::Close).closed {
                return;
            }
        }
        panic!("it never closes");
    }

    fn used(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.ledger.used(&key(name)).0).sum()
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn as_many_are_under_way_as_may_be_and_the_rest_goes_together() {
    for (depth, numbers) in [(1, vec![1]), (3, vec![1, 2, 3]), (8, vec![1, 2, 3, 4, 5])] {
        let mut piped = Piped::new(depth, Policy::stock(Units(LIMIT)));
        piped.ask_all(&NAMES);
        assert_eq!(piped.numbers(), numbers);
        assert!(piped.node.is_waiting());
        let claimed = piped.node.metrics().wrong_at_most.under.0;
        assert_eq!(claimed, numbers.len() as u64, "the ledger may have granted what each of them asks for");
        piped.deliver();
        let rest = piped.under_way.back().unwrap();
        assert_eq!(rest.entries.len(), if depth == 8 { 1 } else { NAMES.len() - depth });
        piped.close();
        assert_eq!((piped.admitted, piped.refused, piped.used(&NAMES)), (5, 0, 5));
    }
}

#[test]
fn what_comes_within_a_moment_goes_together() {
    let mut piped = Piped::new(4, Policy::stock(Units(LIMIT)));
    for name in NAMES {
        piped.ask(name);
    }
    assert_eq!(piped.numbers(), [1]);
    piped.now += PACE;
    piped.step(Input::Tick);
    assert_eq!((piped.numbers(), piped.under_way[1].entries.len()), (vec![1, 2], 4));
}

#[test]
fn a_key_that_is_under_way_waits_for_its_answer_and_says_then_all_that_came() {
    let mut piped = Piped::new(4, Policy::stock(Units(LIMIT)));
    piped.ask_all(&["a", "b"]);
    for _ in 0..9 {
        piped.ask_all(&["a"]);
    }
    assert_eq!(piped.numbers(), [1, 2], "others ask for the same key");
    let before = piped.node.metrics().visited;
    for _ in 0..100 {
        piped.ask("b");
    }
    assert!(piped.node.metrics().visited - before <= 200, "each request looks at its own key");
    piped.deliver();
    assert_eq!(piped.under_way.back().unwrap().entries[0].account, Account::stock(key("a")));
    piped.close();
    assert_eq!((piped.admitted, piped.refused), (10 + LIMIT, 101 - LIMIT));
}

#[test]
fn one_that_is_lost_or_refused_is_sent_again_with_those_behind_it_the_same_bytes() {
    for outcome in [LedgerError::Away, LedgerError::Refused { why: "full" }] {
        for is_written in [false, true] {
            // What the ledger refuses it has not written.
            if is_written && outcome != LedgerError::Away {
                continue;
            }
            let mut piped = Piped::new(4, Policy::stock(Units(LIMIT)));
            piped.ask_all(&NAMES[..3]);
            let sent: Vec<Vec<u8>> = piped.under_way.iter().map(Batch::encode).collect();
            let first = piped.under_way.pop_front().unwrap();
            if is_written {
                piped.ledger.apply(&first).unwrap();
            }
            piped.hear(first.seq, Err(outcome.clone()));
            assert_eq!(piped.refused, 3, "while the ledger is away nobody waits for it");
            piped.deliver();
            piped.deliver();
            // Where it was written the answers to the others show that the ledger is there again.
            if is_written {
                assert_eq!(piped.under_way[0].encode(), sent[0]);
            } else {
                assert!(piped.under_way.is_empty(), "they came before the first");
                piped.now += PACE;
                piped.ask("d");
                assert_eq!((piped.under_way.len(), piped.refused), (0, 4));
                let (policy, key) = (piped.policy, key("e"));
                // There is room for one more, and the ledger is not known to be there.
                piped.step(Input::Credit { policy, key, units: Units(1) });
                piped.step(Input::Tick);
                assert_eq!(piped.under_way.iter().map(Batch::encode).collect::<Vec<_>>(), sent);
            }
            piped.close();
            assert_eq!((piped.admitted, piped.used(&NAMES)), (0, 0));
        }
    }
}

#[test]
fn a_ledger_that_lost_what_it_acknowledged_is_found_out_by_any_of_them() {
    let mut piped = Piped::new(3, Policy::stock(Units(LIMIT)));
    let empty = piped.ledger.clone();
    piped.ask_all(&["a"]);
    piped.deliver();
    piped.ask_all(&["b", "c"]);
    piped.ledger = empty;
    piped.under_way.retain(|batch| batch.entries[0].account.key == key("c"));
    let acknowledged = Seq(piped.under_way[0].seq.0 - 2);
    let effects = piped.deliver().unwrap();
    assert_eq!(effects.lost, Some(Lost::Batch { acknowledged, expected: Seq(1) }));
    assert!(effects.failed.is_some() && !piped.node.is_waiting());
}

/// The answer to a sending that is abandoned may come after that to a later one of the batch before it.
#[test]
fn a_gap_that_was_closed_meanwhile_is_no_lost_write() {
    let mut piped = Piped::new(2, Policy::stock(Units(LIMIT)));
    piped.ask_all(&["a", "b"]);
    let (first, second) = (piped.under_way[0].clone(), piped.under_way[1].clone());
    piped.under_way.clear();
    piped.hear(first.seq, Err(LedgerError::Away));
    let late = piped.ledger.apply(&second);
    assert_eq!(late, Err(LedgerError::Gap { sent: second.seq, expected: first.seq }));
    piped.step(Input::Tick);
    assert_eq!(piped.numbers(), [1]);
    piped.deliver();
    let effects = piped.hear(second.seq, late);
    assert!(effects.lost.is_none() && effects.failed.is_none());
    piped.step(Input::Tick);
    assert_eq!(piped.under_way.pop_back(), Some(second.clone()));
    // What is sent now finds all that was acknowledged, or the ledger has lost it.
    let gap = LedgerError::Gap { sent: second.seq, expected: first.seq };
    let effects = piped.hear(second.seq, Err(gap));
    assert_eq!(effects.lost, Some(Lost::Batch { acknowledged: first.seq, expected: first.seq }));
}

#[test]
fn answers_may_come_in_any_order_and_twice() {
    let mut piped = Piped::new(3, Policy::stock(Units(LIMIT)));
    piped.ask_all(&NAMES[..3]);
    let answers: Vec<_> =
        piped.under_way.drain(..).map(|batch| (batch.seq, piped.ledger.apply(&batch))).collect();
    for (seq, answer) in answers.into_iter().rev() {
        piped.hear(seq, answer.clone());
        piped.hear(seq, answer);
        piped.hear(seq, Err(LedgerError::Away));
    }
    assert_eq!((piped.admitted, piped.refused), (3, 0));
    piped.close();
    assert_eq!(piped.used(&NAMES), 3);
}

/// The window that begins is leased with the last of the one that ends, from which nothing more is granted then.
#[test]
fn the_end_of_a_window_and_the_next_one_go_together() {
    let flush = Flush { max_age_millis: 5, ..Policy::stock(Units(0)).flush };
    let window = Window::Fixed { millis: 1_000, offset: 0 };
    let mut piped = Piped::new(4, Policy { window, flush, ..Policy::stock(Units(100_000)) });
    let mut handle = None;
    for now in 0..2_000 {
        piped.now = now;
        if now % 7 == 0 {
            piped.ask("k");
        }
        let handle = handle.get_or_insert_with(|| piped.node.handle(Time(0), piped.policy, &key("k")));
        let _ = handle.try_consume(Time(now), Units(3)).map(drop);
        piped.step(Input::Tick);
        for batch in &piped.under_way {
            let windows: BTreeSet<_> = batch.entries.iter().map(|entry| entry.account.window.0).collect();
            let begins_early = windows.iter().any(|window| *window > now / 1_000);
            assert!(!begins_early || windows.len() == 2, "{windows:?} at {now}");
        }
        // The key is under way when its next window is to be leased.
        let holds = now % 1_000 > 970 && now % 1_000 < 985;
        if now % 3 == 0 && !holds {
            piped.deliver();
        }
    }
    assert_eq!(piped.refused, 0);
}

#[test]
fn a_horizon_is_said_once() {
    let window = Window::Fixed { millis: 1_000, offset: 0 };
    let guarantee = deltaic_quota::Guarantee::Standing;
    let mut piped = Piped::new(4, Policy { window, guarantee, ..Policy::stock(Units(LIMIT)) });
    while piped.deliver().is_some() {}
    piped.now = 800;
    for _ in 0..10 {
        piped.now += PACE;
        piped.step(Input::Tick);
    }
    let horizons: Vec<u64> = piped.under_way.iter().map(|batch| batch.horizon.0).collect();
    assert_eq!(horizons, [1_001]);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(usize),
    Pass(u64),
    Deliver,
    Lose,
    LoseAnswer,
    Refuse,
    Cut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..NAMES.len()).prop_map(Step::Ask),
        6 => (0_u64..6).prop_map(Step::Pass),
        8 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        1 => Just(Step::LoseAnswer),
        1 => Just(Step::Refuse),
        1 => (0_u64..2 * LIMIT).prop_map(Step::Cut),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_two_under_way_name_one_account_and_all_that_was_admitted_is_written_once(
        steps in steps(), depth in 1_usize..6,
    ) {
        let flush = Flush { max_age_millis: 20, ..Policy::stock(Units(0)).flush };
        let mut piped = Piped::new(depth, Policy { flush, idle_millis: 60, ..Policy::stock(Units(LIMIT)) });
        // By number, until they are answered: those that were lost too.
        let mut open: Vec<Batch> = Vec::new();
        for step in steps {
            match step {
                Step::Ask(name) => piped.ask(NAMES[name]),
                Step::Pass(millis) => {
                    piped.now += millis;
                    piped.step(Input::Tick);
                }
                Step::Cut(limit) => {
                    let (policy, key) = (piped.policy, key(NAMES[0]));
                    piped.step(Input::SetLimit { policy, key, limit: Units(limit) });
                }
                Step::Deliver | Step::Lose | Step::LoseAnswer | Step::Refuse => {
                    let Some(batch) = piped.under_way.pop_front() else { continue };
                    let outcome = match step {
                        Step::Deliver => piped.ledger.apply(&batch),
                        Step::Lose => Err(LedgerError::Away),
                        Step::Refuse => Err(LedgerError::Refused { why: "full" }),
                        _ => piped.ledger.apply(&batch).and(Err(LedgerError::Away)),
                    };
                    open.retain(|open| open.seq != batch.seq || outcome.is_err());
                    let effects = piped.hear(batch.seq, outcome);
                    prop_assert!(effects.failed.is_none() && effects.lost.is_none());
                }
            }
            for batch in &piped.under_way {
                match open.iter().find(|open| open.seq == batch.seq) {
                    Some(known) => prop_assert_eq!(known, batch),
                    None => open.push(batch.clone()),
                }
            }
            prop_assert!(open.len() <= depth);
            let named: Vec<&Account> =
                open.iter().flat_map(|batch| &batch.entries).map(|entry| &entry.account).collect();
            let distinct: BTreeSet<&&Account> = named.iter().collect();
            prop_assert_eq!(distinct.len(), named.len());
        }
        piped.close();
        prop_assert_eq!(piped.used(&NAMES), piped.admitted);
        prop_assert_eq!(piped.admitted + piped.refused, piped.requests);
    }
}
