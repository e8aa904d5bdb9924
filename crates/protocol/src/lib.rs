#![doc = include_str!("../README.md")]

mod budget;
mod claims;
mod cut;
mod error;
mod events;
mod live;
mod row;
mod sql;
mod status;
mod sync;

pub use budget::{
    BatchItem, BatchRequest, BatchResponse, Bound, BudgetState, CommitRequest, ConsumeRequest,
    ConsumeResponse, EventLine, LimitState, PermitResponse, RefundRequest, ReserveRequest, decode_budget,
};
pub use claims::Claims;
pub use cut::{Cut, CutError};
pub use error::{DecodeError, ErrorBody, ErrorResponse};
pub use events::{Event, EventReader, event_text};
pub use live::{Change, Column, Current, Keep, RowChange, Snapshot};
pub use row::encode_row;
pub use sql::{SqlRequest, SqlResponse};
pub use status::{
    AllocationStatus, BudgetCounters, CircuitNode, CircuitStatus, ColumnStatus, Counters, DemoStatus,
    SetDemo, Status, SyncCounters, TableStatus, ViewStatus,
};
pub use sync::{
    BudgetAnswer, BudgetQuestion, ClientMessage, Hello, News, Poke, PokeText, ServerMessage, Subscribe,
    Unsubscribe, What,
};
