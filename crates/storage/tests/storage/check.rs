//! A check finds each way in which a store can differ from its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltaic_causality::HybridTime;
use deltaic_storage::{
    Change, Commit, Damage, Difference, Header, MemoryStore, Reader, Stager, StorageError, Store, StoredRow,
    TableSize, check,
};
use deltaic_types::{Catalog, Lsn, Row, TableId, Value};

use crate::world::{IDENTITY, World, first_of, scan, trim_all};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    ShortLog,
    Gap,
    Time,
    Catalog,
    HiddenRow,
    NewRow,
    OldVersion,
    OtherScan,
    DamagedRow,
    DamagedScan,
    DamagedLog,
    Count,
}

/// A store that is right but for one lie, about the first row of a table.
struct Liar {
    store: MemoryStore,
    lie: Lie,
    table: TableId,
    key: Row,
}

fn damaged<T>() -> Result<T, StorageError> {
    Err(StorageError::Corrupted { part: "hot", damage: Damage::Checksum })
}

impl Reader for Liar {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        let row = self.store.row(table, key)?;
        if table != self.table || key != &self.key[..] {
            return Ok(row);
        }
        match self.lie {
            Lie::HiddenRow => Ok(None),
            Lie::DamagedRow => damaged(),
            Lie::OldVersion => Ok(row.map(|row| StoredRow { time: HybridTime(0), ..row })),
            _ => Ok(row),
        }
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        if table == self.table && self.lie == Lie::DamagedScan {
            return damaged();
        }
        let mut first = table == self.table;
        self.store.scan(table, columns, &mut |row| {
            let lie = std::mem::take(&mut first).then_some(self.lie);
            let mut values = row.to_vec();
            match lie {
                Some(Lie::OtherScan) => values[columns.len() - 1] = Value::from("never written"),
                Some(Lie::NewRow) => {
                    visit(row.clone());
                    values = vec![Value::Integer(1_000); columns.len()];
                }
                _ => {}
            }
            visit(Row::from(values));
        })
    }
}

impl Store for Liar {
    fn header(&self) -> Result<Header, StorageError> {
        let mut header = self.store.header()?;
        match self.lie {
            Lie::Time => header.time = HybridTime(header.time.0 + 1),
            Lie::Catalog => header.catalog = Catalog::default(),
            _ => {}
        }
        Ok(header)
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        self.store.snapshot()
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        match self.lie {
            Lie::ShortLog if after.0 >= first_of(&self.store) => Ok(Vec::new()),
            Lie::ShortLog => self.store.commits(after, 1),
            Lie::Gap if limit > 0 => self.store.commits(after.next(), limit),
            Lie::DamagedLog => damaged(),
            _ => self.store.commits(after, limit),
        }
    }

    fn append(&mut self, _: &[Commit]) -> Result<(), StorageError> {
        Err(StorageError::Closed)
    }

    fn stager(&self) -> Box<dyn Stager> {
        self.store.stager()
    }

    fn settle(&mut self, limit: usize) -> Result<bool, StorageError> {
        self.store.settle(limit)
    }

    fn first(&self) -> Lsn {
        self.store.first()
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        let mut sizes = self.store.sizes()?;
        if self.lie == Lie::Count {
            sizes.get_mut(&self.table).unwrap().rows += 1;
        }
        Ok(sizes)
    }
}

#[test]
fn every_difference_is_found() {
    let (mut world, mut store) = (World::new(21), MemoryStore::new(IDENTITY));
    for _ in 0..60 {
        store.append(&world.commits()).unwrap();
    }
    let catalog = world.catalog.clone();
    // A table with a column that is no key, so that a row can differ without being another row.
    let table = catalog.tables().find(|table| {
        table.columns.len() > table.primary_key.len() && !scan(&store, table.id, &[]).is_empty()
    });
    let table = table.unwrap();
    let key = scan(&store, table.id, &table.primary_key)[0].clone();
    let id = table.id;
    let mut liar = Liar { store, lie: Lie::None, table: id, key: key.clone() };
    let clean = check(&liar).unwrap();
    assert!(clean.is_clean() && clean.rows > 0 && clean.hot_bytes > 0 && clean.cold_bytes > 0);

    let width = table.primary_key.len();
    let new = Row::from(vec![Value::Integer(1_000); width]);
    let message = "hot: checksum differs".to_owned();
    let differences = [
        (Lie::ShortLog, Difference::Log { expected: Lsn(2) }),
        (Lie::Gap, Difference::Log { expected: Lsn(1) }),
        (Lie::Time, Difference::State),
        (Lie::Catalog, Difference::Catalog),
        (Lie::HiddenRow, Difference::Missing { table: id, key: key.clone() }),
        (Lie::NewRow, Difference::Unexpected { table: id, key: new }),
        (Lie::OldVersion, Difference::Row { table: id, key: key.clone() }),
        (Lie::OtherScan, Difference::Row { table: id, key: key.clone() }),
        (Lie::DamagedRow, Difference::Damaged { table: id, key: Some(key), message: message.clone() }),
        (Lie::DamagedScan, Difference::Damaged { table: id, key: None, message }),
        (Lie::Count, Difference::Size { table: id }),
    ];
    for (lie, difference) in differences {
        liar.lie = lie;
        let report = check(&liar).unwrap();
        assert_eq!(report.differences, [difference], "{lie:?}");
        assert!(!report.is_clean() && !report.differences[0].to_string().is_empty());
    }
    liar.lie = Lie::DamagedLog;
    assert!(matches!(check(&liar), Err(StorageError::Corrupted { .. })));
}

/// The same of a store whose log was trimmed: of rows that it changes all is found, of the others what reading says.
#[test]
fn every_difference_from_a_trimmed_log_is_found() {
    let (mut world, mut store) = (World::new(21), MemoryStore::new(IDENTITY));
    for _ in 0..60 {
        store.append(&world.commits()).unwrap();
    }
    // A table whose first row the log has changed, and one whose first row is older.
    let (mut logged, mut older) = (None, None);
    while logged.is_none() || older.is_none() {
        store.append(&world.commits()).unwrap();
        let mut store = store.clone();
        trim_all(&mut store, 9, 1_000);
        let first = first_of(&store);
        let commits = store.commits(Lsn(first - 1), 9).unwrap();
        let is_changed = |id: TableId, first: &Row| {
            commits.iter().flat_map(|commit| commit.changes.as_slice()).any(|change| match change {
                Change::Put { table, key, .. } | Change::Delete { table, key, .. } => {
                    *table == id && key == first
                }
                Change::Catalog(_) => false,
            })
        };
        (logged, older) = (None, None);
        for table in world.catalog.tables().filter(|table| table.columns.len() > table.primary_key.len()) {
            let Some(key) = scan(&store, table.id, &table.primary_key).first().cloned() else { continue };
            let place = if is_changed(table.id, &key) { &mut logged } else { &mut older };
            let liar = Liar { store: store.clone(), lie: Lie::None, table: table.id, key };
            *place = Some((liar, Row::from(vec![Value::Integer(1_000); table.primary_key.len()])));
        }
    }
    let message = "hot: checksum differs".to_owned();
    for (found, is_logged) in [(logged, true), (older, false)] {
        let (mut liar, new) = found.unwrap();
        let (id, key, first) = (liar.table, liar.key.clone(), first_of(&liar.store));
        let clean = check(&liar).unwrap();
        assert!(clean.is_clean() && clean.rows > 0 && clean.unlogged > 0, "{clean:?}");
        assert_eq!((clean.first, clean.commits), (Lsn(first), 9));
        let row = |other: Difference| {
            if is_logged { other } else { Difference::Unfit { table: id, key: key.clone() } }
        };
        let damaged = |key: Option<Row>| Difference::Damaged { table: id, key, message: message.clone() };
        let mut differences = vec![
            (Lie::ShortLog, vec![Difference::Log { expected: Lsn(first + 1) }]),
            (Lie::Gap, vec![Difference::Log { expected: Lsn(first) }]),
            (Lie::Time, vec![Difference::State]),
            (Lie::Catalog, vec![Difference::Catalog]),
            (Lie::HiddenRow, vec![row(Difference::Missing { table: id, key: key.clone() })]),
            (Lie::NewRow, vec![Difference::Unfit { table: id, key: new }, Difference::Size { table: id }]),
            (Lie::OtherScan, vec![row(Difference::Row { table: id, key: key.clone() })]),
            (Lie::DamagedRow, vec![damaged(Some(key.clone()))]),
            (Lie::DamagedScan, vec![damaged(None)]),
            (Lie::Count, vec![Difference::Size { table: id }]),
        ];
        if is_logged {
            differences.push((Lie::OldVersion, vec![row(Difference::Row { table: id, key: key.clone() })]));
        }
        for (lie, differences) in differences {
            liar.lie = lie;
            let report = check(&liar).unwrap();
            if lie == Lie::Catalog {
                // What is compared with a catalog that nobody has may well differ too.
                assert_eq!(report.differences[..1], differences);
            } else {
                assert_eq!(report.differences, differences, "{lie:?}");
            }
        }
        assert!(Difference::Unfit { table: id, key }.to_string().contains("differs by how it is read"));
        liar.lie = Lie::DamagedLog;
        assert!(matches!(check(&liar), Err(StorageError::Corrupted { .. })));
    }
}
