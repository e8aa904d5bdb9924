//! [`Plan`]: a bound query as a tree of relational operators.
//!
//! Invariant: an expression in a node refers to the columns of the node's input by place; a join's condition
//! refers to the left input's columns, then the right's. Every node yields a bag of rows; an order exists
//! only inside [`Plan::TopK`] and beside the whole plan ([`Query::order`]). Only in the right input of a
//! dependent join are there [`crate::expression::ExprKind::Outer`] expressions: those of the nearest one around.

use deltaic_dataflow::{Frame, Positional};
use deltaic_types::{DataType, TableId};

use crate::expression::Expr;

/// A relational operator over its inputs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plan {
    /// All rows of a table, all its columns in their order, hidden ones included.
    Scan {
        /// The table.
        table: TableId,
        /// The types of its columns.
        types: Vec<DataType>,
    },
    /// Rows of expressions without columns: VALUES, and the one row of a SELECT without FROM.
    Values {
        /// The rows.
        rows: Vec<Vec<Expr>>,
        /// The types of the columns.
        types: Vec<DataType>,
    },
    /// The rows for which the predicate is TRUE.
    Filter {
        /// The input.
        input: Box<Plan>,
        /// A boolean.
        predicate: Expr,
    },
    /// Each row turned into the expressions' values.
    Project {
        /// The input.
        input: Box<Plan>,
        /// The columns of the output.
        exprs: Vec<Expr>,
    },
    /// Pairs of rows that satisfy a condition: the left row's columns, then the right's; or what becomes of a
    /// left row by the right rows that match it.
    ///
    /// With `outer` it is a *dependent join*: the right input is computed for each left row anew, and reads the
    /// values of these columns of it.
    Join {
        /// What the output is.
        kind: JoinKind,
        /// The left input.
        left: Box<Plan>,
        /// The right input.
        right: Box<Plan>,
        /// The left columns that the right input reads: `Outer(i)` there is the `i`-th of them.
        outer: Vec<usize>,
        /// A boolean over both; [`Expr::always`] for a cross join.
        on: Expr,
    },
    /// One row a group: the keys, then the aggregates. Without keys there is one group, always.
    Aggregate {
        /// The input.
        input: Box<Plan>,
        /// What is equal within a group (NULLs are).
        keys: Vec<Expr>,
        /// What is computed of each group.
        calls: Vec<AggregateCall>,
    },
    /// Each different row once.
    Distinct {
        /// The input.
        input: Box<Plan>,
    },
    /// The rows of all inputs, which have columns of the same types.
    UnionAll {
        /// The inputs.
        inputs: Vec<Plan>,
    },
    /// Each row with what functions give for its place among the rows of its partition: the input's columns,
    /// then the calls. The whole row completes the order.
    Window {
        /// The input.
        input: Box<Plan>,
        /// The places of the columns that are equal within a partition (NULLs are).
        partition: Vec<usize>,
        /// The order within a partition.
        order: Vec<SortKey>,
        /// What is computed for each row.
        calls: Vec<WindowCall>,
    },
    /// INTERSECT or EXCEPT of inputs that have columns of the same types.
    SetOperation {
        /// The operation.
        kind: SetKind,
        /// The left input.
        left: Box<Plan>,
        /// The right input.
        right: Box<Plan>,
    },
    /// Of each partition the rows from `offset` up to `limit` of them, in an order that the whole row completes.
    TopK {
        /// The input.
        input: Box<Plan>,
        /// The columns that are equal within a partition; none for one window over all rows.
        partition: Vec<usize>,
        /// The order.
        order: Vec<SortKey>,
        /// How many rows; a bigint without columns, None or NULL for all.
        limit: Option<Expr>,
        /// How many rows are passed over first; a bigint without columns.
        offset: Option<Expr>,
    },
    /// The least fixpoint of a step over a base, whose columns have the same types.
    Recursive {
        /// The rows that the recursion begins with.
        base: Box<Plan>,
        /// What is derived from the rows that [`Plan::Recurring`] stands for, which it reads once in each term of
        /// a sum, below nothing but filters, projections, inner joins and the left side of outer joins.
        step: Box<Plan>,
        /// Whether rows are counted; otherwise each different row is there once.
        all: bool,
        /// Whether behind the columns of a row stands the round that first derives it, a [`ROUND`]: 0 in the
        /// base. The step reads it, and does not give it.
        ranked: bool,
    },
    /// The rows of the recursion whose step this stands in, the innermost one.
    Recurring {
        /// The types of the columns.
        types: Vec<DataType>,
    },
}

/// The type of the number of a recursion's round.
pub const ROUND: DataType = DataType::Integer;

/// What a join yields. One that is not named so has the left columns, then the right ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinKind {
    /// Each pair.
    Inner,
    /// Each pair, and each left row without a partner once, beside NULLs.
    Left,
    /// The same, and each right row without a partner.
    Full,
    /// The left columns of each left row that has a partner, once.
    Semi,
    /// The left columns of each left row that has none.
    Anti,
    /// The left columns of each left row, and a boolean: whether it has a partner.
    Mark,
    /// Each left row with its only partner or with NULLs; an error where there are more.
    Single,
}

impl JoinKind {
    /// Whether the right columns are part of the output.
    pub fn has_right_columns(self) -> bool {
        matches!(self, Self::Inner | Self::Left | Self::Full | Self::Single)
    }

    /// Whether right columns of the output may be NULL where they are not in the right input.
    pub fn adds_nulls(self) -> bool {
        matches!(self, Self::Left | Self::Full | Self::Single)
    }
}

pub use deltaic_dataflow::SetKind;

/// An aggregate function applied to a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateCall {
    /// The function.
    pub function: Aggregate,
    /// Its arguments over the input's columns; none for `count(*)`. Behind them stand those values that only
    /// the order uses.
    pub arguments: Vec<Expr>,
    /// `ORDER BY` within the call: places among the arguments.
    pub order: Vec<SortKey>,
    /// The argument that stands before `WITHIN GROUP`: the fraction of a percentile, without columns.
    pub direct: Option<Expr>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// `FILTER (WHERE …)`: a boolean over the input's columns.
    pub filter: Option<Expr>,
    /// The type of the result.
    pub data_type: DataType,
}

/// The aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// `count(*)`, or `count(x)`: rows whose argument is not NULL. A bigint.
    Count,
    /// `sum(x)`: of integers a bigint, of bigints a numeric, of numerics a numeric, of doubles a double.
    Sum,
    /// `avg(x)`: of doubles a double, of everything else a numeric.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// Whether all are TRUE.
    BoolAnd,
    /// Whether any is TRUE.
    BoolOr,
    /// The bits that all integers have.
    BitAnd,
    /// The bits that any integer has.
    BitOr,
    /// The bits that an odd number of integers has.
    BitXor,
    /// `var_samp(x)`, `variance(x)`: of doubles a double, of everything else a numeric, as the next three.
    VarSamp,
    /// `var_pop(x)`
    VarPop,
    /// `stddev_samp(x)`, `stddev(x)`
    StddevSamp,
    /// `stddev_pop(x)`
    StddevPop,
    /// `string_agg(x, delimiter)`: a text.
    StringAgg,
    /// `array_agg(x)`: an array.
    ArrayAgg,
    /// `jsonb_agg(x)`: a JSON array.
    JsonAgg,
    /// `jsonb_object_agg(key, value)`: a JSON object.
    JsonObjectAgg,
    /// `percentile_disc(f) WITHIN GROUP (ORDER BY x)`: of the type of x, as the mode.
    PercentileDisc,
    /// `percentile_cont(f) WITHIN GROUP (ORDER BY x)`: a double.
    PercentileCont,
    /// `mode() WITHIN GROUP (ORDER BY x)`
    Mode,
}

impl AggregateCall {
    /// All expressions in it.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.arguments.iter().chain(&self.direct).chain(&self.filter)
    }

    /// The call with every expression replaced by what `change` makes of it.
    #[must_use]
    pub fn map(mut self, change: &dyn Fn(&Expr) -> Expr) -> Self {
        for expr in self.arguments.iter_mut().chain(&mut self.direct).chain(&mut self.filter) {
            *expr = change(expr);
        }
        self
    }
}

/// A function over a window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowCall {
    /// The function and its arguments over the input's columns.
    pub function: WindowFunction,
    /// The rows that a function of a frame looks at.
    pub frame: Frame,
    /// The type of the result.
    pub data_type: DataType,
}

/// The functions over windows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowFunction {
    /// One that knows the row's place.
    Positional(Positional, Vec<Expr>),
    /// An aggregate of the frame.
    Aggregate(AggregateCall),
}

impl WindowCall {
    /// All expressions in it.
    pub fn exprs(&self) -> Vec<&Expr> {
        match &self.function {
            WindowFunction::Positional(_, arguments) => arguments.iter().collect(),
            WindowFunction::Aggregate(call) => call.exprs().collect(),
        }
    }

    /// The call with every expression replaced by what `change` makes of it.
    #[must_use]
    pub fn map(self, change: &dyn Fn(&Expr) -> Expr) -> Self {
        let function = match self.function {
            WindowFunction::Positional(positional, arguments) => {
                WindowFunction::Positional(positional, arguments.iter().map(change).collect())
            }
            WindowFunction::Aggregate(call) => WindowFunction::Aggregate(call.map(change)),
        };
        Self { function, ..self }
    }
}

/// One criterion of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey {
    /// The place of the column in the input (for a query: in the plan's output, hidden columns included).
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// NULLs before everything else. (PostgreSQL's default: last when ascending, first when descending.)
    pub nulls_first: bool,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

/// A whole query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Yields the result's columns, then hidden ones that only the order uses.
    pub plan: Plan,
    /// The result's columns.
    pub columns: Vec<ResultColumn>,
    /// The order of the result; empty if the query names none. Where the query has a LIMIT or an OFFSET the
    /// plan holds a [`Plan::TopK`] of the same order.
    pub order: Vec<SortKey>,
}

impl Plan {
    /// The types of the output's columns.
    pub fn types(&self) -> Vec<DataType> {
        match self {
            Self::Scan { types, .. } | Self::Values { types, .. } | Self::Recurring { types } => {
                types.clone()
            }
            Self::Recursive { base, ranked, .. } => {
                base.types().into_iter().chain(ranked.then_some(ROUND)).collect()
            }
            Self::Filter { input, .. } | Self::Distinct { input } | Self::TopK { input, .. } => input.types(),
            Self::Project { exprs, .. } => exprs.iter().map(|expr| expr.data_type.clone()).collect(),
            Self::Join { kind, left, right, .. } => {
                let mut types = left.types();
                match kind {
                    JoinKind::Semi | JoinKind::Anti => {}
                    JoinKind::Mark => types.push(DataType::Boolean),
                    _ => types.extend(right.types()),
                }
                types
            }
            Self::SetOperation { left, .. } => left.types(),
            Self::Aggregate { keys, calls, .. } => keys
                .iter()
                .map(|key| key.data_type.clone())
                .chain(calls.iter().map(|call| call.data_type.clone()))
                .collect(),
            Self::Window { input, calls, .. } => {
                let mut types = input.types();
                types.extend(calls.iter().map(|call| call.data_type.clone()));
                types
            }
            Self::UnionAll { inputs } => inputs.first().map(Self::types).unwrap_or_default(),
        }
    }

    /// The plan with each input replaced by what `change` makes of it.
    #[must_use]
    pub fn map_inputs(self, change: &mut dyn FnMut(Self) -> Self) -> Self {
        let mut inside = |input: Box<Self>| Box::new(change(*input));
        match self {
            Self::Scan { .. } | Self::Values { .. } | Self::Recurring { .. } => self,
            Self::Filter { input, predicate } => Self::Filter { input: inside(input), predicate },
            Self::Project { input, exprs } => Self::Project { input: inside(input), exprs },
            Self::Join { kind, left, right, outer, on } => {
                let (left, right) = (inside(left), inside(right));
                Self::Join { kind, left, right, outer, on }
            }
            Self::Aggregate { input, keys, calls } => Self::Aggregate { input: inside(input), keys, calls },
            Self::Distinct { input } => Self::Distinct { input: inside(input) },
            Self::UnionAll { inputs } => Self::UnionAll { inputs: inputs.into_iter().map(change).collect() },
            Self::Window { input, partition, order, calls } => {
                Self::Window { input: inside(input), partition, order, calls }
            }
            Self::SetOperation { kind, left, right } => {
                let (left, right) = (inside(left), inside(right));
                Self::SetOperation { kind, left, right }
            }
            Self::TopK { input, partition, order, limit, offset } => {
                Self::TopK { input: inside(input), partition, order, limit, offset }
            }
            Self::Recursive { base, step, all, ranked } => {
                let (base, step) = (inside(base), inside(step));
                Self::Recursive { base, step, all, ranked }
            }
        }
    }

    /// The direct inputs.
    pub fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Scan { .. } | Self::Values { .. } | Self::Recurring { .. } => Vec::new(),
            Self::Recursive { base, step, .. } => vec![base, step],
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Distinct { input }
            | Self::Window { input, .. }
            | Self::TopK { input, .. } => vec![input],
            Self::Join { left, right, .. } | Self::SetOperation { left, right, .. } => vec![left, right],
            Self::UnionAll { inputs } => inputs.iter().collect(),
        }
    }

    /// The expressions of the node itself.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Self::Scan { .. }
            | Self::Distinct { .. }
            | Self::UnionAll { .. }
            | Self::SetOperation { .. }
            | Self::Recursive { .. }
            | Self::Recurring { .. } => Vec::new(),
            Self::Values { rows, .. } => rows.iter().flatten().collect(),
            Self::Filter { predicate, .. } => vec![predicate],
            Self::Project { exprs, .. } => exprs.iter().collect(),
            Self::Join { on, .. } => vec![on],
            Self::Aggregate { keys, calls, .. } => {
                keys.iter().chain(calls.iter().flat_map(AggregateCall::exprs)).collect()
            }
            Self::Window { calls, .. } => calls.iter().flat_map(WindowCall::exprs).collect(),
            Self::TopK { limit, offset, .. } => limit.iter().chain(offset).collect(),
        }
    }

    /// Whether an expression anywhere in the plan is one of the wanted.
    pub fn any_expression(&self, wanted: &dyn Fn(&Expr) -> bool) -> bool {
        self.expressions().into_iter().any(wanted)
            || self.inputs().into_iter().any(|input| input.any_expression(wanted))
    }
}
