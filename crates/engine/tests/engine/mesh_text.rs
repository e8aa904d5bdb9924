//! Texts that several engines edit apart.

use deltaic_causality::ActorId;
use deltaic_engine::{MergeError, RequestError};
use deltaic_text::TextError;

use crate::{common::Db, mesh::Members};

const PAGES: &str =
    "CREATE TABLE pages (id integer PRIMARY KEY, body rich_text, kind rich_text DEFAULT 'a page', n counter)";

fn bodies(members: &mut Members) -> Vec<String> {
    members.rows("SELECT body FROM pages ORDER BY id")
}

/// Two members, with one page that both have.
fn two(body: &str) -> Members {
    let mut members = Members::of(2, PAGES);
    members.dbs[0].ok(&format!("INSERT INTO pages (id, body) VALUES (1, '{body}')"));
    members.settle();
    members
}

/// Runs a statement on each of two members that do not hear each other, and brings them together.
#[track_caller]
fn apart(members: &mut Members, one: &str, two: &str) -> Vec<String> {
    members.dbs[0].ok(&format!("UPDATE pages SET {one} WHERE id = 1"));
    members.dbs[1].ok(&format!("UPDATE pages SET {two} WHERE id = 1"));
    members.settle();
    assert_eq!(members.rows("SELECT * FROM deltaic.conflicts"), [""; 0]);
    let bodies = bodies(members);
    // What the store has of it is the same text.
    let db = members.dbs.remove(0).restart();
    members.dbs.insert(0, db);
    assert_eq!(members.dbs[0].rows("SELECT body FROM pages ORDER BY id"), bodies);
    bodies
}

#[test]
fn insertions_at_both_ends_are_there() {
    let mut members = two("live data");
    let (one, two) = ("body = insert_text(body, 0, 'All ')", "body = insert_text(body, 9, ' 🦀')");
    assert_eq!(apart(&mut members, one, two), ["All live data 🦀"]);
    // At one place both stay, whole.
    let (one, two) = ("body = insert_text(body, 4, 'abc')", "body = insert_text(body, 4, 'xyz')");
    let text = apart(&mut members, one, two)[0].clone();
    assert!(text == "All abcxyzlive data 🦀" || text == "All xyzabclive data 🦀", "{text}");
}

#[test]
fn a_deletion_takes_what_its_author_saw() {
    let mut members = two("one two three");
    let (one, two) = ("body = delete_text(body, 4, 4)", "body = insert_text(body, 6, '!!')");
    assert_eq!(apart(&mut members, one, two), ["one !!three"]);
    // Both take the same: it goes once.
    let (one, two) = ("body = delete_text(body, 0, 4)", "body = delete_text(body, 0, 6)");
    assert_eq!(apart(&mut members, one, two), ["three"]);
}

#[test]
fn an_assignment_is_the_difference_that_it_makes() {
    let mut members = two("one two three");
    let (one, two) = ("body = 'one three'", "body = insert_text(body, 13, ', four')");
    assert_eq!(apart(&mut members, one, two), ["one three, four"]);
    let (one, two) = ("body = body || '.'", "body = replace(body, 'one', 'ONE')");
    assert_eq!(apart(&mut members, one, two), ["ONE three, four."]);
    let one = "body = insert_text(delete_text(insert_text(body, 16, '!!'), 0, 4), 0, '-> '), n = n + 1";
    assert_eq!(apart(&mut members, one, "n = n + 1"), ["-> three, four.!!"]);
    assert_eq!(members.rows("SELECT n FROM pages"), ["2"]);
}

#[test]
fn what_a_column_begins_with_is_there_once() {
    let mut members = two("");
    let (one, two) = ("kind = insert_text(kind, 0, 'not ')", "kind = insert_text(kind, 6, ' or two')");
    apart(&mut members, one, two);
    assert_eq!(members.rows("SELECT kind FROM pages"), ["not a page or two"]);
    // Also where the column came later, to rows that are there.
    for db in &mut members.dbs {
        db.ok("ALTER TABLE pages ADD COLUMN late rich_text DEFAULT 'soon'");
    }
    apart(
        &mut members,
        "late = delete_text(late, 0, 1)",
        "late = delete_text(insert_text(late, 4, '!'), 0, 1)",
    );
    assert_eq!(members.rows("SELECT late FROM pages"), ["oon!"]);
}

#[test]
fn rows_from_before_there_were_others_keep_their_text() {
    let (mut one, mut other) = (Db::of(ActorId(1)), Db::of(ActorId(2)));
    one.ok(PAGES);
    one.ok("INSERT INTO pages (id, body) VALUES (1, 'early')");
    other.ok(PAGES);
    let mut members = Members::over(vec![(ActorId(1), one), (ActorId(2), other)]);
    members.settle();
    let (one, two) = ("body = insert_text(body, 5, ' bird')", "body = insert_text(body, 0, 'an ')");
    assert_eq!(apart(&mut members, one, two), ["an early bird"]);
    // A row that begins anew begins with a text of its own.
    members.dbs[0].ok("DELETE FROM pages; INSERT INTO pages (id, body) VALUES (1, 'anew')");
    members.dbs[1].ok("UPDATE pages SET body = 'gone with its row'");
    members.settle();
    assert_eq!(bodies(&mut members), ["anew"]);
}

#[test]
fn live_queries_follow() {
    let mut members = two("draft");
    members.dbs[1].subscribe(7, "SELECT id, body FROM pages WHERE body LIKE '%final%'");
    members.dbs[0].ok("UPDATE pages SET body = 'final ' || body");
    members.settle();
    assert_eq!(members.dbs[1].news(), ["7: +1|final draft"]);
    members.dbs[0].ok("UPDATE pages SET body = insert_text(body, 11, '!')");
    members.dbs[1].ok("UPDATE pages SET body = insert_text(body, 0, 'A ')");
    assert_eq!(members.dbs[1].news(), ["7: -1|final draft +1|A final draft"]);
    members.settle();
    assert_eq!(members.dbs[1].news(), ["7: -1|A final draft +1|A final draft!"]);
}

/// Any actor can write texts, also one whose number Yjs has no room for.
#[test]
fn large_actors_write_too() {
    let mut members = Members::with(&[ActorId(u64::MAX), ActorId(1 << 53), ActorId(3)], PAGES);
    members.dbs[2].ok("INSERT INTO pages (id, body) VALUES (1, '.')");
    members.settle();
    for (db, text) in members.dbs.iter_mut().zip(["a", "b", "c"]) {
        db.ok(&format!("UPDATE pages SET body = insert_text(body, 0, '{text}')"));
        db.ok(&format!("UPDATE pages SET body = insert_text(body, 2, '{text}')"));
    }
    members.settle();
    let text = bodies(&mut members)[0].clone();
    let (before, after) = text.split_once('.').unwrap();
    for part in [before, after] {
        let mut letters: Vec<char> = part.chars().collect();
        letters.sort_unstable();
        assert_eq!(letters, ['a', 'b', 'c'], "{text}");
    }
}

/// Who had not seen all writes in the text that it had seen.
#[test]
fn an_author_with_a_basis_edits_what_it_had_seen() {
    let mut members = two("one two");
    let basis = members.dbs[0].engine.cut().unwrap();
    members.dbs[0].ok("UPDATE pages SET body = insert_text(body, 0, '>> ')");
    members.settle();
    let db = &mut members.dbs[1];
    db.basis = Some(basis.clone());
    db.ok("UPDATE pages SET body = insert_text(delete_text(body, 0, 4), 0, 'the ')");
    assert_eq!(db.rows("SELECT body FROM pages"), [">> the two"]);
    db.ok("UPDATE pages SET body = 'two one'");
    db.basis = None;
    members.settle();
    let text = bodies(&mut members)[0].clone();
    assert!(text.contains(">> ") && text.replace(">> ", "").contains("two one"), "{text}");

    // The place is in the text that is here, but not in the one that the author had seen.
    let db = &mut members.dbs[1];
    let digest = db.engine.digest();
    db.basis = Some(basis);
    let refused = db.fails("UPDATE pages SET body = insert_text(body, 9, '!')");
    let RequestError::Merge { error: MergeError::Text { column, error }, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!((column.as_str(), error), ("body", &TextError::BeyondEnd { at: 9, length: 7 }));
    assert_eq!((refused.sqlstate(), db.engine.digest()), ("22003", digest));
    db.basis = None;
}

/// A record that is longer than a value may be is stored, and read again.
#[test]
fn long_histories_come_back() {
    let mut members = two("");
    let body = "é".repeat(2 << 20);
    members.dbs[0].ok(&format!("UPDATE pages SET body = repeat('é', {})", 2 << 20));
    members.settle();
    assert_eq!(apart(&mut members, "body = repeat('è', 2000000)", "n = n + 1"), ["è".repeat(2_000_000)]);
    assert_ne!(bodies(&mut members), [body]);
}
