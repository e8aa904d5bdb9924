//! CREATE TABLE, ALTER TABLE, CREATE INDEX and DROP.

use deltaic_query::{
    expression::Expr,
    statement::{AddColumn, CreateIndex, Statement},
};
use deltaic_types::{Column, DataType, IndexSchema, Merges, TableSchema, Value, limits};
use sqlparser::{
    ast::{self, AlterTableOperation, ColumnOption, ObjectType, Spanned},
    tokenizer::Span,
};

use super::{
    BindContext, Binder,
    constraint::{Constraints, free_name},
    dml::row_id_column,
    folded,
    stored::default_of,
};
use crate::error::SqlError;

impl<'a> Binder<'a> {
    pub(super) fn create_table(
        &mut self,
        create: &'a ast::CreateTable,
    ) -> Result<Option<TableSchema>, SqlError> {
        let span = create.name.span();
        let refused = [
            (create.or_replace, "CREATE OR REPLACE TABLE"),
            (create.temporary, "temporary tables"),
            (create.external || create.unlogged, "external and unlogged tables"),
            (create.query.is_some(), "CREATE TABLE AS"),
            (create.like.is_some() || create.clone.is_some(), "CREATE TABLE LIKE"),
            (create.inherits.is_some() || create.partition_of.is_some(), "inherited and partitioned tables"),
            (create.partition_by.is_some() || create.cluster_by.is_some(), "partitioned tables"),
            (create.table_options != ast::CreateTableOptions::None, "table options"),
            (create.on_commit.is_some(), "ON COMMIT"),
        ];
        if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
            return Err(self.refuse(what, None, span));
        }
        let name = self.object_name(&create.name)?;
        if self.catalog.is_taken(&name) {
            return if create.if_not_exists {
                Ok(None)
            } else {
                Err(SqlError::DuplicateTable { name, position: self.at(span) })
            };
        }
        if create.columns.is_empty() {
            let reason = "a table needs a column".to_owned();
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        let mut table = TableSchema::plain(self.catalog.next_table(), name, Vec::new(), Vec::new());
        let mut constraints = Constraints::default();
        for definition in &create.columns {
            let place = table.columns.len();
            let column = self.column_definition(&table, definition)?;
            table.columns.push(column);
            for option in &definition.options {
                constraints.of_column(place, option);
            }
        }
        if table.columns.len() >= limits::COLUMNS {
            return Err(SqlError::TooManyColumns { limit: limits::COLUMNS - 1, position: self.at(span) });
        }
        constraints.of_table(&create.constraints);
        self.add_constraints(&mut table, constraints, span)?;
        let names = create.columns.iter().map(|definition| definition.name.span);
        self.add_merging(&mut table, &names.enumerate().collect::<Vec<_>>())?;
        if table.primary_key.is_empty() {
            table.primary_key = vec![table.columns.len()];
            table.columns.push(row_id_column());
        }
        Ok(Some(table))
    }

    /// A column without its constraints, NOT NULL and DEFAULT aside.
    fn column_definition(
        &mut self,
        table: &TableSchema,
        definition: &'a ast::ColumnDef,
    ) -> Result<Column, SqlError> {
        let span = definition.name.span;
        let name = self.folded_within_limit(&definition.name)?;
        if table.column(&name).is_some() {
            return Err(SqlError::DuplicateColumn { name, position: self.at(span) });
        }
        let (data_type, merges) = self.column_type(&definition.data_type, span)?;
        let default = merges.initially().map(str::to_owned);
        // What begins with something is never nothing.
        let not_null = default.is_some();
        let mut column = Column { not_null, default, merges, ..Column::plain(name, data_type) };
        let mut nullable = false;
        for option in &definition.options {
            match &option.option {
                ColumnOption::Null => nullable = true,
                ColumnOption::NotNull => column.not_null = true,
                ColumnOption::Default(expr) => {
                    // The time is only known when a row is written; any will do to see that the default binds.
                    let context = BindContext { catalog: self.catalog, now: Some(0) };
                    default_of(expr, self.parsed, context, &column.data_type)?;
                    column.default = Some(expr.to_string());
                }
                ColumnOption::PrimaryKey(_)
                | ColumnOption::Unique(_)
                | ColumnOption::ForeignKey(_)
                | ColumnOption::Check(_) => {}
                ColumnOption::Generated { .. } | ColumnOption::Identity(_) => {
                    return Err(self.refuse("generated columns", Some("Pass the value."), span));
                }
                other => return Err(self.refuse(&format!("the column option {other}"), None, span)),
            }
        }
        if nullable && column.not_null {
            let reason = format!("column \"{}\" is both NULL and NOT NULL", column.name);
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        Ok(column)
    }

    pub(super) fn alter_table(&mut self, alter: &'a ast::AlterTable) -> Result<Option<AddColumn>, SqlError> {
        let span = alter.name.span();
        let [operation] = &alter.operations[..] else {
            return Err(self.refuse(
                "several changes in one ALTER TABLE",
                Some("Write one a statement."),
                span,
            ));
        };
        let AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } =
            operation
        else {
            let what = "ALTER TABLE other than ADD COLUMN";
            return Err(self.refuse(what, None, span));
        };
        if alter.if_exists {
            return Err(self.refuse("ALTER TABLE IF EXISTS", None, span));
        }
        let table = self.table(&alter.name)?;
        if *if_not_exists && table.column(&folded(&column_def.name)).is_some() {
            return Ok(None);
        }
        if table.columns.len() >= limits::COLUMNS {
            return Err(SqlError::TooManyColumns { limit: limits::COLUMNS, position: self.at(span) });
        }
        let mut after = table.clone();
        after.columns.push(self.column_definition(table, column_def)?);
        self.add_merging(&mut after, &[(table.columns.len(), column_def.name.span)])?;
        let column = after.columns.pop().expect("invariant: the column was just added");
        let constrained = column_def.options.iter().any(|option| {
            matches!(
                option.option,
                ColumnOption::PrimaryKey(_)
                    | ColumnOption::Unique(_)
                    | ColumnOption::ForeignKey(_)
                    | ColumnOption::Check(_)
            )
        });
        if constrained {
            return Err(self.refuse(
                "constraints in ADD COLUMN",
                Some("Add the column, then CREATE UNIQUE INDEX; or declare the constraint with the table."),
                column_def.name.span,
            ));
        }
        let fill = match &column.default {
            Some(text) => super::stored::default_expr(text, &column.data_type, self.catalog, self.now)?,
            None => Expr::literal(Value::Null, column.data_type.clone()),
        };
        Ok(Some(AddColumn { table: table.id, column, fill }))
    }

    pub(super) fn create_index(
        &mut self,
        create: &'a ast::CreateIndex,
    ) -> Result<Option<CreateIndex>, SqlError> {
        let span = create.table_name.span();
        let refused = [
            (
                !matches!(create.using, None | Some(ast::IndexType::BTree)),
                "CREATE INDEX USING anything but btree",
            ),
            (create.concurrently, "CREATE INDEX CONCURRENTLY"),
            (!create.include.is_empty(), "CREATE INDEX … INCLUDE"),
            (create.nulls_distinct == Some(false), "NULLS NOT DISTINCT"),
            (!create.with.is_empty(), "index options"),
            (create.predicate.is_some(), "partial indexes"),
        ];
        if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
            return Err(self.refuse(what, None, span));
        }
        let table = self.table(&create.table_name)?;
        let mut columns = Vec::new();
        for column in &create.columns {
            let ast::Expr::Identifier(ident) = &column.column.expr else {
                return Err(self.refuse("indexes on expressions", None, column.column.expr.span()));
            };
            if column.operator_class.is_some() {
                return Err(self.refuse("operator classes", None, ident.span));
            }
            let place = self.table_column(table, ident)?;
            self.check_key_type(&table.columns[place], "an index", ident.span)?;
            if create.unique {
                self.check_no_merging(&table.columns[place], "a unique index", ident.span)?;
            }
            if columns.contains(&place) {
                return Err(SqlError::DuplicateColumn { name: folded(ident), position: self.at(ident.span) });
            }
            columns.push(place);
        }
        let name = if let Some(name) = &create.name {
            let plain = self.object_name(name)?;
            if self.catalog.is_taken(&plain) {
                if create.if_not_exists {
                    return Ok(None);
                }
                return Err(SqlError::DuplicateTable { name: plain, position: self.at(name.span()) });
            }
            plain
        } else {
            let names: Vec<&str> = columns.iter().map(|place| table.columns[*place].name.as_str()).collect();
            free_name(&format!("{}_{}_idx", table.name, names.join("_")), |name| self.catalog.is_taken(name))
        };
        let index = IndexSchema { name, columns, unique: create.unique };
        Ok(Some(CreateIndex { table: table.id, index }))
    }

    /// Refuses columns that merge where rows are told apart by their values: no two servers could keep that.
    pub(super) fn check_no_merging(&self, column: &Column, place: &str, span: Span) -> Result<(), SqlError> {
        if column.merges == Merges::LastWriter {
            return Ok(());
        }
        let what = format!("type {} in {place}", column.type_name());
        Err(self.refuse(&what, Some("Keep what is unique in a column that does not merge."), span))
    }

    /// Refuses types whose values cannot be told apart and ordered by a key.
    pub(super) fn check_key_type(&self, column: &Column, place: &str, span: Span) -> Result<(), SqlError> {
        if column.data_type.is_key() {
            return Ok(());
        }
        let what = format!("type {} in {place}", column.data_type);
        let instead = match column.data_type {
            DataType::Jsonb => Some("Keep the key in a column of its own."),
            _ => None,
        };
        Err(self.refuse(&what, instead, span))
    }

    pub(super) fn drop_objects(
        &mut self,
        kind: ObjectType,
        if_exists: bool,
        names: &'a [ast::ObjectName],
        cascade: bool,
    ) -> Result<Statement, SqlError> {
        let span = names.first().map_or_else(Span::empty, Spanned::span);
        if cascade {
            return Err(self.refuse("DROP … CASCADE", Some("Drop what depends on it first."), span));
        }
        match kind {
            ObjectType::Table => {
                let mut dropped = Vec::new();
                for name in names {
                    match self.table(name) {
                        Ok(table) if !dropped.contains(&table.id) => dropped.push(table.id),
                        Ok(_) => {}
                        Err(SqlError::UndefinedTable { .. }) if if_exists => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(Statement::DropTable(dropped))
            }
            ObjectType::View => {
                let mut dropped = Vec::new();
                for name in names {
                    let plain = self.object_name(name)?;
                    if self.catalog.view(&plain).is_none() {
                        if if_exists {
                            continue;
                        }
                        let position = self.at(name.span());
                        return Err(SqlError::UndefinedObject { kind: "live view", name: plain, position });
                    }
                    if !dropped.contains(&plain) {
                        dropped.push(plain);
                    }
                }
                Ok(Statement::DropLiveView(dropped))
            }
            ObjectType::Index => {
                let mut dropped = Vec::new();
                for name in names {
                    let plain = self.object_name(name)?;
                    let table = self
                        .catalog
                        .tables()
                        .find(|table| table.indexes.iter().any(|index| index.name == plain));
                    match table {
                        Some(table) => dropped.push((table.id, plain)),
                        None if if_exists => {}
                        None => {
                            return Err(SqlError::UndefinedObject {
                                kind: "index",
                                name: plain,
                                position: self.at(name.span()),
                            });
                        }
                    }
                }
                Ok(Statement::DropIndex(dropped))
            }
            other => Err(self.refuse(&format!("the statement DROP {other}"), None, span)),
        }
    }
}
