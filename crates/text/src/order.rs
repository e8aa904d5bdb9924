//! Which units have their place: those whose neighbours have theirs, and all earlier ones of their writer.
//!
//! Invariant: the library sees only these, in an order in which each finds what it was put beside, so that it keeps nothing
//! for later; what comes too early waits in the [`Update`], and a circle waits for ever, as does what was put between the
//! halves of a character, by which the library would cut it. O(n) for the text, O(b log b) for b blocks.

use std::collections::{BTreeMap, BTreeSet};

use crate::update::{Blocks, Content, Id, Update};

/// The first halves of the characters that have two.
fn first_halves(all: &Update) -> BTreeSet<Id> {
    let mut halves = BTreeSet::new();
    for (client, blocks) in &all.blocks {
        for (at, block) in blocks {
            let Content::Text(text) = &block.content else { continue };
            let mut clock = *at;
            for c in text.chars() {
                if c.len_utf16() == 2 {
                    halves.insert(Id { client: *client, clock });
                }
                clock += c.len_utf16() as u32;
            }
        }
    }
    halves
}

/// The part of the update that has its place, and how many units of each writer that is.
pub(crate) fn placed(all: &Update) -> (Update, BTreeMap<u64, u32>) {
    let halves = first_halves(all);
    let cuts_before = |id: Id| id.clock > 0 && halves.contains(&Id { clock: id.clock - 1, ..id });
    let mut reached: BTreeMap<u64, u32> = all.blocks.keys().map(|client| (*client, 0)).collect();
    // By the writer that is waited for: the unit, and who waits.
    let mut waiting: BTreeMap<u64, BTreeSet<(u32, u64)>> = BTreeMap::new();
    let mut ready: Vec<u64> = all.blocks.keys().copied().collect();
    while let Some(client) = ready.pop() {
        let Some(blocks) = all.blocks.get(&client) else { continue };
        let mut at = reached.get(&client).copied().unwrap_or(0);
        while let Some(block) = blocks.get(&at) {
            if block.left.is_some_and(|id| halves.contains(&id)) || block.right.is_some_and(cuts_before) {
                break;
            }
            let missing = block.left.iter().chain(&block.right).find(|id| {
                let there =
                    if id.client == client { at } else { reached.get(&id.client).copied().unwrap_or(0) };
                id.clock >= there
            });
            if let Some(id) = missing {
                waiting.entry(id.client).or_default().insert((id.clock, client));
                break;
            }
            at += block.length;
        }
        reached.insert(client, at);
        if let Some(those) = waiting.get_mut(&client) {
            let later = those.split_off(&(at, 0));
            ready.extend(std::mem::replace(those, later).into_iter().map(|(_, who)| who));
        }
    }
    let mut part = Update::default();
    for (client, blocks) in &all.blocks {
        let end = reached[client];
        let own: Blocks = blocks.range(..end).map(|(at, block)| (*at, block.clone())).collect();
        if own.is_empty() {
            continue;
        }
        let removed: BTreeMap<u32, u32> = all.deleted.get(client).map_or_else(BTreeMap::new, |ranges| {
            ranges.range(..end).map(|(start, stop)| (*start, (*stop).min(end))).collect()
        });
        if !removed.is_empty() {
            part.deleted.insert(*client, removed);
        }
        part.blocks.insert(*client, own);
    }
    reached.retain(|_, end| *end > 0);
    (part, reached)
}
