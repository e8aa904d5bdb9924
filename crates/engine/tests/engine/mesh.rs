//! Engines that write apart and merge.

use std::collections::VecDeque;

use deltaic_causality::ActorId;
use deltaic_crdt::anti_entropy::Settings;
use deltaic_engine::{Input, PeerInput, ToPeer};

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

    /// Delivers what is under way, and what comes of it.
    fn deliver(&mut self) {
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
            let cuts: Vec<_> = self.dbs.iter().map(|db| db.engine.cut()).collect();
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
