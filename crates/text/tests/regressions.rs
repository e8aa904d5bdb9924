//! Faults of other implementations, by name: whether the library has them in the version that is used, and that a text
//! does not.
//!
//! Invariant: each test says with an assertion what the library does, so that a new version that mends it, or breaks what
//! was whole, is seen.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use deltaic_causality::ActorId;
use deltaic_crdt::laws::Choices;
use deltaic_text::{Client, Format, TextCrdt, TextError, YrsText};
use yrs::updates::decoder::Decode;
use yrs::{
    ClientID, Doc, GetString, Map, MapPrelim, MapRef, Options, Out, ReadTxn, StateVector, Transact, Update,
};

/// What the library does with updates, one after the other, and with its own whole state then.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Read(String),
    Refused,
    Panicked,
}

fn of_the_library(updates: &[&[u8]]) -> Outcome {
    let run = || -> Option<String> {
        let options = Options::with_guid_and_client_id("g".into(), ClientID::new(99));
        let doc = Doc::with_options(options);
        let root = doc.get_or_insert_text("text");
        for update in updates {
            let update = Update::decode_v1(update).ok()?;
            doc.transact_mut().apply_update(update).ok()?;
        }
        let transaction = doc.transact();
        transaction.encode_state_as_update_v1(&StateVector::default());
        Some(root.get_string(&transaction))
    };
    catch_unwind(AssertUnwindSafe(run))
        .map_or(Outcome::Panicked, |read| read.map_or(Outcome::Refused, Outcome::Read))
}

fn writer(actor: u64) -> YrsText {
    YrsText::new(Client::new(ActorId(actor)).unwrap())
}

fn applied(updates: &[&[u8]]) -> Result<YrsText, TextError> {
    let mut text = YrsText::default();
    updates.iter().try_for_each(|update| text.apply(update))?;
    Ok(text)
}

/// The library's bytes of all that it was told, in this order.
fn state_of_the_library(updates: &[&[u8]]) -> Vec<u8> {
    let doc = Doc::with_options(Options::with_guid_and_client_id("g".into(), ClientID::new(99)));
    doc.get_or_insert_text("text");
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// Equal documents have other bytes, by the way they came about.
#[test]
fn the_state_of_the_library_is_not_canonical() {
    let mut differ = 0;
    for seed in 0..200 {
        let mut choices = Choices::new(seed);
        let mut writers = [writer(1), writer(2)];
        let mut deltas = Vec::new();
        for _ in 0..8 {
            let who = choices.place(2);
            let text = &mut writers[who];
            let length = text.read().unwrap().chars().count();
            let at = choices.place(length + 1);
            deltas.push(
                match choices.below(5) {
                    0..3 => text.insert(at, "ab"),
                    3 => text.delete(at..length.min(at + 2)),
                    _ => text.format(at..length.min(at + 2), "bold", &Format::Flag(true)),
                }
                .unwrap(),
            );
            if choices.percent(40) {
                let update = writers[who].encode();
                writers[1 - who].apply(&update).unwrap();
            }
        }
        let parts: Vec<&[u8]> = deltas.iter().map(|delta| &delta[..]).collect();
        let turned: Vec<&[u8]> = parts.iter().rev().copied().collect();
        let (one, other) = (applied(&parts).unwrap(), applied(&turned).unwrap());
        assert_eq!(one.encode(), other.encode());
        let states = [&parts[..], &turned, &[&one.encode()]].map(state_of_the_library);
        differ += u32::from(states[0] != states[1] || states[0] != states[2]);
    }
    println!("{differ} differ");
    assert!(differ > 0);
}

fn keys(doc: &Doc) -> Vec<String> {
    let root = doc.get_or_insert_map("root");
    root.keys(&doc.transact()).map(ToString::to_string).collect()
}

fn bring(from: &Doc, to: &Doc) {
    let held = to.transact().state_vector();
    let update = from.transact().encode_state_as_update_v1(&held);
    to.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
}

/// A removal after that of a container that both had written to was dropped.
#[test]
fn y_crdt_607_a_removal_is_lost_beside_a_removed_container() {
    let (a, b) = (Doc::with_client_id(1), Doc::with_client_id(2));
    let nested = |doc: &Doc| -> MapRef {
        let root = doc.get_or_insert_map("root");
        match root.get(&doc.transact(), "nested") {
            Some(Out::YMap(map)) => map,
            other => panic!("{other:?}"),
        }
    };
    a.get_or_insert_map("root").insert(&mut a.transact_mut(), "nested", MapPrelim::default());
    bring(&a, &b);
    nested(&b).insert(&mut b.transact_mut(), "inside", 1);
    bring(&b, &a);
    {
        let root = b.get_or_insert_map("root");
        let mut transaction = b.transact_mut();
        root.insert(&mut transaction, "key", "value");
        root.remove(&mut transaction, "nested");
    }
    bring(&b, &a);
    a.get_or_insert_map("root").remove(&mut a.transact_mut(), "key");
    bring(&a, &b);
    // The library had it until 0.25.
    assert_eq!((keys(&a), keys(&b)), (Vec::new(), Vec::new()));
    // A text has no containers: such an update is refused whole.
    let update = a.transact().encode_state_as_update_v1(&StateVector::default());
    assert!(matches!(applied(&[&update]).err(), Some(TextError::Unsupported { .. })));
}

/// Removals that came before what they remove; unions of removals that lie inside each other.
#[test]
fn y_crdt_607_and_628_removals_are_never_lost() {
    let mut a = writer(1);
    let insert = a.insert(0, "abcdef").unwrap();
    let outer = a.delete(1..5).unwrap();
    let mut b = applied(&[&insert]).unwrap();
    b.begin(Client::new(ActorId(2)).unwrap(), 0).unwrap();
    let inner = b.delete(2..3).unwrap();
    for order in [[&inner, &outer, &insert], [&outer, &inner, &insert], [&outer, &insert, &inner]] {
        let mut text = applied(&order.map(|update| &update[..])).unwrap();
        assert_eq!(text.read().unwrap(), "af");
        assert_eq!(text.encode(), a.encode());
    }
}

/// A unit beside a collected one has no parent to be known from.
#[test]
fn y_crdt_391_a_unit_beside_a_collected_one() {
    let collected = [1, 1, 1, 0, 0, 1, 0];
    let beside = [1, 1, 2, 0, 0x80 | 1, 1, 0, 1, 0];
    // The library panicked here until 0.18.
    assert_eq!(of_the_library(&[&collected, &beside]), Outcome::Read(String::new()));
    assert_eq!(applied(&[&collected]).err(), Some(TextError::Unsupported { what: "a collected unit" }));
    let mut text = applied(&[&beside]).unwrap();
    assert_eq!((text.read().unwrap().as_str(), text.waiting()), ("", 1));
}

/// Removals whose end is beyond what the library counts with.
#[test]
fn y_crdt_404_ranges_that_leave_their_bits() {
    let insert = [1, 1, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 2, b'a', b'b', 0];
    let range = [0, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 5];
    let length = [0, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let units = [1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 4, 1, 4, b't', b'e', b'x', b't', 2, b'a', b'b', 0];
    for update in [&range[..], &length, &units] {
        // The library counts on beyond the end where overflow is not checked, and panics where it is.
        #[cfg(debug_assertions)]
        assert_eq!(of_the_library(&[&insert, update]), Outcome::Panicked);
        assert!(matches!(applied(&[&insert, update]).err(), Some(TextError::Decode(_))));
    }
    // Well before: no sum of numbers that are let in leaves its bits.
    let half = [1, 1, 1, 0xff, 0xff, 0xff, 0xff, 7, 4, 1, 4, b't', b'e', b'x', b't', 2, b'a', b'b', 0];
    assert!(matches!(applied(&[&half]).err(), Some(TextError::Decode(_))));
}

/// A unit put between two that are no neighbours: Yjs' rule does not order it the same in every order of arrival. No
/// editor makes one, an attacker can.
#[test]
fn y_octo_53_a_unit_between_units_that_are_no_neighbours() {
    // 1 writes "a" and, behind it, "c", and removes "a"; 2 writes "b" behind "a"; 3 puts "d" before "c", and behind nothing.
    let first = [1, 2, 1, 0, 4, 1, 4, b't', b'e', b'x', b't', 1, b'a', 0x84, 1, 0, 1, b'c', 1, 1, 1, 0, 1];
    let second = [1, 1, 2, 0, 0x84, 1, 0, 1, b'b', 0];
    let third = [1, 1, 3, 0, 0x44, 1, 1, 1, b'd', 0];
    let one = of_the_library(&[&first, &second, &third]);
    let other = of_the_library(&[&first, &third, &second]);
    assert_eq!((one, other), (Outcome::Read("dcb".to_owned()), Outcome::Read("bdc".to_owned())));
    let mut one = applied(&[&first, &second, &third]).unwrap();
    let mut other = applied(&[&first, &third, &second]).unwrap();
    assert_eq!(one.encode(), other.encode());
    assert_eq!(one.read(), other.read());
}

/// The same edits by editors: what is removed lies between.
#[test]
fn y_octo_53_edits_beside_a_removed_character() {
    let (mut a, mut b, mut c) = (writer(1), writer(2), writer(3));
    b.apply(&a.insert(0, "a").unwrap()).unwrap();
    b.insert(1, "b").unwrap();
    a.insert(1, "c").unwrap();
    a.delete(0..1).unwrap();
    c.apply(&a.encode()).unwrap();
    c.insert(0, "d").unwrap();
    c.apply(&b.encode()).unwrap();
    b.apply(&c.encode()).unwrap();
    assert_eq!((b.read(), b.encode()), (c.read(), c.encode()));
}

/// What comes before what it was put beside is kept, and has its place when that comes.
#[test]
fn y_crdt_413_updates_in_any_order() {
    let mut a = writer(1);
    let deltas = [
        a.insert(0, "one").unwrap(),
        a.insert(3, " two").unwrap(),
        a.format(0..3, "bold", &Format::Flag(true)).unwrap(),
        a.delete(1..2).unwrap(),
    ];
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut text = applied(&order.map(|place: usize| &deltas[place][..])).unwrap();
        assert_eq!((text.read().unwrap().as_str(), text.waiting()), ("oe two", 0));
        assert_eq!(text.encode(), a.encode());
    }
}

/// A library that cuts a character in two leaves replacement characters behind.
#[test]
fn half_a_character_is_removed_whole() {
    let mut a = writer(1);
    let insert = a.insert(0, "x\u{1f980}y").unwrap();
    let half = [0, 1, 1, 1, 2, 1];
    assert_eq!(of_the_library(&[&insert, &half]), Outcome::Read("x\u{fffd}y".to_owned()));
    for order in [[&insert[..], &half[..]], [&half[..], &insert[..]]] {
        let mut text = applied(&order).unwrap();
        assert_eq!(text.read().unwrap(), "xy");
        assert_eq!(text.encode(), applied(&[&half, &insert]).unwrap().encode());
    }
}
