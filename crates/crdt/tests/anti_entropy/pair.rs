//! Few replicas, message by message.

use std::collections::{BTreeMap, VecDeque};

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::anti_entropy::{Effect, Input, Message, Micros};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{AntiEntropy, Plain, PnCounter, Replica, State};

use crate::SETTINGS;

/// Two replicas with the messages between them, none lost.
struct Pair {
    now: u64,
    replicas: BTreeMap<ActorId, (Replica<u64, Plain<PnCounter>>, AntiEntropy)>,
    wire: VecDeque<(ActorId, ActorId, Vec<u8>)>,
    /// What was sent: from whom, and the message.
    sent: Vec<(ActorId, Message)>,
    others: Vec<Effect>,
}

impl Pair {
    fn new() -> Self {
        let new = |actor| {
            let replica = Replica::new(ActorId(actor));
            let sync = AntiEntropy::new(ActorId(actor), 1, &replica, SETTINGS);
            (ActorId(actor), (replica, sync))
        };
        let replicas = BTreeMap::from([new(1), new(2)]);
        let mut pair = Self { now: 0, replicas, wire: VecDeque::new(), sent: Vec::new(), others: Vec::new() };
        pair.step(ActorId(1), Input::Join(ActorId(2)));
        pair.step(ActorId(2), Input::Join(ActorId(1)));
        pair.settle();
        pair
    }

    fn step(&mut self, actor: ActorId, input: Input) {
        let (replica, sync) = self.replicas.get_mut(&actor).unwrap();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in sync.step(Micros(self.now), input, replica) {
                match effect {
                    Effect::Send { peer, bytes } => {
                        self.sent.push((actor, Message::decode(&bytes).unwrap()));
                        self.wire.push_back((actor, peer, bytes));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        let merged = replica.merge(&body, &to);
                        inputs.push_back(if merged.is_ok() { Input::Merged(id) } else { Input::Refused(id) });
                    }
                    other => self.others.push(other),
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            while let Some((from, to, bytes)) = self.wire.pop_front() {
                self.now += 100;
                self.step(to, Input::Received(from, bytes));
            }
            self.now += 10_000;
            for actor in [ActorId(1), ActorId(2)] {
                self.step(actor, Input::Tick);
            }
        }
    }

    fn add(&mut self, actor: u64, amount: i64) {
        let (replica, _) = self.replicas.get_mut(&ActorId(actor)).unwrap();
        replica.write(&7, |counter, dot| counter.add(dot, amount)).unwrap();
        let seq = replica.cut().last(ActorId(actor));
        self.step(ActorId(actor), Input::Wrote(seq));
    }

    fn deltas(&self, actor: u64) -> Vec<&Message> {
        let is_delta =
            |sent: &&(ActorId, Message)| sent.0 == ActorId(actor) && matches!(sent.1, Message::Delta { .. });
        self.sent.iter().filter(is_delta).map(|(_, message)| message).collect()
    }
}

#[test]
fn one_increment_is_twelve_bytes_and_goes_once_and_not_back() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    pair.sent.clear();
    pair.add(1, 1);
    pair.settle();
    assert_eq!(pair.deltas(2), [] as [&Message; 0], "nothing goes back to where it came from");
    let [Message::Delta { body, .. }] = pair.deltas(1)[..] else { panic!("{:?}", pair.deltas(1)) };
    assert_eq!(body.len(), 12, "{body:?}");
    let values: Vec<i128> =
        pair.replicas.values().map(|(replica, _)| replica.get(&7).unwrap().value()).collect();
    assert_eq!(values, [6, 6]);
    let metrics = pair.replicas[&ActorId(1)].1.metrics();
    assert_eq!((metrics.converged, metrics.resent, metrics.redundant), (2, 0, 0));
    assert!(metrics.convergence_most > 0 && metrics.convergence_sum >= metrics.convergence_most);
    assert_eq!(pair.replicas[&ActorId(1)].1.lag(Micros(pair.now)), 0);
    let stable = |effect: &Effect| matches!(effect, Effect::Stable(_));
    assert!(pair.others.iter().all(stable), "{:?}", pair.others);
}

/// A copy that has written as much as was lost has the same numbers as the one it was made of; what it had when it began
/// tells.
#[test]
fn a_copy_that_has_caught_up_is_found_out() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let copy = pair.replicas[&ActorId(1)].0.clone();
    pair.add(1, 1);
    pair.settle();
    let sync = AntiEntropy::new(ActorId(1), 2, &copy, SETTINGS);
    pair.replicas.insert(ActorId(1), (copy, sync));
    pair.add(1, 100);
    pair.step(ActorId(1), Input::Join(ActorId(2)));
    pair.settle();
    assert!(pair.others.contains(&Effect::PeerRestored(ActorId(1))), "{:?}", pair.others);
    assert!(pair.others.contains(&Effect::Restored { by: ActorId(2) }), "{:?}", pair.others);
    assert_eq!(pair.replicas[&ActorId(2)].0.get(&7).unwrap().value(), 6);
    assert_eq!(pair.replicas[&ActorId(1)].1.wake_at(&pair.replicas[&ActorId(1)].0), None);
}

#[test]
fn an_honest_restart_goes_on() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, _) = &pair.replicas[&ActorId(1)];
    let (replica, sync) = (replica.clone(), AntiEntropy::new(ActorId(1), 2, replica, SETTINGS));
    pair.replicas.insert(ActorId(1), (replica, sync));
    pair.add(1, 1);
    pair.step(ActorId(1), Input::Join(ActorId(2)));
    pair.settle();
    assert_eq!(pair.replicas[&ActorId(2)].0.get(&7).unwrap().value(), 6);
}

#[test]
fn states_that_differ_at_one_cut_raise_the_alarm() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, _) = pair.replicas.get_mut(&ActorId(2)).unwrap();
    let mut other = Replica::<u64, Plain<PnCounter>>::new(ActorId(1));
    other.write(&7, |counter, dot| counter.add(dot, 6)).unwrap();
    replica.merge(&other.whole(), other.cut()).unwrap();
    pair.now += SETTINGS.most_interval;
    pair.settle();
    // Each finds it out, by what the other answers to its question.
    for peer in [1, 2] {
        let alarm = Effect::Diverged { peer: ActorId(peer), kinds: vec![0] };
        assert!(pair.others.contains(&alarm), "{:?}", pair.others);
    }
}

#[test]
fn foreign_bytes_and_strangers_change_nothing() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, sync) = pair.replicas.get_mut(&ActorId(1)).unwrap();
    let before = replica.digest();
    assert_eq!(sync.step(Micros(pair.now), Input::Received(ActorId(9), vec![0; 9]), replica), []);
    sync.step(Micros(pair.now), Input::Received(ActorId(2), vec![9, 9]), replica);
    assert_eq!(sync.metrics().unreadable, 2);
    let mut choices = Choices::new(5);
    let cut = replica.cut().clone();
    let good = replica.whole();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=choices.below(3) {
            let place = choices.place(bytes.len());
            bytes[place] = choices.number() as u8;
        }
        bytes.truncate(choices.place(bytes.len() + 1));
        // Whatever is taken of it: no panic, and no write beyond the cut.
        if replica.clone().merge(&bytes, &cut).is_err() {
            assert_eq!(replica.digest(), before);
        }
    }
    // A write that its own cut does not hold.
    let mut far = Replica::<u64, Plain<PnCounter>>::new(ActorId(3));
    far.write(&7, |counter, dot| counter.add(dot, 1)).unwrap();
    assert!(replica.merge(&far.whole(), &VersionVector::default()).is_err());
    assert_eq!(replica.digest(), before);
}

/// What a peer does not understand it refuses, is asked again at its own pace, and takes when it is understood.
#[test]
fn a_refused_delta_is_not_acknowledged_and_comes_again() {
    let mut pair = Pair::new();
    let (_, sync) = pair.replicas.get_mut(&ActorId(1)).unwrap();
    let stream = pair.sent.iter().rev().find_map(|(from, message)| match message {
        Message::Ask { stream, .. } if *from == ActorId(1) => Some(*stream),
        _ => None,
    });
    let to = [Dot { actor: ActorId(2), seq: 1 }].into_iter().collect();
    let (number, after, body) = (1, 0, vec![77]);
    let delta = Message::Delta { stream: stream.unwrap(), number, after, to, is_whole: false, body };
    let replica = Replica::<u64, Plain<PnCounter>>::new(ActorId(1));
    let effects = sync.step(Micros(pair.now), Input::Received(ActorId(2), delta.encode()), &replica);
    let id = effects.iter().find_map(|effect| match effect {
        Effect::Merge { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(id.unwrap().peer(), ActorId(2));
    let effects = sync.step(Micros(pair.now), Input::Refused(id.unwrap()), &replica);
    assert_eq!(effects, [], "it is neither acknowledged nor asked for at once");
    pair.now += SETTINGS.most_interval;
    pair.add(2, 3);
    pair.settle();
    assert_eq!(pair.replicas[&ActorId(1)].0.get(&7).unwrap().value(), 3);
}

/// What a mesh costs beyond what it needs: nobody knows whom the author of a write speaks with, so that each of the others
/// brings it to all from whom it has not heard that they hold it.
#[test]
fn in_a_mesh_a_write_is_brought_on_by_everyone_and_no_more_than_once() {
    const SIZE: u64 = 6;
    let actors = || (1..=SIZE).map(ActorId);
    let mut nodes: BTreeMap<ActorId, (Replica<u64, Plain<PnCounter>>, AntiEntropy)> = actors()
        .map(|actor| {
            let replica = Replica::new(actor);
            let sync = AntiEntropy::new(actor, 1, &replica, SETTINGS);
            (actor, (replica, sync))
        })
        .collect();
    let mut inputs: VecDeque<(ActorId, Input)> =
        actors().flat_map(|one| actors().map(move |other| (one, Input::Join(other)))).collect();
    let (mut deltas, mut needless, mut now) = (0, 0, 0);
    for round in 0..40 {
        if round == 20 {
            let (replica, _) = nodes.get_mut(&ActorId(1)).unwrap();
            replica.write(&7, |counter, dot| counter.add(dot, 5)).unwrap();
            inputs.push_back((ActorId(1), Input::Wrote(1)));
        }
        while let Some((actor, input)) = inputs.pop_front() {
            let (replica, sync) = nodes.get_mut(&actor).unwrap();
            for effect in sync.step(Micros(now), input, replica) {
                match effect {
                    Effect::Send { peer, bytes } => {
                        deltas += u64::from(matches!(Message::decode(&bytes), Ok(Message::Delta { .. })));
                        inputs.push_back((peer, Input::Received(actor, bytes)));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        needless += u64::from(to <= *replica.cut());
                        replica.merge(&body, &to).unwrap();
                        inputs.push_front((actor, Input::Merged(id)));
                    }
                    _ => {}
                }
            }
        }
        now += 10_000;
        inputs.extend(actors().map(|actor| (actor, Input::Tick)));
    }
    assert!(nodes.values().all(|(replica, _)| replica.get(&7).is_some_and(|value| value.value() == 5)));
    let (needed, most) = (SIZE - 1, (SIZE - 1) * (SIZE - 1));
    assert!((needed..=most).contains(&deltas), "{deltas} deltas, {needed} of them needed");
    assert_eq!(deltas - needless, needed, "each replica gets it once that has it not");
    println!("{deltas} deltas, {needless} of them needless");
}
