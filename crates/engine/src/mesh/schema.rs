//! [`Stated`]: what an engine says of its tables to others, and whether rows of two engines may merge.
//!
//! Rows merge by names ([`super::name`]), so that a delta can bring nothing to the wrong column. What is seen of merged rows depends on more: on
//! constraints, policies and groups. Invariant: engines exchange rows only while each knows the other's tables as they are and finds nothing
//! in them that would make it show the same rows otherwise. A table or a column that only one has is no difference.

use std::collections::BTreeMap;
use std::hash::Hasher;

use deltaic_causality::ActorId;
use deltaic_sql::bind_check;
use deltaic_types::{Catalog, ConflictPolicy, Merges, ReferentialAction, TableSchema, limits};
use serde_json::{Value as Json, json};
use siphasher::sip::SipHasher24;
use thiserror::Error;

use super::shape::{initial, is_bounded};

/// The version of what engines say to each other.
const FORMAT: u64 = 1;

/// Why rows of two engines do not merge. Nothing is exchanged until one of them changes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaMismatch {
    /// The other one speaks another version.
    #[error("the peer speaks format {theirs} and this server {FORMAT}: run the same version on both")]
    Format {
        /// Its version.
        theirs: u64,
    },
    /// A table has another key, other constraints or other groups there.
    #[error("table \"{table}\": {what} {ours} here and {theirs} there: define it equally on both")]
    Table {
        /// The table.
        table: String,
        /// What differs.
        what: &'static str,
        /// What it is here.
        ours: String,
        /// What it is there.
        theirs: String,
    },
    /// A column has another type, default or policy there.
    #[error(
        "table \"{table}\", column \"{column}\": {what} {ours} here and {theirs} there: define it equally on both"
    )]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What differs.
        what: &'static str,
        /// What it is here.
        ours: String,
        /// What it is there.
        theirs: String,
    },
    /// A column's conflicts are decided by an expression, which only one server alone can do.
    #[error(
        "table \"{table}\", column \"{column}\": CONFLICT CUSTOM is for one server alone: choose another policy to merge with others"
    )]
    Custom {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// What is said of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    format: u64,
    tables: BTreeMap<String, Table>,
}

/// What is said of a table: everything as text, which is only ever compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    /// By column: what is said of it under each name.
    columns: BTreeMap<String, BTreeMap<String, String>>,
    /// By what it is: its columns, and its text.
    rules: Vec<(String, Vec<String>, String)>,
}

/// What is said of a column, by its place in a statement.
const OF_COLUMN: [&str; 4] = ["type", "constraint", "default", "conflict"];

/// A column that other servers' rows could not have.
const WITHOUT_VALUE: &str = "NOT NULL without a constant default";

/// What is said of a table.
const OF_TABLE: [&str; 6] = ["key", "deletions", "group", "unique", "foreign key", "check"];

impl Stated {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let tables = catalog.tables().map(|schema| (schema.name.clone(), Table::of(schema, catalog)));
        Self { format: FORMAT, tables: tables.collect() }
    }

    /// The statement as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let tables: Vec<Json> = self
            .tables
            .iter()
            .map(|(name, table)| json!({"name": name, "columns": table.columns, "rules": table.rules}))
            .collect();
        json!({"format": self.format, "tables": tables}).to_string().into_bytes()
    }

    /// Reads a statement; none of bytes that are none. Of another format nothing else is read.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > limits::DELTA_BYTES {
            return None;
        }
        let json: Json = serde_json::from_slice(bytes).ok()?;
        let format = json.get("format")?.as_u64()?;
        let mut tables = BTreeMap::new();
        if format == FORMAT {
            for table in json.get("tables")?.as_array()? {
                let columns = serde_json::from_value(table.get("columns")?.clone()).ok()?;
                let rules = serde_json::from_value(table.get("rules")?.clone()).ok()?;
                tables.insert(table.get("name")?.as_str()?.to_owned(), Table { columns, rules });
            }
        }
        Some(Self { format, tables })
    }

    /// The sum by which a statement is named in messages.
    pub(crate) fn sum(bytes: &[u8]) -> u32 {
        let mut hasher = SipHasher24::new();
        hasher.write(bytes);
        hasher.finish() as u32
    }

    /// What keeps rows from merging with those of another engine.
    pub(crate) fn check(&self, theirs: &Self) -> Result<(), SchemaMismatch> {
        if theirs.format != self.format {
            return Err(SchemaMismatch::Format { theirs: theirs.format });
        }
        for (name, ours) in &self.tables {
            ours.check_alone(name)?;
            if let Some(theirs) = theirs.tables.get(name) {
                theirs.check_alone(name)?;
                ours.check(name, theirs)?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn of(schema: &TableSchema, catalog: &Catalog) -> Self {
        let name = |place: &usize| schema.columns[*place].name.clone();
        let names = |places: &[usize]| places.iter().map(name).collect::<Vec<String>>();
        let columns = schema.columns.iter().enumerate().map(|(place, column)| {
            let policy = match &column.conflict {
                ConflictPolicy::LastWriter => String::new(),
                policy => policy.declaration(schema),
            };
            let bound = column.merges == Merges::Counter && is_bounded(schema, place);
            let type_name =
                if bound { format!("{} CHECK (>= 0)", column.type_name()) } else { column.type_name() };
            let is_said = column.not_null && !schema.primary_key.contains(&place);
            let begins = || initial(column, catalog).is_null();
            let constraint = match is_said {
                true if begins() => WITHOUT_VALUE,
                true => "NOT NULL",
                false => "",
            };
            let constraint = constraint.to_owned();
            let said = [type_name, constraint, column.default.clone().unwrap_or_default(), policy];
            let said = OF_COLUMN.iter().map(|what| (*what).to_owned()).zip(said);
            (column.name.clone(), said.collect())
        });
        let deletions = if schema.remove_wins { "win" } else { "" };
        let [key, removal, group, unique, foreign, check] = OF_TABLE.map(str::to_owned);
        let mut rules = vec![
            (key, Vec::new(), names(&schema.primary_key).join(", ")),
            (removal, Vec::new(), deletions.to_owned()),
        ];
        rules.extend(
            schema.groups.iter().map(|places| (group.clone(), names(places), names(places).join(", "))),
        );
        rules.extend(schema.unique_keys().skip(1).map(|(_, places)| {
            let mut columns = names(places);
            columns.sort();
            (unique.clone(), columns.clone(), columns.join(", "))
        }));
        rules.extend(schema.foreign_keys.iter().filter_map(|key| {
            let parent = catalog.get(key.parent)?;
            let of: Vec<&str> =
                key.parent_columns.iter().map(|place| parent.columns[*place].name.as_str()).collect();
            let (from, of) = (names(&key.columns).join(", "), of.join(", "));
            // Which rows a deletion elsewhere hides or keeps is by this.
            let on_delete = match key.on_delete {
                ReferentialAction::Restrict => "",
                ReferentialAction::Cascade => " ON DELETE CASCADE",
                ReferentialAction::SetNull => " ON DELETE SET NULL",
            };
            let text = format!("({from}) to {} ({of}){on_delete}", parent.name);
            Some((foreign.clone(), names(&key.columns), text))
        }));
        rules.extend(schema.checks.iter().map(|of| {
            let columns =
                bind_check(&of.expression, schema).map_or_else(|_| Vec::new(), |expr| expr.columns());
            let columns: Vec<usize> = columns.into_iter().collect();
            (check.clone(), names(&columns), of.expression.clone())
        }));
        rules.sort();
        Self { columns: columns.collect(), rules }
    }

    fn check_alone(&self, table: &str) -> Result<(), SchemaMismatch> {
        let is_custom = |said: &BTreeMap<String, String>| {
            said.get("conflict").is_some_and(|policy| policy.starts_with("CONFLICT CUSTOM"))
        };
        match self.columns.iter().find(|(_, said)| is_custom(said)) {
            Some((column, _)) => {
                Err(SchemaMismatch::Custom { table: table.to_owned(), column: column.clone() })
            }
            None => Ok(()),
        }
    }

    fn check(&self, table: &str, theirs: &Self) -> Result<(), SchemaMismatch> {
        let say = |text: Option<&String>| match text {
            Some(text) if !text.is_empty() => text.clone(),
            _ => "none".to_owned(),
        };
        for (column, ours) in &self.columns {
            let Some(theirs) = theirs.columns.get(column) else { continue };
            if let Some(what) = OF_COLUMN.iter().find(|what| ours.get(**what) != theirs.get(**what)) {
                let (ours, theirs) = (say(ours.get(*what)), say(theirs.get(*what)));
                let (table, column) = (table.to_owned(), column.clone());
                return Err(SchemaMismatch::Column { table, column, what, ours, theirs });
            }
        }
        // A column that only one has is what it begins with in the other's rows.
        let alone = |one: &Self, other: &Self| {
            let mut alone = one.columns.iter().filter(|(column, _)| !other.columns.contains_key(*column));
            let lacks = |said: &BTreeMap<String, String>| {
                said.get("constraint").is_some_and(|said| said == WITHOUT_VALUE)
            };
            alone.find(|(_, said)| lacks(said)).map(|(column, _)| column.clone())
        };
        let (here, there) = (alone(self, theirs), alone(theirs, self));
        if let Some(column) = here.as_ref().or(there.as_ref()).cloned() {
            let say = |has: bool| if has { WITHOUT_VALUE } else { "no such column" }.to_owned();
            let (table, what) = (table.to_owned(), "constraint");
            let (ours, theirs) = (say(here.is_some()), say(there.is_some()));
            return Err(SchemaMismatch::Column { table, column, what, ours, theirs });
        }
        // A rule of columns that only one has says nothing of rows that both show.
        let of = |one: &Self, other: &Self, what: &str| -> Vec<String> {
            let rules = one.rules.iter().filter(|(of, _, _)| of == what);
            let known =
                rules.filter(|(_, columns, _)| columns.iter().all(|name| other.columns.contains_key(name)));
            known.map(|(_, _, text)| text.clone()).collect()
        };
        for what in OF_TABLE {
            let (ours, theirs) = (of(self, theirs, what), of(theirs, self, what));
            if ours != theirs {
                let (ours, theirs) = (say(Some(&ours.join("; "))), say(Some(&theirs.join("; "))));
                return Err(SchemaMismatch::Table { table: table.to_owned(), what, ours, theirs });
            }
        }
        Ok(())
    }
}

/// What is known of the others' tables.
#[derive(Debug)]
pub(crate) struct Schemas {
    stated: Stated,
    bytes: Vec<u8>,
    sum: u32,
    known: BTreeMap<ActorId, Known>,
}

#[derive(Debug)]
struct Known {
    sum: u32,
    stated: Stated,
    mismatch: Option<SchemaMismatch>,
}

/// What came from another engine, taken out of its wrapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<'b> {
    /// A message of anti-entropy.
    Message(&'b [u8]),
    /// To be sent back.
    Answer(Vec<u8>),
    /// Rows of the two do not merge.
    Refused(SchemaMismatch),
    /// Rights to take from a counter are asked for.
    Want(&'b [u8]),
    /// Nothing is to be done.
    Nothing,
}

const MESSAGE: u8 = 0;
const STATEMENT: u8 = 1;
const QUESTION: u8 = 2;
const WANT: u8 = 3;

impl Schemas {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        let stated = Stated::of(catalog);
        let bytes = stated.encode();
        Self { sum: Stated::sum(&bytes), stated, bytes, known: BTreeMap::new() }
    }

    /// Takes other definitions; those of whose tables it is told anew that they do not fit.
    pub(crate) fn define(&mut self, catalog: &Catalog) -> Vec<(ActorId, SchemaMismatch)> {
        let known = std::mem::take(&mut self.known);
        *self = Self { known, ..Self::new(catalog) };
        let mut refused = Vec::new();
        for (peer, known) in &mut self.known {
            let mismatch = self.stated.check(&known.stated).err();
            if known.mismatch != mismatch {
                refused.extend(mismatch.clone().map(|mismatch| (*peer, mismatch)));
                known.mismatch = mismatch;
            }
        }
        refused
    }

    /// What this engine says of its tables.
    pub(crate) fn statement(&self) -> Vec<u8> {
        [&[STATEMENT][..], &self.bytes].concat()
    }

    /// A question for rights; none where rows do not merge.
    pub(crate) fn want(&self, peer: ActorId, want: &[u8]) -> Option<Vec<u8>> {
        self.fits(peer).then(|| [&[WANT][..], want].concat())
    }

    fn fits(&self, peer: ActorId) -> bool {
        self.known.get(&peer).is_none_or(|known| known.mismatch.is_none())
    }

    /// Wraps a message for a peer; none where rows do not merge.
    pub(crate) fn wrap(&self, peer: ActorId, message: &[u8]) -> Option<Vec<u8>> {
        self.fits(peer).then(|| [&[MESSAGE][..], &self.sum.to_be_bytes(), message].concat())
    }

    /// Takes what a peer sent. Foreign bytes come to nothing.
    pub(crate) fn open<'b>(&mut self, peer: ActorId, bytes: &'b [u8]) -> Opened<'b> {
        match bytes.split_first() {
            Some((&MESSAGE, rest)) if rest.len() >= 4 => {
                let (sum, message) = rest.split_at(4);
                match self.known.get(&peer) {
                    Some(known) if known.sum.to_be_bytes() == sum => match known.mismatch {
                        None => Opened::Message(message),
                        Some(_) => Opened::Nothing,
                    },
                    _ => Opened::Answer(vec![QUESTION]),
                }
            }
            Some((&STATEMENT, rest)) => {
                let Some(stated) = Stated::decode(rest) else { return Opened::Nothing };
                let mismatch = self.stated.check(&stated).err();
                let known = Known { sum: Stated::sum(rest), stated, mismatch: mismatch.clone() };
                let before = self.known.insert(peer, known).and_then(|known| known.mismatch);
                mismatch
                    .filter(|mismatch| before.as_ref() != Some(mismatch))
                    .map_or(Opened::Nothing, Opened::Refused)
            }
            Some((&WANT, rest)) if self.fits(peer) => Opened::Want(rest),
            Some((&QUESTION, [])) => Opened::Answer(self.statement()),
            _ => Opened::Nothing,
        }
    }
}
