//! FOREIGN KEY and what changes of a row entail.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::common::{Db, one};

#[test]
fn a_reference_needs_its_row_unless_it_is_null() {
    let mut db = Db::with(
        "CREATE TABLE p (a int, b text, PRIMARY KEY (a, b));
         CREATE TABLE c (id int PRIMARY KEY, a int, b text, FOREIGN KEY (a, b) REFERENCES p);
         INSERT INTO p VALUES (1, 'x')",
    );
    db.ok("INSERT INTO c VALUES (1, 1, 'x'), (2, NULL, 'nowhere'), (3, 9, NULL), (4, NULL, NULL)");
    let (code, message) = db.error("INSERT INTO c VALUES (5, 1, 'y')");
    assert_eq!(code, "23503");
    assert_eq!(
        message,
        "insert or update on table \"c\" violates foreign key constraint \"c_a_b_fkey\": (1, y) is not in \"p\""
    );
    assert_eq!(db.code("UPDATE c SET a = 2 WHERE id = 1"), "23503");
    assert_eq!(db.code("UPDATE c SET a = 1 WHERE id = 2"), "23503");
    let (code, message) = db.error("DELETE FROM p");
    assert_eq!(code, "23503");
    assert_eq!(
        message,
        "update or delete on table \"p\" violates foreign key constraint \"c_a_b_fkey\" of table \"c\": (1, x) is still referred to"
    );
    assert_eq!(db.code("UPDATE p SET b = 'y'"), "23503");
    db.ok("UPDATE p SET b = 'x'");
    // Both go in one transaction; the child first, or by one statement each.
    db.ok("DELETE FROM c WHERE id = 1; DELETE FROM p");
    assert_eq!(db.rows("SELECT id FROM c"), ["2", "3", "4"]);
}

#[test]
fn a_reference_to_columns_in_another_order_than_their_key() {
    let mut db = Db::with(
        "CREATE TABLE p (a int, b int, PRIMARY KEY (a, b));
         CREATE TABLE c (id int PRIMARY KEY, x int, y int, FOREIGN KEY (x, y) REFERENCES p (b, a) ON UPDATE CASCADE)",
    );
    db.ok("INSERT INTO p VALUES (1, 2); INSERT INTO c VALUES (1, 2, 1)");
    assert_eq!(db.code("INSERT INTO c VALUES (2, 1, 2)"), "23503");
    db.ok("UPDATE p SET a = 7");
    assert_eq!(db.rows("SELECT * FROM c"), ["1|2|7"]);
    assert_eq!(db.restart().code("DELETE FROM p"), "23503");
}

#[test]
fn chains_of_actions() {
    let mut db = Db::with(
        "CREATE TABLE a (id int PRIMARY KEY);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b ON DELETE SET NULL);
         CREATE TABLE d (id int PRIMARY KEY, b int REFERENCES b ON DELETE NO ACTION);
         INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (10, 1), (11, 1), (20, 2);
         INSERT INTO c VALUES (100, 10), (200, 20); INSERT INTO d VALUES (1000, 20)",
    );
    one(&db
        .subscribe(1, "SELECT c.id, b.id, a.id FROM c LEFT JOIN b ON c.b = b.id LEFT JOIN a ON b.a = a.id"));
    assert_eq!(db.code("DELETE FROM a"), "23503");
    assert_eq!(db.ok("DELETE FROM a WHERE id = 1").rows_affected, 1);
    assert_eq!(db.news(), ["1: -100|10|1 +100|NULL|NULL"]);
    assert_eq!(db.rows("SELECT * FROM b"), ["20|2"]);
    assert_eq!(db.rows("SELECT * FROM c"), ["100|NULL", "200|20"]);
    db.ok("UPDATE a SET id = 3");
    assert_eq!(db.news(), ["1: -200|20|2 +200|20|3"]);
    assert_eq!(db.rows("SELECT * FROM b"), ["20|3"]);
    db.ok("DELETE FROM d; DELETE FROM a");
    assert_eq!(db.rows("SELECT * FROM c"), ["100|NULL", "200|NULL"]);
}

#[test]
fn a_row_that_is_reached_twice() {
    let mut db = Db::with(
        "CREATE TABLE a (id int PRIMARY KEY);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
         CREATE TABLE d (id int PRIMARY KEY, b int REFERENCES b ON DELETE CASCADE, c int REFERENCES c ON DELETE CASCADE);
         CREATE TABLE e (id int PRIMARY KEY, x int REFERENCES a ON DELETE SET NULL ON UPDATE CASCADE,
                         y int REFERENCES a ON DELETE SET NULL ON UPDATE CASCADE);
         CREATE TABLE f (id int PRIMARY KEY, x int REFERENCES a ON DELETE CASCADE, y int REFERENCES a ON DELETE SET NULL);
         INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1, 1);
         INSERT INTO d VALUES (1, 1, 1); INSERT INTO e VALUES (1, 1, 1), (2, 1, 2)",
    );
    db.ok("UPDATE e SET id = id; UPDATE b SET a = 1");
    db.ok("DELETE FROM c; INSERT INTO c VALUES (1, 1); INSERT INTO d VALUES (1, 1, 1)");
    db.ok("DELETE FROM c; UPDATE a SET id = 3 WHERE id = 1");
    assert_eq!(db.rows("SELECT * FROM e"), ["1|3|3", "2|3|2"]);
    db.ok("INSERT INTO c VALUES (1, 3); INSERT INTO d VALUES (1, 1, 1); INSERT INTO f VALUES (1, 3, 3), (2, 2, 3)");
    db.ok("DELETE FROM a WHERE id = 3");
    assert_eq!(db.rows("SELECT * FROM e"), ["1|NULL|NULL", "2|NULL|2"]);
    assert_eq!(db.rows("SELECT * FROM f"), ["2|2|NULL"]);
    for table in ["b", "c", "d"] {
        assert_eq!(db.rows(&format!("SELECT count(*) FROM {table}")), ["0"], "{table}");
    }
}

#[test]
fn children_follow_their_own_parent_when_keys_move_up() {
    let mut db = Db::with(
        "CREATE TABLE p (id int PRIMARY KEY, name text);
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON UPDATE CASCADE);
         CREATE TABLE n (id int PRIMARY KEY, p int REFERENCES p ON UPDATE SET NULL);
         INSERT INTO p VALUES (1, 'x'), (2, 'y'), (3, 'z'); INSERT INTO c VALUES (1, 1), (2, 2), (3, 3);
         INSERT INTO n VALUES (1, 1), (3, 3)",
    );
    db.ok("UPDATE p SET id = id + 1");
    assert_eq!(db.rows("SELECT c.id, name FROM c JOIN p ON c.p = p.id ORDER BY 1"), ["1|x", "2|y", "3|z"]);
    assert_eq!(db.rows("SELECT * FROM n"), ["1|NULL", "3|NULL"]);
    db.ok("UPDATE p SET id = 5 - id WHERE id < 4");
    assert_eq!(db.rows("SELECT c.id, name FROM c JOIN p ON c.p = p.id ORDER BY 1"), ["1|x", "2|y", "3|z"]);
}

#[test]
fn a_table_that_refers_to_itself() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
         INSERT INTO t VALUES (1, 1), (2, 1), (3, 2), (4, NULL), (5, 4)",
    );
    db.ok("UPDATE t SET id = id + 10");
    assert_eq!(db.rows("SELECT * FROM t"), ["11|11", "12|11", "13|12", "14|NULL", "15|14"]);
    // A circle: 11 under 13.
    db.ok("UPDATE t SET up = 13 WHERE id = 11");
    assert_eq!(db.ok("DELETE FROM t WHERE id = 12").rows_affected, 1);
    assert_eq!(db.rows("SELECT * FROM t"), ["14|NULL", "15|14"]);
    let mut db = Db::with(
        "CREATE TABLE r (id int PRIMARY KEY, up int REFERENCES r);
         INSERT INTO r VALUES (3, 2), (2, 1), (1, NULL)",
    );
    assert_eq!(db.code("DELETE FROM r WHERE id < 3"), "23503");
    db.ok("DELETE FROM r");
}

#[test]
fn actions_obey_the_child_s_own_constraints() {
    let mut db = Db::with(
        "CREATE TABLE p (id bigint PRIMARY KEY);
         CREATE TABLE n (p bigint NOT NULL REFERENCES p ON DELETE SET NULL);
         CREATE TABLE k (p int CHECK (p < 50) REFERENCES p ON UPDATE CASCADE);
         CREATE TABLE s (p smallint PRIMARY KEY REFERENCES p ON UPDATE CASCADE);
         INSERT INTO p VALUES (1), (2), (3); INSERT INTO n VALUES (1); INSERT INTO k VALUES (2); INSERT INTO s VALUES (3)",
    );
    assert_eq!(db.code("DELETE FROM p WHERE id = 1"), "23502");
    assert_eq!(db.code("UPDATE p SET id = 60 WHERE id = 2"), "23514");
    assert_eq!(db.code("UPDATE p SET id = 40000 WHERE id = 3"), "22003");
    db.ok("UPDATE p SET id = 400 WHERE id = 3");
    assert_eq!(db.rows("SELECT * FROM s"), ["400"]);
}

#[test]
fn tables_that_refer_to_each_other_by_their_keys() {
    let mut db = Db::with(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE)",
    );
    db.ok("CREATE TABLE c (id int PRIMARY KEY REFERENCES b ON DELETE CASCADE ON UPDATE CASCADE)");
    db.ok("INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1), (2); INSERT INTO c VALUES (2)");
    db.ok("UPDATE a SET id = id + 1");
    assert_eq!(
        db.rows("SELECT a.id, b.id, c.id FROM a JOIN b ON a.id = b.id LEFT JOIN c ON c.id = b.id"),
        ["2|2|NULL", "3|3|3"]
    );
    db.ok("DELETE FROM a WHERE id = 3");
    assert_eq!(db.rows("SELECT count(*) FROM c"), ["0"]);
}

/// What is done to a tree of three tables: p, c under p, g under c; each row's key and its parent's.
#[derive(Debug, Clone)]
enum Action {
    Insert { table: usize, id: i64, up: Option<i64> },
    Delete { table: usize, id: i64 },
    Move { table: usize, id: i64, to: i64 },
}

fn action() -> impl Strategy<Value = Action> {
    let (table, id) = (0_usize..3, 0_i64..4);
    prop_oneof![
        (table.clone(), id.clone(), proptest::option::of(id.clone()))
            .prop_map(|(table, id, up)| Action::Insert { table, id, up }),
        (table.clone(), id.clone()).prop_map(|(table, id)| Action::Delete { table, id }),
        (table, id.clone(), id).prop_map(|(table, id, to)| Action::Move { table, id, to }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Refuse,
    Cascade,
    SetNull,
}

const RULES: [(Rule, &str); 3] =
    [(Rule::Refuse, "RESTRICT"), (Rule::Cascade, "CASCADE"), (Rule::SetNull, "SET NULL")];

/// Three maps from key to the parent's key. None of its methods leaves a trace when it says no.
type Model = [BTreeMap<i64, Option<i64>>; 3];

fn remove(model: &mut Model, table: usize, id: i64, rules: [Rule; 2]) -> bool {
    if model[table].remove(&id).is_none() || table == 2 {
        return true;
    }
    let children: Vec<i64> =
        model[table + 1].iter().filter(|(_, up)| **up == Some(id)).map(|(id, _)| *id).collect();
    children.into_iter().all(|child| match rules[table] {
        Rule::Refuse => false,
        Rule::Cascade => remove(model, table + 1, child, rules),
        Rule::SetNull => {
            model[table + 1].insert(child, None);
            true
        }
    })
}

fn follow(model: &mut Model, table: usize, id: i64, to: i64, rules: [Rule; 2]) -> bool {
    let Some(up) = model[table].remove(&id) else { return true };
    if model[table].insert(to, up).is_some() {
        return false;
    }
    if table == 2 || id == to {
        return true;
    }
    let mut refused = false;
    for up in model[table + 1].values_mut().filter(|up| **up == Some(id)) {
        match rules[table] {
            Rule::Refuse => refused = true,
            Rule::Cascade => *up = Some(to),
            Rule::SetNull => *up = None,
        }
    }
    !refused
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn cascades_do_what_a_tiny_model_does(
        rules in proptest::array::uniform2((0_usize..3, 0_usize..3)),
        actions in proptest::collection::vec(action(), 1..30),
    ) {
        let names = ["p", "c", "g"];
        let mut db = Db::with("CREATE TABLE p (id int PRIMARY KEY, up int)");
        for (place, (delete, update)) in rules.iter().enumerate() {
            let (child, parent) = (names[place + 1], names[place]);
            let (delete, update) = (RULES[*delete].1, RULES[*update].1);
            db.ok(&format!(
                "CREATE TABLE {child} (id int PRIMARY KEY, up int REFERENCES {parent} (id) ON DELETE {delete} ON UPDATE {update})"
            ));
        }
        let on_delete = rules.map(|(delete, _)| RULES[delete].0);
        let on_update = rules.map(|(_, update)| RULES[update].0);
        let mut model = Model::default();
        for action in actions {
            let mut next = model.clone();
            let (sql, done) = match action {
                Action::Insert { table, id, up } => {
                    let up = up.filter(|_| table > 0);
                    let known = up.is_none_or(|up| model[table - 1].contains_key(&up));
                    let fresh = next[table].insert(id, up).is_none();
                    let value = up.map_or("NULL".to_owned(), |up| up.to_string());
                    (format!("INSERT INTO {} VALUES ({id}, {value})", names[table]), known && fresh)
                }
                Action::Delete { table, id } => {
                    let done = remove(&mut next, table, id, on_delete);
                    (format!("DELETE FROM {} WHERE id = {id}", names[table]), done)
                }
                Action::Move { table, id, to } => {
                    let done = follow(&mut next, table, id, to, on_update);
                    (format!("UPDATE {} SET id = {to} WHERE id = {id}", names[table]), done)
                }
            };
            prop_assert_eq!(db.run(&sql, &[]).is_ok(), done, "{}", sql);
            if done {
                model = next;
            }
            for (table, rows) in names.iter().zip(&model) {
                let expected: Vec<String> = rows
                    .iter()
                    .map(|(id, up)| format!("{id}|{}", up.map_or("NULL".to_owned(), |up| up.to_string())))
                    .collect();
                prop_assert_eq!(db.rows(&format!("SELECT * FROM {table} ORDER BY id")), expected, "{}", sql);
            }
        }
    }
}
