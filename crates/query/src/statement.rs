//! [`Statement`]: what a statement asks of the engine, as data.

use deltaic_types::{Allocation, Budget, BudgetId, Column, IndexSchema, LiveView, TableId, TableSchema};

use crate::{
    expression::Expr,
    plan::{Plan, Query, ResultColumn},
};

/// A bound statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// SELECT or VALUES.
    Query(Query),
    /// EXPLAIN of a query.
    Explain(Explain),
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// CREATE TABLE; None where IF NOT EXISTS found the table.
    CreateTable(Option<TableSchema>),
    /// DROP TABLE, in the order given; tables that IF EXISTS did not find are left out.
    DropTable(Vec<TableId>),
    /// ALTER TABLE … ADD COLUMN; None where IF NOT EXISTS found the column.
    AddColumn(Option<AddColumn>),
    /// CREATE [UNIQUE] INDEX; None where IF NOT EXISTS found the index.
    CreateIndex(Option<CreateIndex>),
    /// DROP INDEX, by table and name.
    DropIndex(Vec<(TableId, String)>),
    /// CREATE LIVE VIEW; None where IF NOT EXISTS found the name.
    CreateLiveView(Option<Box<CreateLiveView>>),
    /// DROP LIVE VIEW, by name.
    DropLiveView(Vec<String>),
    /// CREATE BUDGET; None where IF NOT EXISTS found the name.
    CreateBudget(Option<Box<CreateBudget>>),
    /// DROP BUDGET, by name.
    DropBudget(Vec<String>),
    /// CREATE ALLOCATION; None where IF NOT EXISTS found the name.
    CreateAllocation(Option<Box<CreateAllocation>>),
    /// DROP ALLOCATION, by name.
    DropAllocation(Vec<String>),
    /// A SELECT that consumes.
    Consume(Consumption),
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
}

/// EXPLAIN of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// The query.
    pub query: Query,
    /// Whether it is computed, and what its operators did is told.
    pub analyze: bool,
    /// As one JSON document, not as lines of text.
    pub json: bool,
}

/// A new column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddColumn {
    /// The table.
    pub table: TableId,
    /// The column.
    pub column: Column,
    /// The value that rows which are there already get: an expression without columns; NULL without a default.
    pub fill: Expr,
}

/// A new index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// The table.
    pub table: TableId,
    /// The index.
    pub index: IndexSchema,
}

/// A new live view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateLiveView {
    /// The view.
    pub view: LiveView,
    /// Its query, bound.
    pub query: Query,
}

/// A new budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBudget {
    /// The budget.
    pub budget: Budget,
    /// The queries of its limits, bound, with the key's columns as parameters.
    pub queries: Vec<Query>,
}

/// A new allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateAllocation {
    /// The allocation.
    pub allocation: Allocation,
    /// The table of its offers.
    pub offers: Option<TableSchema>,
    /// Its live views, each after those that it reads.
    pub views: Vec<CreateLiveView>,
    /// The budget of what its offers promise.
    pub budget: Option<CreateBudget>,
}

/// A SELECT that consumes budgets, once for each row of its result, in the rows' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumption {
    /// Its query, with the arguments of each call in the call's place.
    pub query: Query,
    /// The calls, in the order of their columns.
    pub calls: Vec<ConsumeCall>,
}

/// A call of `consume` in a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumeCall {
    /// The first of its columns in the query: those of the key, then the amount.
    pub column: usize,
    /// What its column is called.
    pub name: String,
    /// The budget.
    pub budget: BudgetId,
    /// How many columns the key has.
    pub key: usize,
}

/// Rows to be inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The table.
    pub table: TableId,
    /// Yields a value for each column of the table, defaults filled in and cast to the columns' types; NULL
    /// for the hidden key column, which the engine fills.
    pub source: Plan,
    /// What happens when a row is there already.
    pub on_conflict: Option<OnConflict>,
    /// RETURNING, over the row as written.
    pub returning: Option<Returning>,
}

/// ON CONFLICT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnConflict {
    /// The columns of the unique key meant; None for any (DO NOTHING alone).
    pub target: Option<Vec<usize>>,
    /// What to do.
    pub action: ConflictAction,
}

/// The action of ON CONFLICT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictAction {
    /// The new row is dropped.
    Nothing,
    /// The row that is there is updated. Expressions see the present row's columns, then those of the row
    /// that was to be inserted (`excluded`).
    Update {
        /// Columns and their new values.
        assignments: Vec<(usize, Expr)>,
        /// Only where this holds; otherwise the new row is dropped.
        filter: Option<Expr>,
    },
}

/// Rows to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The table.
    pub table: TableId,
    /// Which rows: a boolean over the table's columns.
    pub filter: Option<Expr>,
    /// Columns and their new values, over the row as it was, cast to the columns' types.
    pub assignments: Vec<(usize, Expr)>,
    /// RETURNING, over the row as written.
    pub returning: Option<Returning>,
}

/// Rows to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The table.
    pub table: TableId,
    /// Which rows: a boolean over the table's columns.
    pub filter: Option<Expr>,
    /// RETURNING, over the row as it was.
    pub returning: Option<Returning>,
}

/// What a writing statement gives back for each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returning {
    /// The columns.
    pub columns: Vec<ResultColumn>,
    /// Their expressions over the table's columns.
    pub exprs: Vec<Expr>,
}
