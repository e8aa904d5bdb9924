//! [`Form`]: a live query as a template and the tuple that it is in it.
//!
//! Invariant: two queries of one [`TemplateKey`] compute the same of their tuples and name it alike.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
};

use deltaic_dataflow::RelationId;
use deltaic_query::{
    optimise::{columns_read, optimise},
    plan::{Plan, Query, ResultColumn, SortKey},
    template::{check_row_counts, lift, lift_equalities},
};
use deltaic_types::{DataType, Row, TableId};
use rustc_hash::FxHasher;

use super::Place;
use crate::{admission::bind_live, error::RequestError, parameters::Given, read::tables_of, tables::Tables};

/// What makes two queries one template: what they compute, and how they name it.
pub(super) type TemplateKey = (Plan, Vec<SortKey>, Vec<DataType>, Vec<ResultColumn>);

/// A query with its constants taken out.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) key: TemplateKey,
    pub(super) query: Query,
    pub(super) tuple: Row,
    /// The template that it would share with others, where it has a circuit of its own.
    pub(super) shared: Option<TemplateKey>,
    /// Names the query in cookies, by whichever circuit it is computed.
    pub(super) minor: u64,
    pub(super) tables: BTreeSet<TableId>,
}

impl Form {
    /// Binds and optimises a query. A query without parameters, in which nothing is found by an equality, may have a circuit
    /// of its own: `is_own` says so, given its own template and the shared one. Cost: that of its text.
    pub(super) fn of(
        sql: &str,
        given: Given<'_>,
        tables: &Tables,
        is_own: &dyn Fn(&TemplateKey, &TemplateKey) -> bool,
    ) -> Result<Self, RequestError> {
        let (query, types, values) = bind_live(sql, given, tables.catalog())?;
        let plan = optimise(query.plan.clone());
        check_row_counts(&plan, &values)?;
        let lifted = lift(&plan, types.len(), &|_, _| true);
        let has_more = types.is_empty() && !lifted.values.is_empty();
        let tuple: Row = values.into_iter().chain(lifted.values).collect();
        let key_of = |plan: Plan| (plan, query.order.clone(), types.clone(), query.columns.clone());
        let mut form = Self {
            tables: tables_of(&plan),
            key: key_of(lifted.plan),
            tuple,
            shared: None,
            minor: 0,
            query: query.clone(),
        };
        let mut hasher = FxHasher::default();
        (&form.key, &form.tuple).hash(&mut hasher);
        form.minor = hasher.finish();
        if has_more && lift_equalities(&plan).values.is_empty() {
            let own = key_of(plan);
            if is_own(&own, &form.key) {
                form.shared = Some(std::mem::replace(&mut form.key, own));
                form.tuple = Row::empty();
            }
        }
        form.query.plan = form.key.0.clone();
        Ok(form)
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
