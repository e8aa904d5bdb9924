//! The constraints of a table: collected from its columns and its own list, named as PostgreSQL names them.

use deltaic_types::{
    Check, Column, ForeignKey, Merges, ReferentialAction, TableId, TableSchema, Unique, limits,
};
use sqlparser::{
    ast::{self, ColumnOption, Ident, Spanned, TableConstraint},
    tokenizer::Span,
};

use super::{BindContext, Binder, folded, scope::Scope, stored::check_expr};
use crate::error::SqlError;

/// Columns of a constraint: a place known from the column it is written at, or names.
enum Columns<'a> {
    Own(usize),
    Named(Vec<&'a Ident>),
    /// An index column that is no plain name.
    Expression,
}

/// What a CREATE TABLE declares, by kind, in the order written.
#[derive(Default)]
pub(super) struct Constraints<'a> {
    primary: Vec<Columns<'a>>,
    uniques: Vec<(Option<&'a Ident>, Columns<'a>, &'a ast::UniqueConstraint)>,
    checks: Vec<(Option<&'a Ident>, &'a ast::CheckConstraint)>,
    foreign: Vec<(Option<&'a Ident>, Columns<'a>, &'a ast::ForeignKeyConstraint)>,
    refused: Option<String>,
}

/// Whether a condition says `column >= 0` and nothing else.
fn is_not_negative(check: &ast::Expr) -> bool {
    let ast::Expr::BinaryOp { left, op: ast::BinaryOperator::GtEq, right } = check else { return false };
    let is_zero = |expr: &ast::Expr| matches!(expr, ast::Expr::Value(value) if matches!(&value.value, ast::Value::Number(zero, false) if zero == "0"));
    matches!(**left, ast::Expr::Identifier(_)) && is_zero(right)
}

fn index_columns(columns: &[ast::IndexColumn]) -> Columns<'_> {
    let mut names = Vec::new();
    for column in columns {
        match &column.column.expr {
            ast::Expr::Identifier(ident) => names.push(ident),
            _ => return Columns::Expression,
        }
    }
    Columns::Named(names)
}

impl<'a> Constraints<'a> {
    /// Takes what is written at a column.
    pub(super) fn of_column(&mut self, place: usize, option: &'a ast::ColumnOptionDef) {
        let name = option.name.as_ref();
        match &option.option {
            ColumnOption::PrimaryKey(_) => self.primary.push(Columns::Own(place)),
            ColumnOption::Unique(unique) => self.uniques.push((name, Columns::Own(place), unique)),
            ColumnOption::Check(check) => self.checks.push((name.or(check.name.as_ref()), check)),
            ColumnOption::ForeignKey(key) => self.foreign.push((name, Columns::Own(place), key)),
            _ => {}
        }
    }

    /// Takes what is written beside the columns.
    pub(super) fn of_table(&mut self, constraints: &'a [TableConstraint]) {
        for constraint in constraints {
            match constraint {
                TableConstraint::PrimaryKey(key) => self.primary.push(index_columns(&key.columns)),
                TableConstraint::Unique(unique) => {
                    self.uniques.push((unique.name.as_ref(), index_columns(&unique.columns), unique));
                }
                TableConstraint::Check(check) => self.checks.push((check.name.as_ref(), check)),
                TableConstraint::ForeignKey(key) => {
                    self.foreign.push((key.name.as_ref(), Columns::Named(key.columns.iter().collect()), key));
                }
                other => self.refused = Some(other.to_string()),
            }
        }
    }
}

/// The name, or the name with the least number after it that is not taken; cut to the limit.
pub(super) fn free_name(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    let cut = |suffix: &str| {
        let mut end = wanted.len().min(limits::NAME_BYTES - suffix.len());
        while !wanted.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{suffix}", &wanted[..end])
    };
    let mut name = cut("");
    let mut number = 0;
    while taken(&name) {
        number += 1;
        name = cut(&number.to_string());
    }
    name
}

fn is_constraint(table: &TableSchema, name: &str) -> bool {
    table.uniques.iter().any(|other| other.name == name)
        || table.checks.iter().any(|other| other.name == name)
        || table.foreign_keys.iter().any(|other| other.name == name)
}

impl<'a> Binder<'a> {
    /// Adds the constraints to a table whose columns are complete.
    pub(super) fn add_constraints(
        &mut self,
        table: &mut TableSchema,
        constraints: Constraints<'a>,
        span: Span,
    ) -> Result<(), SqlError> {
        if let Some(what) = constraints.refused {
            return Err(self.refuse(&format!("the constraint {what}"), None, span));
        }
        if constraints.primary.len() > 1 {
            let reason = "a table has one primary key".to_owned();
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        if let Some(columns) = constraints.primary.first() {
            table.primary_key = self.constraint_columns(table, columns, "a primary key", span)?;
            for place in table.primary_key.clone() {
                table.columns[place].not_null = true;
            }
        }
        for (name, columns, unique) in &constraints.uniques {
            if unique.nulls_distinct == ast::NullsDistinctOption::NotDistinct || !unique.include.is_empty() {
                return Err(self.refuse("UNIQUE with NULLS NOT DISTINCT or INCLUDE", None, span));
            }
            let columns = self.constraint_columns(table, columns, "a unique constraint", span)?;
            let name = self.constraint_name(table, *name, &columns, "key")?;
            table.uniques.push(Unique { name, columns });
        }
        for (name, check) in &constraints.checks {
            let context = BindContext { catalog: self.catalog, now: None };
            let scope = Scope::of_table(table, &table.name);
            let expr = check_expr(&check.expr, self.parsed, context, &scope)?;
            let used = expr.columns();
            self.check_merges_with(table, &check.expr, &used, span)?;
            // PostgreSQL puts the column into the name where there is one.
            let columns = if used.len() == 1 { &used[..] } else { &[] };
            let name = self.constraint_name(table, *name, columns, "check")?;
            table.checks.push(Check { name, expression: check.expr.to_string() });
        }
        for (name, columns, key) in &constraints.foreign {
            let columns = self.constraint_columns(table, columns, "a foreign key", span)?;
            let name = self.constraint_name(table, *name, &columns, "fkey")?;
            let foreign = self.foreign_key(table, name, columns, key)?;
            table.foreign_keys.push(foreign);
        }
        Ok(())
    }

    /// Refuses conditions on what nobody has written: what two servers have written as they may would break them together.
    /// A counter that is not to fall below nothing is divided among them.
    fn check_merges_with(
        &self,
        table: &TableSchema,
        check: &ast::Expr,
        used: &[usize],
        span: Span,
    ) -> Result<(), SqlError> {
        let combined =
            used.iter().map(|place| &table.columns[*place]).find(|column| column.merges.combines());
        let Some(column) = combined else { return Ok(()) };
        if column.merges == Merges::Counter && is_not_negative(check) {
            return Ok(());
        }
        let what = format!("type {} in a check constraint", column.type_name());
        Err(self.refuse(&what, Some("CHECK (counter >= 0) is the one that holds when servers merge."), span))
    }

    fn constraint_columns(
        &self,
        table: &TableSchema,
        columns: &Columns<'_>,
        place: &str,
        span: Span,
    ) -> Result<Vec<usize>, SqlError> {
        let names = match columns {
            Columns::Own(column) => {
                self.check_key_type(&table.columns[*column], place, span)?;
                self.check_no_merging(&table.columns[*column], place, span)?;
                return Ok(vec![*column]);
            }
            Columns::Named(names) => names,
            Columns::Expression => return Err(self.refuse("constraints on expressions", None, span)),
        };
        let mut places = Vec::new();
        for ident in names {
            let column = self.table_column(table, ident)?;
            if places.contains(&column) {
                return Err(SqlError::DuplicateColumn { name: folded(ident), position: self.at(ident.span) });
            }
            self.check_key_type(&table.columns[column], place, ident.span)?;
            self.check_no_merging(&table.columns[column], place, ident.span)?;
            places.push(column);
        }
        Ok(places)
    }

    fn constraint_name(
        &self,
        table: &TableSchema,
        given: Option<&Ident>,
        columns: &[usize],
        suffix: &str,
    ) -> Result<String, SqlError> {
        if let Some(ident) = given {
            let name = self.folded_within_limit(ident)?;
            if is_constraint(table, &name) {
                return Err(SqlError::DuplicateConstraint { name, position: self.at(ident.span) });
            }
            return Ok(name);
        }
        let parts: Vec<&str> = std::iter::once(table.name.as_str())
            .chain(columns.iter().map(|place| table.columns[*place].name.as_str()))
            .chain([suffix])
            .collect();
        Ok(free_name(&parts.join("_"), |name| is_constraint(table, name)))
    }

    fn foreign_key(
        &self,
        table: &TableSchema,
        name: String,
        columns: Vec<usize>,
        key: &ast::ForeignKeyConstraint,
    ) -> Result<ForeignKey, SqlError> {
        let span = key.foreign_table.span();
        let position = self.at(span);
        let invalid = |reason: String| SqlError::InvalidForeignKey { reason, position };
        if matches!(
            key.match_kind,
            Some(ast::ConstraintReferenceMatchKind::Full | ast::ConstraintReferenceMatchKind::Partial)
        ) {
            return Err(self.refuse("MATCH FULL and MATCH PARTIAL", None, span));
        }
        if key.characteristics.as_ref().is_some_and(|kind| kind.deferrable == Some(true)) {
            return Err(self.refuse("deferrable constraints", None, span));
        }
        let parent_name = self.object_name(&key.foreign_table)?;
        let parent = if parent_name == table.name { table } else { self.table(&key.foreign_table)? };
        let parent_columns = if key.referred_columns.is_empty() {
            if parent.primary_key.is_empty() || parent.has_row_id() {
                return Err(invalid(format!("table \"{parent_name}\" has no primary key")));
            }
            parent.primary_key.clone()
        } else {
            let mut places = Vec::new();
            for ident in &key.referred_columns {
                places.push(self.table_column(parent, ident)?);
            }
            places
        };
        if parent_columns.len() != columns.len() {
            return Err(invalid("it has another number of columns than it refers to".to_owned()));
        }
        let sorted = |places: &[usize]| {
            let mut sorted = places.to_vec();
            sorted.sort_unstable();
            sorted
        };
        if !parent.unique_keys().any(|(_, unique)| sorted(unique) == sorted(&parent_columns)) {
            return Err(invalid(format!(
                "no primary key or unique constraint of table \"{parent_name}\" has these columns"
            )));
        }
        for (own, other) in columns.iter().zip(&parent_columns) {
            let (own, other): (&Column, &Column) = (&table.columns[*own], &parent.columns[*other]);
            let same = own.data_type == other.data_type
                || (own.data_type.is_integer() && other.data_type.is_integer());
            if !same {
                return Err(SqlError::TypeMismatch {
                    place: format!("foreign key column \"{}\"", own.name),
                    expected: other.data_type.to_string(),
                    found: own.data_type.to_string(),
                    position,
                });
            }
        }
        let on_delete = self.referential_action(key.on_delete, span)?;
        let on_update = self.referential_action(key.on_update, span)?;
        let parent: TableId = parent.id;
        Ok(ForeignKey { name, columns, parent, parent_columns, on_delete, on_update })
    }

    fn referential_action(
        &self,
        action: Option<ast::ReferentialAction>,
        span: Span,
    ) -> Result<ReferentialAction, SqlError> {
        Ok(match action {
            None | Some(ast::ReferentialAction::NoAction | ast::ReferentialAction::Restrict) => {
                ReferentialAction::Restrict
            }
            Some(ast::ReferentialAction::Cascade) => ReferentialAction::Cascade,
            Some(ast::ReferentialAction::SetNull) => ReferentialAction::SetNull,
            Some(ast::ReferentialAction::SetDefault) => {
                return Err(self.refuse("SET DEFAULT", Some("Use SET NULL."), span));
            }
        })
    }
}
