//! [`Expr`]: a bound expression: names are places, every node has its type, every coercion is a cast.
//!
//! Invariant: operands have the types their operator asks for (the binder inserted the casts), so evaluation
//! never looks at types again. Columns are places in the input row of the plan node that holds the
//! expression; for a join, the left input's columns come first, then the right's.

use deltaic_types::{DataType, Value};

use crate::functions::Function;

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
    /// A constant.
    Literal(Value),
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
            ExprKind::Column(_) | ExprKind::Parameter(_) | ExprKind::Literal(_) => Vec::new(),
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
            ExprKind::Column(_) | ExprKind::Parameter(_) | ExprKind::Literal(_) => {
                return leaf(self).unwrap_or_else(|| self.clone());
            }
            ExprKind::And(list) => ExprKind::And(each(list)),
            ExprKind::Or(list) => ExprKind::Or(each(list)),
            ExprKind::Coalesce(list) => ExprKind::Coalesce(each(list)),
            ExprKind::Call(function, list) => ExprKind::Call(*function, each(list)),
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
            ExprKind::Column(_) | ExprKind::Parameter(_) | ExprKind::Literal(_) => self.kind.clone(),
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
        let mut found = false;
        self.walk(&mut |expr| found |= matches!(expr.kind, ExprKind::Parameter(_)));
        found
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
