//! [`World`]: random commits that fit each other, and comparisons of stores.

use std::collections::BTreeMap;

use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_storage::{
    CellVersion, Change, Commit, Identity, PROVISIONAL, Reader, Staged, StorageError, Store, StoredRow,
    TableSize,
};
use deltaic_types::{
    Catalog, Column, ConflictPolicy, DataType, DatabaseId, IndexSchema, Interval, Json, Lsn, Merges, Row,
    TableId, TableSchema, Value,
};

pub(crate) const IDENTITY: Identity = Identity { database: DatabaseId(0xdb), actor: ActorId(5) };

/// What random commits are made of: the numbers of a seed, or those that proptest shrinks.
#[derive(Debug, Clone)]
pub(crate) struct World {
    state: u64,
    pub(crate) catalog: Catalog,
    rows: BTreeMap<(TableId, Row), StoredRow>,
    lsn: Lsn,
    seq: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let (catalog, rows) = (Catalog::default(), BTreeMap::new());
        Self { state: seed, catalog, rows, lsn: Lsn(0), seq: 0 }
    }

    /// Goes on by another seed.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.state = seed;
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are good enough here.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// The last commit's place in the log.
    pub(crate) fn header_lsn(&self) -> u64 {
        self.lsn.0
    }

    /// Commits until there is a table with a text that is no key.
    pub(crate) fn commits_with_text(&mut self) -> Vec<Commit> {
        let mut commits = self.commits();
        while !self.catalog.tables().any(|table| text_of(table).is_some()) {
            commits.push(self.commit());
        }
        commits
    }

    /// One to three commits.
    pub(crate) fn commits(&mut self) -> Vec<Commit> {
        (0..=self.below(3)).map(|_| self.commit()).collect()
    }

    pub(crate) fn commit(&mut self) -> Commit {
        let mut changes = Vec::new();
        if self.catalog.tables().next().is_none() || self.chance(6) {
            self.create_table(&mut changes);
        }
        for _ in 0..=self.below(6) {
            match self.below(100) {
                0..3 => self.drop_table(&mut changes),
                3..7 => self.add_column(&mut changes),
                7..11 => self.create_index(&mut changes),
                11..30 => self.delete(&mut changes),
                _ => self.put(&mut changes),
            }
        }
        self.lsn = self.lsn.next();
        Commit { lsn: self.lsn, time: self.time(), seq: self.seq, changes: changes.into() }
    }

    /// Changes of rows for a commit that is to come: with provisional dots, and times that mean nothing. Some are long,
    /// so that they do not fit into one chunk.
    pub(crate) fn ahead(&mut self, long: usize) -> Vec<Change> {
        let mut scratch = self.clone();
        let mut changes = Vec::new();
        for _ in 0..=scratch.below(12) {
            if scratch.chance(25) { scratch.delete(&mut changes) } else { scratch.put(&mut changes) }
        }
        self.state = scratch.state;
        let mut made_longer = 0;
        for change in &mut changes {
            match change {
                Change::Catalog(_) => {}
                Change::Put { table, row, .. } => {
                    let schema = self.catalog.get(*table).unwrap();
                    if let Some(column) = text_of(schema).filter(|_| made_longer < long) {
                        let mut values = row.values.to_vec();
                        values[column] = Value::from("long".repeat(150_000));
                        row.values = Row::from(values);
                        made_longer += 1;
                    }
                    (row.version, row.time) = self.made_provisional(row.version, row.time);
                    for cell in &mut row.cells {
                        (cell.dot, cell.time) = self.made_provisional(cell.dot, cell.time);
                    }
                }
                Change::Delete { dot, time, .. } => (*dot, *time) = self.made_provisional(*dot, *time),
            }
        }
        changes
    }

    fn made_provisional(&self, dot: Dot, time: HybridTime) -> (Dot, HybridTime) {
        if dot.seq <= self.seq {
            return (dot, time);
        }
        (Dot { seq: PROVISIONAL + (dot.seq - self.seq), ..dot }, HybridTime(77))
    }

    /// The commit of changes that were written ahead.
    pub(crate) fn commit_ahead(&mut self, staged: &Staged) -> Commit {
        let before = self.seq;
        self.seq += staged.dots();
        self.lsn = self.lsn.next();
        let time = self.time();
        let resolved = |dot: Dot, old: HybridTime| {
            if dot.seq < PROVISIONAL {
                return (dot, old);
            }
            (Dot { seq: before + (dot.seq - PROVISIONAL), ..dot }, time)
        };
        for change in staged.changes() {
            match change {
                Change::Catalog(catalog) => {
                    self.catalog = catalog.clone();
                    self.rows.retain(|(table, _), _| catalog.get(*table).is_some());
                }
                Change::Put { table, key, row } => {
                    let mut row = row.clone();
                    (row.version, row.time) = resolved(row.version, row.time);
                    for cell in &mut row.cells {
                        (cell.dot, cell.time) = resolved(cell.dot, cell.time);
                    }
                    self.rows.insert((*table, key.clone()), row);
                }
                Change::Delete { table, key, .. } => {
                    self.rows.remove(&(*table, key.clone()));
                }
            }
        }
        Commit { lsn: self.lsn, time, seq: self.seq, changes: staged.clone().into() }
    }

    fn time(&self) -> HybridTime {
        HybridTime::new(1_000 + self.lsn.0, self.seq as u16)
    }

    fn dot(&mut self) -> Dot {
        self.seq += 1;
        Dot { actor: IDENTITY.actor, seq: self.seq }
    }

    fn a_table(&mut self) -> Option<TableSchema> {
        let count = self.catalog.tables().count() as u64;
        if count == 0 {
            return None;
        }
        let place = self.below(count) as usize;
        self.catalog.tables().nth(place).cloned()
    }

    fn create_table(&mut self, changes: &mut Vec<Change>) {
        let id = self.catalog.next_table();
        let all = [
            DataType::Text,
            DataType::Integer,
            DataType::Jsonb,
            DataType::NUMERIC,
            DataType::Integer.array(),
            DataType::Timestamptz,
            DataType::Interval,
            DataType::Uuid,
            DataType::Boolean,
            DataType::Double,
        ];
        let mut types = match self.below(3) {
            0 => vec![DataType::Integer],
            1 => vec![DataType::Text],
            _ => vec![DataType::Text, DataType::Date],
        };
        let primary_key: Vec<usize> = (0..types.len()).rev().collect();
        for _ in 0..self.below(6) {
            types.push(all[self.below(all.len() as u64) as usize].clone());
        }
        let columns = types.into_iter().enumerate().map(|(place, data_type)| Column {
            name: format!("c{place}"),
            data_type,
            not_null: false,
            default: None,
            merges: Merges::LastWriter,
            conflict: ConflictPolicy::LastWriter,
        });
        let schema = TableSchema {
            id,
            name: format!("t{}", id.0),
            columns: columns.collect(),
            primary_key,
            uniques: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
            groups: Vec::new(),
            remove_wins: false,
        };
        self.catalog.put(schema).unwrap();
        changes.push(Change::Catalog(self.catalog.clone()));
    }

    fn drop_table(&mut self, changes: &mut Vec<Change>) {
        let Some(table) = self.a_table() else { return };
        self.catalog.remove(&table.name).unwrap();
        self.rows.retain(|(id, _), _| *id != table.id);
        changes.push(Change::Catalog(self.catalog.clone()));
    }

    fn add_column(&mut self, changes: &mut Vec<Change>) {
        let Some(mut table) = self.a_table() else { return };
        let data_type = if self.chance(50) { DataType::Text } else { DataType::Bigint };
        let name = format!("c{}", table.columns.len());
        table.columns.push(Column {
            name,
            data_type: data_type.clone(),
            not_null: false,
            default: None,
            merges: Merges::LastWriter,
            conflict: ConflictPolicy::LastWriter,
        });
        self.catalog.put(table.clone()).unwrap();
        changes.push(Change::Catalog(self.catalog.clone()));
        let added = self.value(&data_type);
        let (version, time) = (self.dot(), self.time());
        for ((_, key), row) in self.rows.iter_mut().filter(|((id, _), _)| *id == table.id) {
            let values = row.values.iter().cloned().chain([added.clone()]).collect();
            *row = StoredRow { version, time, cells: Vec::new(), values };
            changes.push(Change::Put { table: table.id, key: key.clone(), row: row.clone() });
        }
    }

    fn create_index(&mut self, changes: &mut Vec<Change>) {
        let Some(mut table) = self.a_table() else { return };
        let column = self.below(table.columns.len() as u64) as usize;
        let name = format!("i{}_{}", table.id.0, table.indexes.len());
        table.indexes.push(IndexSchema { name, columns: vec![column], unique: false });
        self.catalog.put(table).unwrap();
        changes.push(Change::Catalog(self.catalog.clone()));
    }

    fn delete(&mut self, changes: &mut Vec<Change>) {
        let Some(table) = self.a_table() else { return };
        let key = self.key(&table);
        self.rows.remove(&(table.id, key.clone()));
        let (dot, time) = (self.dot(), self.time());
        changes.push(Change::Delete { table: table.id, key, dot, time });
    }

    fn put(&mut self, changes: &mut Vec<Change>) {
        let Some(table) = self.a_table() else { return };
        let key = self.key(&table);
        let old = self.rows.get(&(table.id, key.clone())).cloned();
        let (version, time) = (self.dot(), self.time());
        let mut cells = Vec::new();
        let values: Vec<Value> = (0..table.columns.len())
            .map(|column| {
                if let Some(at) = table.primary_key.iter().position(|&place| place == column) {
                    return key[at].clone();
                }
                // Often a cell stays as it is, with the version that it had.
                if let Some(old) = old.as_ref().filter(|_| self.below(3) > 0) {
                    let own = old.cells.iter().find(|cell| cell.column == column).copied();
                    let row = CellVersion { column, dot: old.version, time: old.time };
                    cells.push(own.unwrap_or(row));
                    return old.values[column].clone();
                }
                self.value(&table.columns[column].data_type.clone())
            })
            .collect();
        let row = StoredRow { version, time, cells, values: Row::from(values) };
        self.rows.insert((table.id, key.clone()), row.clone());
        changes.push(Change::Put { table: table.id, key, row });
    }

    /// A key among few, so that rows are met again.
    pub(crate) fn key(&mut self, table: &TableSchema) -> Row {
        let types = table.primary_key.iter().map(|&column| table.columns[column].data_type.clone());
        let types: Vec<DataType> = types.collect();
        let mut value = |data_type: &DataType| match data_type {
            DataType::Integer => Value::Integer(self.below(60) as i64 - 30),
            DataType::Date => Value::Date(self.below(3) as i32),
            _ => {
                Value::from(["", "a", "a\u{0}", "a\u{0}b", "ab", "b", "\u{7f}", "ö"][self.below(8) as usize])
            }
        };
        types.iter().map(&mut value).collect()
    }

    fn value(&mut self, data_type: &DataType) -> Value {
        let n = self.below(1 << 30) as i64 - (1 << 29);
        match data_type {
            _ if self.chance(10) => Value::Null,
            DataType::Integer | DataType::Bigint => Value::Integer(n),
            DataType::Text => {
                let length = if self.chance(10) { self.below(6_000) } else { self.below(20) };
                Value::from(char::from(b'a' + self.below(26) as u8).to_string().repeat(length as usize))
            }
            DataType::Jsonb => Value::json(Json::parse(&format!("{{\"n\": [{n}, null]}}")).unwrap()),
            DataType::Numeric(_) => Value::numeric(format!("{n}e-3").parse().unwrap()),
            DataType::Timestamptz => Value::Timestamp(n * 1_000_003),
            DataType::Interval => {
                Value::interval(Interval { months: n as i32 % 100, days: n as i32, micros: n * 7 })
            }
            DataType::Uuid => Value::uuid(uuid::Uuid::from_u128(n as u128)),
            DataType::Boolean => Value::Boolean(n % 2 == 0),
            DataType::Double => Value::double(n as f64 / 3.0),
            DataType::Date => Value::Date(n as i32 % 10_000),
            DataType::Array(_) => Value::array((0..n.rem_euclid(4)).map(Value::Integer).collect()),
            DataType::Smallint => Value::Integer(n % 100),
        }
    }

    /// The rows as this world knows them: neither store had a part in it.
    pub(crate) fn assert_rows(&self, store: &dyn Reader) {
        let mut found = BTreeMap::new();
        for table in self.catalog.tables() {
            store
                .scan(table.id, &table.primary_key, &mut |key| {
                    let row = store.row(table.id, &key).unwrap().unwrap();
                    found.insert((table.id, key), row);
                })
                .unwrap();
        }
        assert_eq!(found, self.rows);
    }
}

/// Whether [`World::ahead`] has made a row long.
pub(crate) fn long(row: &StoredRow) -> bool {
    row.values.iter().any(|value| matches!(value, Value::Text(text) if text.len() >= 600_000))
}

/// A text that is no key.
fn text_of(table: &TableSchema) -> Option<usize> {
    let texts = table.columns.iter().enumerate().filter(|(_, column)| column.data_type == DataType::Text);
    texts.map(|(place, _)| place).find(|place| !table.primary_key.contains(place))
}

pub(crate) fn scan(store: &dyn Reader, table: TableId, columns: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    store.scan(table, columns, &mut |row| rows.push(row)).unwrap();
    rows
}

/// Counts are exact, but for what is not settled: each such change makes a difference of a row at most.
fn assert_sizes(sizes: &BTreeMap<TableId, TableSize>, model: &BTreeMap<TableId, TableSize>) {
    assert!(sizes.keys().eq(model.keys()));
    for (table, size) in sizes {
        if size.unsettled == 0 {
            assert_eq!(size, &model[table]);
        }
        assert!(size.rows.abs_diff(model[table].rows) <= size.unsettled);
    }
}

/// Settles all, in slices; how many there were.
pub(crate) fn settle_all(store: &mut dyn Store, limit: usize) -> usize {
    let mut slices = 1;
    while store.settle(limit).unwrap() {
        slices += 1;
    }
    assert!(store.sizes().unwrap().values().all(|size| size.unsettled == 0));
    slices
}

/// All that can be read is the same in both.
pub(crate) fn assert_same(store: &dyn Store, model: &dyn Store) {
    let header = model.header().unwrap();
    assert_eq!(store.header().unwrap(), header);
    assert_sizes(&store.sizes().unwrap(), &model.sizes().unwrap());
    for table in header.catalog.tables() {
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let rows = scan(model, table.id, &all);
        assert_eq!(scan(store, table.id, &all), rows);
        for column in 0..all.len() {
            assert_eq!(scan(store, table.id, &[column, 0]), scan(model, table.id, &[column, 0]));
        }
        assert_eq!(scan(store, table.id, &[]).len(), rows.len());
        for row in rows {
            let key = row.project(&table.primary_key);
            let found = store.row(table.id, &key).unwrap();
            assert_eq!(found, model.row(table.id, &key).unwrap());
            assert_eq!(found.unwrap().values, row);
        }
    }
    let nowhere = header.catalog.next_table();
    assert_eq!(scan(store, nowhere, &[0]), scan(model, nowhere, &[0]));
    assert_same_log(store, model);
}

/// Where a log begins.
pub(crate) fn first_of(store: &dyn Store) -> u64 {
    match store.commits(Lsn(0), 0) {
        Err(StorageError::Trimmed { first }) => first.0,
        commits => commits.map(|_| 1).unwrap(),
    }
}

/// Every commit from the beginning of the log on is that of the model, which was not trimmed, and those before are known to be
/// gone.
fn assert_same_log(store: &dyn Store, model: &dyn Store) {
    let (first, last) = (first_of(store), store.header().unwrap().lsn.0);
    assert!(first <= last.max(1), "{first} {last}");
    assert_eq!(store.first(), Lsn(first));
    let others = [(first - 1, usize::MAX), (first, 2), (first.saturating_sub(2), 9)];
    let limits = [(0, usize::MAX), (1, 2), (last, 1), (last + 9, 9), (0, 0)];
    for (after, limit) in limits.into_iter().chain(others) {
        match store.commits(Lsn(after), limit) {
            Err(StorageError::Trimmed { first: found }) => assert!(after + 1 < first && found.0 == first),
            commits => {
                assert!(after + 1 >= first);
                assert_eq!(commits.unwrap(), model.commits(Lsn(after), limit).unwrap());
            }
        }
    }
}

/// Removes all but the last `keep` commits, a few at a time. How many steps that took.
pub(crate) fn trim_all(store: &mut dyn Store, keep: u64, limit: usize) -> usize {
    let mut steps = 1;
    while store.trim(keep, limit).unwrap() {
        steps += 1;
    }
    steps
}

/// Seeds of a test: the usual number of them, or what `DELTAIC_STORAGE_SEEDS` says.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("DELTAIC_STORAGE_SEEDS").ok().and_then(|text| text.parse().ok());
    0..asked.unwrap_or(usual)
}
