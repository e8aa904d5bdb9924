//! Single rules of the machine, each error and each effect. What they are for together is shown by the simulation.

use deltaic_types::codec::{DecodeError, Reader};
use proptest::prelude::*;

use super::state::{Role, TRANSFERS};
use super::*;
use crate::ActorId;
use crate::itc::{DEPTH, Event, Id, Limits, Overlap, Stamp, TreeError};

const A: ActorId = ActorId(1);
const B: ActorId = ActorId(2);
const C: ActorId = ActorId(3);

fn start(state: State) -> Life {
    Life::start(state, Vec::new(), Nonce(0)).0
}

/// A member that owns one of so many places.
fn member(me: ActorId, place: u64, of: u64) -> Life {
    let mut state = State::outside(me);
    state.role = Role::Member(Id::balanced(place, of));
    start(state)
}

fn receive(life: &mut Life, from: ActorId, body: Body) -> Vec<Effect> {
    let epoch = life.state.epoch;
    life.step(Input::Received { from, message: Message { epoch, body } }).unwrap()
}

fn sent(effects: &[Effect]) -> Vec<(ActorId, Body)> {
    let body = |effect: &Effect| match effect {
        Effect::Send { to, message } => Some((*to, message.body.clone())),
        _ => None,
    };
    effects.iter().filter_map(body).collect()
}

/// What counting so many events above an id gives.
fn counted(known: &Stamp, id: &Id, events: usize) -> Stamp {
    let event = (0..events).fold(known.event().clone(), |event, _| event.event(id).unwrap());
    Stamp::from(event)
}

fn table(epoch: u64, seats: &[ActorId]) -> Table {
    Table { epoch: Epoch(epoch), seats: seats.to_vec(), baseline: Stamp::default() }
}

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.write(&mut bytes);
    bytes
}

fn read(bytes: &[u8]) -> Result<State, StateError> {
    let mut reader = Reader::new(bytes);
    let state = State::read(&mut reader)?;
    reader.finish()?;
    Ok(state)
}

#[test]
fn a_refused_input_changes_nothing() {
    let outside = start(State::outside(A));
    let (copy, _) = Life::start(State::founder(A), vec![A, B, C], Nonce(7));
    let mut full = start(State::outside(A));
    for n in 0..TRANSFERS as u128 {
        full.step(Input::Join { nonce: Nonce(n), candidates: vec![B] }).unwrap();
        receive(&mut full, B, Body::Offer { nonce: Nonce(n), rank: 1 });
    }
    let mut old = start(State::founder(A));
    old.step(Input::Epoch(table(3, &[A, B]))).unwrap();
    let mut last = member(A, 0, 2);
    last.state.stamp = Stamp::read(
        &mut Reader::new(&[0x11, 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 3]),
        Limits::own(),
    )
    .unwrap();
    assert_eq!(last.state.stamp.event().min(), u64::MAX);

    let join = |n| Input::Join { nonce: Nonce(n), candidates: vec![B] };
    let retire = |candidates| Input::Retire { nonce: Nonce(9), candidates };
    let learned = |epoch| Input::Learned { epoch: Epoch(epoch), stamp: Stamp::default() };
    let (ours, fresh) = (Epoch(3), Nonce(1 << 90));
    let unconfirmed = Refusal::Unconfirmed { waiting: 2 };
    let mut lives = [outside, copy, full, old, last];
    let [outside, copy, full, old, last] = [0, 1, 2, 3, 4];
    let cases: Vec<(usize, Input, Refusal, &str)> = vec![
        (copy, Input::Event, unconfirmed, "2 peers"),
        (outside, Input::Event, Refusal::NotMember, "join first"),
        (outside, retire(vec![B]), Refusal::NotMember, "join first"),
        (outside, Input::Join { nonce: fresh, candidates: vec![A] }, Refusal::NoCandidates, "name other"),
        (outside, Input::Abandon { nonce: fresh }, Refusal::UnknownTransfer, "no transfer"),
        (full, join(3), Refusal::NonceUsed, "draw another"),
        (full, join(fresh.0), Refusal::TooManyTransfers { limit: TRANSFERS }, "abandon some"),
        (old, join(3), Refusal::NotOutside, "only one outside"),
        (old, learned(2), Refusal::OldEpoch { theirs: Epoch(2), ours }, "epoch 2 has ended"),
        (old, learned(4), Refusal::NewEpoch { theirs: Epoch(4), ours }, "epoch 4 has begun"),
        (old, Input::Epoch(table(2, &[A])), Refusal::OldEpoch { theirs: Epoch(2), ours }, "drop it"),
        (old, Input::Epoch(table(4, &[A, B, A])), Refusal::TwoSeats { actor: A }, "two seats"),
        (last, Input::Event, Refusal::Counter(crate::itc::CounterOverflow), "at its end"),
        (last, retire(vec![B]), Refusal::Counter(crate::itc::CounterOverflow), "at its end"),
    ];
    for (place, input, refusal, says) in cases {
        let life = &mut lives[place];
        let before = written(&life.state);
        let given = life.step(input.clone()).unwrap_err();
        assert_eq!(given, refusal, "{input:?}");
        assert!(given.to_string().contains(says), "{given}");
        assert_eq!(written(&life.state), before, "{input:?}");
    }
}

#[test]
fn each_error_of_a_state_has_its_bytes() {
    let state = State::founder(A);
    let bytes = written(&state);
    assert_eq!(read(&bytes), Ok(state));
    assert_eq!(read(&[0x11]), Err(StateError::Version { found: 0x11 }));
    assert!(StateError::Version { found: 0x11 }.to_string().contains("newer version"));
    assert_eq!(read(&bytes[..2]), Err(StateError::Decode(DecodeError::Truncated)));
    // The tag of the role is the third number; the id is behind it.
    let mut other = bytes.clone();
    other[3] = 9;
    assert_eq!(read(&other), Err(StateError::Decode(DecodeError::UnknownTag(9))));
    other[3] = 1;
    other[4] = 0x11;
    assert!(matches!(read(&other), Err(StateError::Tree(TreeError::Version { .. }))));
    let mut twice = State::founder(A);
    twice
        .outgoing
        .insert(Nonce(1), Transfer::new(To::Anyone, Id::balanced(0, 3), &Stamp::default()).unwrap());
    let error = read(&written(&twice)).unwrap_err();
    assert_eq!(error, StateError::Overlap(Overlap));
    let mut nothing = State::founder(A);
    nothing.role = Role::Member(Id::empty());
    assert!(matches!(read(&written(&nothing)), Err(StateError::Decode(DecodeError::Invalid(_)))));
}

#[test]
fn each_error_of_a_message_has_its_bytes() {
    let read = |bytes: &[u8]| {
        Message::read(&mut Reader::new(bytes), Limits::peer(&Event::default(), 5)).unwrap_err()
    };
    assert_eq!(read(&[0x31]), MessageError::Version { found: 0x31 });
    assert!(read(&[0x31]).to_string().contains("newer version"));
    assert_eq!(read(&[0x41, 0]), MessageError::Decode(DecodeError::Truncated));
    assert_eq!(read(&[0x41, 0, 12]), MessageError::Decode(DecodeError::UnknownTag(12)));
    let mut bytes = Vec::new();
    let stamp = counted(&Stamp::default(), &Id::whole(), 6);
    Message { epoch: Epoch(0), body: Body::Hello { nonce: Nonce(1), stamp } }.write(&mut bytes);
    assert_eq!(read(&bytes), MessageError::Tree(TreeError::CounterTooGreat { limit: 5 }));
}

#[test]
fn the_widest_sponsor_and_the_heir_that_becomes_simplest_are_chosen() {
    let mut joiner = start(State::outside(A));
    joiner.step(Input::Join { nonce: Nonce(1), candidates: vec![B, C] }).unwrap();
    let offer = |life: &mut Life, purpose: &Purpose| {
        let effects = receive(life, A, Body::Ask { nonce: Nonce(1), purpose: purpose.clone() });
        sent(&effects).remove(0).1
    };
    let (mut narrow, mut wide) = (member(B, 2, 4), member(C, 0, 2));
    assert_eq!(receive(&mut joiner, B, offer(&mut narrow, &Purpose::Sponsor)), vec![]);
    let chosen = receive(&mut joiner, C, offer(&mut wide, &Purpose::Sponsor));
    assert!(matches!(chosen[0], Effect::Persist(_)));
    assert_eq!(sent(&chosen), vec![(C, Body::Join { nonce: Nonce(1) })]);

    // 3 of 4 goes to 2 of 4, with which it is one half, and not to 0 of 4.
    let (mut far, mut near, mut retiring) = (member(B, 0, 4), member(C, 2, 4), member(A, 3, 4));
    let asks = retiring.step(Input::Retire { nonce: Nonce(1), candidates: vec![B, C] }).unwrap();
    let Body::Ask { purpose, .. } = sent(&asks).remove(0).1 else { panic!("it asks first") };
    receive(&mut retiring, B, offer(&mut far, &purpose));
    // Repeated, or of who was not asked, an offer does not count.
    assert_eq!(receive(&mut retiring, B, Body::Offer { nonce: Nonce(1), rank: 99 }), vec![]);
    assert_eq!(receive(&mut retiring, ActorId(9), Body::Offer { nonce: Nonce(1), rank: 99 }), vec![]);
    let gives = receive(&mut retiring, C, offer(&mut near, &purpose));
    let (to, give) = sent(&gives).remove(0);
    assert_eq!(to, C);
    let taken = receive(&mut near, A, give);
    assert_eq!(near.state.id(), Some(&Id::balanced(1, 2)));
    let left = receive(&mut retiring, C, sent(&taken).remove(0).1);
    assert!(left.contains(&Effect::Left) && retiring.state().has_left());
}

#[test]
fn a_slow_candidate_is_not_waited_for_beyond_a_tick() {
    let mut joiner = start(State::outside(A));
    joiner.step(Input::Join { nonce: Nonce(1), candidates: vec![B, C] }).unwrap();
    receive(&mut joiner, B, Body::Offer { nonce: Nonce(1), rank: 5 });
    let effects = joiner.step(Input::Tick).unwrap();
    assert_eq!(sent(&effects), vec![(B, Body::Join { nonce: Nonce(1) })]);
}

#[test]
fn a_grant_is_one_however_often_it_is_asked_for() {
    let mut sponsor = start(State::founder(A));
    let join = Body::Join { nonce: Nonce(1) };
    let first = receive(&mut sponsor, B, join.clone());
    assert!(matches!(first[0], Effect::Persist(_)));
    let again = receive(&mut sponsor, B, join.clone());
    assert_eq!(sent(&first), sent(&again));
    assert_eq!(again.len(), 1, "nothing new to write down");
    // Nobody else gets it by the same nonce.
    assert_eq!(receive(&mut sponsor, C, join.clone()), vec![]);
    // A word is no proof; a stamp that knows the event is, whoever shows it.
    let word = Body::Taken { nonce: Nonce(1), stamp: Stamp::default() };
    receive(&mut sponsor, B, word);
    assert_eq!(sponsor.state().outgoing().count(), 1);
    let proof = sponsor.state().outgoing().next().unwrap().1.stamp().clone();
    receive(&mut sponsor, C, Body::Hello { nonce: Nonce(5), stamp: proof });
    assert_eq!(sponsor.state().outgoing().count(), 0);
    let late = receive(&mut sponsor, B, join);
    assert_eq!(sent(&late), vec![(B, Body::Refused { nonce: Nonce(1) })]);
}

#[test]
fn what_is_refused_says_so() {
    let mut joiner = start(State::outside(A));
    joiner.step(Input::Join { nonce: Nonce(1), candidates: vec![B] }).unwrap();
    receive(&mut joiner, B, Body::Offer { nonce: Nonce(1), rank: 1 });
    assert_eq!(receive(&mut joiner, C, Body::Refused { nonce: Nonce(1) }), vec![]);
    let refused = receive(&mut joiner, B, Body::Refused { nonce: Nonce(1) });
    assert_eq!(refused.last(), Some(&Effect::JoinRefused { nonce: Nonce(1) }));

    let mut retiring = member(A, 0, 2);
    retiring.step(Input::Retire { nonce: Nonce(1), candidates: vec![B] }).unwrap();
    receive(&mut retiring, B, Body::Offer { nonce: Nonce(1), rank: 1 });
    let refused = receive(&mut retiring, B, Body::Refused { nonce: Nonce(1) });
    assert_eq!(refused.last(), Some(&Effect::HeirRefused { nonce: Nonce(1) }));
    // The same id, with the same proof, goes to another.
    let before = retiring.state().outgoing().next().unwrap().1.stamp().clone();
    retiring.step(Input::Retire { nonce: Nonce(2), candidates: vec![C] }).unwrap();
    let gives = receive(&mut retiring, C, Body::Offer { nonce: Nonce(2), rank: 1 });
    assert!(matches!(&sent(&gives)[0], (C, Body::Give { stamp, .. }) if *stamp == before));

    // An id that was halved as often as can be is not halved again.
    let deep = "10".repeat(DEPTH as usize) + "001";
    let mut bytes = vec![0x21];
    let bits: Vec<u8> = deep
        .as_bytes()
        .chunks(8)
        .map(|bits| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | (bit - b'0') << (7 - i)))
        .collect();
    deltaic_types::codec::write_bytes(&mut bytes, &bits);
    let mut deepest = member(A, 0, 2);
    deepest.state.role = Role::Member(Id::read(&mut Reader::new(&bytes), Limits::own()).unwrap());
    let effects = receive(&mut deepest, B, Body::Join { nonce: Nonce(1) });
    assert_eq!(sent(&effects), vec![(B, Body::Refused { nonce: Nonce(1) })]);
}

#[test]
fn a_copy_is_found_out_by_who_knows_more() {
    let id = Id::balanced(0, 2);
    for (i, how) in ["hello", "known", "taken", "learned", "give"].into_iter().enumerate() {
        let mut copy = member(A, 0, 2);
        let stamp = counted(&Stamp::default(), &id, 3);
        let nonce = Nonce(i as u128);
        let effects = match how {
            "hello" => receive(&mut copy, B, Body::Hello { nonce, stamp }),
            "known" => receive(&mut copy, B, Body::Known { nonce, stamp }),
            "taken" => receive(&mut copy, B, Body::Taken { nonce, stamp }),
            "learned" => copy.step(Input::Learned { epoch: Epoch(0), stamp }).unwrap(),
            _ => {
                let id = Id::balanced(1, 2);
                let stamp = counted(&stamp, &id, 1);
                receive(&mut copy, B, Body::Give { nonce, id, stamp })
            }
        };
        assert!(effects.contains(&Effect::Quarantined), "{how}: {effects:?}");
        assert!(copy.state().is_quarantined() && copy.state().id().is_none());
        // What is written down is that it is quarantined.
        let Effect::Persist(bytes) = &effects[0] else { panic!("{how}: {effects:?}") };
        assert!(read(bytes).unwrap().is_quarantined());
        // Its data go on under another name.
        let anew = copy.state().anew(C);
        assert_eq!((anew.me(), anew.stamp()), (C, copy.state().stamp()));
        // It does not know what its other life has taken, so it does not say that it has not.
        let id = Id::balanced(1, 2);
        let give = Body::Give { nonce, stamp: counted(&Stamp::default(), &id, 9), id };
        assert_eq!(receive(&mut copy, B, give), vec![]);
        assert_eq!(receive(&mut copy, B, Body::Join { nonce: Nonce(8) }), vec![]);
        // Its other life may have taken its seat.
        assert_eq!(copy.step(Input::Epoch(table(1, &[B, A]))).unwrap().len(), 1);
        assert!(copy.state().is_quarantined());
    }
}

/// It once had a part of what it gave away later: every part of what is given says so.
#[test]
fn a_copy_that_had_a_part_of_what_was_given_is_found_out() {
    let mut giver = member(A, 1, 8);
    giver.state.role = Role::Member(Id::balanced(1, 8).union(&Id::balanced(3, 4)));
    giver.step(Input::Retire { nonce: Nonce(1), candidates: vec![B] }).unwrap();
    let proof = giver.state().outgoing().next().unwrap().1.stamp().clone();
    for place in [1, 6, 7] {
        let mut copy = member(A, place, 8);
        let known = Body::Known { nonce: Nonce(0), stamp: proof.clone() };
        assert!(receive(&mut copy, B, known).contains(&Effect::Quarantined), "part {place}");
    }
}

#[test]
fn a_possible_copy_waits_for_answers_to_its_own_question_in_the_present_epoch() {
    let (mut copy, hellos) = Life::start(State::founder(A), vec![B, C], Nonce(7));
    assert_eq!(sent(&hellos).len(), 2);
    let known = |nonce| Body::Known { nonce: Nonce(nonce), stamp: Stamp::default() };
    // Neither gives nor offers.
    assert_eq!(receive(&mut copy, B, Body::Join { nonce: Nonce(1) }), vec![]);
    assert_eq!(receive(&mut copy, B, Body::Ask { nonce: Nonce(1), purpose: Purpose::Sponsor }), vec![]);
    // An answer to a question before its start may be older than what was known since.
    receive(&mut copy, B, known(6));
    assert_eq!(copy.unconfirmed().count(), 2);
    receive(&mut copy, B, known(7));
    assert_eq!(copy.unconfirmed().collect::<Vec<_>>(), vec![C]);
    // Who answered in the epoch before is asked again.
    copy.step(Input::Epoch(table(1, &[A, B]))).unwrap();
    assert_eq!(copy.unconfirmed().count(), 2);
    receive(&mut copy, B, known(7));
    assert_eq!(receive(&mut copy, C, known(7)), vec![Effect::Confirmed]);
    assert!(copy.step(Input::Event).is_ok());
}

#[test]
fn an_overlap_is_refused_and_told() {
    let mut own = member(A, 0, 2);
    let id = Id::whole();
    let give = Body::Give { nonce: Nonce(1), stamp: counted(&Stamp::default(), &Id::balanced(1, 2), 1), id };
    assert_eq!(receive(&mut own, B, give), vec![Effect::Overlap { from: B }]);
    assert_eq!(own.state().id(), Some(&Id::balanced(0, 2)));
}

#[test]
fn an_epoch_gives_everybody_a_balanced_id_and_fences_the_old_one() {
    let mut life = member(C, 1, 7);
    life.step(Input::Event).unwrap();
    let baseline = life.state().stamp().clone();
    let table = Table { baseline: baseline.clone(), ..table(5, &[A, B, C]) };
    let effects = life.step(Input::Epoch(table.clone())).unwrap();
    assert!(effects.contains(&Effect::Joined));
    assert_eq!(life.state().id(), Some(&Id::balanced(2, 3)));
    assert_eq!((life.state().stamp(), life.state().baseline()), (&Stamp::default(), &baseline));
    assert_eq!(life.step(Input::Epoch(table)).unwrap(), vec![], "once is enough");

    let old = Message { epoch: Epoch(4), body: Body::Join { nonce: Nonce(1) } };
    let effects = life.step(Input::Received { from: A, message: old }).unwrap();
    let fenced = Message { epoch: Epoch(5), body: Body::Fenced };
    assert_eq!(effects, vec![Effect::Send { to: A, message: fenced.clone() }]);
    // Who is told so knows that it is behind; two that differ do not answer each other for ever.
    let effects = member(A, 0, 7).step(Input::Received { from: C, message: fenced }).unwrap();
    assert_eq!(effects, vec![Effect::Behind { epoch: Epoch(5) }]);
    let old = Message { epoch: Epoch(4), body: Body::Fenced };
    assert_eq!(life.step(Input::Received { from: A, message: old }).unwrap(), vec![]);

    // Without a seat it is outside, or has left if it was about to.
    let outside = |life: &mut Life| life.step(Input::Epoch(self::table(6, &[A]))).unwrap();
    outside(&mut life);
    assert!(!life.state().is_member() && !life.state().has_left());
    let mut retiring = member(C, 1, 2);
    retiring.step(Input::Retire { nonce: Nonce(1), candidates: vec![A] }).unwrap();
    outside(&mut retiring);
    assert!(retiring.state().has_left());
}

#[test]
fn an_orphan_is_abandoned() {
    let mut sponsor = start(State::founder(A));
    receive(&mut sponsor, B, Body::Join { nonce: Nonce(1) });
    let (nonce, orphan) = sponsor.state().outgoing().next().unwrap();
    assert_eq!((orphan.to(), orphan.id()), (To::Joiner(B), &Id::balanced(1, 2)));
    sponsor.step(Input::Abandon { nonce }).unwrap();
    assert_eq!(sponsor.state().outgoing().count(), 0);
    let late = receive(&mut sponsor, B, Body::Join { nonce });
    assert_eq!(sent(&late), vec![(B, Body::Refused { nonce })]);
}

/// Any part of the line in eighths, and any counts above them.
fn trees() -> impl Strategy<Value = (Id, Stamp)> {
    let part = proptest::collection::vec((0_u64..8, 0_usize..3), 0..6);
    (part.clone(), part).prop_map(|(parts, events)| {
        let id = parts.iter().fold(Id::empty(), |id, (place, _)| id.union(&Id::balanced(*place, 8)));
        let count = |event: Event, (place, n): &(u64, usize)| {
            counted(&Stamp::from(event), &Id::balanced(*place, 8), *n).event().clone()
        };
        (id, Stamp::from(events.iter().fold(Event::default(), count)))
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    (0_u8..12, 0_u128..4, trees(), 0_u64..9).prop_map(|(kind, nonce, (id, stamp), rank)| {
        let nonce = Nonce(nonce);
        match kind {
            0 => Body::Hello { nonce, stamp },
            1 => Body::Known { nonce, stamp },
            2 => Body::Ask { nonce, purpose: Purpose::Sponsor },
            3 => Body::Ask { nonce, purpose: Purpose::Heir(Footprint(id)) },
            4 => Body::Offer { nonce, rank },
            5 => Body::Join { nonce },
            6 => Body::Withdraw { nonce },
            7 => Body::Grant { nonce, id, stamp },
            8 => Body::Give { nonce, id, stamp },
            9 => Body::Taken { nonce, stamp },
            10 => Body::Refused { nonce },
            _ => Body::Fenced,
        }
    })
}

proptest! {
    /// Peers that send what they like do not make it panic, and do not make it own what its state could not hold.
    #[test]
    fn any_messages_are_taken(
        messages in proptest::collection::vec((0_u64..3, bodies(), 0_u8..9), 0..40),
        place in 0_u64..3,
        ask in any::<bool>(),
    ) {
        let mut state = State::outside(A);
        if place < 2 {
            state.role = Role::Member(Id::balanced(place, 2));
        }
        let peers = vec![ActorId(0), B];
        let (mut life, _) = Life::start(state, if ask { peers.clone() } else { Vec::new() }, Nonce(3));
        for (from, body, also) in messages {
            receive(&mut life, ActorId(from), body);
            let nonce = Nonce(u128::from(also) + 10);
            let _ = match also {
                0 => life.step(Input::Tick),
                1 => life.step(Input::Join { nonce, candidates: peers.clone() }),
                2 => life.step(Input::Retire { nonce, candidates: peers.clone() }),
                3 => life.step(Input::Event),
                _ => Ok(Vec::new()),
            };
            let bytes = written(life.state());
            let back = read(&bytes);
            prop_assert_eq!(back.as_ref(), Ok(life.state()));
            prop_assert!(life.state().id().is_none_or(|id| !id.is_empty()));
        }
    }

    #[test]
    fn a_message_comes_back_and_any_bytes_are_one_or_refused(
        body in bodies(),
        epoch in any::<u64>(),
        at in any::<usize>(),
        to in any::<u8>(),
        cut in any::<usize>(),
    ) {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let message = Message::read(&mut reader, Limits::own())?;
            reader.finish()?;
            Ok::<_, MessageError>(message)
        };
        let message = Message { epoch: Epoch(epoch), body };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        prop_assert_eq!(read(&bytes), Ok(message));
        prop_assert!(read(&bytes[..cut % bytes.len()]).is_err());
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(other) = read(&bytes) {
            let mut again = Vec::new();
            other.write(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_state_or_refused(
        at in any::<usize>(),
        to in any::<u8>(),
        cut in any::<usize>(),
    ) {
        let mut life = start(State::founder(A));
        receive(&mut life, B, Body::Join { nonce: Nonce(5) });
        receive(&mut life, C, Body::Withdraw { nonce: Nonce(6) });
        let mut bytes = written(life.state());
        prop_assert!(read(&bytes[..cut % bytes.len()]).is_err());
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(state) = read(&bytes) {
            prop_assert_eq!(written(&state), bytes);
        }
    }
}
