//! [`TableTag`], slots and [`RowKey`]: what servers call the same.
//!
//! Invariant: two servers have one name for a table, or for a column, exactly where they define it equally as far as its
//! values go. So a delta never brings a value to a column of another kind; a column that a server does not know keeps its values
//! until it does.

use std::hash::Hasher;

use deltaic_crdt::Element;
use deltaic_types::codec::{DecodeError, Reader, write_bytes};
use deltaic_types::{Row, TableSchema, Value, key, limits};
use siphasher::sip::SipHasher24;

/// A table, by its name and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableTag(pub(crate) u64);

fn hash<'t>(texts: impl IntoIterator<Item = &'t str>) -> u64 {
    let mut hasher = SipHasher24::new();
    for text in texts {
        // The length first, so that two lists never run into each other.
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}

impl TableTag {
    pub(crate) fn of(schema: &TableSchema) -> Self {
        let key = schema.primary_key.iter().map(|place| &schema.columns[*place]);
        let key: Vec<String> = key.flat_map(|column| [column.name.clone(), column.type_name()]).collect();
        Self(hash(std::iter::once(schema.name.as_str()).chain(key.iter().map(String::as_str))))
    }
}

/// The number of a column, or of a group of columns, in the rows of its table. Two of one table with one number are refused
/// with their definition.
pub(crate) fn slot(schema: &TableSchema, columns: &[usize], is_bounded: bool) -> u32 {
    let texts: Vec<String> = columns
        .iter()
        .flat_map(|place| {
            let column = &schema.columns[*place];
            [column.name.clone(), column.type_name(), column.default.clone().unwrap_or_default()]
        })
        .collect();
    let bound = is_bounded.then_some("bounded");
    hash(texts.iter().map(String::as_str).chain(bound)) as u32
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowKey {
    pub(crate) table: TableTag,
    key: Box<[u8]>,
}

impl RowKey {
    /// Of the values of the primary key.
    pub(crate) fn new(table: TableTag, key: &[Value]) -> Self {
        Self { table, key: key::encode(key).into() }
    }

    /// The values of the primary key; none of bytes that are no key, which only a foreign peer can send.
    pub(crate) fn values(&self) -> Option<Row> {
        key::decode(&self.key).ok()
    }
}

impl Element for RowKey {
    /// 8 bytes, and the key with its length.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.table.0.to_be_bytes());
        write_bytes(bytes, &self.key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table = TableTag(u64::from_be_bytes(reader.take()?));
        Ok(Self { table, key: reader.bytes(limits::VALUE_BYTES)?.into() })
    }

    fn kind(&self) -> u64 {
        self.table.0
    }
}
