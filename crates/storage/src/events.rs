//! [`RedbEvents`]: the log of what happened to budgets, in a file of its own.
//!
//! Invariant: an event's number is its predecessor's plus one, and an append is one transaction: when it returns, all of it is
//! on the disk, or none of it. What was read is verified by our own checksums.

use std::path::Path;

use deltaic_quota::Event;
use deltaic_types::codec::write_bytes;
use redb::{ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::pages::{Pages, Stop};
use crate::record::{Kind, open, seal, start};
use crate::{Damage, OpenError, StorageError};

/// The format that this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

const LOG: &str = "event log";

/// A log of events in a redb file.
#[derive(Debug)]
pub struct RedbEvents {
    pages: Pages,
}

impl RedbEvents {
    /// A new log in an empty backend.
    pub fn create_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let pages = Pages::begin_beside(backend, (LOG, FORMAT_VERSION), |transaction| {
            transaction.open_table(EVENTS)?;
            Ok(())
        })?;
        Ok(Self { pages })
    }

    /// Opens the log in a backend.
    pub fn open_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let (pages, _) = Pages::resume(backend, FORMAT_VERSION, |meta| meta.contains_key(LOG))?;
        Ok(Self { pages })
    }

    /// Opens the log of a data directory; where there is none it is made, and the directory with it.
    pub fn open_or_create(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        crate::directory::open_or_create(
            directory.as_ref(),
            crate::directory::EVENTS_FILE,
            Self::open_with_backend,
            Self::create_with_backend,
        )
    }

    /// Opens the log in a file for looking at it: the file is read and never written.
    pub fn open_detached(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        crate::directory::open_detached(path.as_ref(), Self::open_with_backend)
    }

    /// Reads every event: how many there are, if each can be read and none is missing. Cost: the file.
    pub fn check(&self) -> Result<u64, StorageError> {
        self.pages.run(|database| {
            let transaction = database.begin_read()?;
            let mut count = 0;
            for entry in transaction.open_table(EVENTS)?.iter()? {
                let (number, bytes) = entry?;
                event_of(bytes.value(), number.value()).map_err(Stop::damage("events"))?;
                count += 1;
                if number.value() != count {
                    return Err(Stop::damage("events")(Damage::Missing));
                }
            }
            Ok(count)
        })
    }

    /// Whether the pages of the file have their checksums. To be asked last: it mends what it can.
    pub fn verify_pages(&self) -> Result<bool, StorageError> {
        self.pages.verify()
    }

    /// Adds events behind all others, in one transaction. Cost: one sync, however many they are.
    pub fn append(&mut self, events: &[Event]) -> Result<(), StorageError> {
        self.pages.run(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(EVENTS)?;
                let last = table.last()?.map_or(0, |(number, _)| number.value());
                for (number, event) in (last + 1..).zip(events) {
                    let mut record = start(Kind::Event);
                    write_bytes(&mut record, &event.encode());
                    table.insert(number, &seal(record, &number.to_be_bytes())[..])?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// The events behind a number, in order, so many at most.
    pub fn read(&self, after: u64, limit: usize) -> Result<Vec<(u64, Event)>, StorageError> {
        self.pages.run(|database| {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(EVENTS)?;
            let mut events = Vec::new();
            for entry in table.range(after.saturating_add(1)..)?.take(limit) {
                let (number, bytes) = entry?;
                let number = number.value();
                let event = event_of(bytes.value(), number).map_err(Stop::damage("events"))?;
                events.push((number, event));
            }
            Ok(events)
        })
    }
}

fn event_of(record: &[u8], number: u64) -> Result<Event, Damage> {
    let mut reader = open(record, Kind::Event, &number.to_be_bytes())?;
    let event = Event::decode(reader.bytes(record.len())?)?;
    reader.finish()?;
    Ok(event)
}
