//! CREATE LIVE VIEW, and the use of a view in FROM.
//!
//! Invariant: a view means what it meant when it was made. Its text is bound where it is used, and sees of a table the
//! columns that were there then, so that neither `*` nor a name in it changes its meaning when a table gets a column.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_query::{plan::Query, statement::CreateLiveView};
use deltaic_types::{CONFLICTS, LiveView, TableId, TableSchema};
use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{BindContext, Binder, INLINED_QUERIES, from::Relation, scope::Scope};
use crate::{
    error::SqlError,
    parser::{Tree, parse, view_query},
};

/// The tables and views that a query names itself, with how many columns each table has.
#[derive(Debug, Default)]
pub(super) struct Reads {
    tables: BTreeMap<TableId, usize>,
    views: BTreeSet<String>,
}

impl Reads {
    pub(super) fn table_ids(&self) -> impl Iterator<Item = TableId> {
        self.tables.keys().copied()
    }

    pub(super) fn into_parts(self) -> (BTreeMap<TableId, usize>, BTreeSet<String>) {
        (self.tables, self.views)
    }

    pub(super) fn into_views(self) -> BTreeSet<String> {
        self.views
    }
}

impl<'a> Binder<'a> {
    pub(super) fn create_live_view(
        &mut self,
        create: &'a ast::CreateView,
    ) -> Result<Option<CreateLiveView>, SqlError> {
        let span = create.name.span();
        let refused = [
            (create.or_replace || create.or_alter, "CREATE OR REPLACE LIVE VIEW"),
            (create.materialized, "materialized views"),
            (create.temporary, "temporary views"),
            (create.options != ast::CreateTableOptions::None || create.comment.is_some(), "view options"),
            (create.to.is_some() || !create.cluster_by.is_empty(), "this form of view"),
            (create.with_no_schema_binding || create.copy_grants || create.secure, "this form of view"),
        ];
        if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
            return Err(self.refuse(what, Some("Write CREATE LIVE VIEW name AS SELECT …."), span));
        }
        let name = self.object_name(&create.name)?;
        if self.catalog.is_taken(&name) {
            let error = SqlError::DuplicateTable { name, position: self.at(span) };
            return if create.if_not_exists { Ok(None) } else { Err(error) };
        }
        // What stays up to date is bound as a live query is, whenever the statement runs.
        let now = self.now.take();
        let query = self.whole_query(&create.query);
        self.now = now;
        let query = query?;
        self.refuse_parameters("CREATE LIVE VIEW")?;
        let columns = self.view_columns(create, &query)?;
        let reads = std::mem::take(&mut self.reads);
        if self.parsed.clauses.must_be_empty && self.reads_conflicts(&reads.tables, &reads.views) {
            let what = "MUST BE EMPTY of a view that reads deltaic.conflicts, where its own rows are";
            return Err(self.refuse(what, Some("Watch the view as it is."), span));
        }
        let text = view_query(&self.parsed.text).expect("invariant: the statement was parsed as a view's");
        let view = LiveView {
            name,
            query: text.to_owned(),
            columns,
            tables: reads.tables,
            views: reads.views,
            must_be_empty: self.parsed.clauses.must_be_empty,
        };
        Ok(Some(CreateLiveView { view, query }))
    }

    fn reads_conflicts(&self, tables: &BTreeMap<TableId, usize>, views: &BTreeSet<String>) -> bool {
        let mut views = views.iter().filter_map(|name| self.catalog.view(name));
        tables.contains_key(&CONFLICTS) || views.any(|view| self.reads_conflicts(&view.tables, &view.views))
    }

    /// The names of a view's columns: those listed, then the query's own.
    fn view_columns(&self, create: &'a ast::CreateView, query: &Query) -> Result<Vec<String>, SqlError> {
        let span = create.name.span();
        if create.columns.len() > query.columns.len() {
            let (named, found) = (create.columns.len(), query.columns.len());
            let reason = format!("the view names {named} columns, its query has {found}");
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        let mut columns: Vec<String> = Vec::new();
        for (place, column) in query.columns.iter().enumerate() {
            let name = match create.columns.get(place) {
                Some(listed) => self.folded_within_limit(&listed.name)?,
                None => column.name.clone(),
            };
            if columns.contains(&name) {
                return Err(SqlError::DuplicateColumn { name, position: self.at(span) });
            }
            columns.push(name);
        }
        if columns.is_empty() {
            let reason = "a view needs a column".to_owned();
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        Ok(columns)
    }

    /// The scope of a table in FROM.
    pub(super) fn table_in_from(&mut self, table: &TableSchema, relation: &str) -> Scope {
        let mut scope = Scope::of_table(table, relation);
        match self.seen.and_then(|seen| seen.get(&table.id)) {
            Some(seen) => scope.columns.retain(|column| column.place < *seen),
            None => {
                self.reads.tables.insert(table.id, table.visible().count());
            }
        }
        scope
    }

    /// A view in FROM: its query, bound anew.
    pub(super) fn view_in_from(
        &mut self,
        view: &LiveView,
        alias: Option<&'a ast::TableAlias>,
        span: Span,
    ) -> Result<Relation, SqlError> {
        self.inlined += 1;
        let too_often = SqlError::TooComplex { what: "views are used too often", position: self.at(span) };
        if self.inlined > INLINED_QUERIES {
            return Err(too_often);
        }
        self.reads.views.insert(view.name.clone());
        let query = self.nested(|binder| {
            let parsed = parse(&view.query)?;
            let context = BindContext { catalog: binder.catalog, now: binder.now };
            let query = parsed.first().and_then(|parsed| match &parsed.tree {
                Tree::Sql(statement) => Some((parsed, &**statement)),
                _ => None,
            });
            let Some((parsed, ast::Statement::Query(query))) = query else {
                return Err(SqlError::Syntax {
                    message: format!("the view \"{}\" is no query", view.name),
                    position: None,
                });
            };
            let mut inside = Binder::new(parsed, context);
            (inside.depth, inside.inlined) = (binder.depth, binder.inlined);
            inside.seen = Some(&view.tables);
            let query = inside.whole_query(query)?;
            binder.inlined = inside.inlined;
            Ok(query)
        })?;
        let mut query = query;
        for (column, name) in query.columns.iter_mut().zip(&view.columns) {
            column.name.clone_from(name);
        }
        let name = alias.map_or_else(|| view.name.clone(), |alias| super::folded(&alias.name));
        self.derived(query, name, alias, span)
    }
}
