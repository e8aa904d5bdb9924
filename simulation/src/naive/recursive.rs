//! WITH and WITH RECURSIVE: common tables as tables of a copy of the database, recursion by the textbook's working
//! table.

use std::collections::BTreeSet;

use deltaic_sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, With};

use super::{
    Database, Table,
    expression::Around,
    select::body,
    value::{Failure, V},
};

/// The most iterations that the generator's recursions take.
const ITERATIONS: usize = 1_000;

/// The database with the common tables that the text of a query names.
pub(super) fn with_common_tables(
    around: Around<'_>,
    with: &With,
    query: &Query,
) -> Result<Database, Failure> {
    let mut database = around.database.clone();
    for cte in &with.cte_tables {
        let name = cte.alias.name.value.to_lowercase();
        if !query.body.to_string().contains(&name) {
            continue;
        }
        let columns: Vec<String> =
            cte.alias.columns.iter().map(|column| column.name.value.to_lowercase()).collect();
        let recursion = match &*cte.query.body {
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right }
                if with.recursive && right.to_string().contains(&name) =>
            {
                Some((*set_quantifier == SetQuantifier::All, left, right))
            }
            _ => None,
        };
        let table = |rows| Table { columns: columns.clone(), kinds: Vec::new(), key: 0, rows };
        let rows = match recursion {
            None => body(Around { database: &database, ..around }, &cte.query.body)?,
            Some((all, base, step)) => {
                let mut seen = BTreeSet::new();
                let mut fresh = |rows: Vec<Vec<V>>| -> Vec<Vec<V>> {
                    let new =
                        |row: &Vec<V>| all || seen.insert(row.iter().map(V::canonical).collect::<Vec<_>>());
                    rows.into_iter().filter(new).collect()
                };
                let mut working = fresh(body(Around { database: &database, ..around }, base)?);
                let mut rows = working.clone();
                let mut iterations = 0;
                while !working.is_empty() {
                    iterations += 1;
                    if iterations > ITERATIONS {
                        return Err(Failure::Unsupported("a recursion without end".to_owned()));
                    }
                    database.insert(name.clone(), table(working));
                    working = fresh(body(Around { database: &database, ..around }, step)?);
                    rows.extend(working.iter().cloned());
                }
                rows
            }
        };
        database.insert(name, table(rows));
    }
    Ok(database)
}
