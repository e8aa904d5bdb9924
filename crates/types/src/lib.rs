#![doc = include_str!("../README.md")]

mod allocation;
#[cfg(test)]
mod arbitrary;
mod budget;
pub mod codec;
mod conflict_policy;
mod data_type;
pub mod datetime;
mod datetime_fields;
mod datetime_text;
mod element;
mod eval_error;
mod id;
mod interval;
mod interval_text;
mod json;
pub mod json_format;
pub mod key;
pub mod limits;
mod merges;
mod numeric;
pub mod order_key;
mod row;
mod schema;
mod system_table;
mod text;
pub mod text_format;
mod transcendental;
mod value;

pub use allocation::{Allocation, AllocationPolicy, AllocationSource, Offers};
pub use budget::{
    Budget, BudgetAmount, BudgetGuarantee, BudgetId, BudgetKey, BudgetLimit, LimitQuery, OnLedgerFailure, Per,
};
pub use conflict_policy::ConflictPolicy;
pub use data_type::{DataType, Precision, TypeMismatch};
pub use element::Element;
pub use eval_error::EvalError;
pub use id::{DatabaseId, Lsn, TableId};
pub use interval::{DAY_MICROS, Interval};
pub use json::Json;
pub use merges::Merges;
pub use numeric::Numeric;
pub use row::Row;
pub use schema::{
    Catalog, CatalogError, Check, Column, ForeignKey, IndexSchema, LiveView, ROW_ID, ReferentialAction,
    TableSchema, Unique,
};
pub use system_table::{
    ALLOCATIONS, ALLOCATIONS_NAME, BUDGETS, BUDGETS_NAME, CONFLICTS, CONFLICTS_NAME, REPLICA, SystemTable,
    system_table, system_tables,
};
pub use text::Text;
pub use value::{Double, Value};
