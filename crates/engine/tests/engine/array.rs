//! `ARRAY(SELECT …)`: live with parameters, in the order of its query, never NULL, and written wrong.

use serde_json::json;

use crate::{common::Db, kept::Kept};

#[test]
fn an_array_of_a_subquery_follows_its_rows_and_their_order() {
    let mut kept = Kept::with(
        "CREATE TABLE post (id int PRIMARY KEY, title text); CREATE TABLE tag (post_id int, name text, at int); \
         INSERT INTO post VALUES (1, 'a'), (2, 'b'); INSERT INTO tag VALUES (1, 'x', 2), (1, 'y', 1), (1, NULL, 3)",
    );
    let tags =
        "SELECT p.id, ARRAY(SELECT t.name FROM tag t WHERE t.post_id = p.id ORDER BY t.at) FROM post p";
    assert_eq!(kept.watch(&format!("{tags} ORDER BY 1")), "[1|{y,x,NULL}, 2|{}]");
    assert_eq!(kept.watch_with(&format!("{tags} WHERE p.id = $1"), &[json!(2)]), "[2|{}]");
    assert_eq!(kept.watch("SELECT ARRAY(SELECT title FROM post ORDER BY title DESC LIMIT 2)"), "[{b,a}]");
    assert_eq!(
        kept.run("INSERT INTO tag VALUES (2, 'z', 1)"),
        ["1: -2|{} +2|{z}", "2: -2|{} +2|{z}"],
        "a first row"
    );
    assert_eq!(
        kept.run("UPDATE tag SET at = 9 WHERE name = 'y'"),
        ["1: -1|{y,x,NULL} +1|{x,NULL,y}"],
        "only the order changes"
    );
    assert_eq!(
        kept.run("DELETE FROM tag WHERE post_id = 2; INSERT INTO post VALUES (3, 'c')"),
        ["1: -2|{z} +2|{} +3|{}", "2: -2|{z} +2|{}", "3: -{b,a} +{c,b}"]
    );
    kept.run("DELETE FROM post");
    kept.end();
}

#[test]
fn an_array_of_a_subquery_has_one_column_and_one_dimension() {
    let mut db = Db::with("CREATE TABLE t (a int, b int[])");
    assert_eq!(
        db.error("SELECT ARRAY(SELECT a, a FROM t)"),
        ("42601".to_owned(), "syntax error: subquery must return only one column, it returns 2".to_owned())
    );
    assert_eq!(db.code("SELECT ARRAY(SELECT b FROM t)"), "0A000");
    assert_eq!(db.code("CREATE TABLE u (a int[] DEFAULT ARRAY(SELECT 1))"), "0A000");
}
