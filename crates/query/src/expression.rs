//! [`Expr`]: a bound expression: names are places, every node has its type, every coercion is a cast.
//!
//! Invariant: operands have the types their operator asks for (who makes it inserts the casts), so evaluation
//! never looks at types again. Columns are places in the input row of the plan node that holds the
//! expression; for a join, the left input's columns come first, then the right's.

use deltaic_types::{DataType, Value};

use crate::{functions::Function, plan::Plan};

/// An expression with its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// The type of its value.
    pub data_type: DataType,
}

/// The forms of an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExprKind {
    /// The input's column at a place.
    Column(usize),
    /// `$1` is parameter 0.
    Parameter(usize),
    /// In the right input of a dependent join: the value of the `i`-th outer column of the left row.
    Outer(usize),
    /// A constant.
    Literal(Value),
    /// The time, a timestamptz: in a live query, whose results it moves. One that is asked once has a literal.
    Now,
    /// Three-valued AND of two or more conditions, evaluated in order up to the first FALSE.
    And(Vec<Expr>),
    /// Three-valued OR of two or more conditions, evaluated in order up to the first TRUE.
    Or(Vec<Expr>),
    /// Three-valued NOT.
    Not(Box<Expr>),
    /// `IS NULL`.
    IsNull(Box<Expr>),
    /// `IS NOT DISTINCT FROM` when not negated: NULLs are equal, never NULL itself.
    IsNotDistinct(Box<Expr>, Box<Expr>),
    /// A comparison of two operands of one type class; NULL if either is NULL.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `IN (a, b, …)`: as an OR of equalities, with its NULLs.
    InList(Box<Expr>, Vec<Expr>),
    /// Searched CASE; the first branch whose condition holds, else the last expression.
    Case(Vec<(Expr, Expr)>, Box<Expr>),
    /// The first argument that is not NULL; later ones are not evaluated.
    Coalesce(Vec<Expr>),
    /// A cast to the node's type.
    Cast(Box<Expr>),
    /// A function or an operator that is not a comparison.
    Call(Function, Vec<Expr>),
    /// A subquery. There are none in a plan that [`crate::unnest::unnest`] has seen.
    Subquery(Box<Subquery>),
}

/// A query in an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subquery {
    /// What is asked of its rows.
    pub kind: SubqueryKind,
    /// The query; `Outer(i)` in it is the `i`-th of `outer`.
    pub plan: Plan,
    /// What the query reads of the row that the expression is evaluated on.
    pub outer: Vec<Expr>,
}

/// What is asked of a subquery's rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubqueryKind {
    /// `EXISTS (…)`: whether there are any.
    Exists,
    /// `(…)`: the value of the only one, NULL without one, an error with more.
    Scalar,
    /// `x = ANY (…)` and the other comparisons; `IN` is `= ANY`. TRUE if it is TRUE for any row, else NULL if it
    /// is NULL for any, else FALSE.
    Any {
        /// The comparison; of several columns only equality.
        comparison: Comparison,
        /// The left side, of the columns' types.
        operands: Vec<Expr>,
        /// Whether an operand or a column may be NULL.
        nullable: bool,
    },
}

/// The six comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Comparison {
    /// The comparison that is FALSE where this one is TRUE, and the other way round.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Ge => Self::Lt,
            Self::Le => Self::Gt,
            Self::Gt => Self::Le,
        }
    }
}

impl Comparison {
    /// The comparison that says the same with its sides exchanged.
    #[must_use]
    pub fn turned(self) -> Self {
        match self {
            Self::Eq | Self::Ne => self,
            Self::Lt => Self::Gt,
            Self::Ge => Self::Le,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
        }
    }
}

impl Expr {
    /// An expression of a kind and a type.
    pub fn new(kind: ExprKind, data_type: DataType) -> Self {
        Self { kind, data_type }
    }

    /// A column.
    pub fn column(place: usize, data_type: DataType) -> Self {
        Self::new(ExprKind::Column(place), data_type)
    }

    /// A constant.
    pub fn literal(value: Value, data_type: DataType) -> Self {
        Self::new(ExprKind::Literal(value), data_type)
    }

    /// The condition that always holds.
    pub fn always() -> Self {
        Self::literal(Value::Boolean(true), DataType::Boolean)
    }

    /// The direct operands.
    pub fn operands(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Column(_)
            | ExprKind::Parameter(_)
            | ExprKind::Outer(_)
            | ExprKind::Literal(_)
            | ExprKind::Now => Vec::new(),
            ExprKind::Subquery(subquery) => subquery.operands().collect(),
            ExprKind::And(list) | ExprKind::Or(list) | ExprKind::Coalesce(list) | ExprKind::Call(_, list) => {
                list.iter().collect()
            }
            ExprKind::Not(a) | ExprKind::IsNull(a) | ExprKind::Cast(a) => vec![a],
            ExprKind::IsNotDistinct(a, b) | ExprKind::Compare(_, a, b) => vec![a, b],
            ExprKind::InList(a, list) => std::iter::once(&**a).chain(list).collect(),
            ExprKind::Case(branches, otherwise) => branches
                .iter()
                .flat_map(|(condition, result)| [condition, result])
                .chain(std::iter::once(&**otherwise))
                .collect(),
        }
    }

    /// The expression with every leaf (column, parameter, literal) replaced by what `leaf` gives for it;
    /// None keeps the leaf.
    #[must_use]
    pub fn map_leaves(&self, leaf: &mut dyn FnMut(&Self) -> Option<Self>) -> Self {
        let mut each = |list: &[Self]| list.iter().map(|item| item.map_leaves(leaf)).collect::<Vec<_>>();
        let kind = match &self.kind {
            ExprKind::Column(_)
            | ExprKind::Parameter(_)
            | ExprKind::Outer(_)
            | ExprKind::Literal(_)
            | ExprKind::Now => {
                return leaf(self).unwrap_or_else(|| self.clone());
            }
            ExprKind::And(list) => ExprKind::And(each(list)),
            ExprKind::Or(list) => ExprKind::Or(each(list)),
            ExprKind::Coalesce(list) => ExprKind::Coalesce(each(list)),
            ExprKind::Call(function, list) => ExprKind::Call(*function, each(list)),
            ExprKind::Subquery(subquery) => ExprKind::Subquery(Box::new(subquery.with_operands(&mut each))),
            ExprKind::InList(a, list) => ExprKind::InList(Box::new(a.map_leaves(leaf)), {
                list.iter().map(|item| item.map_leaves(leaf)).collect()
            }),
            ExprKind::Not(a) => ExprKind::Not(Box::new(a.map_leaves(leaf))),
            ExprKind::IsNull(a) => ExprKind::IsNull(Box::new(a.map_leaves(leaf))),
            ExprKind::Cast(a) => ExprKind::Cast(Box::new(a.map_leaves(leaf))),
            ExprKind::IsNotDistinct(a, b) => {
                ExprKind::IsNotDistinct(Box::new(a.map_leaves(leaf)), Box::new(b.map_leaves(leaf)))
            }
            ExprKind::Compare(op, a, b) => {
                ExprKind::Compare(*op, Box::new(a.map_leaves(leaf)), Box::new(b.map_leaves(leaf)))
            }
            ExprKind::Case(branches, otherwise) => ExprKind::Case(
                branches
                    .iter()
                    .map(|(condition, result)| (condition.map_leaves(leaf), result.map_leaves(leaf)))
                    .collect(),
                Box::new(otherwise.map_leaves(leaf)),
            ),
        };
        Self::new(kind, self.data_type.clone())
    }

    /// The expression with each direct operand replaced by what `map` gives for it.
    pub fn try_map_operands<E>(&self, map: &mut dyn FnMut(&Self) -> Result<Self, E>) -> Result<Self, E> {
        let mut boxed = |operand: &Self| map(operand).map(Box::new);
        let kind = match &self.kind {
            ExprKind::Column(_)
            | ExprKind::Parameter(_)
            | ExprKind::Outer(_)
            | ExprKind::Literal(_)
            | ExprKind::Now => self.kind.clone(),
            ExprKind::Not(a) => ExprKind::Not(boxed(a)?),
            ExprKind::IsNull(a) => ExprKind::IsNull(boxed(a)?),
            ExprKind::Cast(a) => ExprKind::Cast(boxed(a)?),
            ExprKind::IsNotDistinct(a, b) => ExprKind::IsNotDistinct(boxed(a)?, boxed(b)?),
            ExprKind::Compare(op, a, b) => ExprKind::Compare(*op, boxed(a)?, boxed(b)?),
            ExprKind::And(list) => ExprKind::And(list.iter().map(map).collect::<Result<_, _>>()?),
            ExprKind::Or(list) => ExprKind::Or(list.iter().map(map).collect::<Result<_, _>>()?),
            ExprKind::Coalesce(list) => ExprKind::Coalesce(list.iter().map(map).collect::<Result<_, _>>()?),
            ExprKind::Call(function, list) => {
                ExprKind::Call(*function, list.iter().map(map).collect::<Result<_, _>>()?)
            }
            ExprKind::Subquery(subquery) => {
                let mut failure = None;
                let mapped = subquery.with_operands(&mut |list: &[Self]| {
                    let results = list.iter().map(|item| map(item).map_err(|error| failure = Some(error)));
                    results.filter_map(Result::ok).collect()
                });
                if let Some(error) = failure {
                    return Err(error);
                }
                ExprKind::Subquery(Box::new(mapped))
            }
            ExprKind::InList(a, list) => {
                let first = Box::new(map(a)?);
                ExprKind::InList(first, list.iter().map(map).collect::<Result<_, _>>()?)
            }
            ExprKind::Case(branches, otherwise) => ExprKind::Case(
                branches
                    .iter()
                    .map(|(condition, result)| Ok((map(condition)?, map(result)?)))
                    .collect::<Result<_, _>>()?,
                Box::new(map(otherwise)?),
            ),
        };
        Ok(Self::new(kind, self.data_type.clone()))
    }

    /// The places of the input columns it uses, each once, ascending.
    pub fn columns(&self) -> Vec<usize> {
        let mut places = Vec::new();
        self.walk(&mut |expr| {
            if let ExprKind::Column(place) = expr.kind {
                places.push(place);
            }
        });
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Whether it uses a parameter.
    pub fn has_parameter(&self) -> bool {
        self.any(&|kind| matches!(kind, ExprKind::Parameter(_)))
    }

    /// Whether it uses an outer column.
    pub fn has_outer(&self) -> bool {
        self.any(&|kind| matches!(kind, ExprKind::Outer(_)))
    }

    /// Whether it depends on the time at which it is evaluated.
    pub fn reads_time(&self) -> bool {
        self.any(&|kind| matches!(kind, ExprKind::Now))
    }

    /// Whether there is a subquery in it.
    pub fn has_subquery(&self) -> bool {
        self.any(&|kind| matches!(kind, ExprKind::Subquery(_)))
    }

    /// The expression with each outermost subquery replaced by what `change` gives for it and its type.
    #[must_use]
    pub fn map_subqueries(&self, change: &mut dyn FnMut(&Subquery, &DataType) -> Self) -> Self {
        if let ExprKind::Subquery(subquery) = &self.kind {
            return change(subquery, &self.data_type);
        }
        let mapped: Result<Self, std::convert::Infallible> =
            self.try_map_operands(&mut |operand| Ok(operand.map_subqueries(change)));
        match mapped {
            Ok(expr) => expr,
        }
    }

    fn any(&self, wanted: &dyn Fn(&ExprKind) -> bool) -> bool {
        wanted(&self.kind) || self.operands().into_iter().any(|operand| operand.any(wanted))
    }

    /// Calls `visit` for the expression and everything in it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        for operand in self.operands() {
            operand.walk(visit);
        }
    }

    /// The conjuncts of a condition: nested ANDs flattened, in order.
    pub fn conjuncts(self) -> Vec<Self> {
        match self.kind {
            ExprKind::And(list) => list.into_iter().flat_map(Self::conjuncts).collect(),
            ExprKind::Literal(Value::Boolean(true)) => Vec::new(),
            kind => vec![Self::new(kind, self.data_type)],
        }
    }

    /// The condition that all of the conditions hold.
    pub fn all(mut conditions: Vec<Self>) -> Self {
        match conditions.len() {
            0 => Self::always(),
            1 => conditions.remove(0),
            _ => Self::new(ExprKind::And(conditions), DataType::Boolean),
        }
    }
}

impl Subquery {
    /// What of the row around it the subquery needs: operands, then outer columns.
    pub fn operands(&self) -> impl Iterator<Item = &Expr> {
        let operands = match &self.kind {
            SubqueryKind::Any { operands, .. } => &operands[..],
            _ => &[],
        };
        operands.iter().chain(&self.outer)
    }

    /// The subquery with each operand and outer column replaced by what `map` gives for it.
    #[must_use]
    pub fn map_operands(&self, map: &mut dyn FnMut(&Expr) -> Expr) -> Self {
        self.with_operands(&mut |list| list.iter().map(&mut *map).collect())
    }

    /// The subquery with each list of its operands replaced by what `each` gives for it.
    fn with_operands(&self, each: &mut dyn FnMut(&[Expr]) -> Vec<Expr>) -> Self {
        let kind = match &self.kind {
            SubqueryKind::Any { comparison, operands, nullable } => {
                SubqueryKind::Any { comparison: *comparison, operands: each(operands), nullable: *nullable }
            }
            other => other.clone(),
        };
        Self { kind, plan: self.plan.clone(), outer: each(&self.outer) }
    }
}
