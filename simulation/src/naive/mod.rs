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

use deltaic_sql::sqlparser::ast::{
    AssignmentTarget, ColumnOption, CreateTable, DataType, FromTable, ObjectName, SetExpr, Statement,
    TableFactor, TableObject,
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

impl Kind {
    /// The kind of an SQL type.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Integer(_) | DataType::Int(_) => Self::Int,
            DataType::BigInt(_) => Self::Big,
            DataType::Numeric(_) => Self::Decimal,
            DataType::DoublePrecision | DataType::Double(_) => Self::Double,
            DataType::Text => Self::Text,
            DataType::Boolean | DataType::Bool => Self::Bool,
            _ => return None,
        })
    }
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

/// Runs INSERT … VALUES, UPDATE, DELETE or CREATE. On a failure the database is as it was.
pub fn execute(database: &mut Database, statement: &Statement) -> Result<usize, Failure> {
    let unsupported = || Failure::Unsupported(statement.to_string());
    let before = database.clone();
    let around = Around { database: &before, parameters: &[], outer: None };
    match statement {
        Statement::CreateTable(create) => {
            database.insert(last(&create.name), Table::of(create).ok_or_else(unsupported)?);
            Ok(0)
        }
        Statement::CreateIndex(_) => Ok(0),
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
    exprs: &deltaic_sql::sqlparser::ast::Parens<Vec<deltaic_sql::sqlparser::ast::Expr>>,
) -> &[deltaic_sql::sqlparser::ast::Expr] {
    &exprs.content
}

impl Table {
    /// The empty table of a definition; its key is its first column.
    pub fn of(create: &CreateTable) -> Option<Self> {
        let is_key = |option: &ColumnOption| matches!(option, ColumnOption::PrimaryKey(_));
        let first = create.columns.first()?;
        first.options.iter().find(|option| is_key(&option.option))?;
        Some(Self {
            columns: create.columns.iter().map(|column| column.name.value.to_lowercase()).collect(),
            kinds: create.columns.iter().map(|column| Kind::of(&column.data_type)).collect::<Option<_>>()?,
            key: 1,
            rows: Vec::new(),
        })
    }

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
