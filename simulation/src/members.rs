//! Engines that write apart and merge: some databases joined by anti-entropy over a link that loses, repeats, reorders and parts,
//! each over redb over a disk that crashes, tears and is full, with clocks that differ.
//!
//! A seed gives the members, their statements, live queries and faults. Checked: every live result equals the query asked anew, at
//! any time; UNIQUE and FOREIGN KEY hold of what is seen on each member, at any time; what was acknowledged is there after a
//! restart; and when all is well again, all members have equal cuts, equal states, equal tables and equal conflicts, the same shares of
//! an allocation over these tables with a certificate each, the same offers, which one of them makes and which promise nothing twice, every
//! acknowledged increment is counted, every letter that was put into a text is in it once, and every acknowledged row that nobody deleted is seen, or told of as hidden.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_causality::{ActorId, VersionVector};
use deltaic_crdt::anti_entropy::Settings;
use deltaic_engine::{MergeError, OfferError, PeerInput, PeerNews, RequestError, Slice};
use deltaic_quota::MemoryLedger;
use deltaic_storage::{FaultPlan, FaultyDisk, Identity, RedbStore, StorageError, check};
use deltaic_types::{DatabaseId, Row, text_format};

use crate::{
    client::LiveResult,
    driver::{Driver, Log},
    fuzz::Tally,
    random::Random,
};

const SCHEMA: [&str; 5] = [
    "CREATE TABLE people (id integer PRIMARY KEY, mail text UNIQUE, name text, rank integer)",
    "CREATE TABLE items (id integer PRIMARY KEY, owner integer REFERENCES people ON DELETE CASCADE, title text, n counter, \
     seen flag, tags add_wins_set(text), gone remove_wins_set(text), top max(integer), low min(integer), \
     all_of multi_value(text), grown grow_counter, body rich_text DEFAULT '-', stock counter CHECK (stock >= 0))",
    "CREATE TABLE notes (id integer PRIMARY KEY, parent integer REFERENCES notes ON DELETE CASCADE, item integer REFERENCES \
     items, body text) REMOVE WINS",
    "CREATE INDEX items_owner ON items (owner)",
    "CREATE ALLOCATION shares CAPACITY (SELECT id AS owner, 0 AS slot, rank AS quantity, 'x' AS kind FROM people) \
     NEED (SELECT owner, id AS slot, top AS quantity, 'x' AS kind FROM items WHERE top IS NOT NULL AND owner IS NOT NULL) \
     RECOGNITION (SELECT a.id AS \"from\", b.id AS \"to\", a.rank + b.rank AS weight FROM people a, people b) COALESCE '20 milliseconds'",
];

/// Offers are made at the first member.
const COALESCE: &str = "COALESCE";

/// What each accounted item has at first.
const STOCK: i64 = 12;

const QUERIES: [&str; 9] = [
    "SELECT * FROM people",
    "SELECT * FROM items",
    "SELECT people.name, count(items.id), sum(items.n) FROM people LEFT JOIN items ON items.owner = people.id GROUP BY people.name",
    "SELECT notes.id, items.title FROM notes JOIN items ON items.id = notes.item",
    "SELECT kind, relation, key, columns, losing, winning FROM deltaic.conflicts",
    "SELECT id FROM items WHERE top > 4 OR seen",
    "SELECT id, body FROM items WHERE body LIKE '%a%' OR id < 3",
    "SELECT provider, state, sum(quantity) FROM \"shares.offers\" GROUP BY provider, state",
    "SELECT shares.*, name FROM shares JOIN people ON people.id = recipient",
];

/// Runs the world of a seed. The error tells what is wrong and what led there.
pub fn members(seed: u64, tell: bool) -> Result<Tally, String> {
    let mut world = World::new(seed, tell)?;
    world.run().map_err(|error| format!("seed {seed}: {error}\n{}", world.history.join(";\n")))?;
    Ok(world.tally)
}

struct Member {
    disk: FaultyDisk,
    driver: Option<Driver<RedbStore>>,
    live: BTreeMap<u64, (&'static str, LiveResult)>,
    now: i64,
    /// How many commits stay in its log.
    log: Log,
    /// Its ledger, while it does not run.
    ledger: MemoryLedger,
}

/// What became of a row that is written by the world's own account.
#[derive(Default)]
struct Account {
    /// The increments that were acknowledged.
    sum: i64,
    /// What was taken of its stock.
    taken: i64,
    /// The letters of its text that were.
    letters: String,
    /// Whether something about it is not known: it may have been deleted, set, or written by a request that was not answered.
    is_open: bool,
}

struct World {
    random: Random,
    members: Vec<Member>,
    under_way: Vec<(usize, usize, Vec<u8>)>,
    /// Which members hear each other.
    sides: Vec<usize>,
    accounts: BTreeMap<i64, Account>,
    /// Cuts that somebody had seen once.
    cuts: Vec<VersionVector>,
    next: i64,
    /// How often a disk has failed.
    failures: usize,
    history: Vec<String>,
    tally: Tally,
    tell: bool,
}

fn actor(place: usize) -> ActorId {
    ActorId(place as u64 + 1)
}

fn texts(rows: &[Row]) -> Vec<String> {
    let text = |row: &Row| {
        let values: Vec<String> = row
            .iter()
            .map(|value| if value.is_null() { "NULL".to_owned() } else { text_format::to_text(value) })
            .collect();
        values.join("|")
    };
    let mut texts: Vec<String> = rows.iter().map(text).collect();
    texts.sort_unstable();
    texts
}

fn open(disk: &FaultyDisk, now: i64) -> Result<Driver<RedbStore>, String> {
    let store = RedbStore::open_with_backend(disk.clone()).map_err(|error| error.to_string())?;
    let report = check(&store).map_err(|error| error.to_string())?;
    if !report.is_clean() {
        return Err(format!("the log does not explain the tables: {report:?}"));
    }
    begin(store, now)
}

fn begin(store: RedbStore, now: i64) -> Result<Driver<RedbStore>, String> {
    let mut driver = Driver::open(store, now).map_err(|error| error.to_string())?;
    driver.engine.set_slice(Slice::WHOLE);
    driver.engine.set_sync(Settings { most_interval: 2_000_000, ..Settings::default() });
    Ok(driver)
}

impl World {
    fn new(seed: u64, tell: bool) -> Result<Self, String> {
        let mut random = Random::new(seed ^ 0x4d5e);
        let count = 2 + random.below(3);
        let mut members = Vec::new();
        for place in 0..count {
            let disk = FaultyDisk::new(seed.wrapping_mul(31).wrapping_add(place as u64));
            let identity = Identity { database: DatabaseId(place as u64 + 1), actor: actor(place) };
            let store =
                RedbStore::create_with_backend(disk.clone(), identity).map_err(|error| error.to_string())?;
            // Clocks differ by up to half a minute.
            let now = 1_700_000_000_000_000 + random.below(30_000_000) as i64;
            let mut driver = begin(store, now)?;
            for statement in SCHEMA {
                let offers = if place == 0 { "OFFERS COALESCE" } else { "OFFERS ELSEWHERE COALESCE" };
                let statement = &statement.replace(COALESCE, offers);
                driver.run(statement).map_err(|error| format!("{statement}: {error}"))?;
            }
            let log = Log::new(seed.wrapping_mul(37).wrapping_add(place as u64));
            let ledger = MemoryLedger::new();
            members.push(Member { disk, driver: Some(driver), live: BTreeMap::new(), now, log, ledger });
        }
        let sides = vec![0; count];
        Ok(Self {
            random,
            members,
            under_way: Vec::new(),
            sides,
            accounts: BTreeMap::new(),
            cuts: Vec::new(),
            next: 0,
            failures: 0,
            history: Vec::new(),
            tally: Tally::default(),
            tell,
        })
    }

    fn note(&mut self, text: String) {
        if self.tell {
            println!("{text};");
        }
        self.history.push(text);
    }

    fn driver(&mut self, place: usize) -> &mut Driver<RedbStore> {
        self.members[place].driver.as_mut().expect("invariant: a member runs between restarts")
    }

    fn run(&mut self) -> Result<(), String> {
        // Some have written before they know of others.
        let early = self.random.below(3);
        for _ in 0..early {
            self.write()?;
        }
        for place in 0..self.members.len() {
            self.join(place)?;
        }
        for _ in 0..60 {
            let place = self.random.below(self.members.len());
            let log = self.members[place].log.kept();
            self.driver(place).log = log;
            match self.random.below(20) {
                0 => self.subscribe(place)?,
                1 => self.plan_fault(place),
                2 if self.random.one_in(2) => {
                    self.note(format!("-- {place} crashes"));
                    self.restart(place)?;
                }
                3 => self.part(),
                4..=8 => self.pass(place)?,
                9..=13 => self.carry()?,
                _ => self.write()?,
            }
            self.look(place)?;
        }
        self.note("-- the end".to_owned());
        self.come_together()
    }

    /// A member knows of the others.
    fn join(&mut self, place: usize) -> Result<(), String> {
        for other in (0..self.members.len()).filter(|other| *other != place) {
            self.driver(place).peer(PeerInput::Join(actor(other)));
        }
        self.after(place)
    }

    /// Takes what a member sends; a failure of its disk is the end of its process.
    fn after(&mut self, place: usize) -> Result<(), String> {
        let driver = self.driver(place);
        let failure = driver.failure();
        let news = std::mem::take(&mut driver.peer_news);
        let sent = std::mem::take(&mut driver.peers);
        self.under_way.extend(sent.into_iter().map(|to| (place, to.peer.0 as usize - 1, to.bytes)));
        if let Some(news) = news.into_iter().find(|news| !matches!(news, PeerNews::Silent(_))) {
            return Err(format!("{place}: {news:?}"));
        }
        match failure {
            Some(failure) => self.failed(place, &failure),
            None => self.deliver(place),
        }
    }

    fn failed(&mut self, place: usize, failure: &Arc<StorageError>) -> Result<(), String> {
        self.note(format!("-- {place}: {failure}"));
        self.failures += 1;
        if matches!(**failure, StorageError::DiskFull { .. }) && self.random.one_in(2) {
            let member = &mut self.members[place];
            member.disk.set_plan(FaultPlan::default());
            let driver = member.driver.take().expect("invariant: the engine ran");
            let disk = member.disk.clone();
            let open = || RedbStore::open_with_backend(disk).map_err(|error| error.to_string());
            member.driver = Some(driver.reopen(open)?);
            // What it said before the disk was full was said.
            return self.deliver(place);
        }
        self.restart(place)
    }

    fn restart(&mut self, place: usize) -> Result<(), String> {
        let seed = self.random.number();
        let member = &mut self.members[place];
        if let Some(driver) = member.driver.take() {
            member.now = driver.now;
            member.disk.set_plan(FaultPlan { crash_at: Some(1), ..FaultPlan::default() });
            member.disk = member.disk.crash(seed);
            member.ledger = driver.ledger;
        }
        let mut driver = open(&member.disk, member.now)?;
        driver.ledger = member.ledger.clone();
        member.driver = Some(driver);
        let ids: Vec<(u64, &'static str)> = member.live.iter().map(|(id, (sql, _))| (*id, *sql)).collect();
        for (id, sql) in ids {
            self.driver(place).subscribe(id, sql, &[], None);
            self.members[place].live.insert(id, (sql, LiveResult::default()));
        }
        self.deliver(place)
    }

    fn plan_fault(&mut self, place: usize) {
        let soon = 1 + self.random.below(40) as u64;
        let mut plan = FaultPlan::default();
        match self.random.below(4) {
            0 | 1 => plan.crash_at = Some(soon),
            2 => plan.fail_sync = Some(1 + soon % 3),
            _ => plan.fail_write = Some(soon),
        }
        self.note(format!("-- {place}: {plan:?}"));
        self.members[place].disk.set_plan(plan);
    }

    fn part(&mut self) {
        let random = &mut self.random;
        self.sides.iter_mut().for_each(|side| *side = random.below(2));
        self.note(format!("-- sides {:?}", self.sides));
    }

    fn subscribe(&mut self, place: usize) -> Result<(), String> {
        let sql = *self.random.pick(&QUERIES);
        let id = self.members[place].live.len() as u64 + 1;
        self.note(format!("-- {place} subscribes {sql}"));
        self.driver(place).subscribe(id, sql, &[], None);
        self.members[place].live.insert(id, (sql, LiveResult::default()));
        self.tally.queries += 1;
        self.after(place)
    }

    fn pass(&mut self, place: usize) -> Result<(), String> {
        let micros = 1_000 << self.random.below(12);
        self.driver(place).wake(micros);
        self.after(place)
    }

    /// Some of what is under way arrives, in any order; some is lost, some comes twice.
    fn carry(&mut self) -> Result<(), String> {
        for _ in 0..6 {
            if self.under_way.is_empty() {
                return Ok(());
            }
            let at = self.random.below(self.under_way.len());
            let (from, to, bytes) = self.under_way.swap_remove(at);
            if self.sides[from] != self.sides[to] || self.random.one_in(6) {
                continue;
            }
            if self.random.one_in(8) {
                self.under_way.push((from, to, bytes.clone()));
            }
            self.driver(to).peer(PeerInput::Received(actor(from), bytes));
            self.after(to)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        let place = self.random.below(self.members.len());
        let statement = self.statement(place);
        if self.random.one_in(5) && !self.cuts.is_empty() && statement.offer.is_none() {
            let basis = self.random.pick(&self.cuts).clone();
            self.driver(place).basis = Some(basis);
        }
        let basis = self.driver(place).basis.clone();
        self.note(format!("{place}: {} {basis:?}", statement.sql));
        let outcome = self.driver(place).run(&statement.sql);
        self.driver(place).basis = None;
        match outcome {
            Ok(outcome) => {
                self.tally.commits += 1;
                statement.made(&mut self.accounts, outcome.rows_affected);
                if let Some(offer) = &statement.offer {
                    self.promised(place, offer)?;
                }
            }
            // There is not so much, or it is not so far.
            Err(RequestError::Budget(error)) if statement.offer.is_some() && error.sqlstate() == "53400" => {}
            Err(RequestError::Offer(error))
                if (place != 0) == matches!(error, OfferError::Elsewhere { .. }) => {}
            Err(RequestError::Constraint(_)) => {}
            // What is there is others' to take.
            Err(RequestError::Merge { error: MergeError::Rights { .. }, .. }) => {}
            // A place that the author had not in the text that it had seen.
            Err(error @ RequestError::Merge { .. }) if basis.is_some() && error.sqlstate() == "22003" => {}
            // Whether it is there is not known.
            Err(RequestError::Storage(error)) => {
                statement.open(&mut self.accounts);
                self.failed(place, &error)?;
            }
            Err(error) => return Err(format!("{place}: {}: {error}", statement.sql)),
        }
        let cut = self.driver(place).engine.cut();
        if self.random.one_in(4) {
            self.cuts.extend(cut);
        }
        self.after(place)
    }

    /// A capacity has not promised more than it has, when an offer of it was made.
    fn promised(&mut self, place: usize, offer: &str) -> Result<(), String> {
        let over = self.rows(
            place,
            &format!(
                "SELECT rank FROM \"shares.offers\" o JOIN people p ON p.id = o.provider WHERE o.id = '{offer}' AND state = 'offered' AND \
                 rank < (SELECT sum(quantity) FROM \"shares.offers\" q WHERE q.provider = o.provider AND q.state IN ('offered', 'accepted'))"
            ),
        )?;
        if over.is_empty() { Ok(()) } else { Err(format!("{place}: {offer} is more than {over:?}")) }
    }

    fn statement(&mut self, place: usize) -> Statement {
        let Self { random, next, accounts, .. } = self;
        let person = random.below(5);
        // Accounted rows have numbers of their own, inserted once by whoever counts next.
        let accounted: Vec<i64> = accounts.keys().copied().collect();
        let item = match random.below(3) {
            0 if !accounted.is_empty() => *random.pick(&accounted),
            _ => random.below(6) as i64,
        };
        let (word, number) = (*random.pick(&["a", "b", "c", "d"]), random.below(9) as i64);
        let note = random.below(5);
        let (sql, letters) = (String::new(), String::new());
        let offer = None;
        let mut statement =
            Statement { sql, item, adds: 0, takes: 0, letters, is_new: false, is_open: true, offer };
        statement.sql = match random.below(37) {
            0 | 1 => format!(
                "INSERT INTO people (id, mail, name, rank) VALUES ({person}, '{word}@{}', 'p{number}', {number})",
                random.below(2)
            ),
            2 => format!("UPDATE people SET mail = '{word}@{}' WHERE id = {person}", random.below(2)),
            3 => format!("UPDATE people SET name = '{word}{place}', rank = {number} WHERE id = {person}"),
            4 => format!("DELETE FROM people WHERE id = {person}"),
            5 | 6 => {
                *next += 1;
                statement.item = 1_000 + *next;
                statement.is_new = true;
                statement.is_open = false;
                "-".clone_into(&mut statement.letters);
                format!(
                    "INSERT INTO items (id, title, tags, stock) VALUES ({}, '{word}', '{{{word},z}}', {STOCK})",
                    statement.item
                )
            }
            7 => format!(
                "INSERT INTO items (id, owner, title) VALUES ({}, {person}, '{word}') ON CONFLICT (id) DO UPDATE SET n = items.n + 1, \
                 title = excluded.title",
                random.below(6)
            ),
            8 => {
                statement.is_open = false;
                statement.takes = number % 4;
                format!("UPDATE items SET stock = stock - {} WHERE id = {item}", number % 4)
            }
            9 | 10 => {
                statement.adds = number;
                statement.is_open = false;
                format!("UPDATE items SET n = n + {number} WHERE id = {item}")
            }
            11 => format!("UPDATE items SET n = {number} WHERE id = {item}"),
            12 => {
                statement.is_open = false;
                format!(
                    "UPDATE items SET title = '{word}{place}', top = {number}, low = {number} WHERE id = {item}"
                )
            }
            13 => {
                statement.is_open = false;
                format!(
                    "UPDATE items SET tags = add(remove(tags, 'z'), '{word}'), gone = add(gone, '{word}') WHERE id = {item}"
                )
            }
            14 => {
                statement.is_open = false;
                format!(
                    "UPDATE items SET tags = remove(tags, '{word}'), gone = remove(gone, '{word}') WHERE id = {item}"
                )
            }
            15 => {
                statement.is_open = false;
                let (set, other) = (random.pick(&["{a,b}", "{}", "{c}"]), random.pick(&["{x}", "{y}"]));
                format!(
                    "UPDATE items SET tags = '{set}', all_of = '{other}', grown = grown + 1, seen = NOT seen WHERE id = {item}"
                )
            }
            16 => format!("DELETE FROM items WHERE id = {item}"),
            17 => format!("UPDATE items SET owner = {person} WHERE id = {item}"),
            18 => format!(
                "INSERT INTO notes (id, parent, item, body) VALUES ({note}, {}, {item}, '{word}')",
                if random.one_in(2) { "NULL".to_owned() } else { random.below(5).to_string() }
            ),
            19 => format!(
                "UPDATE notes SET body = '{word}{place}', parent = {} WHERE id = {note}",
                random.below(5)
            ),
            20 => format!("DELETE FROM notes WHERE id = {note}"),
            // Somebody who offers and needs something.
            28..=31 => {
                let other = 6 + random.below(4);
                format!(
                    "INSERT INTO people (id, name, rank) VALUES ({person}, 'p{number}', {number}) ON CONFLICT (id) DO UPDATE SET rank = {number}; \
                     INSERT INTO items (id, owner, title, top) VALUES ({other}, {person}, '{word}', {}) ON CONFLICT (id) DO UPDATE SET owner = {person}, \
                     top = {}",
                    1 + number % 5,
                    1 + number % 4
                )
            }
            kind @ 32..=36 => {
                statement.is_open = false;
                *next += 1;
                let offer = format!("{}", *next);
                let answers = ["accepted", "declined", "fulfilled", "cancelled"];
                let sql = match (kind, number) {
                    (32, _) => format!(
                        "INSERT INTO \"shares.offers\" (id, provider, capacity, recipient, need, quantity) \
                         SELECT '{offer}', provider, capacity, recipient, need, quantity FROM shares ORDER BY recipient <> {person}, provider, tier, recipient, \
                         need LIMIT 1"
                    ),
                    (33, _) => format!(
                        "INSERT INTO \"shares.offers\" (id, provider, capacity, recipient, need, quantity, answer_by) VALUES ('{offer}', \
                         {person}, 0, {}, {item}, {}, now() + INTERVAL '{number} seconds')",
                        random.below(5),
                        1 + number % 4
                    ),
                    (_, 0) => {
                        "DELETE FROM \"shares.offers\" WHERE state NOT IN ('offered', 'accepted')".to_owned()
                    }
                    _ => format!(
                        "UPDATE \"shares.offers\" SET state = '{}' WHERE provider = {person} AND state = '{}'",
                        random.pick(&answers),
                        random.pick(&["offered", "accepted"])
                    ),
                };
                statement.offer = Some(offer);
                sql
            }
            21 => format!("UPDATE notes SET id = {} WHERE id = {note}", random.below(5)),
            // Of accounted rows each letter stays that was put in.
            kind => {
                statement.is_open = false;
                *next += 1;
                let text = format!("{word}{place}🦀{next}");
                let at = format!("least({number}, length(body))");
                let what = match (kind, item < 1_000) {
                    (22, true) => {
                        format!("delete_text(body, {at}, least({}, length(body) - {at}))", person + 1)
                    }
                    (23, true) => format!("'{text}'"),
                    (24, true) => format!("delete_text(insert_text(body, {at}, '{text}'), 0, 1)"),
                    (25, _) => format!("body || '{text}'"),
                    _ => format!("insert_text(body, {at}, '{text}')"),
                };
                statement.letters = text;
                format!("UPDATE items SET body = {what}, low = {number} WHERE id = {item}")
            }
        };
        statement
    }

    fn deliver(&mut self, place: usize) -> Result<(), String> {
        for message in std::mem::take(&mut self.driver(place).messages) {
            if let Some((sql, result)) = self.members[place].live.get_mut(&message.subscription.0) {
                result.take(&message.news).map_err(|error| format!("{place}: {sql}: {error}"))?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, place: usize, sql: &str) -> Result<Vec<String>, String> {
        loop {
            match self.driver(place).run(sql) {
                Ok(outcome) => return Ok(texts(&outcome.rows)),
                // A commit of the engine's own failed beside it.
                Err(RequestError::Storage(error)) => self.failed(place, &error)?,
                Err(error) => return Err(format!("{place}: {sql}: {error}")),
            }
        }
    }

    /// What must hold on a member at any time.
    fn look(&mut self, place: usize) -> Result<(), String> {
        let live: Vec<(&'static str, Vec<String>)> = self.members[place]
            .live
            .values()
            .map(|(sql, result)| {
                let rows = result.rows.iter().flatten();
                let rows: Vec<Row> = rows
                    .flat_map(|(row, weight)| std::iter::repeat_n(row.clone(), *weight as usize))
                    .collect();
                (*sql, texts(&rows))
            })
            .collect();
        for (sql, known) in live {
            let before = (self.failures, self.driver(place).engine.lsn());
            let asked = self.rows(place, sql)?;
            self.deliver(place)?;
            if before != (self.failures, self.driver(place).engine.lsn()) {
                // The engine made a commit of its own, or could not: what was known is of before.
                return self.look(place);
            }
            self.tally.comparisons += 1;
            if known != asked {
                return Err(format!("{place}: {sql}\n  live {known:?}\n  asked {asked:?}"));
            }
        }
        for (what, sql) in [
            ("CHECK", "SELECT id FROM items WHERE stock < 0"),
            ("UNIQUE", "SELECT mail FROM people GROUP BY mail HAVING count(*) > 1 AND mail IS NOT NULL"),
            (
                "owner",
                "SELECT id FROM items WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM people)",
            ),
            ("item", "SELECT id FROM notes WHERE item IS NOT NULL AND item NOT IN (SELECT id FROM items)"),
            (
                "parent",
                "SELECT id FROM notes WHERE parent IS NOT NULL AND parent NOT IN (SELECT id FROM notes)",
            ),
        ] {
            let broken = self.rows(place, sql)?;
            if !broken.is_empty() {
                let conflicts = self.rows(place, "SELECT * FROM deltaic.conflicts")?;
                let people = self.rows(place, "SELECT * FROM people")?;
                return Err(format!(
                    "{place}: {what} does not hold of {broken:?}\n  {people:?}\n  {conflicts:?}"
                ));
            }
        }
        self.after(place)
    }

    /// All is well again: the members come to the same.
    fn come_together(&mut self) -> Result<(), String> {
        self.sides.iter_mut().for_each(|side| *side = 0);
        for place in 0..self.members.len() {
            self.members[place].disk.set_plan(FaultPlan::default());
            // Whoever crashed before it had written down that there are others is told once more.
            self.join(place)?;
            // No offer is to expire behind what is compared.
            self.driver(place).wake(20_000_000);
            self.after(place)?;
        }
        for _ in 0..400 {
            while let Some((from, to, bytes)) = self.under_way.pop() {
                self.driver(to).peer(PeerInput::Received(actor(from), bytes));
                self.after(to)?;
            }
            let cuts: Vec<Option<VersionVector>> =
                (0..self.members.len()).map(|place| self.driver(place).engine.cut()).collect();
            if cuts[0].is_some() && cuts.windows(2).all(|pair| pair[0] == pair[1]) {
                return self.compare();
            }
            for place in 0..self.members.len() {
                self.driver(place).wake(500_000);
                self.after(place)?;
            }
        }
        Err("they do not come together".to_owned())
    }

    /// Lets what was gathered be worked out, and what a full disk refused be shown.
    fn settle(&mut self, place: usize) -> Result<(), String> {
        for _ in 0..3 {
            self.driver(place).wake(600_000);
            self.after(place)?;
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        for place in 0..self.members.len() {
            self.settle(place)?;
            self.look(place)?;
        }
        for sql in [
            "SELECT * FROM people",
            "SELECT * FROM items",
            "SELECT * FROM notes",
            "SELECT * FROM deltaic.conflicts",
            "SELECT * FROM shares",
            "SELECT * FROM \"shares.offers\"",
        ] {
            let first = self.rows(0, sql)?;
            for place in 1..self.members.len() {
                let other = self.rows(place, sql)?;
                if first != other {
                    return Err(format!("{sql}\n  0 {first:?}\n  {place} {other:?}"));
                }
            }
            self.tally.comparisons += 1;
        }
        let digests: BTreeSet<Option<u64>> =
            (0..self.members.len()).map(|place| self.driver(place).engine.digest()).collect();
        if digests.len() != 1 {
            return Err(format!("equal cuts and digests {digests:?}"));
        }
        let shares: Vec<_> =
            (0..self.members.len()).map(|place| self.driver(place).engine.allocation_status()).collect();
        if shares.windows(2).any(|pair| pair[0] != pair[1]) || !shares[0][0].is_certified {
            return Err(format!("equal rows and shares {shares:?}"));
        }
        for (what, sql) in [
            (
                "capacity",
                "SELECT provider FROM shares JOIN people ON id = provider GROUP BY provider, rank HAVING sum(quantity) > rank",
            ),
            (
                "need",
                "SELECT need FROM shares JOIN items ON id = need GROUP BY need, top HAVING sum(quantity) > top",
            ),
        ] {
            let over = self.rows(0, sql)?;
            if !over.is_empty() {
                return Err(format!("more than the {what} of {over:?}"));
            }
        }
        let items = self.rows(0, "SELECT id, n, stock FROM items WHERE id >= 1000")?;
        let texts = self.rows(0, "SELECT id, body FROM items WHERE id >= 1000")?;
        let letters = |text: &str| {
            let mut letters: Vec<char> = text.chars().collect();
            letters.sort_unstable();
            letters
        };
        for (id, account) in &self.accounts {
            let text = texts.iter().find_map(|text| text.strip_prefix(&format!("{id}|")));
            if !account.is_open && text.map(letters) != Some(letters(&account.letters)) {
                return Err(format!("item {id}: {text:?}, where {:?} was acknowledged", account.letters));
            }
            let found = items.iter().find(|item| item.starts_with(&format!("{id}|")));
            if !account.is_open && found != Some(&format!("{id}|{}|{}", account.sum, STOCK - account.taken)) {
                return Err(format!("item {id}: {found:?}, where {} was acknowledged", account.sum));
            }
        }
        // A restart changes nothing of it.
        let place = self.random.below(self.members.len());
        let before: Vec<Vec<String>> =
            QUERIES.iter().map(|sql| self.rows(place, sql)).collect::<Result<_, _>>()?;
        self.restart(place)?;
        self.settle(place)?;
        let after: Vec<Vec<String>> =
            QUERIES.iter().map(|sql| self.rows(place, sql)).collect::<Result<_, _>>()?;
        if before != after {
            return Err(format!("{place} after a restart\n  {before:?}\n  {after:?}"));
        }
        self.look(place)
    }
}

/// A statement, and what the world's account says of it.
struct Statement {
    sql: String,
    item: i64,
    /// What it adds to the item's counter.
    adds: i64,
    /// What it takes of the item's stock.
    takes: i64,
    /// What it puts into the item's text.
    letters: String,
    /// Whether it makes an accounted row.
    is_new: bool,
    /// Whether the row is not accounted for any more.
    is_open: bool,
    /// The offer that it makes, if any, where it is about offers.
    offer: Option<String>,
}

impl Statement {
    fn made(&self, accounts: &mut BTreeMap<i64, Account>, rows: u64) {
        if self.is_new {
            accounts.insert(self.item, Account::default());
        }
        if let Some(account) = accounts.get_mut(&self.item) {
            account.sum += self.adds * rows as i64;
            account.taken += self.takes * rows as i64;
            account.letters.extend(self.letters.chars().filter(|_| rows > 0));
            account.is_open |= self.is_open;
        }
    }

    /// Nobody knows whether it was made.
    fn open(&self, accounts: &mut BTreeMap<i64, Account>) {
        if let Some(account) = accounts.get_mut(&self.item) {
            account.is_open = true;
        }
    }
}
