//! Replicas of one text over a bad network come to one reading and one row of bytes.
//!
//! Invariant: the oracle knows no order of concurrent insertions, only what any order must keep: each character that was
//! inserted and removed by nobody is there once, nothing else is, and no two characters ever change places.
//! `DELTAIC_SEEDS` says how many worlds.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::ActorId;
use deltaic_crdt::laws::Choices;
use deltaic_text::{Client, Format, TextCrdt, YrsText};

struct Replica {
    text: YrsText,
    client: Client,
    /// What a crash may bring back, older than the text.
    kept: Vec<u8>,
}

struct World {
    choices: Choices,
    replicas: Vec<Replica>,
    /// On the way: to whom, and what.
    messages: Vec<(usize, Vec<u8>)>,
    deltas: Vec<Vec<u8>>,
    actors: u64,
    inserted: BTreeSet<char>,
    removed: BTreeSet<char>,
    /// What anybody ever read.
    readings: Vec<Vec<char>>,
    done: BTreeMap<&'static str, u64>,
}

/// A character that no other call gives: ideographs, ones outside the BMP, and combining ones of both kinds.
fn character(number: u32) -> char {
    let (kind, place) = (number % 5, number / 5);
    let combining = [(0x300, 0x70), (0x1dc0, 0x40), (0xe0100, 0xf0)];
    let mut left = place;
    if kind == 0 {
        for (first, count) in combining {
            if left < count {
                return char::from_u32(first + left).unwrap();
            }
            left -= count;
        }
    }
    let first = if kind < 3 { 0x20000 } else { 0x4e00 };
    char::from_u32(first + number).unwrap()
}

fn client(actor: u64) -> Client {
    Client::new(ActorId(actor)).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let count = 2 + choices.below(4);
        let replicas = (1..=count).map(|actor| {
            let text = YrsText::new(client(actor));
            Replica { kept: text.encode(), text, client: client(actor) }
        });
        Self {
            replicas: replicas.collect(),
            choices,
            messages: Vec::new(),
            deltas: Vec::new(),
            actors: count,
            inserted: BTreeSet::new(),
            removed: BTreeSet::new(),
            readings: Vec::new(),
            done: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn edit(&mut self, who: usize) {
        let before: Vec<char> = self.replicas[who].text.read().unwrap().chars().collect();
        let mut after = before.clone();
        let start = self.choices.place(before.len() + 1);
        let end = start + self.choices.below(5).min((before.len() - start) as u64) as usize;
        let text = &mut self.replicas[who].text;
        let (kind, delta) = match self.choices.below(10) {
            0..5 => {
                let new: String = (0..=self.choices.below(6))
                    .map(|_| {
                        let c = character(self.inserted.len() as u32);
                        self.inserted.insert(c);
                        c
                    })
                    .collect();
                after.splice(start..start, new.chars());
                ("insert", text.insert(start, &new))
            }
            5..8 => {
                self.removed.extend(&before[start..end]);
                after.drain(start..end);
                ("delete", text.delete(start..end))
            }
            _ => {
                let name = ["bold", "färbe"][self.choices.place(2)];
                let values = [Format::None, Format::Flag(true), Format::Text("r\"\u{1f600}".to_owned())];
                ("format", text.format(start..end, name, &values[self.choices.place(3)]))
            }
        };
        let delta = delta.unwrap();
        assert_eq!(text.read().unwrap(), after.iter().collect::<String>(), "{kind} {start}..{end}");
        assert_eq!(text.clone().read(), text.read(), "the document as it is, and made anew");
        self.readings.push(after);
        self.deltas.push(delta.clone());
        for to in (0..self.replicas.len()).filter(|to| *to != who) {
            for _ in 0..self.choices.below(3) {
                self.messages.push((to, delta.clone()));
            }
        }
        self.count(kind);
    }

    fn send(&mut self, from: usize, to: usize) {
        let (kind, bytes) = match self.choices.below(4) {
            0 => ("whole", self.replicas[from].text.encode()),
            1 => ("difference", {
                let version = self.replicas[to].text.version();
                self.replicas[from].text.diff(&version).unwrap()
            }),
            2 => ("difference for another", {
                let other = self.choices.place(self.replicas.len());
                let version = self.replicas[other].text.version();
                self.replicas[from].text.diff(&version).unwrap()
            }),
            _ => ("merged on the way", {
                // Who carries it has seen some deltas, with holes between.
                let mut carrier = YrsText::default();
                for _ in 0..2 + self.choices.below(4) {
                    if let Some(delta) = self.deltas.get(self.choices.place(self.deltas.len())) {
                        carrier.apply(delta).unwrap();
                    }
                }
                carrier.diff(&YrsText::default().version()).unwrap()
            }),
        };
        self.messages.push((to, bytes));
        self.count(kind);
    }

    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let place = self.choices.place(self.messages.len());
        let again = self.choices.percent(20);
        let (to, bytes) = self.messages[place].clone();
        if !again {
            self.messages.swap_remove(place);
        }
        let replica = &mut self.replicas[to];
        let before = replica.text.encode();
        replica.text.apply(&bytes).unwrap();
        let reading = replica.text.read().unwrap();
        self.readings.push(reading.chars().collect());
        if before == replica.text.encode() {
            self.count("nothing new");
        }
        if self.replicas[to].text.waiting() > 0 {
            self.count("early");
        }
    }

    fn crash(&mut self, who: usize) {
        match self.choices.below(3) {
            0 => {
                let replica = &mut self.replicas[who];
                replica.kept = replica.text.encode();
                self.count("kept");
            }
            1 => {
                // Nothing is lost: it goes on under its name.
                let replica = &mut self.replicas[who];
                let written = replica.text.written(replica.client);
                replica.text = YrsText::decode(&replica.text.encode()).unwrap();
                replica.text.begin(replica.client, written).unwrap();
                self.count("crash");
            }
            _ => {
                // An older state comes back, and under a new name; what it had is on the way.
                self.actors += 1;
                let name = client(self.actors);
                let to = (who + 1) % self.replicas.len();
                let replica = &mut self.replicas[who];
                self.messages.push((to, replica.text.encode()));
                replica.text = YrsText::decode(&replica.kept).unwrap();
                replica.text.begin(name, 0).unwrap();
                replica.client = name;
                self.count("restored");
            }
        }
    }

    fn run(mut self) -> BTreeMap<&'static str, u64> {
        for _ in 0..20 + self.choices.below(120) {
            let who = self.choices.place(self.replicas.len());
            let to = self.choices.place(self.replicas.len());
            match self.choices.below(20) {
                0..9 => self.edit(who),
                9..12 => self.send(who, to),
                12..18 => self.deliver(),
                18 => self.crash(who),
                _ => {
                    // Some are lost, but for those that nobody has any more.
                    let place = self.choices.place(self.messages.len());
                    if self.messages.get(place).is_some_and(|(_, bytes)| {
                        self.replicas.iter().any(|replica| {
                            let mut copy = replica.text.clone();
                            copy.begin(client(1 << 40), 0).unwrap();
                            copy.apply(bytes).is_ok() && copy.encode() == replica.text.encode()
                        })
                    }) {
                        self.messages.swap_remove(place);
                        self.count("lost");
                    }
                }
            }
        }
        while !self.messages.is_empty() {
            self.deliver();
        }
        for _ in 0..2 {
            for from in 0..self.replicas.len() {
                for to in 0..self.replicas.len() {
                    let version = self.replicas[to].text.version();
                    let update = if self.choices.percent(50) {
                        self.replicas[from].text.diff(&version).unwrap()
                    } else {
                        self.replicas[from].text.encode()
                    };
                    self.replicas[to].text.apply(&update).unwrap();
                }
            }
        }
        self.check();
        self.done
    }

    fn check(&mut self) {
        let first: Vec<char> = self.replicas[0].text.read().unwrap().chars().collect();
        let bytes = self.replicas[0].text.encode();
        for replica in &mut self.replicas {
            assert_eq!(replica.text.read().unwrap(), first.iter().collect::<String>());
            assert_eq!(replica.text.encode(), bytes, "equal texts, other bytes");
            assert_eq!(replica.text.waiting(), 0);
            assert_eq!(YrsText::decode(&bytes).unwrap().read().unwrap(), replica.text.read().unwrap());
        }
        let there: BTreeSet<char> = first.iter().copied().collect();
        assert_eq!(there.len(), first.len(), "a character is there twice");
        let expected: BTreeSet<char> = self.inserted.difference(&self.removed).copied().collect();
        assert_eq!(there, expected);
        let place: BTreeMap<char, usize> = first.iter().enumerate().map(|(place, c)| (*c, place)).collect();
        for reading in &self.readings {
            let places: Vec<usize> = reading.iter().filter_map(|c| place.get(c).copied()).collect();
            assert!(places.is_sorted(), "characters changed places");
        }
    }
}

#[test]
fn replicas_converge() {
    let seeds = std::env::var("DELTAIC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let world = std::panic::catch_unwind(|| World::new(seed).run());
        let world = world.unwrap_or_else(|_| panic!("seed {seed}"));
        for (what, count) in world {
            *done.entry(what).or_default() += count;
        }
    }
    println!("{seeds} worlds: {done:?}");
    let kinds = [
        "insert",
        "delete",
        "format",
        "whole",
        "difference",
        "difference for another",
        "merged on the way",
        "nothing new",
        "early",
        "kept",
        "crash",
        "restored",
        "lost",
    ];
    for kind in kinds {
        assert!(done.get(kind).is_some_and(|count| *count > 0), "no {kind} in {done:?}");
    }
}
