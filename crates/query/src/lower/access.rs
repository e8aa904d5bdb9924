//! How a join finds the rows of one input from the rows bound so far: by equal columns, by a search behind them.
//!
//! A template's live tuples are arranged by whatever a condition compares: they are few, and each is a row that a
//! change would otherwise be compared with. So is what is arranged for the join in any case. A table is searched only
//! by an index that it has; none is made for a range alone.
//!
//! Invariant: a condition that a search makes true is checked no more, unless a value that the search takes can fail:
//! then the search restricts nothing where it does, and the condition says what its error is worth.

use std::collections::BTreeSet;

use deltaic_dataflow::{Edge, Edges, Limit, Scalar, Search};

use super::{
    Lowering,
    block::{Leaf, Shape},
};
use crate::{
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, plain_column},
    functions::Function,
};

/// The key by which a leaf is probed.
pub(super) struct Access {
    pub(super) key: Vec<(usize, Scalar)>,
    pub(super) exact: usize,
    /// How rows are found behind the key.
    pub(super) search: Option<Searched>,
    /// The conditions that the access makes true.
    pub(super) used: Vec<usize>,
    /// Whether an index of the table serves the key.
    pub(super) unique: bool,
}

/// A search, and what it searches.
pub(super) struct Searched {
    pub(super) search: Search,
    pub(super) by: By,
    /// The conditions that it serves.
    conditions: Vec<usize>,
}

/// What a search searches.
pub(super) enum By {
    /// The column behind the key.
    Column(usize),
    /// Two columns.
    Corner(Edges),
}

/// A condition that compares a column of a leaf with a value of the bound leaves.
struct Compared {
    condition: usize,
    column: usize,
    value: Scalar,
    test: Test,
}

/// What the column is to be.
#[derive(Clone, Copy, PartialEq)]
enum Test {
    Equal,
    Above {
        inclusive: bool,
    },
    Below {
        inclusive: bool,
    },
    /// A text that the value begins with.
    Prefix,
    /// A text that begins with the value.
    Extension,
}

impl Compared {
    fn limit(&self) -> Limit {
        let inclusive =
            !matches!(self.test, Test::Above { inclusive: false } | Test::Below { inclusive: false });
        Limit { value: self.value.clone(), inclusive }
    }

    fn edge(&self) -> Edge {
        Edge { column: self.column, above: matches!(self.test, Test::Above { .. }) }
    }

    fn is_above(&self) -> bool {
        matches!(self.test, Test::Above { .. } | Test::Equal)
    }

    fn is_below(&self) -> bool {
        matches!(self.test, Test::Below { .. } | Test::Equal)
    }
}

impl Lowering<'_> {
    /// How a leaf is found from the leaves bound so far.
    pub(super) fn access(
        &self,
        shape: &Shape,
        conditions: &[Expr],
        open: &[usize],
        bound: &BTreeSet<usize>,
        leaf: usize,
    ) -> Access {
        let mut keys: Vec<(usize, Scalar, usize)> = Vec::new();
        for &place in open {
            if let Some((column, value)) = shape.equality(&conditions[place], bound, leaf) {
                if keys.iter().all(|(known, ..)| *known != column) {
                    keys.push((column, value, place));
                }
            }
        }
        let of = shape.leaves[leaf];
        // Two dependent leaves meet only in the same row of the domain.
        let other = bound.iter().find(|other| shape.leaves[**other].prefix > 0);
        if let (Some(other), true) = (other, of.prefix > 0) {
            let count = of.prefix;
            keys.retain(|(column, ..)| *column >= count);
            let prefix: Vec<(usize, Scalar)> =
                (0..count).map(|place| (place, Scalar::column(*other, place))).collect();
            return Access::of(prefix, keys, count, None, false);
        }
        let known: BTreeSet<usize> = keys.iter().map(|(_, _, condition)| *condition).collect();
        let compared: Vec<Compared> = open
            .iter()
            .filter(|place| !known.contains(place))
            .filter_map(|place| shape.compared(*place, &conditions[*place], bound, leaf))
            .collect();
        let Some(table) = of.table else {
            let search = arranged_search(of, &keys, &compared);
            return Access::of(Vec::new(), keys, 0, None, false).with(search, conditions);
        };
        let existing = self.tables.keys(table);
        let columns: BTreeSet<usize> = keys.iter().map(|(column, ..)| *column).collect();
        let served = |key: &&Vec<usize>| key.iter().all(|column| columns.contains(column));
        if let Some(key) = existing.iter().find(served) {
            return Access::of(Vec::new(), keys, 0, Some(key.clone()), true);
        }
        // An index that begins with all of the columns serves them too, in its own order.
        let longer = |key: &&Vec<usize>| {
            key.len() > columns.len() && key[..columns.len()].iter().all(|column| columns.contains(column))
        };
        for key in existing.iter().filter(longer) {
            if let Some(search) = column_search(key[columns.len()], &compared) {
                let order = key[..columns.len()].to_vec();
                let unique = !order.is_empty();
                return Access::of(Vec::new(), keys, 0, Some(order), unique).with(Some(search), conditions);
            }
        }
        let head = existing.iter().find(longer).filter(|_| !columns.is_empty());
        let head = head.map(|key| key[..columns.len()].to_vec());
        let unique = head.is_some();
        Access::of(Vec::new(), keys, 0, head, unique)
    }
}

/// The search of a leaf that can be arranged by any column.
fn arranged_search(leaf: Leaf, keys: &[(usize, Scalar, usize)], compared: &[Compared]) -> Option<Searched> {
    let by_text = compared.iter().find(|compared| matches!(compared.test, Test::Prefix | Test::Extension));
    let first = by_text.or(compared.first())?;
    // Equal keys leave few tuples to look through; beneath them an order by one column is enough.
    if by_text.is_none() && keys.is_empty() && leaf.is_domain {
        if let Some(corner) = corner_search(compared) {
            return Some(corner);
        }
    }
    column_search(first.column, compared)
}

/// The search by one column, as an index in ascending order serves it.
fn column_search(column: usize, compared: &[Compared]) -> Option<Searched> {
    let here = || compared.iter().filter(|compared| compared.column == column);
    let by = By::Column(column);
    if let Some(text) = here().find(|compared| matches!(compared.test, Test::Prefix | Test::Extension)) {
        let value = text.value.clone();
        let search =
            if text.test == Test::Prefix { Search::Prefixes(value) } else { Search::Extensions(value) };
        return Some(Searched { search, by, conditions: vec![text.condition] });
    }
    let equal = here().find(|compared| compared.test == Test::Equal);
    let lower = equal.or_else(|| here().find(|compared| compared.is_above()));
    let upper = equal.or_else(|| here().find(|compared| compared.is_below()));
    let mut conditions: Vec<usize> =
        [lower, upper].into_iter().flatten().map(|side| side.condition).collect();
    conditions.dedup();
    if conditions.is_empty() {
        return None;
    }
    let search = Search::Between { lower: lower.map(Compared::limit), upper: upper.map(Compared::limit) };
    Some(Searched { search, by, conditions })
}

/// The search by two columns: the ends of an interval around one value rather than any two.
fn corner_search(compared: &[Compared]) -> Option<Searched> {
    let sided: Vec<&Compared> =
        compared.iter().filter(|side| matches!(side.test, Test::Above { .. } | Test::Below { .. })).collect();
    let all = sided.iter().enumerate();
    let pairs: Vec<(&Compared, &Compared)> = all
        .flat_map(|(place, first)| sided[place + 1..].iter().map(move |second| (*first, *second)))
        .filter(|(first, second)| first.column != second.column)
        .collect();
    let around = |(first, second): &&(&Compared, &Compared)| {
        first.value == second.value && first.is_above() != second.is_above()
    };
    let (first, second) = pairs.iter().find(around).or(pairs.first())?;
    Some(Searched {
        search: Search::Corner { first: first.limit(), second: second.limit() },
        by: By::Corner(Edges { first: first.edge(), second: second.edge() }),
        conditions: vec![first.condition, second.condition],
    })
}

impl Access {
    fn of(
        prefix: Vec<(usize, Scalar)>,
        mut keys: Vec<(usize, Scalar, usize)>,
        exact: usize,
        chosen: Option<Vec<usize>>,
        unique: bool,
    ) -> Self {
        if let Some(order) = chosen {
            keys.retain(|(column, ..)| order.contains(column));
            keys.sort_by_key(|(column, ..)| order.iter().position(|place| place == column));
        } else {
            keys.sort_by_key(|(column, ..)| *column);
        }
        let used = keys.iter().map(|(_, _, condition)| *condition).collect();
        let key =
            prefix.into_iter().chain(keys.into_iter().map(|(column, value, _)| (column, value))).collect();
        Self { key, exact, search: None, used, unique }
    }

    fn with(mut self, search: Option<Searched>, conditions: &[Expr]) -> Self {
        if let Some(searched) = &search {
            if !searched.conditions.iter().any(|place| can_fail(&conditions[*place])) {
                self.used.extend(&searched.conditions);
            }
        }
        self.search = search;
        self
    }
}

impl Shape {
    /// The column of `leaf` that the condition equates with a value of the bound leaves, and that value.
    fn equality(&self, condition: &Expr, bound: &BTreeSet<usize>, leaf: usize) -> Option<(usize, Scalar)> {
        let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
        if can_fail(condition) {
            return None;
        }
        [(a, b), (b, a)].into_iter().find_map(|(column, value)| self.sides(column, value, bound, leaf))
    }

    /// What else the condition says of a column of `leaf` and a value of the bound leaves, which may fail.
    fn compared(
        &self,
        place: usize,
        condition: &Expr,
        bound: &BTreeSet<usize>,
        leaf: usize,
    ) -> Option<Compared> {
        let of = |column: &Expr, value: &Expr, test: Test| {
            let (column, value) = self.sides(column, value, bound, leaf)?;
            Some(Compared { condition: place, column, value, test })
        };
        match &condition.kind {
            ExprKind::Compare(op, a, b) => {
                let as_written = test(*op).and_then(|test| of(a, b, test));
                as_written.or_else(|| test(op.turned()).and_then(|test| of(b, a, test)))
            }
            ExprKind::Call(Function::StartsWith, args) => {
                of(&args[0], &args[1], Test::Extension).or_else(|| of(&args[1], &args[0], Test::Prefix))
            }
            _ => None,
        }
    }

    /// A column of `leaf` and a value of the bound leaves, where the expressions are these.
    fn sides(
        &self,
        column: &Expr,
        value: &Expr,
        bound: &BTreeSet<usize>,
        leaf: usize,
    ) -> Option<(usize, Scalar)> {
        let (of, slot) = self.places[plain_column(column)?];
        let from = self.leaves_of(value);
        (of == leaf && !from.is_empty() && from.is_subset(bound)).then(|| (slot, self.compile(value)))
    }
}

fn test(op: Comparison) -> Option<Test> {
    match op {
        Comparison::Eq => Some(Test::Equal),
        Comparison::Ne => None,
        Comparison::Lt => Some(Test::Below { inclusive: false }),
        Comparison::Le => Some(Test::Below { inclusive: true }),
        Comparison::Gt => Some(Test::Above { inclusive: false }),
        Comparison::Ge => Some(Test::Above { inclusive: true }),
    }
}
