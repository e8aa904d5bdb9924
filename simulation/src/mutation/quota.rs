//! The bytes of budgets: batches, notes of permits, events, values of aggregates.

use deltaic_quota::{
    Account, Batch, Claim, Entry, Epoch, Event, EventKind, Key, LimitWord, Max, Monoid, NodeId, Note, Seq,
    Sum, Then, Time, Union, Units, WindowId,
};
use deltaic_types::codec::{Reader, write_u64};

use super::decoders::{Decoder, Trials, USUAL};
use crate::random::Random;

/// A number of any size, small ones as often as great ones.
fn number(random: &mut Random) -> u64 {
    random.number() >> random.below(64)
}

fn key(random: &mut Random) -> Key {
    let bytes: Vec<u8> = (0..random.below(6)).map(|_| random.below(256) as u8).collect();
    Key::new(&bytes).expect("invariant: it is short")
}

fn entry(random: &mut Random) -> Entry {
    let account = Account { key: key(random), window: WindowId(number(random)) };
    let mut units = || Units(number(random));
    let (limit, claim) = (units(), units());
    let [consumed, refunded, returned, unbacked, credited] = [(); 5].map(|()| units());
    let limit = if random.one_in(2) { LimitWord::Set(limit) } else { LimitWord::Initially(limit) };
    let claim = if random.one_in(2) { Claim::High(claim.0) } else { Claim::Units(claim) };
    let then = if random.one_in(4) { Then::Close } else { Then::Keep };
    let span = number(random);
    Entry { account, span, limit, consumed, refunded, returned, unbacked, credited, claim, then }
}

fn batch(random: &mut Random) -> Vec<u8> {
    let entries = (0..random.below(5)).map(|_| entry(random)).collect();
    let batch = Batch {
        node: NodeId(number(random)),
        epoch: Epoch(number(random)),
        seq: Seq(number(random)),
        now: Time(number(random)),
        horizon: Time(number(random)),
        entries,
    };
    batch.encode()
}

/// A note as its permit writes it: the window, the units, and what covers them; of a bucket's permit its share of time.
fn note(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let cover = random.below(3) as u64;
    let mut words = vec![number(random), number(random), cover];
    if cover == 2 {
        words.extend([number(random), number(random), number(random), random.below(2) as u64]);
    }
    for word in words {
        write_u64(&mut bytes, word);
    }
    bytes
}

fn event(random: &mut Random) -> Vec<u8> {
    let name = |random: &mut Random| -> String {
        (0..random.below(4)).map(|_| *random.pick(&["requests", "é", "/", "\u{1F600}"])).collect()
    };
    let kind = if random.one_in(2) { EventKind::Refunded } else { EventKind::Consumed };
    let (budget, key) = (name(random), name(random));
    let event = Event {
        at: Time(number(random)),
        budget,
        key,
        kind,
        units: Units(number(random)),
        permit: number(random),
    };
    event.encode()
}

fn encoded<M: Monoid>(value: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

impl Trials<'_> {
    /// What a ledger, a store of aggregates and a log read.
    pub(super) fn quota(&mut self) -> Result<(), String> {
        let decoder =
            Decoder { name: "quota/batch", factor: USUAL, decode: Batch::decode, encode: Batch::encode };
        let valid = [batch(self.random), batch(self.random)];
        self.of(&decoder, [&valid[0], &valid[1]], |_| Ok(()))?;

        let decoder =
            Decoder { name: "quota/event", factor: USUAL, decode: Event::decode, encode: Event::encode };
        let valid = [event(self.random), event(self.random)];
        self.of(&decoder, [&valid[0], &valid[1]], |_| Ok(()))?;

        let decode = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let note = Note::decode(&mut reader)?;
            reader.finish().map(|()| note)
        };
        let encode = |note: &Note| {
            let mut bytes = Vec::new();
            note.encode_into(&mut bytes);
            bytes
        };
        let valid = [note(self.random), note(self.random)];
        let decoder = Decoder { name: "quota/note", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |_| Ok(()))?;

        let sum = |random: &mut Random| Sum(i128::from(random.number()) << random.below(64));
        self.aggregate("quota/sum", sum)?;
        self.aggregate("quota/max", |random| Max((!random.one_in(4)).then(|| key(random))))?;
        self.aggregate("quota/union_of_numbers", |random| {
            Union((0..random.below(5)).map(|_| number(random)).collect())
        })?;
        self.aggregate("quota/union_of_keys", |random| {
            Union((0..random.below(5)).map(|_| key(random)).collect())
        })
    }

    fn aggregate<M: Monoid>(
        &mut self,
        name: &'static str,
        draw: impl Fn(&mut Random) -> M,
    ) -> Result<(), String> {
        let values = [draw(self.random), draw(self.random)];
        let valid = [encoded(&values[0]), encoded(&values[1])];
        let decoder = Decoder { name, factor: USUAL, decode: M::decode, encode: encoded };
        self.of(&decoder, [&valid[0], &valid[1]], |read: &M| {
            let (mut left, mut right) = (read.clone(), values[0].clone());
            left.combine(&values[0]);
            right.combine(read);
            if encoded(&left) == encoded(&right) { Ok(()) } else { Err("combines two ways".to_owned()) }
        })
    }
}
