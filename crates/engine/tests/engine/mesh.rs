//! Engines that write apart and merge.

use std::collections::VecDeque;

use deltaic_causality::{ActorId, VersionVector};
use deltaic_crdt::anti_entropy::Settings;
use deltaic_engine::{Input, PeerInput, PeerNews, ToPeer};

use crate::common::{Db, SECOND};

/// Some databases, and what is on its way between them.
pub(crate) struct Members {
    pub(crate) dbs: Vec<Db>,
    actors: Vec<ActorId>,
    under_way: VecDeque<(ActorId, ToPeer)>,
    /// Whether messages are lost.
    parted: bool,
}

impl Members {
    /// Databases that know each other, after these statements in each.
    pub(crate) fn of(count: u64, sql: &str) -> Self {
        Self::with(&(1..=count).map(ActorId).collect::<Vec<_>>(), sql)
    }

    /// The same under these names.
    pub(crate) fn with(actors: &[ActorId], sql: &str) -> Self {
        let db = |actor: &ActorId| {
            let mut db = Db::of(*actor);
            db.ok(sql);
            (*actor, db)
        };
        Self::over(actors.iter().map(db).collect())
    }

    /// Databases that get to know each other.
    pub(crate) fn over(dbs: Vec<(ActorId, Db)>) -> Self {
        let (actors, mut dbs): (Vec<ActorId>, Vec<Db>) = dbs.into_iter().unzip();
        for db in &mut dbs {
            db.engine.set_sync(Settings { most_interval: 1_000_000, ..Settings::default() });
        }
        let under_way = VecDeque::new();
        let mut members = Self { dbs, actors, under_way, parted: false };
        for place in 0..members.dbs.len() {
            for other in members.actors.iter().filter(|other| **other != members.actors[place]) {
                members.dbs[place].step(Input::Peer(PeerInput::Join(*other)));
            }
        }
        members.settle();
        members
    }

    /// What databases are told that get to know each other, in so many seconds.
    pub(crate) fn joined(dbs: Vec<(ActorId, Db)>, seconds: usize) -> Vec<PeerNews> {
        let (actors, dbs): (Vec<ActorId>, Vec<Db>) = dbs.into_iter().unzip();
        let mut members = Self { dbs, actors: actors.clone(), under_way: VecDeque::new(), parted: false };
        for (place, db) in members.dbs.iter_mut().enumerate() {
            for other in actors.iter().filter(|other| **other != actors[place]) {
                db.step(Input::Peer(PeerInput::Join(*other)));
            }
        }
        members.pass(seconds);
        members.dbs.into_iter().flat_map(|db| db.peer_news).collect()
    }

    /// Lets seconds pass, and what is sent arrive.
    pub(crate) fn pass(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.deliver();
            for db in &mut self.dbs {
                db.pass(1);
            }
        }
    }

    /// Delivers what is under way, and what comes of it.
    pub(crate) fn deliver(&mut self) {
        loop {
            for (place, db) in self.dbs.iter_mut().enumerate() {
                let from = self.actors[place];
                self.under_way.extend(db.peers.drain(..).map(|message| (from, message)));
            }
            let Some((from, ToPeer { peer, bytes })) = self.under_way.pop_front() else { return };
            if !self.parted {
                let to = self.actors.iter().position(|actor| *actor == peer).unwrap();
                self.dbs[to].step(Input::Peer(PeerInput::Received(from, bytes)));
            }
        }
    }

    /// Lets time pass until all hold the same; the digest of that.
    pub(crate) fn settle(&mut self) -> u64 {
        for _ in 0..200 {
            self.deliver();
            let cuts: Vec<_> = self.dbs.iter().map(|db| db.engine.cut().unwrap()).collect();
            if cuts.windows(2).all(|pair| pair[0] == pair[1]) {
                let digests: Vec<_> = self.dbs.iter().map(|db| db.engine.digest()).collect();
                assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "equal cuts and other states");
                return digests[0].unwrap();
            }
            for db in &mut self.dbs {
                db.now += SECOND;
                db.step(Input::Wake);
            }
        }
        panic!(
            "they do not come together: {:?}",
            self.dbs.iter().map(|db| db.engine.cut()).collect::<Vec<_>>()
        );
    }

    /// The rows of a query, which are the same everywhere.
    #[track_caller]
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<String> {
        let all: Vec<Vec<String>> = self.dbs.iter_mut().map(|db| db.rows(sql)).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{sql}: {all:#?}");
        all[0].clone()
    }
}

const POSTS: &str = "CREATE TABLE posts (
    id integer PRIMARY KEY, title text, votes counter, tags add_wins_set(text), top max(integer), done flag
)";

#[test]
fn what_is_written_apart_comes_together() {
    let mut members = Members::of(3, POSTS);
    members.dbs[0].ok("INSERT INTO posts (id, title, tags) VALUES (1, 'Draft', '{a,b}'), (2, 'Other', '{}')");
    members.settle();
    assert_eq!(
        members.rows("SELECT * FROM posts ORDER BY id"),
        ["1|Draft|0|{a,b}|NULL|false", "2|Other|0|{}|NULL|false"]
    );
    for (place, db) in members.dbs.iter_mut().enumerate() {
        let got = db.subscribe(1, "SELECT sum(votes) FROM posts");
        assert_eq!(got.len(), 1, "{place}");
        db.ok(&format!("UPDATE posts SET votes = votes + {}, top = {place} WHERE id = 1", 10 + place));
    }
    members.dbs[0].ok("UPDATE posts SET tags = add(tags, 'c'), done = true WHERE id = 1");
    members.dbs[1].ok("UPDATE posts SET tags = remove(tags, 'a'), title = 'Late' WHERE id = 1");
    members.dbs[2].ok("DELETE FROM posts WHERE id = 2");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM posts ORDER BY id"), ["1|Late|33|{b,c}|2|true"]);
}

/// What `deltaic.conflicts` says, without the dots and the time.
const CONFLICTS: &str = "SELECT kind, relation, key, columns, loser, winner, policy, state FROM deltaic.conflicts ORDER BY kind, relation, \
                         key, columns, state, loser";

#[test]
fn a_manual_conflict_is_open_until_somebody_who_has_seen_it_writes() {
    let mut members =
        Members::of(2, "CREATE TABLE posts (id integer PRIMARY KEY, title text CONFLICT MANUAL, body text)");
    members.dbs[0].ok("INSERT INTO posts VALUES (1, 'a', 'x')");
    members.settle();
    members.parted = true;
    members.dbs[0].ok("UPDATE posts SET title = 'b'");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("UPDATE posts SET title = 'c', body = 'y'");
    members.deliver();
    members.parted = false;
    assert_eq!(members.dbs[1].subscribe(1, CONFLICTS).len(), 1);
    members.settle();
    assert_eq!(members.rows("SELECT * FROM posts"), ["1|c|y"]);
    let open = r#"write-write|posts|[1]|title|"b"|"c"|manual|open"#;
    assert_eq!(members.rows(CONFLICTS), [open]);
    assert_eq!(members.dbs[1].news(), [format!("1: +{open}")]);
    assert_eq!(members.dbs[0].engine.conflict_counts().get("write-write"), Some(&1));
    members.dbs[0].ok("UPDATE posts SET title = 'b' WHERE id = 1");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM posts"), ["1|b|y"]);
    let resolved = r#"write-write|posts|[1]|title|"b"|"c"|manual|resolved"#;
    assert_eq!(members.rows(CONFLICTS), [resolved]);
    assert_eq!(members.dbs[1].news(), [format!("1: -{open} +{resolved}")]);
    // Who assigns what stands already decides too; who writes to another column does not.
    members.parted = true;
    members.dbs[0].ok("UPDATE posts SET title = 'd'");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("UPDATE posts SET title = 'e'");
    members.deliver();
    members.parted = false;
    members.settle();
    members.dbs[0].ok("UPDATE posts SET body = 'z'");
    members.settle();
    let open = "SELECT loser, winner FROM deltaic.conflicts WHERE state = 'open'";
    assert_eq!(members.rows(open), [r#""d"|"e""#]);
    members.dbs[0].ok("UPDATE posts SET title = 'e'");
    members.settle();
    assert_eq!(members.rows(open), [""; 0]);
    assert_eq!(members.rows("SELECT * FROM posts"), ["1|e|z"]);
    members.dbs[0].ok("DELETE FROM posts; INSERT INTO posts VALUES (1, 'b', 'y')");
    members.settle();
    let resolved = [resolved.to_owned(), r#"write-write|posts|[1]|title|"d"|"e"|manual|resolved"#.to_owned()];
    // What was resolved is kept over a restart.
    let db = members.dbs.remove(0).restart();
    members.dbs.insert(0, db);
    assert_eq!(members.rows(CONFLICTS), resolved);
}

#[test]
fn of_a_group_the_write_with_the_greater_rank_wins_whole() {
    let mut members = Members::of(
        2,
        "CREATE TABLE tasks (id integer PRIMARY KEY, state text CONFLICT PRIORITY (rank), rank integer, who text, GROUP (state, rank))",
    );
    members.dbs[0].ok("INSERT INTO tasks VALUES (1, 'new', 0, 'ann')");
    members.settle();
    members.parted = true;
    members.dbs[0].ok("UPDATE tasks SET state = 'closed', rank = 9");
    members.deliver();
    members.dbs[1].now += 5 * SECOND;
    members.dbs[1].ok("UPDATE tasks SET state = 'open', rank = 1, who = 'bob'");
    members.deliver();
    members.parted = false;
    members.settle();
    assert_eq!(members.rows("SELECT * FROM tasks"), ["1|closed|9|bob"]);
    assert_eq!(
        members.rows(CONFLICTS),
        [r#"write-write|tasks|[1]|state, rank|["open",1]|["closed",9]|priority|decided"#]
    );
}

#[test]
fn of_two_rows_with_one_unique_value_the_first_is_seen_and_the_other_when_that_goes() {
    let sql = "CREATE TABLE people (id integer PRIMARY KEY, mail text UNIQUE);
        CREATE TABLE items (id integer PRIMARY KEY, owner integer REFERENCES people ON DELETE CASCADE)";
    let mut members = Members::of(2, sql);
    members.parted = true;
    members.dbs[0].ok("INSERT INTO people VALUES (1, 'a@x'); INSERT INTO items VALUES (10, 1)");
    members.deliver();
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO people VALUES (2, 'a@x'); INSERT INTO items VALUES (20, 2)");
    members.deliver();
    members.parted = false;
    members.settle();
    assert_eq!(members.rows("SELECT * FROM people"), ["1|a@x"]);
    assert_eq!(members.rows("SELECT * FROM items"), ["10|1"]);
    assert_eq!(
        members.rows(CONFLICTS),
        [
            "reference|items|[20]|items_owner_fkey|[2]|NULL|rule|open",
            "unique|people|[2]|people_mail_key|[2]|[1]|rule|open"
        ]
    );
    // Nobody takes the value meanwhile, also not where the row that has it is not seen.
    assert_eq!(members.dbs[1].code("INSERT INTO people VALUES (3, 'a@x')"), "23505");
    members.dbs[0].ok("DELETE FROM people WHERE id = 1");
    assert_eq!(members.dbs[0].rows("SELECT * FROM people"), ["2|a@x"], "in the same commit");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM people"), ["2|a@x"]);
    assert_eq!(members.rows("SELECT * FROM items"), ["20|2"]);
    assert_eq!(members.rows(CONFLICTS), [""; 0]);
}

#[test]
fn a_row_is_hidden_while_what_it_refers_to_is_gone() {
    let sql = "CREATE TABLE people (id integer PRIMARY KEY, name text);
        CREATE TABLE items (id integer PRIMARY KEY, owner integer REFERENCES people ON DELETE CASCADE)";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO people VALUES (1, 'ann')");
    members.settle();
    members.parted = true;
    members.dbs[0].ok("DELETE FROM people WHERE id = 1");
    members.dbs[1].ok("INSERT INTO items VALUES (10, 1)");
    members.deliver();
    members.parted = false;
    members.settle();
    assert_eq!(members.rows("SELECT * FROM items"), [""; 0]);
    assert_eq!(members.rows(CONFLICTS), ["reference|items|[10]|items_owner_fkey|[1]|NULL|rule|open"]);
    members.dbs[0].ok("INSERT INTO people VALUES (1, 'eve')");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM items"), ["10|1"]);
    assert_eq!(members.rows(CONFLICTS), [""; 0]);
}

#[test]
fn a_write_that_a_deletion_had_not_seen_brings_the_row_back_unless_deletions_win() {
    let sql = "CREATE TABLE a (id integer PRIMARY KEY, n counter); CREATE TABLE b (id integer PRIMARY KEY, n counter) REMOVE WINS";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO a VALUES (1, 5); INSERT INTO b VALUES (1, 5)");
    members.settle();
    members.parted = true;
    members.dbs[0].ok("DELETE FROM a; DELETE FROM b");
    members.dbs[1].ok("UPDATE a SET n = n + 1; UPDATE b SET n = n + 1");
    members.deliver();
    members.parted = false;
    members.settle();
    assert_eq!(members.rows("SELECT * FROM a"), ["1|6"]);
    assert_eq!(members.rows("SELECT * FROM b"), [""; 0]);
}

/// The seed's example: two bookings of one room at one time, each admitted where it was made.
#[test]
fn two_bookings_of_one_room_are_a_conflict_as_long_as_both_stand() {
    let sql = "CREATE TABLE bookings (id integer PRIMARY KEY, room text, starts integer, ends integer);
        CREATE LIVE VIEW double_booked MUST BE EMPTY AS SELECT a.room, a.id AS one, b.id AS other FROM bookings a JOIN bookings b ON \
        a.room = b.room AND a.id < b.id AND a.starts < b.ends AND b.starts < a.ends";
    let mut members = Members::of(2, sql);
    let places: [&[&str]; 2] = [&["1, 'r', 9, 11", "3, 's', 1, 9"], &["2, 'r', 10, 12", "4, 'r', 12, 13"]];
    members.parted = true;
    for (db, rows) in members.dbs.iter_mut().zip(places) {
        for row in rows {
            db.ok(&format!("INSERT INTO bookings VALUES ({row})"));
        }
        assert_eq!(db.rows(CONFLICTS), [""; 0]);
    }
    members.deliver();
    members.parted = false;
    members.settle();
    for db in &mut members.dbs {
        db.pass(1);
    }
    assert_eq!(members.rows(CONFLICTS), [r#"semantic|double_booked|["r",1,2]||NULL|NULL|rule|open"#]);
    assert_eq!(members.dbs[1].engine.conflict_counts().get("semantic"), Some(&1));
    members.dbs[0].ok("DELETE FROM bookings WHERE id = 2");
    members.settle();
    for db in &mut members.dbs {
        db.pass(1);
    }
    assert_eq!(members.rows(CONFLICTS), [""; 0]);
    members.dbs[0].ok("INSERT INTO bookings VALUES (5, 'r', 12, 14)");
    members.dbs[0].pass(1);
    assert_eq!(
        members.dbs[0].rows("SELECT relation, key FROM deltaic.conflicts"),
        [r#"double_booked|["r",4,5]"#]
    );
    members.dbs[0].ok("DROP LIVE VIEW double_booked");
    members.dbs[0].pass(1);
    assert_eq!(members.dbs[0].rows(CONFLICTS), [""; 0]);
}

/// What is found is found again when the view can be computed again.
#[test]
fn a_rule_that_could_not_be_computed_for_a_while_lists_what_it_had() {
    let mut db = Db::with(
        "CREATE TABLE t (id integer PRIMARY KEY, n integer);
        CREATE LIVE VIEW tenths MUST BE EMPTY AS SELECT id FROM t WHERE 10 / n > 3",
    );
    db.ok("INSERT INTO t VALUES (1, 1), (2, 5)");
    db.pass(1);
    let listed = "SELECT key FROM deltaic.conflicts ORDER BY key";
    assert_eq!(db.rows(listed), ["[1]"]);
    db.ok("INSERT INTO t VALUES (3, 0)");
    db.pass(1);
    assert_eq!(db.rows(listed), [""; 0]);
    db.ok("UPDATE t SET n = 2 WHERE id = 3");
    db.pass(1);
    assert_eq!(db.rows(listed), ["[1]", "[3]"]);
}

/// An author who was away writes to one server by what they had seen.
#[test]
fn what_comes_late_replaces_nothing_that_its_author_had_not_seen() {
    let mut db = Db::with(
        "CREATE TABLE t (id integer PRIMARY KEY, title text, note text CONFLICT MANUAL, seats integer CONFLICT CUSTOM (least(ours, theirs)), \
         tags add_wins_set(text), n counter, status text)",
    );
    db.ok("INSERT INTO t VALUES (1, 'a', 'x', 9, '{p,q}', 1, 'open'), (2, 'a', 'x', 9, '{}', 1, 'open')");
    // Whoever wants to write late is told what they have seen.
    db.basis = Some(VersionVector::default());
    let seen = db.ok("SELECT * FROM t").cut.unwrap();
    db.basis = None;
    db.ok("UPDATE t SET title = 'b', note = 'y', seats = 4, tags = add(tags, 'r'), n = n + 10, status = 'closed' WHERE id = 1");
    db.basis = Some(seen.clone());
    db.ok("UPDATE t SET title = 'c', note = 'z', seats = 7, tags = '{q}', n = n + 100 WHERE id = 1 AND status IN ('open', 'closed')");
    db.basis = None;
    assert_eq!(db.rows("SELECT * FROM t WHERE id = 1"), ["1|c|z|4|{q,r}|111|closed"]);
    assert_eq!(
        db.rows(CONFLICTS),
        [
            r#"read-write|t|[1]|status|NULL|"closed"|lww|decided"#,
            r#"write-write|t|[1]|note|"y"|"z"|manual|open"#,
            r"write-write|t|[1]|seats|7|4|custom|decided",
            r#"write-write|t|[1]|title|"b"|"c"|lww|decided"#,
        ]
    );
    // A third one beside two decides nothing between them.
    db.basis = Some(seen.clone());
    db.ok("UPDATE t SET note = 'w' WHERE id = 1");
    db.basis = None;
    let notes = "SELECT loser, winner, state FROM deltaic.conflicts WHERE columns = 'note' ORDER BY loser";
    assert_eq!(db.rows(notes), [r#""y"|"w"|open"#, r#""z"|"w"|open"#]);
    // A deletion by somebody who had not seen the last write leaves the row.
    db.basis = Some(seen);
    db.ok("DELETE FROM t");
    db.basis = None;
    assert_eq!(db.rows("SELECT id FROM t"), ["1"]);
    let mut db = db.restart();
    assert_eq!(db.rows("SELECT id, title FROM t"), ["1|c"]);
    assert_eq!(db.rows("SELECT count(*) FROM deltaic.conflicts WHERE state = 'open'"), ["2"]);
}

#[test]
fn tables_and_columns_that_others_do_not_have_yet_come_with_their_definitions() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, a text)");
    members.dbs[0].ok("INSERT INTO t VALUES (1, 'x')");
    members.dbs[0].ok("ALTER TABLE t ADD COLUMN b counter; ALTER TABLE t ADD COLUMN c text DEFAULT 'd'");
    members.dbs[0].ok("CREATE TABLE u (id integer PRIMARY KEY, v text); INSERT INTO u VALUES (7, 'v')");
    members.dbs[0].ok("UPDATE t SET b = b + 3, c = 'e' WHERE id = 1; INSERT INTO t VALUES (2, 'y')");
    members.settle();
    assert_eq!(members.dbs[1].rows("SELECT * FROM t ORDER BY id"), ["1|x", "2|y"]);
    members.dbs[1].ok("ALTER TABLE t ADD COLUMN b counter; ALTER TABLE t ADD COLUMN c text DEFAULT 'd'");
    members.dbs[1].ok("CREATE TABLE u (id integer PRIMARY KEY, v text)");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t ORDER BY id"), ["1|x|3|e", "2|y|0|d"]);
    assert_eq!(members.rows("SELECT * FROM u"), ["7|v"]);
}

#[test]
fn rows_without_a_key_of_their_own_stay_apart() {
    let mut members = Members::of(2, "CREATE TABLE log (line text); INSERT INTO log VALUES ('early')");
    for (place, db) in members.dbs.iter_mut().enumerate() {
        db.ok(&format!("INSERT INTO log VALUES ('from {place}')"));
    }
    members.settle();
    assert_eq!(members.rows("SELECT line FROM log ORDER BY line"), ["early", "early", "from 0", "from 1"]);
}

/// Tables that show the same rows otherwise are told of by name, and nothing is exchanged until they are defined equally.
#[test]
fn members_whose_tables_differ_are_refused_by_name() {
    let t = "CREATE TABLE t (id integer PRIMARY KEY, a text, b text)";
    let cases = [
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a integer, b text)",
            "column \"a\": type text here and integer there",
        ),
        (
            "CREATE TABLE t (id bigint PRIMARY KEY, a text, b text)",
            "column \"id\": type integer here and bigint there",
        ),
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a text DEFAULT 'x', b text)",
            "default none here and 'x' there",
        ),
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a text CONFLICT MANUAL, b text)",
            "conflict none here and CONFLICT MANUAL there",
        ),
        ("CREATE TABLE t (id integer, a text PRIMARY KEY, b text)", "key id here and a there"),
        ("CREATE TABLE t (id integer PRIMARY KEY, a text, b text UNIQUE)", "unique none here and b there"),
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, GROUP (a, b))",
            "group none here and a, b there",
        ),
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a text, b text) REMOVE WINS",
            "deletions none here and win there",
        ),
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a text CONFLICT CUSTOM (ours || theirs), b text)",
            "one server alone",
        ),
    ];
    for (other, why) in cases {
        let actors = vec![ActorId(1), ActorId(2)];
        let mut members = Members { dbs: Vec::new(), actors, under_way: VecDeque::new(), parted: false };
        for (place, sql) in [t, other].into_iter().enumerate() {
            let mut db = Db::of(ActorId(place as u64 + 1));
            db.ok(sql);
            members.dbs.push(db);
        }
        members.dbs[0].ok("INSERT INTO t (id, a) VALUES (1, '1')");
        for place in 0..2 {
            members.dbs[place].step(Input::Peer(PeerInput::Join(ActorId(2 - place as u64))));
        }
        members.deliver();
        for db in &mut members.dbs {
            db.pass(20);
        }
        members.deliver();
        let news = std::mem::take(&mut members.dbs[0].peer_news);
        let [PeerNews::OtherSchema { peer, mismatch }] = &news[..] else { panic!("{other}: {news:?}") };
        assert!(*peer == ActorId(2) && mismatch.to_string().contains(why), "{other}: {mismatch}");
        assert_eq!(members.dbs[1].rows("SELECT count(*) FROM t"), ["0"], "{other}");
        // Defined equally, all comes.
        members.dbs[1].ok(&format!("DROP TABLE t; {t}"));
        members.settle();
        assert_eq!(members.rows("SELECT * FROM t"), ["1|1|NULL"], "{other}");
    }
}

/// What peers send is foreign: whatever it is, it is an error or a value, and the engine goes on.
#[test]
fn damaged_messages_of_a_peer_do_no_harm() {
    let sql = "CREATE TABLE people (id integer PRIMARY KEY, mail text UNIQUE, rank smallint NOT NULL);
        CREATE TABLE items (id integer PRIMARY KEY, owner integer REFERENCES people ON DELETE CASCADE, tags add_wins_set(text),
        n counter, top max(integer), gone remove_wins_set(text), done flag, grown grow_counter, all_of multi_value(text))";
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        (number % below as u64) as usize
    };
    let mut heard = 0;
    let mut members = Members::of(2, sql);
    for turn in 0..240 {
        if turn % 8 == 0 {
            // One that says that the other was restored from a copy ends what they say to each other.
            members = Members::of(2, sql);
            members.dbs[1].subscribe(1, "SELECT owner, sum(n), max(top) FROM items GROUP BY owner");
        }
        let id = turn % 7;
        let db = &mut members.dbs[0];
        drop(db.run(&format!("INSERT INTO people VALUES ({id}, 'm{}', {turn})", turn % 3), &[]));
        let item = format!(
            "INSERT INTO items (id, owner, tags, top, gone) VALUES ({id}, {id}, '{{a,b}}', {turn}, '{{c}}')"
        );
        drop(db.run(&item, &[]));
        let update = "SET n = n + 1, grown = grown + 1, done = NOT done, tags = add(tags, 'z'), all_of = '{q}', gone = remove(gone, 'c')";
        drop(db.run(&format!("UPDATE items {update} WHERE id = {id}"), &[]));
        drop(db.run(&format!("DELETE FROM people WHERE id = {}", (id + 3) % 7), &[]));
        db.pass(1);
        for message in std::mem::take(&mut db.peers) {
            for _ in 0..8 {
                let mut bytes = message.bytes.clone();
                for _ in 0..=random(3) {
                    // The wrapping stays mostly whole, so that what is in it is read.
                    let at = if random(10) == 0 {
                        random(bytes.len())
                    } else {
                        bytes.len() - 1 - random(bytes.len().div_ceil(2))
                    };
                    match random(4) {
                        0 => bytes[at] = random(256) as u8,
                        1 => bytes[at] ^= 1 << random(8),
                        2 => drop(bytes.remove(at)),
                        _ => bytes.truncate(at.max(1)),
                    }
                    if bytes.is_empty() {
                        bytes.push(0);
                    }
                }
                members.dbs[1].step(Input::Peer(PeerInput::Received(ActorId(1), bytes)));
                heard += 1;
            }
            members.dbs[1].step(Input::Peer(PeerInput::Received(ActorId(1), message.bytes)));
        }
        let other = &mut members.dbs[1];
        other.peer_news.clear();
        for answer in std::mem::take(&mut other.peers) {
            members.dbs[0].step(Input::Peer(PeerInput::Received(ActorId(2), answer.bytes)));
        }
        members.dbs[0].peer_news.clear();
        drop(members.dbs[1].news());
        assert_eq!(
            members.dbs[1].rows("SELECT count(*) FROM items WHERE owner NOT IN (SELECT id FROM people)"),
            ["0"]
        );
        members.dbs[1].rows("SELECT * FROM items, people");
        members.dbs[1].rows("SELECT * FROM deltaic.conflicts");
    }
    assert!(heard > 1_000, "{heard}");
    let mut db = members.dbs.remove(1).restart();
    db.rows("SELECT * FROM items");
}

/// Two servers over copies of one store, both alive: whichever comes later is found out, or the rows that differ are named.
#[test]
fn one_name_that_two_servers_bear_is_found_out() {
    let pair = || {
        let mut members = Members::of(
            2,
            "CREATE TABLE t (id integer PRIMARY KEY, a text); CREATE TABLE other (id integer PRIMARY KEY)",
        );
        members.dbs[0].ok("INSERT INTO t VALUES (1, 'both'); INSERT INTO other VALUES (1)");
        members.settle();
        let copy = members.dbs[0].store.clone();
        members.dbs[0].ok("INSERT INTO t VALUES (2, 'the first one')");
        members.settle();
        let mut second = Db::over(copy);
        second.now = members.dbs[0].now + SECOND;
        (second, members)
    };
    // The second has written less than the first had told: it lacks writes of its own name.
    let (second, mut members) = pair();
    members.dbs[0] = second;
    members.pass(40);
    assert_eq!(members.dbs[0].peer_news, [PeerNews::Restored { by: ActorId(2) }]);
    assert_eq!(members.dbs[1].rows("SELECT id FROM t ORDER BY id"), ["1", "2"]);

    // It has written as much before it says anything, and something else: equal cuts, and other rows.
    let (mut second, mut members) = pair();
    second.ok("INSERT INTO t VALUES (3, 'the second one')");
    let mut first = std::mem::replace(&mut members.dbs[0], second.restart());
    members.pass(40);
    for place in 0..2 {
        let peer = ActorId(2 - place as u64);
        let alarm = PeerNews::Diverged { peer, tables: vec!["t".to_owned()] };
        let news = &members.dbs[place].peer_news;
        assert!(!news.is_empty() && news.iter().all(|news| *news == alarm), "{place}: {news:?}");
        assert!(members.dbs[place].engine.sync_metrics().diverged > 0);
    }
    // The first is told too, with its next word.
    members.deliver();
    first.now = members.dbs[0].now;
    first.ok("INSERT INTO t VALUES (4, 'later')");
    std::mem::swap(&mut first, &mut members.dbs[0]);
    members.pass(40);
    assert_eq!(members.dbs[0].peer_news.last(), Some(&PeerNews::Restored { by: ActorId(2) }));
}

#[test]
fn a_counter_that_passes_its_type_reads_as_the_greatest_number() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, n counter)");
    members.dbs[0].ok("INSERT INTO t VALUES (1, 0)");
    members.settle();
    for db in &mut members.dbs {
        db.ok("UPDATE t SET n = n + 5000000000000000000");
        assert_eq!(db.code("UPDATE t SET n = n + 5000000000000000000"), "22003");
    }
    members.settle();
    assert_eq!(members.rows("SELECT n FROM t"), ["9223372036854775807"]);
    members.dbs[0].ok("UPDATE t SET n = n - 5000000000000000000");
    members.settle();
    assert_eq!(members.rows("SELECT n FROM t"), ["5000000000000000000"], "all that was added counts");
}

/// What a member with a wrong clock has committed is merged; what is admitted after it would be before it, so nothing is until the
/// clock is right.
#[test]
fn a_member_whose_clock_is_years_ahead_is_merged_and_stops_admission() {
    let mut members = Members::of(2, "CREATE TABLE t (id integer PRIMARY KEY, a text)");
    members.dbs[1].now += 3 * 365 * 86_400 * SECOND;
    members.dbs[1].ok("INSERT INTO t VALUES (1, 'ahead')");
    members.deliver();
    for _ in 0..5 {
        members.dbs[1].pass(1);
        members.deliver();
    }
    assert_eq!(members.dbs[0].rows("SELECT a FROM t"), ["ahead"]);
    let (code, message) = members.dbs[0].error("INSERT INTO t VALUES (2, 'now')");
    assert!(code == "57P03" && message.contains("set the clock"), "{message}");
    members.dbs[0].now = members.dbs[1].now;
    members.dbs[0].ok("INSERT INTO t VALUES (2, 'now')");
}

#[test]
fn a_row_that_was_deleted_stays_for_one_that_refers_to_it_and_goes_with_that() {
    let sql = "CREATE TABLE people (id integer PRIMARY KEY, name text);
        CREATE TABLE teams (id integer PRIMARY KEY, lead integer REFERENCES people);
        CREATE TABLE tasks (id integer PRIMARY KEY, team integer REFERENCES teams)";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO people VALUES (1, 'ann'), (2, 'bob'); INSERT INTO teams VALUES (7, 1)");
    members.settle();
    members.parted = true;
    members.dbs[0].ok("DELETE FROM teams; DELETE FROM people WHERE id = 1");
    members.dbs[1].ok("INSERT INTO tasks VALUES (70, 7)");
    members.deliver();
    members.parted = false;
    members.settle();
    // The task keeps its team, and that the one who leads it.
    for (sql, rows) in [("tasks", "70|7"), ("teams", "7|1")] {
        assert_eq!(members.rows(&format!("SELECT * FROM {sql}")), [rows]);
    }
    assert_eq!(members.rows("SELECT * FROM people ORDER BY id"), ["1|ann", "2|bob"]);
    assert_eq!(members.rows(CONFLICTS), [""; 0]);
    // Time passes, and all that is stable is forgotten but what somebody refers to.
    for _ in 0..5 {
        for db in &mut members.dbs {
            db.pass(5);
        }
        members.settle();
    }
    let mut db = members.dbs.remove(1).restart();
    assert_eq!(db.rows("SELECT id FROM people ORDER BY id"), ["1", "2"]);
    members.dbs.insert(1, db);
    members.dbs[0].ok("DELETE FROM tasks");
    assert_eq!(members.dbs[0].rows("SELECT id FROM people"), ["2"], "nobody keeps them any more");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM teams"), [""; 0]);
    assert_eq!(members.rows("SELECT * FROM people"), ["2|bob"]);
}

/// What a column that merges begins with is a write like others, also where it is its default.
#[test]
fn columns_begin_with_what_was_written_to_them() {
    let sql = "CREATE TABLE t (id integer PRIMARY KEY, n counter DEFAULT 3, g grow_counter DEFAULT 2, s add_wins_set(text) DEFAULT '{a}', \
               f flag DEFAULT true, m max(integer) DEFAULT 5)";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO t (id) VALUES (1)");
    members.settle();
    members.dbs[1].ok("UPDATE t SET n = n + 1, g = g + 1, s = add(s, (SELECT 'b')), m = 4");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t"), ["1|4|3|{a,b}|true|5"]);
    members.dbs[0].ok("UPDATE t SET f = false, s = remove(s, 'a')");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM t"), ["1|4|3|{b}|false|5"]);
    // Each server would write it once more.
    let (code, message) = members.dbs[0].error("ALTER TABLE t ADD COLUMN o counter DEFAULT 7");
    assert!(code == "0A000" && message.contains("column \"o\" merges"), "{message}");
    members.dbs[0].ok("ALTER TABLE t ADD COLUMN o counter; UPDATE t SET o = 7");
    members.dbs[0].ok(
        "ALTER TABLE t ADD COLUMN at timestamptz DEFAULT now(); ALTER TABLE t ADD COLUMN p text DEFAULT 'p'",
    );
    let rows = members.dbs[0].rows("SELECT o, at, p FROM t");
    for sql in ["o counter", "at timestamptz DEFAULT now()", "p text DEFAULT 'p'"] {
        members.dbs[1].now += SECOND;
        members.dbs[1].ok(&format!("ALTER TABLE t ADD COLUMN {sql}"));
    }
    members.settle();
    assert_eq!(members.rows("SELECT o, p FROM t"), ["7|p"]);
    members.rows("SELECT at FROM t");
    assert!(rows[0].starts_with("7|2023-11-14"), "{rows:?}");
}

/// Each server takes what it has the right to, so that no partition sells what is not there; who lacks rights asks for some.
#[test]
fn a_counter_that_stays_above_zero_is_never_taken_below_it_by_several() {
    let sql = "CREATE TABLE shows (id integer PRIMARY KEY, seats counter CHECK (seats >= 0))";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO shows VALUES (1, 10)");
    members.settle();
    let take = |units: u64| format!("UPDATE shows SET seats = seats - {units} WHERE id = 1");
    let (code, message) = members.dbs[1].error(&take(3));
    assert!(code == "40001" && message.contains("3 units were to be taken and 0"), "{message}");
    members.settle();
    members.deliver();
    members.settle();
    members.dbs[1].ok(&take(3));
    // Cut off, each has five rights, three of which are used here.
    members.parted = true;
    members.dbs[0].ok(&take(5));
    members.dbs[1].ok(&take(2));
    for db in &mut members.dbs {
        assert_eq!(db.code(&take(1)), "40001", "what the other has is not to be taken");
    }
    members.deliver();
    members.parted = false;
    members.settle();
    assert_eq!(members.rows("SELECT seats FROM shows"), ["0"]);
    // Now nobody has any.
    assert_eq!(members.dbs[0].code(&take(1)), "23514");
    members.dbs[1].ok("UPDATE shows SET seats = 4");
    members.settle();
    assert_eq!(members.rows("SELECT seats FROM shows"), ["4"]);
    assert_eq!(members.dbs[0].code(&take(4)), "40001");
    members.settle();
    let db = members.dbs.remove(0).restart();
    members.dbs.insert(0, db);
    members.dbs[0].ok(&take(4));
    members.settle();
    assert_eq!(members.rows("SELECT seats FROM shows"), ["0"]);
}
