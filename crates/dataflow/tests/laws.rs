//! The laws of the operators (Budiu et al., "DBSP", 2023), over random tables and changes.
//!
//! The oracle of a law is the other side of its equation, computed by circuits of their own; that the equations are
//! about the right operators at all is what the query fuzzer's naive evaluator shows.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use deltaic_dataflow::{
    Advance, Aggregate, AggregateCall, AggregateFunction, Batch, Bitwise, Bound, Breaker, Dispersion, Frame,
    Gathering, Graph, Join, JoinInput, KeyColumn, Map, MatchJoin, MatchKind, NodeId, Operator, Path,
    Positional, Probe, Rank, Relation, RelationId, Relations, Scalar, SetKind, SetOperation, TopK, Units,
    Weight, Window, WindowCall, WindowFunction, ZSet,
};
use deltaic_types::{Row, TableId, Value};
use proptest::prelude::*;

const LEFT: RelationId = RelationId::Table(TableId(1));
const RIGHT: RelationId = RelationId::Table(TableId(2));

/// A table's rows by id: a key to join and group by, which may be NULL, and a value.
type Table = BTreeMap<u8, (Option<u8>, i8)>;

fn row(id: u8, (key, value): (Option<u8>, i8)) -> Row {
    let key = key.map_or(Value::Null, |key| Value::Integer(key.into()));
    Row::from_iter([Value::Integer(id.into()), key, Value::Integer(value.into())])
}

fn table() -> impl Strategy<Value = Table> {
    proptest::collection::btree_map(0_u8..12, (proptest::option::weighted(0.8, 0_u8..4), -3_i8..4), 0..10)
}

fn relations(left: &Table, right: &Table) -> Relations {
    let mut relations = Relations::default();
    for (id, table) in [(LEFT, left), (RIGHT, right)] {
        relations.put(id, Relation::of(&[0], table.iter().map(|(id, rest)| row(*id, *rest))));
    }
    relations
}

/// What turns one table into another.
fn change(from: &Table, to: &Table) -> ZSet {
    let gone = from.iter().map(|(id, rest)| (row(*id, *rest), -1));
    let come = to.iter().map(|(id, rest)| (row(*id, *rest), 1));
    gone.chain(come).collect::<ZSet>().consolidated()
}

/// The operators under test, by the names of the field.
const OPERATORS: [&str; 20] = [
    "filter",
    "project",
    "join",
    "inner match",
    "left join",
    "semijoin",
    "antijoin",
    "mark join",
    "single join",
    "aggregate",
    "distinct",
    "union",
    "difference",
    "top k",
    "top k of each",
    "intersect",
    "intersect all",
    "except",
    "except all",
    "window",
];

/// INTERSECT and EXCEPT.
fn set_kind(operator: &str) -> Option<SetKind> {
    Some(match operator {
        "intersect" => SetKind::Intersect,
        "intersect all" => SetKind::IntersectAll,
        "except" => SetKind::Except,
        "except all" => SetKind::ExceptAll,
        _ => return None,
    })
}

/// The joins that ask of a left row which right rows match it.
fn match_kind(operator: &str) -> Option<MatchKind> {
    Some(match operator {
        "inner match" => MatchKind::Inner,
        "left join" => MatchKind::Left,
        "semijoin" => MatchKind::Semi,
        "antijoin" => MatchKind::Anti,
        "mark join" => MatchKind::Mark,
        "single join" => MatchKind::Single,
        _ => return None,
    })
}

fn positive() -> Scalar {
    Scalar::function("#0.2 > 0", |rows| Ok(Value::Boolean(rows[0][2] > Value::Integer(0))))
}

/// A circuit of one operator over the tables.
fn circuit(graph: &mut Graph, operator: &str) -> NodeId {
    let left = graph.add(Operator::Input(LEFT));
    let right = graph.add(Operator::Input(RIGHT));
    let whole = |input| (0..3).map(move |column| Scalar::column(input, column));
    let key = vec![KeyColumn::ascending(1)];
    let plain = |source| JoinInput { source, filter: Vec::new() };
    let map = |filter: Vec<Scalar>, project| Operator::Map(Map { input: left, filter, project, prefix: 0 });
    let narrow = Some(vec![Scalar::column(0, 1), Scalar::column(0, 2)]);
    let built = match operator {
        "filter" => map(vec![positive()], None),
        "project" => map(Vec::new(), narrow),
        "join" => {
            let path = |other: usize, integral| Path {
                conditions: Vec::new(),
                probes: vec![Probe {
                    input: other,
                    integral,
                    index: key.clone(),
                    key: vec![Scalar::column(1 - other, 1)],
                    exact: 0,
                    search: None,
                    conditions: Vec::new(),
                }],
            };
            Operator::Join(Join {
                inputs: vec![plain(left), plain(right)],
                paths: vec![path(1, right), path(0, left)],
                conditions: Vec::new(),
                project: whole(0).chain(whole(1)).collect(),
                prefix: Vec::new(),
            })
        }
        other if match_kind(other).is_some() => {
            let kind = match_kind(other).unwrap();
            let beside = match kind {
                MatchKind::Semi | MatchKind::Anti => Vec::new(),
                MatchKind::Mark => vec![Scalar::column(1, 0)],
                _ => whole(1).collect(),
            };
            Operator::MatchJoin(MatchJoin {
                kind,
                left: plain(left),
                right: plain(right),
                left_key: key.clone(),
                right_key: key.clone(),
                exact: 0,
                conditions: vec![Scalar::function("#0.2 <= #1.2", |rows| {
                    Ok(Value::Boolean(rows[0][2] <= rows[1][2]))
                })],
                right_width: 3,
                project: whole(0).chain(beside).collect(),
                prefix: Vec::new(),
            })
        }
        "aggregate" => {
            let call = |function, arguments| AggregateCall {
                function,
                arguments,
                order: Vec::new(),
                direct: None,
                distinct: false,
                filter: None,
            };
            let value = || vec![Scalar::column(0, 2)];
            let order = || vec![KeyColumn { column: 0, descending: true, nulls_first: false }];
            let ordered = |function, arguments, distinct| AggregateCall {
                order: order(),
                direct: Some(Scalar::constant(Value::double(0.5))),
                distinct,
                ..call(function, arguments)
            };
            let both = || vec![Scalar::column(0, 2), Scalar::column(0, 1)];
            Operator::Aggregate(Aggregate {
                input: left,
                groups: None,
                key: vec![Scalar::column(0, 1)],
                prefix: 0,
                calls: vec![
                    call(AggregateFunction::Count, Vec::new()),
                    call(AggregateFunction::SumInteger, value()),
                    call(AggregateFunction::Max, value()),
                    call(AggregateFunction::Bits(Bitwise::Xor), value()),
                    call(
                        AggregateFunction::Dispersion(Dispersion { double: false, sample: true, root: true }),
                        value(),
                    ),
                    ordered(AggregateFunction::Gather(Gathering::Array), both(), false),
                    ordered(AggregateFunction::Gather(Gathering::Array), value(), true),
                    ordered(AggregateFunction::Rank(Rank::Discrete), value(), false),
                    ordered(AggregateFunction::Rank(Rank::Mode), value(), false),
                ],
            })
        }
        "distinct" => {
            let input = graph.add(map(Vec::new(), narrow));
            Operator::Distinct { input }
        }
        "union" => Operator::Union { inputs: vec![left, right, left] },
        // What the filter keeps, taken from all rows.
        "difference" => {
            let kept = graph.add(map(vec![positive()], None));
            let negated = graph.add(Operator::Negate { input: kept });
            Operator::Union { inputs: vec![left, negated] }
        }
        "top k" => Operator::TopK(TopK {
            input: left,
            partition: Vec::new(),
            order: vec![KeyColumn { column: 2, descending: true, nulls_first: true }],
            offset: Scalar::constant(Value::Integer(1)),
            limit: Scalar::constant(Value::Integer(3)),
        }),
        "top k of each" => Operator::TopK(TopK {
            input: left,
            partition: vec![1],
            order: vec![KeyColumn::ascending(2)],
            offset: Scalar::constant(Value::Null),
            limit: Scalar::column(0, 0),
        }),
        other if set_kind(other).is_some() => {
            let left = graph.add(map(Vec::new(), narrow.clone()));
            let of_right = Map { input: right, filter: Vec::new(), project: narrow, prefix: 0 };
            let right = graph.add(Operator::Map(of_right));
            Operator::SetOperation(SetOperation { kind: set_kind(other).unwrap(), left, right })
        }
        "window" => {
            let offset = || Value::Integer(1);
            let frames = [
                Frame::default(),
                Frame { units: Units::Rows, start: Bound::Before(offset()), end: Bound::After(offset()) },
                Frame { units: Units::Groups, start: Bound::Before(offset()), end: Bound::Current },
                Frame { units: Units::Range, start: Bound::After(offset()), end: Bound::Last },
            ];
            let argument = |column| vec![Scalar::column(0, column)];
            let sum = |arguments, function| {
                let call = AggregateCall {
                    function,
                    arguments,
                    order: vec![KeyColumn::ascending(1)],
                    direct: None,
                    distinct: false,
                    filter: None,
                };
                WindowFunction::Aggregate(call)
            };
            let mut functions: Vec<WindowFunction> = [Positional::RowNumber, Positional::DenseRank]
                .map(|positional| WindowFunction::Positional(positional, Vec::new()))
                .into();
            functions.push(WindowFunction::Positional(Positional::Lag, argument(0)));
            functions.push(WindowFunction::Positional(Positional::LastValue, argument(0)));
            functions.push(sum(argument(0), AggregateFunction::SumInteger));
            functions.push(sum(argument(0), AggregateFunction::Gather(Gathering::Array)));
            let calls = functions.iter().flat_map(|function| {
                frames.iter().map(|frame| WindowCall { function: function.clone(), frame: frame.clone() })
            });
            Operator::Window(Window {
                input: left,
                prefix: 0,
                partition: vec![1],
                order: vec![KeyColumn { column: 2, descending: true, nulls_first: true }],
                calls: calls.collect(),
            })
        }
        other => unreachable!("{other}"),
    };
    let node = graph.add(built);
    let root = graph.add(Operator::Arrange { input: node, key: Vec::new() });
    graph.hold(root);
    root
}

fn with_indexes(graph: &Graph, mut relations: Relations) -> Relations {
    for (relation, key) in graph.required_indexes() {
        relations.get_mut(relation).unwrap().ensure_index(&key);
    }
    relations
}

fn integral(graph: &Graph, root: NodeId) -> BTreeMap<Row, Weight> {
    graph.arranged(root, &[]).into_iter().map(|(row, weight)| (row.clone(), weight)).collect()
}

/// `Q(z)`: the whole result over the tables.
fn result(operator: &str, left: &Table, right: &Table) -> BTreeMap<Row, Weight> {
    let mut graph = Graph::default();
    let root = circuit(&mut graph, operator);
    let relations = with_indexes(&graph, relations(left, right));
    graph.hydrate(&relations);
    integral(&graph, root)
}

/// A circuit over tables, and the tables before and after a change.
struct Prepared {
    graph: Graph,
    root: NodeId,
    old: Relations,
    new: Relations,
}

fn prepared(operator: &str, before: (&Table, &Table), after: (&Table, &Table)) -> Prepared {
    let mut graph = Graph::default();
    let root = circuit(&mut graph, operator);
    let old = with_indexes(&graph, relations(before.0, before.1));
    let new = with_indexes(&graph, relations(after.0, after.1));
    graph.hydrate(&old);
    Prepared { graph, root, old, new }
}

/// `Q^Δ`: the change of the result for a change of the tables; and the circuit behind it.
fn step(operator: &str, before: (&Table, &Table), after: (&Table, &Table)) -> (Graph, NodeId, ZSet) {
    let Prepared { mut graph, root, old, new } = prepared(operator, before, after);
    let changes = [(LEFT, change(before.0, after.0)), (RIGHT, change(before.1, after.1))];
    let mut outputs = graph.step(&old, &new, changes, &BTreeSet::from([root]));
    let output = outputs.remove(&root).unwrap_or_default().rows.consolidated();
    (graph, root, output)
}

fn sum(parts: impl IntoIterator<Item = (Row, Weight)>) -> BTreeMap<Row, Weight> {
    let mut sum: BTreeMap<Row, Weight> = BTreeMap::new();
    for (row, weight) in parts {
        *sum.entry(row).or_default() += weight;
    }
    sum.retain(|_, weight| *weight != 0);
    sum
}

fn owned(set: &ZSet) -> Vec<(Row, Weight)> {
    set.iter().map(|(row, weight)| (row.clone(), weight)).collect()
}

/// Two tables without a row of one id.
fn apart() -> impl Strategy<Value = (Table, Table)> {
    (table(), table()).prop_map(|(a, b)| {
        let b = b.into_iter().filter(|(id, _)| !a.contains_key(id)).collect();
        (a, b)
    })
}

fn together(a: &Table, b: &Table) -> Table {
    a.iter().chain(b).map(|(id, rest)| (*id, *rest)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `Q(z + Δz) = Q(z) + Q^Δ(Δz)`, both tables changed in one step; and the state is that of a circuit hydrated later.
    #[test]
    fn the_incremental_form_is_the_difference(a in table(), b in table(), c in table(), d in table()) {
        for operator in OPERATORS {
            let (graph, root, output) = step(operator, (&a, &b), (&c, &d));
            let expected = result(operator, &c, &d);
            let added = sum(result(operator, &a, &b).into_iter().chain(owned(&output)));
            prop_assert_eq!(&added, &expected, "{}", operator);
            prop_assert_eq!(&integral(&graph, root), &expected, "{}", operator);
        }
    }

    /// `(z - σ(z)) + σ(z) = z`: what is negated takes away what it is, and no more.
    #[test]
    fn a_row_and_its_negation_are_nothing(a in table(), b in table()) {
        let parts = result("difference", &a, &b).into_iter().chain(result("filter", &a, &b));
        let whole = sum(change(&Table::new(), &a).into_iter());
        prop_assert_eq!(sum(parts), whole);
    }

    /// A new circuit names the indexes of its own joins and of no others, however many there are.
    #[test]
    fn only_new_nodes_want_indexes(a in table(), b in table()) {
        let mut graph = Graph::default();
        let mut all = relations(&a, &b);
        let mut named = Vec::new();
        for operator in ["join", "filter", "left join", "join"] {
            circuit(&mut graph, operator);
            named.push(graph.required_indexes().len());
            all = with_indexes(&graph, all);
            graph.hydrate(&all);
            prop_assert!(graph.required_indexes().is_empty());
        }
        prop_assert_eq!(named, vec![2, 0, 2, 0]);
    }

    /// `Q(a + b) = Q(a) + Q(b)` for filters, projections and sums; their incremental form is themselves.
    #[test]
    fn linear_operators_are_linear((a, b) in apart(), other in table()) {
        for operator in ["filter", "project", "difference"] {
            let parts = result(operator, &a, &other).into_iter().chain(result(operator, &b, &other));
            prop_assert_eq!(sum(parts), result(operator, &together(&a, &b), &other), "{}", operator);
            let (.., from_nothing) = step(operator, (&Table::new(), &other), (&b, &other));
            let (.., from_a) = step(operator, (&a, &other), (&together(&a, &b), &other));
            prop_assert_eq!(from_nothing, from_a, "{}", operator);
        }
    }

    /// `(a + b) ⋈ c = a ⋈ c + b ⋈ c`, and on the other side.
    #[test]
    fn joins_are_bilinear((a, b) in apart(), c in table()) {
        let both = together(&a, &b);
        let left = result("join", &a, &c).into_iter().chain(result("join", &b, &c));
        prop_assert_eq!(sum(left), result("join", &both, &c));
        let right = result("join", &c, &a).into_iter().chain(result("join", &c, &b));
        prop_assert_eq!(sum(right), result("join", &c, &both));
    }

    /// `L ⋉ R + L ▷ R = L`; a semijoin is the support of the join on the left rows; a mark says which is which; an outer
    /// join is the join and the antijoin beside NULLs.
    #[test]
    fn matches_and_their_absence_are_all_there_is(a in table(), b in table()) {
        let (semi, anti) = (result("semijoin", &a, &b), result("antijoin", &a, &b));
        let whole = sum(a.iter().map(|(id, rest)| (row(*id, *rest), 1)));
        prop_assert_eq!(sum(semi.clone().into_iter().chain(anti.clone())), whole);
        let pairs = result("inner match", &a, &b);
        let matched: BTreeSet<Row> = pairs.keys().map(|pair| pair[..3].iter().cloned().collect()).collect();
        prop_assert_eq!(&matched, &semi.keys().cloned().collect::<BTreeSet<_>>());
        let marked = |row: &Row, mark| row.iter().cloned().chain([Value::Boolean(mark)]).collect::<Row>();
        let marks = semi.keys().map(|row| (marked(row, true), 1)).chain(anti.keys().map(|row| (marked(row, false), 1)));
        prop_assert_eq!(result("mark join", &a, &b), sum(marks));
        let padded = |row: &Row| row.iter().cloned().chain([Value::Null, Value::Null, Value::Null]).collect::<Row>();
        let outer = sum(pairs.clone().into_iter().chain(anti.keys().map(|row| (padded(row), 1))));
        prop_assert_eq!(&result("left join", &a, &b), &outer);
        // A single join is the outer join where nothing has two partners.
        let partners = sum(pairs.keys().map(|pair| (pair[..3].iter().cloned().collect(), 1)));
        let few = outer.into_iter().filter(|(pair, _)| {
            partners.get(&pair[..3].iter().cloned().collect::<Row>()).is_none_or(|count| *count == 1)
        });
        prop_assert_eq!(result("single join", &a, &b), few.collect::<BTreeMap<_, _>>());
    }

    /// `min(l, r) + max(l - r, 0) = l`, and without ALL the same of the supports.
    #[test]
    fn what_both_sides_have_and_what_one_has_is_the_side(a in table(), b in table()) {
        let both = result("intersect all", &a, &b).into_iter().chain(result("except all", &a, &b));
        prop_assert_eq!(sum(both), result("project", &a, &b));
        let sets = result("intersect", &a, &b).into_iter().chain(result("except", &a, &b));
        prop_assert_eq!(sum(sets), result("distinct", &a, &b));
        prop_assert_eq!(result("intersect", &a, &b), result("intersect", &b, &a));
    }

    /// `distinct` has the support of its input, each row once: `distinct(Q(a + b)) = distinct(distinct(Q(a)) + distinct(Q(b)))`.
    #[test]
    fn distinct_forgets_multiplicity((a, b) in apart()) {
        let none = Table::new();
        let whole = result("distinct", &together(&a, &b), &none);
        prop_assert!(whole.values().all(|weight| *weight == 1));
        let parts = sum(result("distinct", &a, &none).into_iter().chain(result("distinct", &b, &none)));
        prop_assert_eq!(whole.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
        let support: BTreeSet<Row> = result("project", &together(&a, &b), &none).into_keys().collect();
        prop_assert_eq!(support, whole.into_keys().collect::<BTreeSet<_>>());
    }

    /// Computing anew gives the changes that a step gives, and leaves the states that a step leaves.
    #[test]
    fn computing_anew_is_a_step(a in table(), b in table(), c in table(), d in table()) {
        for operator in OPERATORS {
            let Prepared { mut graph, root, old, new } = prepared(operator, (&a, &b), (&c, &d));
            let mut stepped = graph.clone();
            let watched = BTreeSet::from([root]);
            let changes = || [(LEFT, change(&a, &c)), (RIGHT, change(&b, &d))].into_iter().filter(|(_, rows)| !rows.is_empty());
            let (anew, path) = graph.advance(&Breaker::ALWAYS, &old, &new, changes(), &watched);
            // Where nothing is reached there is nothing to compute.
            prop_assert!(path == Advance::Recomputed || anew.is_empty());
            let (step, path) = stepped.advance(&Breaker::NEVER, &old, &new, changes(), &watched);
            prop_assert_eq!(path, Advance::Stepped);
            let consolidated = |outputs: BTreeMap<NodeId, Batch>| -> BTreeMap<NodeId, Batch> {
                let each = outputs.into_iter().map(|(id, batch)| (id, batch.consolidated()));
                each.filter(|(_, batch)| !batch.is_empty()).collect()
            };
            prop_assert_eq!(consolidated(anew), consolidated(step), "{}", operator);
            // And back again, by steps over what computing anew left.
            let back = [(LEFT, change(&c, &a)), (RIGHT, change(&d, &b))];
            graph.step(&new, &old, back, &watched);
            prop_assert_eq!(integral(&graph, root), result(operator, &a, &b), "{}", operator);
        }
    }

    /// When every row has gone, so has all state.
    #[test]
    fn nothing_leaves_nothing(a in table(), b in table()) {
        let none = Table::new();
        for operator in OPERATORS {
            let (mut graph, root, _) = step(operator, (&a, &b), (&none, &none));
            for node in graph.describe(root) {
                prop_assert_eq!(node.rows, 0, "{}: {:?}", operator, node.operator);
            }
            graph.release(root);
            graph.collect();
            prop_assert!(graph.is_empty());
        }
    }

    /// A step that its budget ends has not been.
    #[test]
    fn a_refused_step_changes_nothing(a in table(), b in table(), c in table(), d in table(), limit in 0_u64..6) {
        for operator in OPERATORS {
            let Prepared { mut graph, root, old, new } = prepared(operator, (&a, &b), (&c, &d));
            let changes = || [(LEFT, change(&a, &c)), (RIGHT, change(&b, &d))];
            if graph.step_within(&old, &new, changes(), &BTreeSet::new(), limit).is_err() {
                prop_assert_eq!(integral(&graph, root), result(operator, &a, &b), "{}", operator);
                graph.step(&old, &new, changes(), &BTreeSet::new());
            }
            prop_assert_eq!(integral(&graph, root), result(operator, &c, &d), "{}", operator);
        }
    }

    /// The same change in one step or in two.
    #[test]
    fn steps_can_be_batched(a in table(), b in table(), c in table(), other in table()) {
        for operator in OPERATORS {
            let (.., whole) = step(operator, (&a, &other), (&c, &other));
            let (.., first) = step(operator, (&a, &other), (&b, &other));
            let (.., second) = step(operator, (&b, &other), (&c, &other));
            prop_assert_eq!(sum(owned(&whole)), sum(owned(&first).into_iter().chain(owned(&second))), "{}", operator);
        }
    }
}
