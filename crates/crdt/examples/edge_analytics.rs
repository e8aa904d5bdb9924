//! Page views that three edge servers count on their own: 1,000, 1,500 and 800 are 3,300 at each of them, over a network that
//! loses, repeats and reorders. Run it with `cargo run -p deltaic-crdt --example edge_analytics`.

use std::collections::BTreeMap;

use deltaic_causality::ActorId;
use deltaic_crdt::anti_entropy::{Effect, Input, Micros, Settings};
use deltaic_crdt::{AntiEntropy, GCounter, Plain, Replica};

const PAGE: &str = "/pricing";

struct Edge {
    counts: Replica<String, Plain<GCounter>>,
    sync: AntiEntropy,
}

/// A message on its way: from whom, to whom, what.
type Letter = (ActorId, ActorId, Vec<u8>);

impl Edge {
    fn new(actor: ActorId) -> Self {
        let counts = Replica::new(actor);
        Self { sync: AntiEntropy::new(actor, 1, &counts, Settings::default()), counts }
    }

    fn views(&self) -> u128 {
        self.counts.get(PAGE).map_or(0, |views| views.value())
    }

    /// Tells what happened, merges what is to be merged, and gives the letters that are to go out.
    fn step(&mut self, now: Micros, input: Input) -> Result<Vec<Letter>, Box<dyn std::error::Error>> {
        let (mut letters, mut inputs) = (Vec::new(), vec![input]);
        while let Some(input) = inputs.pop() {
            for effect in self.sync.step(now, input, &self.counts) {
                match effect {
                    Effect::Send { peer, bytes } => letters.push((self.counts.actor(), peer, bytes)),
                    Effect::Merge { id, to, body, .. } => {
                        // A real one writes to its disk here.
                        self.counts.merge(&body, &to)?;
                        inputs.push(Input::Merged(id));
                    }
                    Effect::Stable(cut) => drop(self.counts.trim(&cut)),
                    other => return Err(format!("{other:?}").into()),
                }
            }
        }
        Ok(letters)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let actors = [ActorId(1), ActorId(2), ActorId(3)];
    let mut edges: BTreeMap<ActorId, Edge> = actors.map(|actor| (actor, Edge::new(actor))).into();
    let mut wire: Vec<Letter> = Vec::new();
    let mut now = Micros(0);

    for (actor, edge) in &mut edges {
        for peer in actors {
            wire.extend(edge.step(now, Input::Join(peer))?);
        }
        let views = [1_000, 1_500, 800][actor.0 as usize - 1];
        edge.counts.write(&PAGE.to_owned(), |counter, dot| counter.increment(dot, views))?;
        wire.extend(edge.step(now, Input::Wrote(1))?);
        println!("edge {actor} counts {views}");
    }

    // The newest letter comes first, every fourth is lost, every fifth comes twice.
    let (mut sent, mut lost, mut twice) = (0, 0, 0);
    while edges.values().any(|edge| edge.views() != 3_300) {
        while let Some((from, to, bytes)) = wire.pop() {
            sent += 1;
            if sent % 4 == 0 {
                lost += 1;
                continue;
            }
            if sent % 5 == 0 {
                twice += 1;
                wire.insert(0, (from, to, bytes.clone()));
            }
            let edge = edges.get_mut(&to).ok_or("nobody else is written to")?;
            wire.extend(edge.step(now, Input::Received(from, bytes))?);
        }
        now.0 += 10_000;
        assert!(now.0 < 60_000_000, "a minute is enough");
        for edge in edges.values_mut() {
            wire.extend(edge.step(now, Input::Tick)?);
        }
    }
    println!("{} ms, {sent} messages, {lost} of them lost, {twice} came twice", now.0 / 1_000);
    for (actor, edge) in &edges {
        println!("edge {actor} reads {}", edge.views());
        assert_eq!(edge.views(), 3_300);
    }
    Ok(())
}
