//! Engines that write apart and merge, where several of their rules meet.

use crate::{
    common::SECOND,
    mesh::Members,
};

/// A row that stays for one that is not seen itself can be deleted as often as somebody likes.
#[test]
fn a_row_that_is_kept_and_deleted_again_stays() {
    let sql = "CREATE TABLE teams (id integer PRIMARY KEY);
        CREATE TABLE tasks (id integer PRIMARY KEY, code text UNIQUE, team integer REFERENCES teams)";
    let mut members = Members::of(2, sql);
    members.dbs[0].ok("INSERT INTO teams VALUES (1), (2)");
    members.settle();
    members.dbs[0].ok("INSERT INTO tasks VALUES (1, 'x', 1)");
    members.dbs[1].now += SECOND;
    members.dbs[1].ok("INSERT INTO tasks VALUES (2, 'x', 2)");
    members.settle();
    for _ in 0..2 {
        members.dbs[0].ok("DELETE FROM teams WHERE id = 2");
        members.settle();
        assert_eq!(members.rows("SELECT * FROM teams ORDER BY id"), ["1", "2"]);
    }
    members.dbs[0].ok("DELETE FROM tasks WHERE id = 1");
    members.settle();
    assert_eq!(members.rows("SELECT * FROM tasks"), ["2|x|2"]);
}
