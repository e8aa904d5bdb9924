//! Allocations: what is given follows the rows of their queries.

use crate::common::Db;

const TEAMS: &str =
    "CREATE TABLE offers (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE wishes (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
    CREATE ALLOCATION gpu
        CAPACITY (SELECT team AS owner, slot, hours AS quantity, kind FROM offers)
        NEED (SELECT team AS owner, slot, hours AS quantity, kind FROM wishes)
        RECOGNITION (SELECT giver AS \"from\", taker AS \"to\", points AS weight FROM trust)";

const GIVEN: &str = "SELECT provider, capacity, recipient, need, tier, quantity FROM gpu ORDER BY provider, capacity, recipient, need, tier";

fn teams() -> Db {
    let mut db = Db::with(TEAMS);
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1), ('lab', 'uni', 1)");
    db.ok("INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu')");
    db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu'), ('club', 'games', 80, 'gpu')");
    db.pass(1);
    db
}

#[test]
fn what_is_given_follows_the_rows() {
    let mut db = teams();
    // The lab is recognised mutually and comes first; the club gets of the rest.
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|40", "uni|a100|lab|training|mutual|60"]);
    assert_eq!(
        db.rows("SELECT recipient, level, reason FROM gpu ORDER BY recipient"),
        [
            "club|160|capacity a100 of uni is full at level 160",
            "lab|80|need training of lab is met at level 80"
        ]
    );
    db.subscribe(1, GIVEN);
    db.ok("UPDATE wishes SET hours = 90 WHERE team = 'lab'");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|10", "uni|a100|lab|training|mutual|90"]);
    assert_eq!(db.news().len(), 1);
    db.ok("DELETE FROM trust WHERE giver = 'lab'");
    db.pass(1);
    // Three to one, in whole hours.
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|25", "uni|a100|lab|training|generous|75"]);
    let mut db = db.restart();
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|25", "uni|a100|lab|training|generous|75"]);
    db.ok("DELETE FROM offers");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), [""; 0]);
}
