//! The bytes of an [`Update`]: those of Yjs, "update v1", of which a text needs a small part.
//!
//! Invariant: what is read is sound by itself, whatever comes: numbers stay in their bounds, nothing is put beside itself,
//! there is one root, values do not nest. Nothing else ever reaches the library. One update is written in one way: writers
//! from the greatest id down, units in order, gaps as such.

use std::collections::BTreeMap;

use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};
use deltaic_types::limits;

use crate::update::{Block, Content, Id, Update, units};
use crate::{Client, TextError};

/// The root's name.
pub(crate) const ROOT: &str = "text";
/// The bytes of a format's name.
pub(crate) const FORMAT_NAME_BYTES: usize = 255;
/// More units than a writer can have; half of what the library counts with, so that no sum leaves its 32 bits.
pub(crate) const UNITS: u32 = 1 << 31;

const DELETED: u8 = 1;
const TEXT: u8 = 4;
const MARK: u8 = 6;
const GAP: u8 = 10;
const KIND: u8 = 0x1f;
const HAS_KEY: u8 = 0x20;
const HAS_RIGHT: u8 = 0x40;
const HAS_LEFT: u8 = 0x80;

impl Update {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_u64(&mut bytes, self.blocks.len() as u64);
        for (client, blocks) in self.blocks.iter().rev() {
            let mut at = blocks.first_key_value().map_or(0, |(at, _)| *at);
            let gaps = blocks.iter().scan(at, |end, (at, block)| {
                let gap = *at > *end;
                *end = at + block.length;
                Some(usize::from(gap))
            });
            write_u64(&mut bytes, (blocks.len() + gaps.sum::<usize>()) as u64);
            write_u64(&mut bytes, *client);
            write_u64(&mut bytes, u64::from(at));
            for (start, block) in blocks {
                if *start > at {
                    bytes.push(GAP);
                    write_u64(&mut bytes, u64::from(start - at));
                }
                write_block(&mut bytes, block);
                at = start + block.length;
            }
        }
        write_u64(&mut bytes, self.deleted.len() as u64);
        for (client, ranges) in self.deleted.iter().rev() {
            write_u64(&mut bytes, *client);
            write_u64(&mut bytes, ranges.len() as u64);
            for (start, end) in ranges {
                write_u64(&mut bytes, u64::from(*start));
                write_u64(&mut bytes, u64::from(end - start));
            }
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TextError> {
        Self::decode_within(limits::VALUE_BYTES, bytes)
    }

    /// The update of no more bytes than the limit.
    pub(crate) fn decode_within(limit: usize, bytes: &[u8]) -> Result<Self, TextError> {
        if bytes.len() > limit {
            return Err(TextError::TooLarge { bytes: bytes.len(), limit });
        }
        let mut reader = Reader::new(bytes);
        let mut update = Self::default();
        let mut read: BTreeMap<u64, Vec<(u32, Block)>> = BTreeMap::new();
        for _ in 0..reader.length(limits::ACTORS)? {
            let count = reader.length(usize::MAX)?;
            let client = read_client(&mut reader)?;
            let mut at = read_clock(&mut reader)?;
            let mut blocks = Vec::new();
            for _ in 0..count {
                let (length, block) = read_block(&mut reader, client, at)?;
                let next = at.checked_add(length).filter(|end| *end < UNITS);
                let next = next.ok_or(DecodeError::Invalid("number of units"))?;
                blocks.extend(block.map(|block| (at, block)));
                at = next;
            }
            if read.insert(client, blocks).is_some() {
                return Err(DecodeError::Invalid("writer: it is there twice").into());
            }
        }
        for _ in 0..reader.length(limits::ACTORS)? {
            let client = read_client(&mut reader)?;
            for _ in 0..reader.length(usize::MAX)? {
                let start = read_clock(&mut reader)?;
                let end = start.checked_add(read_clock(&mut reader)?).filter(|end| *end < UNITS);
                update.delete(client, start..end.ok_or(DecodeError::Invalid("number of units"))?);
            }
        }
        reader.finish()?;
        for (client, blocks) in &read {
            for (at, block) in blocks {
                update.add(*client, *at, block);
            }
        }
        Ok(update)
    }

    /// What [`Update::encode`] wrote, and no other bytes.
    pub(crate) fn decode_canonical(limit: usize, bytes: &[u8]) -> Result<Self, TextError> {
        let update = Self::decode_within(limit, bytes)?;
        if update.encode() == bytes {
            Ok(update)
        } else {
            Err(DecodeError::Invalid("update: another form of it is the one to write").into())
        }
    }
}

fn write_id(bytes: &mut Vec<u8>, id: Id) {
    write_u64(bytes, id.client);
    write_u64(bytes, u64::from(id.clock));
}

fn write_block(bytes: &mut Vec<u8>, block: &Block) {
    let kind = match block.content {
        Content::Deleted => DELETED,
        Content::Text(_) => TEXT,
        Content::Mark { .. } => MARK,
    };
    let left = if block.left.is_some() { HAS_LEFT } else { 0 };
    let right = if block.right.is_some() { HAS_RIGHT } else { 0 };
    bytes.push(kind | left | right);
    block.left.iter().chain(&block.right).for_each(|id| write_id(bytes, *id));
    if block.left.is_none() && block.right.is_none() {
        bytes.push(1);
        write_bytes(bytes, ROOT.as_bytes());
    }
    match &block.content {
        Content::Deleted => write_u64(bytes, u64::from(block.length)),
        Content::Text(text) => write_bytes(bytes, text.as_bytes()),
        Content::Mark { name, value } => {
            write_bytes(bytes, name.as_bytes());
            write_bytes(bytes, value.as_bytes());
        }
    }
}

fn read_client(reader: &mut Reader<'_>) -> Result<u64, TextError> {
    let client = reader.u64()?;
    if client == 0 || client >= Client::END {
        return Err(DecodeError::Invalid("writer").into());
    }
    Ok(client)
}

fn read_clock(reader: &mut Reader<'_>) -> Result<u32, TextError> {
    let clock = u32::try_from(reader.u64()?).ok().filter(|clock| *clock < UNITS);
    Ok(clock.ok_or(DecodeError::Invalid("number of a unit"))?)
}

/// A neighbour of the unit `at` of the client. A unit is put beside earlier ones.
fn read_neighbour(reader: &mut Reader<'_>, client: u64, at: u32) -> Result<Id, TextError> {
    let id = Id { client: read_client(reader)?, clock: read_clock(reader)? };
    if id.client == client && id.clock >= at {
        return Err(DecodeError::Invalid("neighbour: a later unit").into());
    }
    Ok(id)
}

/// A block, or the length of a gap.
fn read_block(reader: &mut Reader<'_>, client: u64, at: u32) -> Result<(u32, Option<Block>), TextError> {
    let [first] = reader.take()?;
    if first == GAP {
        return Ok((read_length(reader)?, None));
    }
    if first & KIND == 0 {
        return Err(TextError::Unsupported { what: "a collected unit" });
    }
    if first & HAS_KEY != 0 {
        return Err(TextError::Unsupported { what: "a key of a map" });
    }
    let mut neighbour = |there: bool| there.then(|| read_neighbour(reader, client, at)).transpose();
    let left = neighbour(first & HAS_LEFT != 0)?;
    let right = neighbour(first & HAS_RIGHT != 0)?;
    if left.is_none() && right.is_none() {
        if reader.take()? != [1] || reader.str(limits::NAME_BYTES)? != ROOT {
            return Err(TextError::Unsupported { what: "another root" });
        }
    }
    let (length, content) = match first & KIND {
        DELETED => (read_length(reader)?, Content::Deleted),
        TEXT => {
            let text = reader.str(limits::VALUE_BYTES)?;
            if text.is_empty() {
                return Err(DecodeError::Invalid("text: it is empty").into());
            }
            (units(text), Content::Text(text.to_owned()))
        }
        MARK => {
            let name = reader.str(FORMAT_NAME_BYTES)?.to_owned();
            let value = reader.str(limits::VALUE_BYTES)?.to_owned();
            check_value(&value)?;
            (1, Content::Mark { name, value })
        }
        _ => return Err(TextError::Unsupported { what: "a value that is no text" }),
    };
    Ok((length, Some(Block { length, left, right, content })))
}

fn read_length(reader: &mut Reader<'_>) -> Result<u32, TextError> {
    match read_clock(reader)? {
        0 => Err(DecodeError::Invalid("length: it is 0").into()),
        length => Ok(length),
    }
}

/// Values of formats are null, booleans and texts: what cannot nest, and is read as it was written.
fn check_value(value: &str) -> Result<(), TextError> {
    let plain = matches!(value, "null" | "true" | "false");
    if plain || (value.starts_with('"') && serde_json::from_str::<String>(value).is_ok()) {
        Ok(())
    } else {
        Err(TextError::Unsupported { what: "a format whose value is neither null nor a boolean nor text" })
    }
}

/// How many units of each writer are held: the bytes of a Yjs "state vector".
pub(crate) fn encode_version(held: &BTreeMap<u64, u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_u64(&mut bytes, held.len() as u64);
    for (client, clock) in held.iter().rev() {
        write_u64(&mut bytes, *client);
        write_u64(&mut bytes, u64::from(*clock));
    }
    bytes
}

pub(crate) fn decode_version(bytes: &[u8]) -> Result<BTreeMap<u64, u32>, TextError> {
    let mut reader = Reader::new(bytes);
    let mut held = BTreeMap::new();
    for _ in 0..reader.length(limits::ACTORS)? {
        let client = read_client(&mut reader)?;
        if held.insert(client, read_clock(&mut reader)?).is_some() {
            return Err(DecodeError::Invalid("writer: it is there twice").into());
        }
    }
    reader.finish()?;
    Ok(held)
}
