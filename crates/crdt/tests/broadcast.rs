//! A seeded network that loses, repeats and reorders what members of a causal broadcast send each other.
//!
//! Invariant: whatever the network does, each member delivers each operation once, after all that its author had
//! delivered; and holds no more than its limits.

use std::collections::BTreeSet;

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{BroadcastError, BroadcastLimits, CausalBroadcast, Message};
use deltaic_types::codec::Reader;

const LIMITS: BroadcastLimits = BroadcastLimits { waiting: 3, kept: 8 };

/// What is on its way: bytes of an operation, or an acknowledgement.
#[derive(Clone)]
enum Packet {
    Operation(Vec<u8>),
    Acknowledgement(ActorId, VersionVector),
}

struct Member {
    broadcast: CausalBroadcast<u64>,
    /// The operations that were delivered here, by their places among all that were made.
    delivered: BTreeSet<u64>,
}

struct World {
    choices: Choices,
    members: Vec<Member>,
    /// Of each operation, what its author had delivered. The payload is the place.
    sees: Vec<BTreeSet<u64>>,
    network: Vec<(usize, Packet)>,
    lossy: bool,
    full: u64,
    early: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let count = 2 + choices.below(4);
        let member = |actor| Member {
            broadcast: CausalBroadcast::new(ActorId(actor), (1..=count).map(ActorId), LIMITS),
            delivered: BTreeSet::new(),
        };
        let members = (1..=count).map(member).collect();
        Self { choices, members, sees: Vec::new(), network: Vec::new(), lossy: true, full: 0, early: 0 }
    }

    fn post(&mut self, to: usize, packet: &Packet) {
        let copies = if self.lossy { [1, 1, 1, 2, 0, 0][self.choices.place(6)] } else { 1 };
        for _ in 0..copies {
            self.network.push((to, packet.clone()));
        }
    }

    fn post_operation(&mut self, to: usize, message: &Message<u64>) {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        self.post(to, &Packet::Operation(bytes));
    }

    fn send(&mut self, here: usize) {
        let place = self.sees.len() as u64;
        match self.members[here].broadcast.send(place) {
            Ok(message) => {
                self.sees.push(self.members[here].delivered.clone());
                self.members[here].delivered.insert(place);
                for to in (0..self.members.len()).filter(|to| *to != here) {
                    self.post_operation(to, &message);
                }
            }
            Err(error) => {
                assert_eq!(error, BroadcastError::Unacknowledged { limit: LIMITS.kept });
                self.full += 1;
            }
        }
    }

    fn acknowledge(&mut self, here: usize) {
        let cut = self.members[here].broadcast.delivered().clone();
        for to in (0..self.members.len()).filter(|to| *to != here) {
            self.post(to, &Packet::Acknowledgement(ActorId(here as u64 + 1), cut.clone()));
        }
    }

    fn arrive(&mut self) {
        let place = self.choices.place(self.network.len());
        if self.network.is_empty() {
            return;
        }
        let (here, packet) = self.network.swap_remove(place);
        match packet {
            Packet::Operation(bytes) => {
                let message = Message::read(&mut Reader::new(&bytes)).expect("what was written is read");
                let member = &mut self.members[here];
                match member.broadcast.receive(message) {
                    Ok(delivered) => {
                        for message in delivered {
                            let seen = &self.sees[message.payload as usize];
                            assert!(seen.is_subset(&member.delivered), "before what its author had seen");
                            assert!(member.delivered.insert(message.payload), "delivered twice");
                        }
                    }
                    Err(error) => {
                        assert!(matches!(error, BroadcastError::Waiting { limit: 3, .. }), "{error}");
                        self.early += 1;
                    }
                }
                let most = LIMITS.waiting * (self.members.len() - 1);
                assert!(self.members[here].broadcast.waiting() <= most);
            }
            Packet::Acknowledgement(from, cut) => {
                let member = &mut self.members[here].broadcast;
                member.acknowledge(from, &cut);
                assert!(member.kept() <= LIMITS.kept);
                let missing: Vec<_> = member.missing(&cut).cloned().collect();
                let to = from.0 as usize - 1;
                for message in &missing {
                    self.post_operation(to, message);
                }
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..300 {
            let here = self.choices.place(self.members.len());
            match self.choices.below(10) {
                0..3 => self.send(here),
                3 => self.acknowledge(here),
                _ => self.arrive(),
            }
        }
        // The network heals: each round brings each member further.
        self.lossy = false;
        for _ in 0..self.sees.len() + 2 {
            (0..self.members.len()).for_each(|here| self.acknowledge(here));
            while !self.network.is_empty() {
                self.arrive();
            }
        }
        for member in &self.members {
            assert_eq!(member.delivered.len(), self.sees.len());
            assert_eq!((member.broadcast.waiting(), member.broadcast.kept()), (0, 0));
        }
    }
}

#[test]
fn each_operation_is_delivered_once_in_causal_order_over_a_bad_network() {
    let (mut operations, mut full, mut early) = (0, 0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.run();
        operations += world.sees.len();
        full += world.full;
        early += world.early;
    }
    // The limits were reached, so what is refused comes again.
    assert!(operations > 3_000 && full > 100 && early > 100, "{operations} {full} {early}");
}

fn dot(actor: u64, seq: u64) -> Dot {
    Dot { actor: ActorId(actor), seq }
}

fn member(actor: u64) -> CausalBroadcast<u64> {
    CausalBroadcast::new(ActorId(actor), (1..=4).map(ActorId), LIMITS)
}

fn message(of: Dot, after: &[Dot]) -> Message<u64> {
    Message { dot: of, after: after.iter().copied().collect(), payload: of.seq }
}

/// What is ready is delivered, what misses something waits, and what came before is dropped.
#[test]
fn s2_4_the_next_operation_is_delivered_and_no_other() -> Result<(), BroadcastError> {
    let mut here = member(4);
    assert_eq!(here.receive(message(dot(1, 1), &[]))?.len(), 1);
    assert!(here.receive(message(dot(1, 1), &[]))?.is_empty(), "a duplicate");
    assert!(here.receive(message(dot(2, 1), &[dot(1, 5)]))?.is_empty(), "misses 1:2 to 1:5");
    assert_eq!(here.receive(message(dot(1, 2), &[]))?.len(), 1, "the one that is ready");
    for seq in 3..5 {
        assert_eq!(here.receive(message(dot(1, seq), &[]))?.len(), 1);
    }
    let last: Vec<Dot> =
        here.receive(message(dot(1, 5), &[]))?.into_iter().map(|message| message.dot).collect();
    assert_eq!(last, [dot(1, 5), dot(2, 1)]);
    Ok(())
}

/// A dependency on another member is no step short, and delivering counts the sender's operations and not one's own.
#[test]
fn s2_5_an_operation_waits_for_what_its_author_had_seen() -> Result<(), BroadcastError> {
    let mut here = member(4);
    assert!(here.receive(message(dot(2, 1), &[dot(1, 1)]))?.is_empty());
    assert!(here.delivered().is_empty());
    assert_eq!(here.receive(message(dot(1, 1), &[]))?.len(), 2);
    assert_eq!(here.delivered().to_string(), "{1:1, 2:1}");
    assert_eq!(here.send(7)?.after, [dot(1, 1), dot(2, 1)].into_iter().collect());
    Ok(())
}

#[test]
fn messages_that_cannot_be_are_refused() -> Result<(), BroadcastError> {
    let mut here = member(1);
    here.send(1)?;
    let refused = |message| {
        let mut copy = here.clone();
        let error = copy.receive(message).unwrap_err();
        assert_eq!((copy.delivered(), copy.waiting()), (here.delivered(), here.waiting()));
        error
    };
    assert_eq!(refused(message(dot(1, 2), &[])), BroadcastError::NeverMade { dot: dot(1, 2) });
    assert_eq!(refused(message(dot(2, 1), &[dot(1, 2)])), BroadcastError::NeverMade { dot: dot(1, 2) });
    assert_eq!(refused(message(dot(2, 1), &[dot(2, 1)])), BroadcastError::Contradiction { dot: dot(2, 1) });
    assert_eq!(refused(message(dot(2, 0), &[])), BroadcastError::Contradiction { dot: dot(2, 0) });
    assert_eq!(refused(message(dot(9, 1), &[])), BroadcastError::Stranger { actor: ActorId(9) });
    assert!(here.receive(message(dot(1, 1), &[]))?.is_empty(), "the own operation comes back");
    Ok(())
}

/// Messages that never become ready fill their author's places alone, and those that are ready pass.
#[test]
fn s2_9_what_never_becomes_ready_takes_bounded_room() -> Result<(), BroadcastError> {
    let mut here = member(1);
    for seq in 10..13 {
        here.receive(message(dot(2, seq), &[]))?;
    }
    let full = BroadcastError::Waiting { actor: ActorId(2), limit: 3 };
    assert_eq!(here.receive(message(dot(2, 13), &[])), Err(full));
    assert!(here.receive(message(dot(2, 12), &[]))?.is_empty(), "a copy of what waits");
    assert_eq!(here.receive(message(dot(2, 1), &[]))?.len(), 1);
    assert!(here.receive(message(dot(3, 2), &[]))?.is_empty());
    assert_eq!(here.waiting(), 4);
    here.leave(ActorId(2));
    assert_eq!(here.waiting(), 1);
    assert!(full.to_string().contains("3 operations of 2 wait"));
    assert_eq!(here.receive(message(dot(2, 2), &[])), Err(BroadcastError::Stranger { actor: ActorId(2) }));
    Ok(())
}

/// What is kept goes when all have it, and when who lacks it leaves; a cut that claims too much claims no more than was
/// made.
#[test]
fn operations_are_kept_until_all_have_them() -> Result<(), BroadcastError> {
    let mut here = member(1);
    for payload in 0..8 {
        here.send(payload)?;
    }
    assert_eq!(here.send(8), Err(BroadcastError::Unacknowledged { limit: 8 }));
    let cut = |seq| [dot(1, seq)].into_iter().collect::<VersionVector>();
    here.acknowledge(ActorId(2), &cut(5));
    here.acknowledge(ActorId(3), &cut(u64::MAX));
    assert_eq!((here.kept(), here.missing(&cut(5)).count()), (8, 3));
    here.leave(ActorId(4));
    assert_eq!(here.kept(), 3);
    // An old acknowledgement takes nothing back.
    here.acknowledge(ActorId(2), &cut(8));
    here.acknowledge(ActorId(2), &cut(2));
    assert_eq!(here.kept(), 0);
    // What was acknowledged before it was made is not acknowledged.
    here.send(9)?;
    here.acknowledge(ActorId(2), &cut(9));
    assert_eq!(here.kept(), 1);
    here.send(10)?;
    here.acknowledge(ActorId(2), &cut(2));
    here.acknowledge(ActorId(3), &cut(9));
    assert_eq!(here.kept(), 1, "the first of the two is with both");
    Ok(())
}

/// An author is gone with an operation that this member never received: it takes over the state of one that did.
#[test]
fn a_member_catches_up_by_a_state() -> Result<(), BroadcastError> {
    let mut here = member(1);
    assert!(here.receive(message(dot(2, 2), &[]))?.is_empty());
    assert!(here.receive(message(dot(3, 1), &[dot(2, 3)]))?.is_empty());
    let cut = [dot(2, 3)].into_iter().collect();
    let ready = here.catch_up(&cut)?;
    assert_eq!((ready.len(), ready[0].dot, here.waiting()), (1, dot(3, 1), 0));
    let foreign = [dot(1, 1)].into_iter().collect();
    assert_eq!(here.catch_up(&foreign), Err(BroadcastError::NeverMade { dot: dot(1, 1) }));

    // A newcomer begins with a state, and is waited for from then on.
    here.join(ActorId(9));
    let mut newcomer: CausalBroadcast<u64> = CausalBroadcast::new(ActorId(9), [ActorId(1)], LIMITS);
    newcomer.catch_up(here.delivered())?;
    let sent = here.send(5)?;
    for old in 2..5 {
        here.acknowledge(ActorId(old), &here.delivered().clone());
    }
    assert_eq!((newcomer.receive(sent)?.len(), here.kept()), (1, 1));
    here.acknowledge(ActorId(9), newcomer.delivered());
    assert_eq!(here.kept(), 0);
    Ok(())
}

#[test]
fn a_message_comes_back_and_damage_does_no_harm() {
    let mut choices = Choices::new(1);
    for _ in 0..2_000 {
        let after = (0..choices.below(4)).map(|actor| dot(actor, 1 + choices.below(300))).collect();
        let message = Message { dot: dot(7, 1 + choices.below(300)), after, payload: choices.number() };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        assert_eq!(Message::read(&mut Reader::new(&bytes)), Ok(message));
        assert!(Message::<u64>::read(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
        let place = choices.place(bytes.len());
        bytes[place] = choices.number() as u8;
        let mut reader = Reader::new(&bytes);
        if let Ok(foreign) = Message::<u64>::read(&mut reader) {
            let mut again = Vec::new();
            foreign.write(&mut again);
            assert_eq!(again, bytes[..bytes.len() - reader.rest().len()]);
            let _ = member(1).receive(foreign);
        }
    }
}
