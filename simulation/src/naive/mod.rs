//! The naive evaluator: a query's result, computed in the most obvious way from the parser's syntax tree.
//!
//! It shares nothing with the engine but that tree: values, comparison, three-valued logic, arithmetic and
//! name resolution are its own, each as short as can be. It covers what the generator writes and refuses
//! the rest.

mod aggregate;
mod expression;
mod recursive;
mod select;
pub mod value;
mod window;

use std::collections::BTreeMap;

use deltaic_query::sqlparser::ast::{
    AssignmentTarget, FromTable, ObjectName, SetExpr, Statement, TableFactor, TableObject,
};

pub use value::{Failure, V};

use expression::{Around, Scope, evaluate, holds};

/// A table: names and kinds of columns, the place of the key, and the rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// A value of each column's kind, for casts.
    pub kinds: Vec<Kind>,
    /// How many of the first columns are the primary key.
    pub key: usize,
    /// The rows.
    pub rows: Vec<Vec<V>>,
}

/// The kinds of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// integer
    Int,
    /// bigint
    Big,
    /// numeric
    Decimal,
    /// double precision
    Double,
    /// text
    Text,
    /// boolean
    Bool,
}

/// The tables by name.
pub type Database = BTreeMap<String, Table>;

/// The rows of a query, in its order if it has one.
pub fn query(database: &Database, statement: &Statement, parameters: &[V]) -> Result<Vec<Vec<V>>, Failure> {
    match statement {
        Statement::Query(query) => select::query(Around { database, parameters, outer: None }, query),
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

/// Runs INSERT … VALUES, UPDATE or DELETE. On a failure the database is as it was.
pub fn execute(database: &mut Database, statement: &Statement) -> Result<usize, Failure> {
    let unsupported = || Failure::Unsupported(statement.to_string());
    let before = database.clone();
    let around = Around { database: &before, parameters: &[], outer: None };
    match statement {
        Statement::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else { return Err(unsupported()) };
            let source = insert.source.as_ref().ok_or_else(unsupported)?;
            let SetExpr::Values(values) = &*source.body else { return Err(unsupported()) };
            let table = database.get_mut(&last(name)).ok_or_else(unsupported)?;
            let mut rows = table.rows.clone();
            for exprs in &values.rows {
                let mut row = vec![V::Null; table.columns.len()];
                for (column, expr) in insert.columns.iter().zip(expr_list(exprs)) {
                    let place = table
                        .columns
                        .iter()
                        .position(|name| *name == last(column))
                        .ok_or_else(unsupported)?;
                    row[place] = evaluate(expr, &Scope::empty(around))?.assign(table.kinds[place])?;
                }
                rows.push(row);
            }
            table.replace(rows)?;
            Ok(values.rows.len())
        }
        Statement::Update(update) => {
            let TableFactor::Table { name, .. } = &update.table.relation else { return Err(unsupported()) };
            let table = database.get_mut(&last(name)).ok_or_else(unsupported)?;
            let mut rows = table.rows.clone();
            let mut count = 0;
            for row in &mut rows {
                let scope = Scope::table(&last(name), &table.columns, row, around);
                if update.selection.as_ref().map_or(Ok(true), |condition| holds(condition, &scope))? {
                    count += 1;
                    let mut changed = row.clone();
                    for assignment in &update.assignments {
                        let AssignmentTarget::ColumnName(column) = &assignment.target else {
                            return Err(unsupported());
                        };
                        let place = table
                            .columns
                            .iter()
                            .position(|name| *name == last(column))
                            .ok_or_else(unsupported)?;
                        changed[place] = evaluate(&assignment.value, &scope)?.assign(table.kinds[place])?;
                    }
                    *row = changed;
                }
            }
            table.replace(rows)?;
            Ok(count)
        }
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let Some(TableFactor::Table { name, .. }) = from.first().map(|table| &table.relation) else {
                return Err(unsupported());
            };
            let table = database.get_mut(&last(name)).ok_or_else(unsupported)?;
            let mut rows = Vec::new();
            for row in &table.rows {
                let scope = Scope::table(&last(name), &table.columns, row, around);
                if !delete.selection.as_ref().map_or(Ok(true), |condition| holds(condition, &scope))? {
                    rows.push(row.clone());
                }
            }
            let count = table.rows.len() - rows.len();
            table.rows = rows;
            Ok(count)
        }
        _ => Err(unsupported()),
    }
}

fn expr_list(
    exprs: &deltaic_query::sqlparser::ast::Parens<Vec<deltaic_query::sqlparser::ast::Expr>>,
) -> &[deltaic_query::sqlparser::ast::Expr] {
    &exprs.content
}

impl Table {
    /// Takes new rows if their keys are unique and not NULL.
    fn replace(&mut self, rows: Vec<Vec<V>>) -> Result<(), Failure> {
        let mut keys: Vec<String> = Vec::new();
        for row in &rows {
            if row[..self.key].iter().any(|value| matches!(value, V::Null)) {
                return Err(Failure::Constraint);
            }
            keys.push(row[..self.key].iter().map(V::canonical).collect::<Vec<_>>().join("|"));
        }
        keys.sort();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Failure::Constraint);
        }
        self.rows = rows;
        Ok(())
    }
}

/// The last part of a name, in lower case.
pub(crate) fn last(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}
