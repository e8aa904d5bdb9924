//! `deltaic conflicts`: what merging met, and its resolution by writing to the row.
//!
//! Invariant: a conflict is resolved by an UPDATE as anybody might write it, of one row and of all columns that are written together;
//! values travel as parameters.

use anyhow::{Context, Result, bail};
use deltaic_protocol::{SqlResponse, TableStatus};
use deltaic_types::text_format::quoted;
use serde_json::{Value as Json, json};

use crate::{
    client::{Client, show_error},
    output,
    request::show,
    table::visible,
};

/// Which value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The one that stands.
    Winner,
    /// The one that it stands against.
    Loser,
    /// Another one, as text.
    Value(String),
}

/// A row of `deltaic.conflicts`, as it is read here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Conflict {
    kind: String,
    key: String,
    columns: String,
    losing: String,
    winning: String,
    loser: Option<String>,
    winner: Option<String>,
}

/// What resolves a conflict.
#[derive(Debug, PartialEq, Eq)]
struct Resolution {
    sql: String,
    parameters: Vec<Json>,
    /// What it does, to be said afterwards.
    said: String,
}

/// Lists the conflicts that are open, or all.
pub(crate) fn list(table: Option<&str>, all: bool, url: &str) -> Result<()> {
    let (sql, parameters) = listing(table, all);
    let response = asked(&Client::new(url), &sql, parameters)?;
    if response.rows.is_empty() {
        let none =
            if all { "no conflicts" } else { "no open conflicts; --all lists those that were decided too" };
        return Ok(output::line(none)?);
    }
    Ok(output::line(show(&response).trim_end())?)
}

fn listing(table: Option<&str>, all: bool) -> (String, Vec<Json>) {
    let mut conditions = Vec::new();
    if !all {
        conditions.push("state = 'open'");
    }
    if table.is_some() {
        conditions.push("relation = $1");
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT state, kind, relation, key, columns, winner, loser, policy, winning, losing, at FROM \
         deltaic.conflicts{filter} ORDER BY at DESC, relation, key, columns, losing, winning, kind"
    );
    (sql, table.map(Json::from).into_iter().collect())
}

/// Resolves one conflict.
pub(crate) fn resolve(
    table: &str,
    key: &str,
    column: &str,
    chosen: &Chosen,
    dot: Option<&str>,
    url: &str,
) -> Result<()> {
    let client = Client::new(url);
    let status = client.status()?.tables.into_iter().find(|status| status.name == table);
    let Some(status) = status else {
        bail!(
            "there is no table {table}; conflicts of a live view are resolved by writing to the tables it reads"
        );
    };
    let sql = "SELECT kind, key, columns, losing, winning, loser, winner FROM deltaic.conflicts \
               WHERE relation = $1 AND state <> 'resolved' ORDER BY at, losing, winning";
    let found: Vec<Conflict> =
        asked(&client, sql, vec![json!(table)])?.rows.iter().map(|row| conflict_of(row)).collect();
    let conflict = the_one(&found, &status, key, column, dot)?;
    let resolution = resolution(&status, conflict, chosen)?;
    if asked(&client, &resolution.sql, resolution.parameters)?.rows_affected == 0 {
        bail!("the row {} of {table} is gone: nothing was written", conflict.key);
    }
    Ok(output::line(visible(&resolution.said))?)
}

fn asked(client: &Client, sql: &str, parameters: Vec<Json>) -> Result<SqlResponse> {
    client.sql(sql, parameters)?.map_err(|error| anyhow::anyhow!("{}", show_error(&error, sql)))
}

fn conflict_of(row: &[Json]) -> Conflict {
    let optional = |place: usize| row.get(place).and_then(Json::as_str).map(str::to_owned);
    let text = |place: usize| optional(place).unwrap_or_default();
    Conflict {
        kind: text(0),
        key: text(1),
        columns: text(2),
        losing: text(3),
        winning: text(4),
        loser: optional(5),
        winner: optional(6),
    }
}

/// The values of a key: those of a JSON array, or the text as the only one.
fn key_values(text: &str) -> Vec<Json> {
    match serde_json::from_str(text) {
        Ok(Json::Array(values)) => values,
        Ok(value @ (Json::Number(_) | Json::String(_) | Json::Bool(_))) => vec![value],
        _ => vec![Json::from(text)],
    }
}

/// Whether two keys are one: `7` is `"7"`, as it is for whoever types it.
fn is_key(a: &[Json], b: &[Json]) -> bool {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| text(a) == text(b))
}

/// The columns of a conflict: one whose name is all of the text, or several.
fn columns_of<'a>(status: &TableStatus, columns: &'a str) -> Vec<&'a str> {
    let is_one = status.columns.iter().any(|column| column.name == columns);
    if is_one { vec![columns] } else { columns.split(", ").collect() }
}

/// The conflict that is meant.
fn the_one<'a>(
    found: &'a [Conflict],
    status: &TableStatus,
    key: &str,
    column: &str,
    dot: Option<&str>,
) -> Result<&'a Conflict> {
    let table = &status.name;
    let wanted = key_values(key);
    let of_row: Vec<&Conflict> = found.iter().filter(|one| is_key(&key_values(&one.key), &wanted)).collect();
    if of_row.is_empty() {
        bail!("no conflict of row {key} of {table}: `deltaic conflicts --all --table {table}` lists them");
    }
    let of_column: Vec<&Conflict> = of_row
        .iter()
        .filter(|one| one.columns == column || columns_of(status, &one.columns).contains(&column))
        .copied()
        .collect();
    if of_column.is_empty() {
        let others: Vec<&str> = of_row.iter().map(|one| one.columns.as_str()).collect();
        bail!(
            "no conflict of column {column} of row {key} of {table}; there are those of {}",
            others.join("; ")
        );
    }
    let named: Vec<&Conflict> =
        of_column.iter().filter(|one| dot.is_none_or(|dot| one.losing == dot)).copied().collect();
    let dots = |of: &[&Conflict]| of.iter().map(|one| one.losing.clone()).collect::<Vec<_>>().join(", ");
    match named[..] {
        [one] if one.kind == "write-write" => Ok(one),
        [one] => bail!(
            "the conflict is {}, not between two writes of a column: write to the rows that are in its way",
            one.kind
        ),
        [] => bail!("no losing write is {}; there are {}", dot.unwrap_or_default(), dots(&of_column)),
        _ => bail!("there is more than one: say which by --dot, with one of {}", dots(&named)),
    }
}

/// The statement that writes the chosen value.
fn resolution(status: &TableStatus, conflict: &Conflict, chosen: &Chosen) -> Result<Resolution> {
    let table = &status.name;
    let key = key_values(&conflict.key);
    if status.key.is_empty() || status.key.len() != key.len() {
        bail!(
            "the rows of {table} have no primary key that could name one: write an UPDATE with another condition"
        );
    }
    let columns = columns_of(status, &conflict.columns);
    let is_document = |name: &str| {
        let column = status.columns.iter().find(|column| column.name == name);
        column.is_some_and(|column| column.data_type == "jsonb")
    };
    let (values, which) = match chosen {
        Chosen::Winner => (told(&columns, conflict.winner.as_deref())?, "the winner"),
        Chosen::Loser => (told(&columns, conflict.loser.as_deref())?, "the loser"),
        Chosen::Value(text) => match columns[..] {
            // The text of the column's type, or of a document.
            [column] if is_document(column) => {
                let document = serde_json::from_str(text).with_context(|| format!("{text} is no JSON"))?;
                (vec![document], "another value")
            }
            [_] => (vec![Json::from(text.as_str())], "another value"),
            _ => (told(&columns, Some(text))?, "other values"),
        },
    };
    let set: Vec<String> =
        (1..).zip(&columns).map(|(place, name)| format!("{} = ${place}", quoted(name))).collect();
    let filter: Vec<String> = (columns.len() + 1..)
        .zip(&status.key)
        .map(|(place, name)| format!("{} = ${place}", quoted(name)))
        .collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", quoted(table), set.join(", "), filter.join(" AND "));
    let written: Vec<String> =
        columns.iter().zip(&values).map(|(name, value)| format!("{name} = {value}")).collect();
    let said = format!("{table} {}: {} ({which})", conflict.key, written.join(", "));
    let parameters = values.into_iter().chain(key).collect();
    Ok(Resolution { sql, parameters, said })
}

/// The values that a text of JSON tells: one column's itself, a group's as an array in the columns' order or an object by their names.
fn told(columns: &[&str], text: Option<&str>) -> Result<Vec<Json>> {
    let Some(text) = text else {
        bail!("there is no such value: the row was removed; choose another with --value, or DELETE it");
    };
    let value: Json = serde_json::from_str(text).with_context(|| format!("{text} is no JSON"))?;
    if columns.len() == 1 {
        return Ok(vec![value]);
    }
    match value {
        Json::Array(values) if values.len() == columns.len() => Ok(values),
        Json::Object(mut by_name) => columns
            .iter()
            .map(|name| {
                by_name.remove(*name).with_context(|| format!("{text} says nothing of column {name}"))
            })
            .collect(),
        _ => bail!(
            "the columns {} are written together: give a JSON array with a value for each",
            columns.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use deltaic_protocol::ColumnStatus;

    use super::*;

    fn status(key: &[&str], columns: &[(&str, &str)]) -> TableStatus {
        let column = |(name, data_type): &(&str, &str)| ColumnStatus {
            name: (*name).to_owned(),
            data_type: (*data_type).to_owned(),
            in_memory: true,
        };
        TableStatus {
            name: "a \"place\"".to_owned(),
            rows: 0,
            memory_bytes: 0,
            hot_bytes: 0,
            cold_bytes: 0,
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(ToString::to_string).collect(),
        }
    }

    fn place() -> TableStatus {
        let columns = [
            ("id", "integer"),
            ("lat", "double precision"),
            ("lng", "double precision"),
            ("doc", "jsonb"),
            ("x, y", "text"),
        ];
        status(&["id"], &columns)
    }

    fn conflict(columns: &str, loser: Option<&str>, winner: Option<&str>) -> Conflict {
        let text = |text: &str| Some(text.to_owned());
        Conflict {
            kind: "write-write".to_owned(),
            key: "[7]".to_owned(),
            columns: columns.to_owned(),
            losing: "1.4".to_owned(),
            winning: "2.9".to_owned(),
            loser: loser.and_then(text),
            winner: winner.and_then(text),
        }
    }

    #[test]
    fn a_listing_says_which_by_parameters() {
        let (sql, parameters) = listing(Some("t'"), false);
        assert!(sql.contains(" WHERE state = 'open' AND relation = $1 ORDER BY"), "{sql}");
        assert_eq!(parameters, [json!("t'")]);
        let (sql, parameters) = listing(None, true);
        assert!(!sql.contains("WHERE") && parameters.is_empty(), "{sql}");
    }

    #[test]
    fn the_chosen_value_is_written_to_the_row() {
        let title = conflict("x, y", Some("\"it's\""), Some("null"));
        let loser = resolution(&place(), &title, &Chosen::Loser).unwrap();
        assert_eq!(loser.sql, "UPDATE \"a \"\"place\"\"\" SET \"x, y\" = $1 WHERE \"id\" = $2");
        assert_eq!(loser.parameters, [json!("it's"), json!(7)]);
        assert_eq!(loser.said, "a \"place\" [7]: x, y = \"it's\" (the loser)");
        assert_eq!(resolution(&place(), &title, &Chosen::Winner).unwrap().parameters, [Json::Null, json!(7)]);
        let other = resolution(&place(), &title, &Chosen::Value("5".to_owned())).unwrap();
        assert_eq!(other.parameters, [json!("5"), json!(7)]);
        let document = conflict("doc", None, None);
        let written = resolution(&place(), &document, &Chosen::Value("{\"a\": 1}".to_owned())).unwrap();
        assert_eq!(written.parameters[0], json!({"a": 1}));
    }

    #[test]
    fn the_columns_of_a_group_are_written_together() {
        let together = conflict("lat, lng", Some("[1.5, 2.5]"), Some("{\"lng\": 4, \"lat\": 3}"));
        let loser = resolution(&place(), &together, &Chosen::Loser).unwrap();
        assert_eq!(loser.sql, "UPDATE \"a \"\"place\"\"\" SET \"lat\" = $1, \"lng\" = $2 WHERE \"id\" = $3");
        assert_eq!(loser.parameters, [json!(1.5), json!(2.5), json!(7)]);
        let winner = resolution(&place(), &together, &Chosen::Winner).unwrap();
        assert_eq!(winner.parameters, [json!(3), json!(4), json!(7)]);
        let error = resolution(&place(), &together, &Chosen::Value("3".to_owned())).unwrap_err();
        assert!(error.to_string().contains("lat, lng are written together"), "{error}");
    }

    #[test]
    fn a_key_of_several_columns_names_the_row() {
        let members = status(&["team", "who"], &[("team", "integer"), ("who", "text"), ("role", "text")]);
        let both = Conflict { key: "[3, \"ann\"]".to_owned(), ..conflict("role", Some("\"lead\""), None) };
        let written = resolution(&members, &both, &Chosen::Loser).unwrap();
        assert!(
            written.sql.ends_with(" SET \"role\" = $1 WHERE \"team\" = $2 AND \"who\" = $3"),
            "{}",
            written.sql
        );
        assert_eq!(written.parameters, [json!("lead"), json!(3), json!("ann")]);
        let error = resolution(&members, &both, &Chosen::Winner).unwrap_err();
        assert!(error.to_string().contains("the row was removed"), "{error}");
        let hidden = status(&[], &[("role", "text")]);
        assert!(
            resolution(&hidden, &both, &Chosen::Loser).unwrap_err().to_string().contains("no primary key")
        );
    }

    #[test]
    fn what_is_not_one_conflict_is_an_error_that_says_what_there_is() {
        let second = Conflict { losing: "3.1".to_owned(), ..conflict("lat, lng", None, None) };
        let semantic = Conflict { kind: "unique".to_owned(), ..conflict("t_doc_key", None, None) };
        let found = [conflict("lat, lng", None, None), second, conflict("x, y", None, None), semantic];
        let one = |key: &str, column: &str, dot| the_one(&found, &place(), key, column, dot);
        assert_eq!(one("7", "x, y", None).unwrap(), &found[2]);
        assert_eq!(one("[\"7\"]", "lng", Some("3.1")).unwrap(), &found[1]);
        for (key, column, dot, message) in [
            ("8", "lat", None, "no conflict of row 8"),
            ("[7, 7]", "lat", None, "no conflict of row [7, 7]"),
            ("[]", "lat", None, "no conflict of row []"),
            ("7", "id", None, "there are those of lat, lng; lat, lng; x, y; t_doc_key"),
            ("7", "x", None, "no conflict of column x"),
            ("7", "lat", None, "say which by --dot, with one of 1.4, 3.1"),
            ("7", "lat", Some("9.9"), "no losing write is 9.9; there are 1.4, 3.1"),
            ("7", "t_doc_key", None, "the conflict is unique"),
        ] {
            let error = one(key, column, dot).unwrap_err().to_string();
            assert!(error.contains(message), "{key} {column}: {error}");
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_typed() {
        for (typed, values) in [
            ("7", json!([7])),
            ("[7, \"a\"]", json!([7, "a"])),
            ("ann", json!(["ann"])),
            ("{1}", json!(["{1}"])),
            ("2013-01-01", json!(["2013-01-01"])),
        ] {
            assert_eq!(Json::from(key_values(typed)), values, "{typed}");
        }
    }
}
