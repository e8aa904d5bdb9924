//! [`Form`]: a live query as a template and the tuple that it is in it.
//!
//! Invariant: two queries of one [`TemplateKey`] compute the same of their tuples and name it alike.

use std::collections::BTreeSet;

use deltaic_dataflow::RelationId;
use deltaic_query::{
    optimise::{columns_read, optimise},
    plan::{Plan, Query, ResultColumn, SortKey},
    template::{check_row_counts, lift},
};
use deltaic_types::{DataType, Row, TableId};
use serde_json::Value as Json;

use super::Place;
use crate::{admission::bind_live, error::RequestError, read::tables_of, tables::Tables};

/// What makes two queries one template: what they compute, and how they name it.
pub(super) type TemplateKey = (Plan, Vec<SortKey>, Vec<DataType>, Vec<ResultColumn>);

/// A query with its constants taken out.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) key: TemplateKey,
    pub(super) query: Query,
    pub(super) tuple: Row,
    pub(super) tables: BTreeSet<TableId>,
}

impl Form {
    /// Binds and optimises a query. Cost: that of its text.
    pub(super) fn of(sql: &str, parameters: &[Json], tables: &Tables) -> Result<Self, RequestError> {
        let (query, types, values) = bind_live(sql, parameters, tables.catalog())?;
        let plan = optimise(query.plan.clone());
        check_row_counts(&plan, &values)?;
        let lifted = lift(&plan, types.len(), &|_, _| true);
        let tuple = values.into_iter().chain(lifted.values).collect();
        let query = Query { plan: lifted.plan, ..query };
        let key = (query.plan.clone(), query.order.clone(), types, query.columns.clone());
        let tables = tables_of(&query.plan);
        Ok(Self { key, query, tuple, tables })
    }

    /// The parameter relation of the template of a number, and its width.
    pub(super) fn parameters(&self, number: u64) -> Option<(RelationId, usize)> {
        (!self.tuple.is_empty()).then_some((RelationId::Parameters(number), self.tuple.len()))
    }

    /// The rows of the tables that it reads.
    pub(super) fn rows(&self, tables: &Tables) -> usize {
        self.tables.iter().map(|table| tables.relation(*table).len()).sum()
    }

    /// Brings the columns that it reads into memory.
    pub(super) fn make_hot(&self, tables: &mut Tables, place: &Place<'_>) -> Result<(), RequestError> {
        Ok(tables.make_hot(&columns_read(&self.query.plan), place.store, &[])?)
    }
}
