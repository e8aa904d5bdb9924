//! Joins by what is computed of columns: found by the value, with the errors of asking every pair.

use crate::common::{Db, one};

const ROWS: usize = 5_000;

#[test]
fn many_rows_find_their_partners() {
    let mut db =
        Db::with("CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY, t text)");
    for table in ["a", "b"] {
        for start in (0..ROWS).step_by(1_000) {
            let case = |id: usize| if table == "a" { format!("Name {id}") } else { format!("nAmE {id}") };
            let rows: Vec<String> =
                (start..start + 1_000).map(|id| format!("({id}, '{}')", case(id))).collect();
            db.ok(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        }
    }
    for (number, (sql, first, then)) in [
        ("SELECT count(b.id) FROM a LEFT JOIN b ON b.id = a.id + 1", 4_999, 4_998),
        ("SELECT count(b.id) FROM a LEFT JOIN b ON lower(b.t) = lower(a.t)", 5_000, 4_999),
        ("SELECT count(*) FROM a FULL JOIN b ON lower(b.t) = lower(a.t)", 5_000, 5_000),
        ("SELECT count(*) FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id * 2 = a.id)", 2_500, 2_500),
        ("SELECT count(*) FROM a WHERE id + 1 IN (SELECT id FROM b)", 4_999, 4_998),
        ("SELECT count(*) FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id - 1 = a.id)", 1, 2),
        ("SELECT count(*) FROM a, b WHERE lower(a.t) = lower(b.t)", 5_000, 4_999),
        ("SELECT count(*) FROM a JOIN b ON a.id * 2 = b.id + 1 AND a.id < 100", 99, 99),
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as u64;
        let got = one(&db.subscribe(number, sql));
        assert_eq!(got, format!("[{first}]"), "{sql}");
        let before = db.rows(sql);
        assert_eq!(got, format!("[{}]", before[0]), "{sql}");
        db.ok("DELETE FROM b WHERE id = 4999");
        db.messages();
        let after = db.rows(sql);
        assert_eq!(after, [then.to_string()], "{sql}");
        db.unsubscribe(number);
        assert_eq!(one(&db.subscribe(100 + number, sql)), format!("[{}]", after[0]), "{sql}");
        db.ok("INSERT INTO b VALUES (4999, 'nAmE 4999')");
        let news = if before == after {
            vec![]
        } else {
            vec![format!("{}: -{} +{}", 100 + number, after[0], before[0])]
        };
        assert_eq!(db.news(), news, "{sql}");
        db.unsubscribe(100 + number);
    }
    db.pass(60);
    assert!(db.engine.is_idle(), "the values go with the queries");
}

#[test]
fn a_value_that_cannot_be_computed_is_an_error_where_a_pair_is_looked_at() {
    let mut db =
        Db::with("CREATE TABLE a (id int PRIMARY KEY, g int); CREATE TABLE b (id int PRIMARY KEY, g int)");
    db.ok("INSERT INTO a VALUES (1, 1), (2147483647, 2)");
    let queries = [
        "SELECT a.id, b.id FROM a LEFT JOIN b ON b.id = a.id + 1 AND b.g < a.g + 5",
        "SELECT a.id, b.id FROM b RIGHT JOIN a ON a.id + 1 = b.id AND b.g < a.g + 5",
        "SELECT a.id, b.id FROM a FULL JOIN b ON a.id + 1 = b.id AND b.g < a.g + 5",
        "SELECT id, NULL FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id + 1 AND b.g < a.g + 5)",
    ];
    for (number, sql) in queries.iter().enumerate() {
        assert_eq!(one(&db.subscribe(number as u64, sql)), "[1|NULL, 2147483647|NULL]", "{sql}");
    }
    // Nobody asks the row that overflows: another condition refuses the pair.
    db.ok("INSERT INTO b VALUES (7, 100)");
    assert_eq!(db.news(), ["2: +NULL|7"]);
    db.ok("UPDATE b SET g = 1");
    assert_eq!(db.news(), ["0: error 22003", "1: error 22003", "2: error 22003", "3: error 22003"]);
    db.ok("UPDATE a SET id = 6 WHERE id = 2147483647");
    let partner = "-2147483647|NULL +6|7";
    assert_eq!(
        db.news(),
        [
            &format!("0: {partner}"),
            &format!("1: {partner}"),
            "2: -2147483647|NULL -NULL|7 +6|7",
            "3: -2147483647|NULL"
        ]
    );
    for number in 0..queries.len() as u64 {
        db.unsubscribe(number);
    }
    // On the right side, and on both.
    db.ok("INSERT INTO b VALUES (2147483647, 1)");
    for sql in [
        "SELECT a.id, b.g FROM a LEFT JOIN b ON a.id = b.id + 1",
        "SELECT a.id, b.g FROM a LEFT JOIN b ON a.id - 1 = b.id + 1",
    ] {
        assert_eq!(db.code(sql), "22003", "{sql}");
        assert_eq!(one(&db.subscribe(9, sql)), "error 22003", "{sql}");
        db.ok("DELETE FROM b WHERE id = 2147483647");
        assert_eq!(db.read().len(), 1, "{sql}");
        assert_eq!(db.rows(sql), ["1|NULL", "6|NULL"], "{sql}");
        db.ok("INSERT INTO b VALUES (2147483647, 1)");
        db.messages();
        db.unsubscribe(9);
    }
    db.ok("DELETE FROM a");
    assert_eq!(
        db.rows("SELECT a.id, b.g FROM a LEFT JOIN b ON a.id = b.id + 1").len(),
        0,
        "there is no pair"
    );
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn null_equals_nothing_and_parameters_and_groups_stay_apart() {
    let mut db = Db::with(
        "CREATE TABLE a (id int PRIMARY KEY, g int, t text); CREATE TABLE b (id int PRIMARY KEY, g int, t text)",
    );
    db.ok("INSERT INTO a VALUES (1, 1, 'X'), (2, 1, NULL), (3, 2, 'y'), (4, 2, 'X')");
    db.ok("INSERT INTO b VALUES (1, 1, 'x'), (2, 1, NULL), (3, 2, 'x'), (4, 2, 'Y')");
    let sql = "SELECT a.id, b.id FROM a LEFT JOIN b ON upper(b.t) = upper(a.t) WHERE a.g = $1";
    assert_eq!(one(&db.subscribe_with(1, sql, &[1.into()])), "[1|1, 1|3, 2|NULL]");
    assert_eq!(one(&db.subscribe_with(2, sql, &[2.into()])), "[3|4, 4|1, 4|3]");
    let lateral = "SELECT a.id, s.id FROM a LEFT JOIN LATERAL (SELECT b.id FROM b WHERE upper(b.t) = upper(a.t) ORDER BY b.id DESC LIMIT 1) s ON true WHERE a.g = $1";
    assert_eq!(one(&db.subscribe_with(3, lateral, &[1.into()])), "[1|3, 2|NULL]");
    db.ok("UPDATE b SET t = 'Y' WHERE id = 3");
    assert_eq!(db.news(), ["1: -1|3", "2: -4|3 +3|3", "3: -1|3 +1|1"]);
    db.ok("UPDATE b SET t = NULL");
    assert_eq!(db.news(), ["1: -1|1 +1|NULL", "2: -3|3 -3|4 -4|1 +3|NULL +4|NULL", "3: -1|1 +1|NULL"]);
}
