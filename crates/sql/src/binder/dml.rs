//! INSERT, UPDATE and DELETE.

use deltaic_query::{
    coercion::Context,
    expression::Expr,
    fold::cast_node,
    plan::{Plan, ResultColumn},
    statement::{ConflictAction, Delete, Insert, OnConflict, Returning, Update},
};
use deltaic_types::{Column, DataType, ROW_ID, TableSchema, Value, limits};
use sqlparser::{
    ast::{self, Assignment, AssignmentTarget, Ident, Spanned, TableFactor},
    tokenizer::Span,
};

use super::{Binder, expression::shortened, folded, query::visible_columns, scope::Scope};
use crate::error::SqlError;

/// Whether the syntax is the word DEFAULT in a place of a value.
fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

impl<'a> Binder<'a> {
    pub(super) fn insert(&mut self, insert: &'a ast::Insert) -> Result<Insert, SqlError> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(self.refuse("INSERT into anything but a table", None, insert.table.span()));
        };
        let table = self.table(name)?;
        let span = name.span();
        if insert.or.is_some()
            || insert.overwrite
            || insert.replace_into
            || insert.ignore
            || insert.partitioned.is_some()
            || !insert.assignments.is_empty()
        {
            return Err(self.refuse("this form of INSERT", None, span));
        }
        let alias =
            insert.table_alias.as_ref().map_or_else(|| table.name.clone(), |alias| folded(&alias.alias));
        let targets = self.insert_targets(table, insert)?;
        let source = match &insert.source {
            None => Plan::Values {
                rows: vec![self.full_row(table, &[], Vec::new())?],
                types: column_types(table),
            },
            Some(query) => self.insert_source(table, &targets, !insert.columns.is_empty(), query)?,
        };
        let on_conflict = match &insert.on {
            None => None,
            Some(ast::OnInsert::OnConflict(conflict)) => {
                Some(self.on_conflict(table, &alias, conflict, span)?)
            }
            Some(_) => return Err(self.refuse("ON DUPLICATE KEY", Some("Use ON CONFLICT."), span)),
        };
        let returning = self.returning(insert.returning.as_deref(), &Scope::of_table(table, &alias))?;
        Ok(Insert { table: table.id, source, on_conflict, returning })
    }

    /// The places of the columns that an INSERT names, or of all that can be seen.
    fn insert_targets(&self, table: &TableSchema, insert: &ast::Insert) -> Result<Vec<usize>, SqlError> {
        if insert.columns.is_empty() {
            return Ok(table.visible().collect());
        }
        let mut targets = Vec::new();
        for name in &insert.columns {
            let [ast::ObjectNamePart::Identifier(ident)] = &name.0[..] else {
                return Err(self.refuse("a qualified column in INSERT", None, name.span()));
            };
            let place = self.table_column(table, ident)?;
            if targets.contains(&place) {
                return Err(SqlError::DuplicateColumn { name: folded(ident), position: self.at(ident.span) });
            }
            targets.push(place);
        }
        Ok(targets)
    }

    fn insert_source(
        &mut self,
        table: &'a TableSchema,
        targets: &[usize],
        named: bool,
        query: &'a ast::Query,
    ) -> Result<Plan, SqlError> {
        let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        if let ast::SetExpr::Values(values) = &*query.body
            && plain
            && query.fetch.is_none()
        {
            if values.rows.len() > limits::STATEMENT_ROWS {
                return Err(SqlError::TooComplex { what: "too many rows in VALUES", position: None });
            }
            let width = values.rows.first().map_or(0, |row| row.content.len());
            let mut rows = Vec::with_capacity(values.rows.len());
            for row in &values.rows {
                let span = row.content.first().map_or_else(Span::empty, Spanned::span);
                if row.content.len() != width {
                    return Err(SqlError::Syntax {
                        message: "the rows of VALUES must all have the same length".to_owned(),
                        position: self.at(span),
                    });
                }
                self.check_count(row.content.len(), targets, named, row.content.last(), span)?;
                let mut given = Vec::new();
                for (expr, place) in row.content.iter().zip(targets) {
                    given.push(self.assigned(table, *place, expr, "VALUES", &Scope::default())?);
                }
                rows.push(self.full_row(table, &targets[..row.content.len()], given)?);
            }
            return Ok(Plan::Values { rows, types: column_types(table) });
        }
        let types: Vec<DataType> =
            targets.iter().map(|place| table.columns[*place].data_type.clone()).collect();
        let source = self.query(query, Some(&types))?;
        let columns = source.columns.clone();
        self.check_count(columns.len(), targets, named, None, query.span())?;
        let mut given = Vec::new();
        for (index, (column, place)) in columns.iter().zip(targets).enumerate() {
            let target = &table.columns[*place];
            let expr = Expr::column(index, column.data_type.clone());
            let what = format!("column \"{}\"", target.name);
            given.push(self.coerce(
                expr.into(),
                &target.data_type,
                Context::Assignment,
                &what,
                query.span(),
            )?);
        }
        let exprs = self.full_row(table, &targets[..columns.len()], given)?;
        Ok(Plan::Project { input: Box::new(visible_columns(source)), exprs })
    }

    fn check_count(
        &self,
        found: usize,
        targets: &[usize],
        named: bool,
        last: Option<&ast::Expr>,
        span: Span,
    ) -> Result<(), SqlError> {
        let message = if found > targets.len() {
            "INSERT has more expressions than target columns"
        } else if named && found < targets.len() {
            "INSERT has more target columns than expressions"
        } else {
            return Ok(());
        };
        let position = self.at(last.map_or(span, Spanned::span));
        Err(SqlError::Syntax { message: message.to_owned(), position })
    }

    /// A value for each column: the given ones, and defaults.
    fn full_row(
        &mut self,
        table: &'a TableSchema,
        targets: &[usize],
        given: Vec<Expr>,
    ) -> Result<Vec<Expr>, SqlError> {
        let mut row: Vec<Option<Expr>> = vec![None; table.columns.len()];
        for (place, expr) in targets.iter().zip(given) {
            row[*place] = Some(expr);
        }
        row.into_iter()
            .enumerate()
            .map(|(place, expr)| expr.map_or_else(|| self.default_of(table, place), Ok))
            .collect()
    }

    /// The default of a column; NULL where it has none.
    fn default_of(&self, table: &TableSchema, place: usize) -> Result<Expr, SqlError> {
        let column = &table.columns[place];
        match &column.default {
            Some(text) => super::stored::default_expr(text, &column.data_type, self.catalog, self.now),
            None => Ok(Expr::literal(Value::Null, column.data_type.clone())),
        }
    }

    /// A value that is written to a column.
    fn assigned(
        &mut self,
        table: &'a TableSchema,
        place: usize,
        expr: &'a ast::Expr,
        clause: &'static str,
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        if is_default(expr) {
            return self.default_of(table, place);
        }
        let column = &table.columns[place];
        let operand = self.without_aggregates(clause, |binder| binder.expr(expr, scope))?;
        let what = format!("column \"{}\"", column.name);
        let expr = self.coerce(operand, &column.data_type, Context::Assignment, &what, expr.span())?;
        Ok(cast_node(expr, &column.data_type))
    }

    fn on_conflict(
        &mut self,
        table: &'a TableSchema,
        alias: &str,
        conflict: &'a ast::OnConflict,
        span: Span,
    ) -> Result<OnConflict, SqlError> {
        let target = match &conflict.conflict_target {
            None => None,
            Some(ast::ConflictTarget::Columns(idents)) => {
                let mut columns = Vec::new();
                for ident in idents {
                    columns.push(self.table_column(table, ident)?);
                }
                Some(self.unique_key(table, &columns, idents)?)
            }
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let plain = self.object_name(name)?;
                let primary = format!("{}_pkey", table.name);
                let key = table
                    .unique_keys()
                    .enumerate()
                    .find(|(index, (key, _))| if *index == 0 { plain == primary } else { *key == plain })
                    .map(|(_, (_, columns))| columns.to_vec());
                Some(key.ok_or_else(|| SqlError::UndefinedObject {
                    kind: "constraint",
                    name: plain,
                    position: self.at(name.span()),
                })?)
            }
        };
        let action = match &conflict.action {
            ast::OnConflictAction::DoNothing => ConflictAction::Nothing,
            ast::OnConflictAction::DoUpdate(update) => {
                if target.is_none() {
                    return Err(SqlError::Syntax {
                        message: "ON CONFLICT DO UPDATE needs the columns of a unique key".to_owned(),
                        position: self.at(span),
                    });
                }
                let mut scope = Scope::of_table(table, alias);
                let excluded = Scope::of_table(table, "excluded");
                scope.append(excluded);
                // A bare name is the present row's column.
                let width = table.columns.len();
                for column in &mut scope.columns {
                    column.bare = column.place < width;
                }
                let (assignments, filter) = self.without_subqueries("ON CONFLICT", |binder| {
                    let assignments = binder.assignments(table, &update.assignments, &scope)?;
                    let filter = match &update.selection {
                        Some(condition) => {
                            Some(binder.where_condition(condition, "ON CONFLICT WHERE", &scope)?)
                        }
                        None => None,
                    };
                    Ok((assignments, filter))
                })?;
                ConflictAction::Update { assignments, filter }
            }
        };
        Ok(OnConflict { target, action })
    }

    /// The unique key that has exactly these columns.
    fn unique_key(
        &self,
        table: &TableSchema,
        columns: &[usize],
        idents: &[Ident],
    ) -> Result<Vec<usize>, SqlError> {
        let sorted = |columns: &[usize]| {
            let mut sorted = columns.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            sorted
        };
        table
            .unique_keys()
            .find(|(_, key)| sorted(key) == sorted(columns))
            .map(|(_, key)| key.to_vec())
            .ok_or_else(|| SqlError::InvalidColumnReference {
                reason: "there is no unique or primary key constraint with the columns of ON CONFLICT"
                    .to_owned(),
                position: idents.first().and_then(|ident| self.at(ident.span)),
            })
    }

    fn assignments(
        &mut self,
        table: &'a TableSchema,
        assignments: &'a [Assignment],
        scope: &Scope,
    ) -> Result<Vec<(usize, Expr)>, SqlError> {
        let mut bound: Vec<(usize, Expr)> = Vec::new();
        for assignment in assignments {
            let (names, values): (Vec<&ast::ObjectName>, Vec<&'a ast::Expr>) = match &assignment.target {
                AssignmentTarget::ColumnName(name) => (vec![name], vec![&assignment.value]),
                AssignmentTarget::Tuple(names) => {
                    let values: Vec<&ast::Expr> = match &assignment.value {
                        ast::Expr::Tuple(values) => values.iter().collect(),
                        ast::Expr::Nested(value) => vec![value],
                        other => {
                            let what = format!("SET (…) = {}", shortened(&other.to_string()));
                            return Err(self.refuse(&what, Some("Assign each column."), other.span()));
                        }
                    };
                    if values.len() != names.len() {
                        return Err(SqlError::Syntax {
                            message: "the numbers of columns and of values differ".to_owned(),
                            position: self.at(assignment.value.span()),
                        });
                    }
                    (names.iter().collect(), values)
                }
            };
            for (name, value) in names.into_iter().zip(values) {
                let [ast::ObjectNamePart::Identifier(ident)] = &name.0[..] else {
                    return Err(self.refuse(
                        "a qualified column in SET",
                        Some("Write the column's name alone."),
                        name.span(),
                    ));
                };
                let place = self.table_column(table, ident)?;
                if bound.iter().any(|(other, _)| *other == place) {
                    let message = format!("multiple assignments to same column \"{}\"", folded(ident));
                    return Err(SqlError::Syntax { message, position: self.at(ident.span) });
                }
                bound.push((place, self.assigned(table, place, value, "UPDATE", scope)?));
            }
        }
        Ok(bound)
    }

    /// The one table of an UPDATE or DELETE, and its name there.
    fn written_table(&self, table: &'a ast::TableWithJoins) -> Result<(&'a TableSchema, String), SqlError> {
        match &table.relation {
            TableFactor::Table { name, alias, args: None, .. } if table.joins.is_empty() => {
                let schema = self.table(name)?;
                let alias = alias.as_ref().map_or_else(|| schema.name.clone(), |alias| folded(&alias.name));
                Ok((schema, alias))
            }
            _ => Err(self.refuse("writing to anything but one table", None, table.span())),
        }
    }

    pub(super) fn update(&mut self, update: &'a ast::Update) -> Result<Update, SqlError> {
        let span = update.table.span();
        if update.from.is_some() {
            return Err(self.refuse("UPDATE … FROM", Some("Query first, then update by key."), span));
        }
        if update.or.is_some() || !update.order_by.is_empty() || update.limit.is_some() {
            return Err(self.refuse("this form of UPDATE", None, span));
        }
        let (table, alias) = self.written_table(&update.table)?;
        let scope = Scope::of_table(table, &alias);
        let assignments = self.assignments(table, &update.assignments, &scope)?;
        let filter = match &update.selection {
            Some(condition) => Some(self.where_condition(condition, "WHERE", &scope)?),
            None => None,
        };
        let returning = self.returning(update.returning.as_deref(), &scope)?;
        Ok(Update { table: table.id, filter, assignments, returning })
    }

    pub(super) fn delete(&mut self, delete: &'a ast::Delete) -> Result<Delete, SqlError> {
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
        let span = from.first().map_or_else(Span::empty, Spanned::span);
        if delete.using.is_some() {
            return Err(self.refuse("DELETE … USING", Some("Query first, then delete by key."), span));
        }
        let [table] = &from[..] else {
            return Err(self.refuse("DELETE from several tables", None, span));
        };
        if !delete.tables.is_empty() || !delete.order_by.is_empty() || delete.limit.is_some() {
            return Err(self.refuse("this form of DELETE", None, span));
        }
        let (table, alias) = self.written_table(table)?;
        let scope = Scope::of_table(table, &alias);
        let filter = match &delete.selection {
            Some(condition) => Some(self.where_condition(condition, "WHERE", &scope)?),
            None => None,
        };
        let returning = self.returning(delete.returning.as_deref(), &scope)?;
        Ok(Delete { table: table.id, filter, returning })
    }

    fn returning(
        &mut self,
        items: Option<&'a [ast::SelectItem]>,
        scope: &Scope,
    ) -> Result<Option<Returning>, SqlError> {
        let Some(items) = items else { return Ok(None) };
        let mut names = Vec::new();
        let mut operands = Vec::new();
        self.without_subqueries("RETURNING", |binder| {
            binder.without_aggregates("RETURNING", |binder| {
                for item in items {
                    binder.select_item(item, scope, &mut |name, operand, _| {
                        names.push(name);
                        operands.push(operand);
                    })?;
                }
                Ok(())
            })
        })?;
        let exprs =
            operands.into_iter().map(|operand| self.settle(operand)).collect::<Result<Vec<_>, _>>()?;
        let columns = names
            .into_iter()
            .zip(&exprs)
            .map(|(name, expr)| ResultColumn { name, data_type: expr.data_type.clone() })
            .collect();
        Ok(Some(Returning { columns, exprs }))
    }
}

fn column_types(table: &TableSchema) -> Vec<DataType> {
    table.columns.iter().map(|column| column.data_type.clone()).collect()
}

/// The hidden key column of a table that declares no primary key.
pub(super) fn row_id_column() -> Column {
    Column { not_null: true, ..Column::plain(ROW_ID, DataType::Bigint) }
}
