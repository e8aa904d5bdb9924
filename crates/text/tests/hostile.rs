//! Bytes that nobody wrote: an error or a value, in little memory, and never a panic.
//!
//! Invariant: what a text takes in can be read, edited and written again. `DELTAIC_MUTATIONS` says how many are tried.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use deltaic_causality::ActorId;
use deltaic_crdt::laws::Choices;
use deltaic_text::{Client, Format, TextCrdt, YrsText};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Transact};

fn client(actor: u64) -> Client {
    Client::new(ActorId(actor)).unwrap()
}

fn mutations() -> u64 {
    std::env::var("DELTAIC_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

/// Sound updates of two writers, to be spoiled.
fn sound() -> Vec<Vec<u8>> {
    let (mut a, mut b) = (YrsText::new(client(1)), YrsText::new(client(2)));
    let mut updates = vec![a.insert(0, "ab\u{1f980}cd").unwrap()];
    b.apply(&updates[0]).unwrap();
    updates.push(b.insert(3, "xy\u{301}").unwrap());
    updates.push(a.format(1..4, "bold", &Format::Flag(true)).unwrap());
    updates.push(b.delete(1..4).unwrap());
    a.apply(&b.encode()).unwrap();
    updates.push(a.insert(2, "\u{20000}").unwrap());
    updates.push(a.format(0..4, "bold", &Format::None).unwrap());
    updates.extend([a.encode(), b.encode(), a.diff(&b.version()).unwrap(), a.version()]);
    updates
}

fn spoil(bytes: &[u8], choices: &mut Choices) -> Vec<u8> {
    let mut spoilt = bytes.to_vec();
    for _ in 0..=choices.below(4) {
        let place = choices.place(spoilt.len());
        let small = choices.percent(70);
        let byte = if small { choices.below(12) as u8 } else { choices.number() as u8 };
        match choices.below(6) {
            0 => spoilt.insert(place, byte),
            1 if !spoilt.is_empty() => {
                spoilt.remove(place);
            }
            2 => spoilt.truncate(place),
            3 => {
                spoilt.splice(place..place, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
            _ => spoilt.iter_mut().skip(place).take(1).for_each(|old| *old = byte),
        }
    }
    spoilt
}

#[test]
fn spoilt_updates_are_errors_or_values() {
    let sound = sound();
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..mutations() {
        let mut choices = Choices::new(seed);
        let bytes = if choices.percent(10) {
            (0..choices.below(40)).map(|_| choices.number() as u8).collect()
        } else {
            spoil(&sound[choices.place(sound.len())], &mut choices)
        };
        let mut text = YrsText::decode(&sound[6]).unwrap();
        text.begin(client(9), 0).unwrap();
        let before = text.encode();
        let _ = text.diff(&bytes);
        if let Ok(mut other) = YrsText::decode(&bytes) {
            assert_eq!(other.encode(), bytes, "seed {seed}: bytes that are not those of the text");
            other.read().unwrap();
        }
        for start in [YrsText::default(), text] {
            let mut text = start;
            let own = text.encode();
            if text.apply(&bytes).is_err() {
                assert_eq!(text.encode(), own, "seed {seed}: refused, and yet changed");
                refused += 1;
                continue;
            }
            taken += 1;
            let length = text.read().unwrap().chars().count();
            if own == before && text.begin(client(9), text.written(client(9))).is_ok() {
                text.insert(length, "end").unwrap();
                text.delete(0..length.min(2)).unwrap();
                text.format(0..length.min(3), "bold", &Format::None).unwrap();
            }
            let mut again = YrsText::decode(&text.encode()).unwrap();
            assert_eq!(again.encode(), text.encode(), "seed {seed}");
            assert_eq!(again.read(), text.clone().read(), "seed {seed}");
            // The other order gives the same.
            let mut turned = YrsText::default();
            turned.apply(&bytes).unwrap();
            turned.apply(&text.encode()).unwrap();
            assert_eq!(turned.encode(), text.encode(), "seed {seed}: another order, other bytes");
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 100 && refused > 1_000);
}

/// Why a text reads foreign bytes itself: the library by itself panics on some of these.
#[test]
fn the_library_alone_is_asked_too() {
    let sound = sound();
    let mut panics = Vec::new();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for seed in 0..mutations().min(20_000) {
        let mut choices = Choices::new(seed);
        let bytes = spoil(&sound[choices.place(sound.len() - 1)], &mut choices);
        let run = || -> Option<String> {
            let doc = Doc::with_client_id(9);
            let root = doc.get_or_insert_text("text");
            for bytes in [&sound[6], &bytes] {
                let update = yrs::Update::decode_v1(bytes).ok()?;
                doc.transact_mut().apply_update(update).ok()?;
            }
            let transaction = doc.transact();
            transaction.encode_state_as_update_v1(&StateVector::default());
            Some(root.get_string(&transaction))
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            let reason = panic.downcast_ref::<String>().cloned();
            let reason = reason.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            panics.push((reason.unwrap_or_default(), bytes));
        }
    }
    std::panic::set_hook(quiet);
    println!("the library panicked {} times", panics.len());
    panics.sort();
    panics.dedup_by(|a, b| a.0 == b.0);
    for (reason, bytes) in panics.iter().take(12) {
        println!("{reason}: {bytes:?}");
    }
    for (_, bytes) in panics {
        let mut text = YrsText::decode(&sound[6]).unwrap();
        let _ = text.apply(&bytes);
        text.read().unwrap();
    }
}

#[test]
fn a_claim_takes_no_more_than_its_bytes() {
    for seed in 0..200 {
        let mut choices = Choices::new(seed);
        let mut bytes: Vec<u8> = (0..choices.below(5)).map(|_| choices.below(3) as u8).collect();
        bytes.extend([[0xff, 0xff, 0xff, 0x3f].as_slice(), &[0x80, 0x80, 4], &[100]][choices.place(3)]);
        let filler = choices.below(5) as u8;
        bytes.extend(
            (0..1 << choices.below(13)).map(|_| if filler == 4 { choices.number() as u8 } else { filler }),
        );
        let used = allocation_counter::measure(|| {
            let mut text = YrsText::default();
            let _ = text.apply(&bytes);
            let _ = text.diff(&bytes);
            let _ = YrsText::decode(&bytes);
        });
        let most = 8_192 + 256 * bytes.len() as u64;
        assert!(used.bytes_max <= most, "seed {seed}: {} for {} bytes", used.bytes_max, bytes.len());
    }
}
