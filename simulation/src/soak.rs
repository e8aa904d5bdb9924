//! Endless churn over constant live data: three engines that merge, whose rows come and go, on files of their own.
//!
//! Each round writes, updates and deletes as many rows as it inserts, on any of the members, over a link that loses and repeats. Told
//! after each: what the replica of the first keeps, its file and its memory. What grows with the churn and not with the
//! data is a leak.

use std::path::Path;

use deltaic_causality::ActorId;
use deltaic_crdt::anti_entropy::Settings;
use deltaic_engine::{PeerInput, Slice};
use deltaic_storage::{Identity, RedbStore, Store as _};
use deltaic_types::DatabaseId;

use crate::{driver::Driver, random::Random};

/// Rows that are live at any time.
const LIVE: usize = 1_000;

/// Commits that stay in a log: fewer than a round makes.
const LOG: u64 = 100;

/// What the first member keeps after a round.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Rows that were written since the start.
    pub written: usize,
    /// Rows of the replica, those that are gone among them.
    pub rows: usize,
    /// Removals that are noted.
    pub removals: usize,
    /// Bytes of the tables and of what merging needs, as the store counts them.
    pub stored: u64,
    /// Bytes of the file.
    pub file: u64,
}

/// Runs rounds of churn in a directory, telling each.
pub fn soak(seed: u64, directory: &Path, rounds: usize, tell: &mut dyn FnMut(Kept)) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut random = Random::new(seed);
    let mut members = Vec::new();
    for place in 0..3_u64 {
        let identity = Identity { database: DatabaseId(place + 1), actor: ActorId(place + 1) };
        let path = directory.join(format!("member-{place}"));
        let store = RedbStore::create(&path, identity).map_err(|error| text(&error))?;
        let mut driver = Driver::open(store, 1_700_000_000_000_000).map_err(|error| text(&error))?;
        driver.engine.set_slice(Slice::WHOLE);
        driver.log = Some(LOG);
        driver.engine.set_sync(Settings { most_interval: 1_000_000, ..Settings::default() });
        let table = "CREATE TABLE t (id bigint PRIMARY KEY, body text, n counter, tags add_wins_set(text), mail text UNIQUE)";
        driver.run(table).map_err(|error| text(&error))?;
        members.push((driver, path));
    }
    for place in 0..3 {
        for other in (0..3_u64).filter(|other| *other != place) {
            members[place as usize].0.peer(PeerInput::Join(ActorId(other + 1)));
        }
    }
    let (mut next, mut oldest, mut written) = (0_i64, 0_i64, 0);
    for _ in 0..rounds {
        for _ in 0..40 {
            let member = &mut members[random.below(3)].0;
            let rows: Vec<String> = (next..next + 25)
                .map(|id| format!("({id}, 'body {id}', {}, '{{a,b}}', '{id}@x')", id % 7))
                .collect();
            next += 25;
            written += 25;
            let mut statements = vec![format!("INSERT INTO t VALUES {}", rows.join(", "))];
            let within = format!("id % 40 = {}", random.below(40));
            statements
                .push(format!("UPDATE t SET n = n + 1, tags = add(remove(tags, 'a'), 'c') WHERE {within}"));
            if next - oldest > LIVE as i64 {
                oldest = next - LIVE as i64;
                statements.push(format!("DELETE FROM t WHERE id < {oldest}"));
            }
            for statement in statements {
                member.run(&statement).map_err(|error| format!("{statement}: {error}"))?;
            }
            exchange(&mut members, &mut random, true);
        }
        // All come to the same, so that what is stable can be forgotten.
        for _ in 0..60 {
            exchange(&mut members, &mut random, false);
            for (driver, _) in &mut members {
                driver.wake(200_000);
            }
        }
        let (driver, path) = &mut members[0];
        while driver.store.settle(1_000).map_err(|error| text(&error))? {}
        while driver.store.trim(LOG, 1_000).map_err(|error| text(&error))? {}
        let size = driver.engine.replica_size().ok_or("there is a replica")?;
        let sizes = driver.store.sizes().map_err(|error| text(&error))?;
        let stored = sizes.values().map(|size| size.hot_bytes + size.cold_bytes).sum();
        let file = std::fs::metadata(path).map_err(|error| text(&error))?.len();
        tell(Kept { written, rows: size.rows, removals: size.removals, stored, file });
    }
    Ok(())
}

/// Carries what is under way between the members.
fn exchange(members: &mut [(Driver<RedbStore>, std::path::PathBuf)], random: &mut Random, loses: bool) {
    for from in 0..members.len() {
        for message in std::mem::take(&mut members[from].0.peers) {
            let to = message.peer.0 as usize - 1;
            if loses && random.one_in(5) {
                continue;
            }
            let actor = ActorId(from as u64 + 1);
            if random.one_in(10) {
                members[to].0.peer(PeerInput::Received(actor, message.bytes.clone()));
            }
            members[to].0.peer(PeerInput::Received(actor, message.bytes));
        }
        members[from].0.messages.clear();
        members[from].0.peer_news.clear();
    }
}
