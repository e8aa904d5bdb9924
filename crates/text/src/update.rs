//! [`Update`]: what a text holds, as a set of units and a set of removals.
//!
//! Invariant: joining is the union of both sets, so that it is a least upper bound without any library; a unit whose
//! removal is held has no content; units that follow each other are one block exactly where their neighbours say so,
//! so that one set has one form. The units are those of Yjs: half of a character outside the BMP is one, and both halves go
//! together.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::TextError;

/// The name of a unit: the writer and the number of the unit there, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) client: u64,
    pub(crate) clock: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Deleted,
    Text(String),
    /// A mark that is no character: from here on the format has this value, in JSON.
    Mark {
        name: String,
        value: String,
    },
}

/// Units of one writer that were put one after the other at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) length: u32,
    /// The unit that the first was put behind; each other was put behind the one before.
    pub(crate) left: Option<Id>,
    /// The unit that all were put before.
    pub(crate) right: Option<Id>,
    pub(crate) content: Content,
}

/// How many units a text has.
pub(crate) fn units(text: &str) -> u32 {
    text.chars().map(|c| c.len_utf16() as u32).sum()
}

/// The byte at which unit `at` begins; none inside a character.
fn byte_of(text: &str, at: u32) -> Option<usize> {
    let mut unit = 0;
    for (byte, c) in text.char_indices() {
        if unit >= at {
            return (unit == at).then_some(byte);
        }
        unit += c.len_utf16() as u32;
    }
    (unit == at).then_some(text.len())
}

impl Block {
    /// The units of `range`, where the first of the block has number `clock`; none where that cuts a character.
    pub(crate) fn part(&self, client: u64, clock: u32, range: Range<u32>) -> Option<Self> {
        let length = range.end - range.start;
        let left = match range.start {
            0 => self.left,
            from => Some(Id { client, clock: clock + from - 1 }),
        };
        let content = match &self.content {
            Content::Text(text) if length < self.length => {
                let bytes = byte_of(text, range.start)?..byte_of(text, range.end)?;
                Content::Text(text[bytes].to_owned())
            }
            content => content.clone(),
        };
        Some(Self { length, left, right: self.right, content })
    }

    /// The range, made wider to whole characters.
    fn whole_characters(&self, range: Range<u32>) -> Range<u32> {
        let Content::Text(text) = &self.content else { return range };
        let start = if byte_of(text, range.start).is_some() { range.start } else { range.start - 1 };
        let end = if byte_of(text, range.end).is_some() { range.end } else { range.end + 1 };
        start..end
    }

    /// About what it takes as bytes, and not less.
    fn size(&self) -> usize {
        24 + match &self.content {
            Content::Deleted => 5,
            Content::Text(text) => 5 + text.len(),
            Content::Mark { name, value } => 10 + name.len() + value.len(),
        }
    }
}

pub(crate) type Blocks = BTreeMap<u32, Block>;

/// Units and removals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Update {
    /// By writer, then by the first unit's number. Blocks do not overlap.
    pub(crate) blocks: BTreeMap<u64, Blocks>,
    /// By writer: start and end of ranges that neither overlap nor touch.
    pub(crate) deleted: BTreeMap<u64, BTreeMap<u32, u32>>,
}

/// The blocks that have units in the range.
pub(crate) fn overlapping(blocks: &Blocks, range: Range<u32>) -> impl Iterator<Item = (u32, &Block)> {
    let before =
        blocks.range(..range.start).next_back().filter(move |(at, block)| *at + block.length > range.start);
    before.into_iter().chain(blocks.range(range)).map(|(at, block)| (*at, block))
}

impl Update {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.deleted.is_empty()
    }

    /// About what it takes as bytes, and not less.
    pub(crate) fn size(&self) -> usize {
        let blocks: usize = self.blocks.values().flat_map(BTreeMap::values).map(Block::size).sum();
        let gaps: usize = self.deleted.values().map(|ranges| 16 + 10 * ranges.len()).sum();
        16 + 24 * self.blocks.len() + blocks + gaps
    }

    /// The number after the last unit of the writer that is held.
    pub(crate) fn end(&self, client: u64) -> u32 {
        let last = self.blocks.get(&client).and_then(BTreeMap::last_key_value);
        last.map_or(0, |(at, block)| at + block.length)
    }

    /// How many of the writer's first units are held without a gap.
    pub(crate) fn contiguous(&self, client: u64) -> u32 {
        let mut end = 0;
        for (at, block) in self.blocks.get(&client).into_iter().flatten() {
            if *at != end {
                break;
            }
            end = at + block.length;
        }
        end
    }

    /// An error where a unit is here another than there.
    pub(crate) fn check(&self, other: &Self) -> Result<(), TextError> {
        for (client, blocks) in &other.blocks {
            let Some(own) = self.blocks.get(client) else { continue };
            for (at, block) in blocks {
                for (own_at, own) in overlapping(own, *at..at + block.length) {
                    let start = own_at.max(*at);
                    let end = (own_at + own.length).min(at + block.length);
                    if !agree(*client, (own_at, own), (*at, block), start..end) {
                        return Err(TextError::Conflict { client: *client, clock: start });
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in what the other holds, which [`Update::check`] has found to agree.
    pub(crate) fn join(&mut self, other: &Self) {
        // Removals first: a unit that is removed is then never held with its content.
        for (client, ranges) in &other.deleted {
            for (start, end) in ranges {
                self.delete(*client, *start..*end);
            }
        }
        for (client, blocks) in &other.blocks {
            for (at, block) in blocks {
                self.add(*client, *at, block);
            }
        }
    }

    /// Holds the units that are not held yet.
    pub(crate) fn add(&mut self, client: u64, clock: u32, block: &Block) {
        let end = clock + block.length;
        if block.content == Content::Deleted {
            self.delete(client, clock..end);
        }
        let mut at = clock;
        while at < end {
            let own = self.blocks.entry(client).or_default();
            let covered = overlapping(own, at..at + 1).next().map(|(own_at, own)| own_at + own.length);
            if let Some(covered) = covered {
                at = covered;
                continue;
            }
            let next = own.range(at..end).next().map_or(end, |(next, _)| *next);
            let inside = block.whole_characters(at - clock..next - clock);
            let (first, last) = (clock + inside.start, clock + inside.end);
            // What is held cuts a character only where it holds the removal of one half: the other goes too.
            let (next, part) = if first < at || (last > next && next == at + 1) {
                self.delete(client, if first < at { at - 1..at + 1 } else { at..at + 2 });
                let bare = Block { content: Content::Deleted, ..block.clone() };
                (at + 1, bare.part(client, clock, at - clock..at + 1 - clock))
            } else {
                let next = if last > next { next - 1 } else { next };
                (next, block.part(client, clock, at - clock..next - clock))
            };
            let part = part.expect("invariant: whole characters");
            self.blocks.entry(client).or_default().insert(at, part);
            self.forget(client, at..next);
            self.squash(client, next);
            self.squash(client, at);
            at = next;
        }
    }

    /// Holds the removal of these units, and of the other halves of characters among them.
    pub(crate) fn delete(&mut self, client: u64, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let mut wide = range.clone();
        for (at, block) in
            self.blocks.get(&client).into_iter().flat_map(|own| overlapping(own, range.clone()))
        {
            let inside = range.start.max(at) - at..range.end.min(at + block.length) - at;
            let inside = block.whole_characters(inside);
            wide = wide.start.min(at + inside.start)..wide.end.max(at + inside.end);
        }
        let ranges = self.deleted.entry(client).or_default();
        let (mut start, mut end) = (wide.start, wide.end);
        while let Some((old_start, old_end)) = ranges.range(..=end).next_back().map(|(s, e)| (*s, *e)) {
            if old_end < start {
                break;
            }
            ranges.remove(&old_start);
            (start, end) = (start.min(old_start), end.max(old_end));
        }
        ranges.insert(start, end);
        self.forget(client, wide);
    }

    /// Drops the content of what is removed among these units.
    fn forget(&mut self, client: u64, range: Range<u32>) {
        let Some(ranges) = self.deleted.get(&client) else { return };
        let first = ranges.range(..range.start).next_back().filter(|(_, end)| **end > range.start);
        let removed: Vec<(u32, u32)> =
            first.into_iter().chain(ranges.range(range.clone())).map(|(start, end)| (*start, *end)).collect();
        for (start, end) in removed {
            let gone = start.max(range.start)..end.min(range.end);
            let Some(own) = self.blocks.get(&client) else { return };
            let hit: Vec<u32> = overlapping(own, gone.clone())
                .filter(|(_, block)| block.content != Content::Deleted)
                .map(|(at, _)| at)
                .collect();
            for at in hit {
                self.empty(client, at, gone.clone());
            }
        }
    }

    /// Drops the content of these units of the block at `at`, and divides it.
    fn empty(&mut self, client: u64, at: u32, gone: Range<u32>) {
        let Some(own) = self.blocks.get_mut(&client) else { return };
        let Some(block) = own.remove(&at) else { return };
        let inside = gone.start.max(at) - at..gone.end.min(at + block.length) - at;
        let inside = block.whole_characters(inside);
        if inside.start > 0 {
            let part = block.part(client, at, 0..inside.start).expect("invariant: whole characters");
            own.insert(at, part);
        }
        if inside.end < block.length {
            let part = block.part(client, at, inside.end..block.length).expect("invariant: whole characters");
            own.insert(at + inside.end, part);
        }
        let bare = Block { content: Content::Deleted, ..block };
        let part = bare.part(client, at, inside.clone()).expect("invariant: no character to cut");
        own.insert(at + inside.start, part);
        self.squash(client, at + inside.end);
        self.squash(client, at + inside.start);
        // The other half of a character goes with the half whose removal came first.
        let wide = at + inside.start..at + inside.end;
        if wide.start < gone.start || wide.end > gone.end {
            self.delete(client, wide);
        }
    }

    /// Makes one block of the one at `at` and the one before, where they are of one piece.
    fn squash(&mut self, client: u64, at: u32) {
        let Some(own) = self.blocks.get_mut(&client) else { return };
        let Some(block) = own.get(&at) else { return };
        let Some((before_at, before)) = own.range(..at).next_back() else { return };
        let follows = before_at + before.length == at
            && block.left == Some(Id { client, clock: at - 1 })
            && block.right == before.right;
        let kind = matches!(
            (&before.content, &block.content),
            (Content::Deleted, Content::Deleted) | (Content::Text(_), Content::Text(_))
        );
        if !(follows && kind) {
            return;
        }
        let before_at = *before_at;
        let Some(block) = own.remove(&at) else { return };
        let Some(before) = own.get_mut(&before_at) else { return };
        before.length += block.length;
        if let (Content::Text(text), Content::Text(more)) = (&mut before.content, &block.content) {
            text.push_str(more);
        }
    }

    /// The same with the units of `author` as those of `client` from `first` on. Nobody holds units of the author's yet.
    pub(crate) fn signed(&self, author: u64, client: u64, first: u32) -> Self {
        let name = |id: Id| if id.client == author { Id { client, clock: first + id.clock } } else { id };
        let mut signed = self.clone();
        for (at, block) in signed.blocks.remove(&author).unwrap_or_default() {
            signed.blocks.entry(client).or_default().insert(first + at, block);
        }
        for block in signed.blocks.values_mut().flat_map(BTreeMap::values_mut) {
            (block.left, block.right) = (block.left.map(name), block.right.map(name));
        }
        for (start, end) in signed.deleted.remove(&author).unwrap_or_default() {
            signed.delete(client, first + start..first + end);
        }
        signed
    }

    /// Without the removals of units that are not among these.
    pub(crate) fn removing_only(&self, those: &Self) -> Self {
        let mut kept = Self { blocks: self.blocks.clone(), deleted: BTreeMap::new() };
        for (client, ranges) in &self.deleted {
            let Some(blocks) = those.blocks.get(client) else { continue };
            for (start, end) in ranges {
                for (at, block) in overlapping(blocks, *start..*end) {
                    kept.delete(*client, *start.max(&at)..*end.min(&(at + block.length)));
                }
            }
        }
        kept
    }

    /// What a holder of the first units of each writer, as many as are said, may lack.
    pub(crate) fn since(&self, held: &BTreeMap<u64, u32>) -> Self {
        let mut part = Self { blocks: BTreeMap::new(), deleted: self.deleted.clone() };
        for (client, blocks) in &self.blocks {
            let from = held.get(client).copied().unwrap_or(0);
            let mut lacking = Blocks::new();
            for (at, block) in overlapping(blocks, from..u32::MAX) {
                let skip = block.whole_characters(from.max(at) - at..block.length).start;
                let rest = block.part(*client, at, skip..block.length).expect("invariant: whole characters");
                lacking.insert(at + skip, rest);
            }
            if !lacking.is_empty() {
                part.blocks.insert(*client, lacking);
            }
        }
        part
    }
}

fn agree(client: u64, one: (u32, &Block), two: (u32, &Block), range: Range<u32>) -> bool {
    let bare = |(at, block): (u32, &Block)| {
        let left = if range.start == at { block.left } else { Some(Id { client, clock: range.start - 1 }) };
        (left, block.right)
    };
    if bare(one) != bare(two) {
        return false;
    }
    if one.1.content == Content::Deleted || two.1.content == Content::Deleted {
        return true;
    }
    let part = |(at, block): (u32, &Block)| block.part(client, at, range.start - at..range.end - at);
    let (one, two) = (part(one), part(two));
    one.is_some() && one == two
}
