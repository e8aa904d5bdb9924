//! Updates that no editor makes: sound by themselves, with any neighbours, in any parts and order.
//!
//! Invariant: whatever is sound is taken in, and what comes out is what sets of single units, kept here one by one, say:
//! which characters are there is theirs to tell, the order is only asked to be the same for everybody.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::ActorId;
use deltaic_crdt::laws::Choices;
use deltaic_text::{Client, TextCrdt, YrsText};
use deltaic_types::codec::{write_bytes, write_u64};

type Unit = (u64, u32);

/// One block as its writer made it.
#[derive(Debug, Clone)]
struct Made {
    at: Unit,
    left: Option<Unit>,
    right: Option<Unit>,
    /// The text, or a mark.
    text: Option<String>,
}

impl Made {
    fn length(&self) -> u32 {
        self.text.as_ref().map_or(1, |text| text.encode_utf16().count() as u32)
    }
}

/// A part of a block as it is sent.
struct Sent {
    at: Unit,
    left: Option<Unit>,
    right: Option<Unit>,
    text: Option<String>,
    removed: bool,
    length: u32,
}

fn write_unit(bytes: &mut Vec<u8>, (client, clock): Unit) {
    write_u64(bytes, client);
    write_u64(bytes, u64::from(clock));
}

fn written(sent: &[Sent], removed: &[(Unit, u32)]) -> Vec<u8> {
    let mut clients: BTreeMap<u64, Vec<&Sent>> = BTreeMap::new();
    for part in sent {
        clients.entry(part.at.0).or_default().push(part);
    }
    let mut bytes = Vec::new();
    write_u64(&mut bytes, clients.len() as u64);
    for (client, parts) in clients {
        let mut body = Vec::new();
        let (mut count, mut at) = (0, parts[0].at.1);
        for part in &parts {
            if part.at.1 > at {
                body.push(10);
                write_u64(&mut body, u64::from(part.at.1 - at));
                count += 1;
            }
            let kind = match &part.text {
                _ if part.removed => 1,
                Some(_) => 4,
                None => 6,
            };
            body.push(kind | u8::from(part.left.is_some()) << 7 | u8::from(part.right.is_some()) << 6);
            part.left.iter().chain(&part.right).for_each(|unit| write_unit(&mut body, *unit));
            if part.left.is_none() && part.right.is_none() {
                body.extend([1, 4, b't', b'e', b'x', b't']);
            }
            match &part.text {
                _ if part.removed => write_u64(&mut body, u64::from(part.length)),
                Some(text) => write_bytes(&mut body, text.as_bytes()),
                None => body.extend([1, b'b', 4, b't', b'r', b'u', b'e']),
            }
            count += 1;
            at = part.at.1 + part.length;
        }
        write_u64(&mut bytes, count);
        write_unit(&mut bytes, (client, parts[0].at.1));
        bytes.extend(body);
    }
    write_u64(&mut bytes, removed.len() as u64);
    for ((client, start), length) in removed {
        write_u64(&mut bytes, *client);
        write_u64(&mut bytes, 1);
        write_u64(&mut bytes, u64::from(*start));
        write_u64(&mut bytes, u64::from(*length));
    }
    bytes
}

/// What writers made, with any neighbours.
fn made(choices: &mut Choices) -> Vec<Made> {
    let mut next = [0_u32; 4];
    let mut all = Vec::new();
    for number in 0..3 + choices.below(12) {
        let client = 1 + choices.below(3);
        let at = (client, next[client as usize]);
        let neighbour = |choices: &mut Choices| {
            let other = 1 + choices.below(3);
            let made = u64::from(next[other as usize]);
            let clock =
                if made > 0 && choices.percent(90) { choices.below(made) } else { choices.below(12) } as u32;
            (choices.percent(60) && (other != client || clock < at.1)).then_some((other, clock))
        };
        let (left, right) = (neighbour(choices), neighbour(choices));
        let letter = char::from(b'a' + number as u8);
        let texts = [letter.to_string(), format!("{letter}\u{1f980}"), format!("\u{20000}{letter}\u{301}")];
        let text = (!choices.percent(15)).then(|| texts[choices.place(3)].clone());
        let block = Made { at, left, right, text };
        next[client as usize] += block.length();
        all.push(block);
    }
    all
}

/// The units as sets: which are known, beside what, of which character; and which are removed.
#[derive(Default)]
struct Units {
    beside: BTreeMap<Unit, (Option<Unit>, Option<Unit>)>,
    characters: BTreeMap<Unit, (Unit, char)>,
    removed: BTreeSet<Unit>,
}

impl Units {
    fn take(&mut self, sent: &[Sent], removed: &[(Unit, u32)]) {
        for part in sent {
            let (client, clock) = part.at;
            for unit in clock..clock + part.length {
                let left = if unit == clock { part.left } else { Some((client, unit - 1)) };
                self.beside.insert((client, unit), (left, part.right));
                if part.removed {
                    self.removed.insert((client, unit));
                }
            }
            let mut unit = clock;
            for c in part.text.iter().filter(|_| !part.removed).flat_map(|text| text.chars()) {
                for half in unit..unit + c.len_utf16() as u32 {
                    self.characters.insert((client, half), ((client, unit), c));
                }
                unit += c.len_utf16() as u32;
            }
        }
        for ((client, start), length) in removed {
            self.removed.extend((*start..start + length).map(|unit| (*client, unit)));
        }
    }

    /// The characters that are to be read, sorted.
    fn characters(&self) -> Vec<char> {
        let gone: BTreeSet<Unit> = self
            .removed
            .iter()
            .filter_map(|unit| self.characters.get(unit).map(|(first, _)| *first))
            .collect();
        // What would come between the halves of a character that is there has no place.
        let half = |unit: Unit, second: bool| {
            let of =
                self.characters.get(&unit).filter(|(first, c)| c.len_utf16() == 2 && !gone.contains(first));
            of.is_some_and(|(first, _)| (unit != *first) == second)
        };
        let cuts = |unit: Unit, left: Option<Unit>, right: Option<Unit>| {
            let inside = self.characters.get(&unit).is_some_and(|(first, _)| *first != unit);
            !inside
                && (left.is_some_and(|left| half(left, false))
                    || right.is_some_and(|right| half(right, true)))
        };
        let mut placed: BTreeSet<Unit> = BTreeSet::new();
        loop {
            let there = |unit: &Option<Unit>| unit.is_none_or(|unit| placed.contains(&unit));
            let more: Vec<Unit> = self
                .beside
                .iter()
                .filter(|(unit, (left, right))| {
                    let before = unit.1.checked_sub(1).map(|clock| (unit.0, clock));
                    !placed.contains(unit)
                        && !cuts(**unit, *left, *right)
                        && there(left)
                        && there(right)
                        && there(&before)
                })
                .map(|(unit, _)| *unit)
                .collect();
            if more.is_empty() {
                break;
            }
            placed.extend(more);
        }
        let mut characters: Vec<char> = self
            .characters
            .iter()
            .filter(|(unit, (first, _))| *unit == first && placed.contains(unit) && !gone.contains(unit))
            .map(|(_, (_, c))| *c)
            .collect();
        characters.sort_unstable();
        characters
    }
}

fn parts(all: &[Made], choices: &mut Choices) -> Vec<Sent> {
    let mut sent = Vec::new();
    for block in all.iter().filter(|_| choices.percent(75)).collect::<Vec<_>>() {
        let removed = choices.percent(20);
        let chars: Vec<char> = block.text.iter().flat_map(|text| text.chars()).collect();
        let cut = if block.text.is_some() { choices.place(chars.len()) } else { 0 };
        let units: u32 = chars[..cut].iter().map(|c| c.len_utf16() as u32).sum();
        // A removed part may begin inside a character.
        let skip = units
            + u32::from(removed && cut < chars.len() && chars[cut].len_utf16() == 2 && choices.percent(50));
        let at = (block.at.0, block.at.1 + skip);
        sent.push(Sent {
            at,
            left: if skip == 0 { block.left } else { Some((at.0, at.1 - 1)) },
            right: block.right,
            text: block.text.as_ref().map(|_| chars[cut..].iter().collect()),
            removed,
            length: block.length() - skip,
        });
    }
    sent
}

#[test]
fn sound_updates_give_what_their_units_say() {
    let seeds = std::env::var("DELTAIC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    let (mut characters, mut waiting) = (0, 0);
    // In the history of 7500 a document that was edited reads otherwise than one made anew.
    for seed in (0..seeds).chain([7_500]) {
        let mut choices = Choices::new(seed);
        let all = made(&mut choices);
        let mut units = Units::default();
        let mut updates = Vec::new();
        for _ in 0..2 + choices.below(4) {
            let sent = parts(&all, &mut choices);
            let mut removed = Vec::new();
            for client in 1..=3 {
                if choices.percent(30) {
                    removed.push(((client, choices.below(10) as u32), 1 + choices.below(3) as u32));
                }
            }
            units.take(&sent, &removed);
            updates.push(written(&sent, &removed));
        }
        let mut whole = YrsText::default();
        for update in &updates {
            whole.apply(update).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        for _ in 0..3 {
            // In another order, one through another text, each perhaps twice.
            let mut turned = YrsText::default();
            let mut carrier = YrsText::default();
            for _ in 0..2 * updates.len() {
                let update = &updates[choices.place(updates.len())];
                let to = if choices.percent(50) { &mut turned } else { &mut carrier };
                to.apply(update).unwrap();
            }
            turned.apply(&carrier.diff(&turned.version()).unwrap()).unwrap();
            for update in &updates {
                turned.apply(update).unwrap();
            }
            assert_eq!(turned.encode(), whole.encode(), "seed {seed}");
            assert_eq!(turned.read(), whole.read(), "seed {seed}");
        }
        let read = whole.read().unwrap();
        let mut sorted: Vec<char> = read.chars().collect();
        sorted.sort_unstable();
        assert_eq!(sorted, units.characters(), "seed {seed}: {read}");
        let mut again = YrsText::decode(&whole.encode()).unwrap();
        assert_eq!((again.encode(), again.read()), (whole.encode(), whole.read()), "seed {seed}");
        // It can be written to.
        again.begin(Client::new(ActorId(9)).unwrap(), 0).unwrap();
        let before: Vec<char> = read.chars().collect();
        let place = choices.place(before.len() + 1);
        again.insert(place, "NEW").unwrap();
        let after = again.clone().read().unwrap();
        assert_eq!(again.read().unwrap(), after, "seed {seed}");
        assert!(
            after.contains('N') && after.chars().count() == before.len() + 3,
            "seed {seed}: {read}, {after}"
        );
        characters += read.len();
        waiting += whole.waiting();
    }
    println!("{seeds} seeds, {characters} characters read, {waiting} units wait");
    assert!(characters > 1_000 && waiting > 1_000);
}
