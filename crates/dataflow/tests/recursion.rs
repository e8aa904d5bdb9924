//! Recursions over random small graphs with cycles, against the textbook's iteration over plain sets.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use deltaic_dataflow::{
    Bounds, Graph, Join, JoinInput, KeyColumn, Map, NodeId, Operator, Path, Probe, Recurse, Relation,
    RelationId, Relations, Scalar, Weight, ZSet,
};
use deltaic_types::{EvalError, Row, TableId, Value};
use proptest::prelude::*;

const EDGES: RelationId = RelationId::Table(TableId(1));
const STARTS: RelationId = RelationId::Table(TableId(2));

const WIDE: Bounds = Bounds { rounds: 1_000, rows: 100_000 };

type Edges = BTreeSet<(i64, i64)>;
type Starts = BTreeSet<i64>;

/// What a recursion computes, as a circuit and as a function.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// The nodes that the starts reach.
    Reach,
    /// The same, two edges at a time: the edges stand twice in the step.
    TwoHops,
    /// The pairs of nodes with a way between them.
    Pairs,
    /// The nodes with the lengths of ways to them, up to four.
    Lengths,
    /// The nodes that each start reaches: the start is a parameter.
    Each,
}

const KINDS: [Kind; 5] = [Kind::Reach, Kind::TwoHops, Kind::Pairs, Kind::Lengths, Kind::Each];

#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    all: bool,
    ranked: bool,
    bounds: Bounds,
}

impl Case {
    fn new(kind: Kind) -> Self {
        Self { kind, all: false, ranked: false, bounds: WIDE }
    }

    fn prefix(self) -> usize {
        usize::from(self.kind == Kind::Each)
    }

    /// The facts that the base begins with, and how often.
    fn base(self, edges: &Edges, starts: &Starts) -> BTreeMap<Vec<i64>, Weight> {
        match self.kind {
            Kind::Pairs => edges.iter().map(|(from, to)| (vec![*from, *to], 1)).collect(),
            Kind::Reach | Kind::TwoHops => starts.iter().map(|start| (vec![*start], 1)).collect(),
            Kind::Lengths => starts.iter().map(|start| (vec![*start, 0], 1)).collect(),
            Kind::Each => starts.iter().map(|start| (vec![*start, *start], 1)).collect(),
        }
    }

    /// What is derived from a fact.
    fn step(self, fact: &[i64], edges: &Edges) -> Vec<Vec<i64>> {
        let next = |node: i64| edges.iter().filter(move |(from, _)| *from == node).map(|(_, to)| *to);
        match self.kind {
            Kind::Reach => next(fact[0]).map(|to| vec![to]).collect(),
            Kind::TwoHops => next(fact[0]).flat_map(next).map(|to| vec![to]).collect(),
            Kind::Pairs | Kind::Each => next(fact[1]).map(|to| vec![fact[0], to]).collect(),
            Kind::Lengths if fact[1] < 4 => next(fact[0]).map(|to| vec![to, fact[1] + 1]).collect(),
            Kind::Lengths => Vec::new(),
        }
    }

    /// The result by iteration over a working table, and the parameters whose recursion is cut off.
    fn naive(
        self,
        edges: &Edges,
        starts: &Starts,
    ) -> (BTreeMap<Vec<i64>, Weight>, BTreeMap<Vec<i64>, EvalError>) {
        let mut working: BTreeMap<Vec<i64>, BTreeMap<Vec<i64>, Weight>> = BTreeMap::new();
        for (fact, weight) in self.base(edges, starts) {
            working.entry(fact[..self.prefix()].to_vec()).or_default().insert(fact, weight);
        }
        let (mut result, mut errors) = (BTreeMap::new(), BTreeMap::new());
        for (key, mut working) in working {
            let mut seen: BTreeSet<Vec<i64>> = BTreeSet::new();
            let (mut rank, mut rows) = (0, 0);
            while !working.is_empty() {
                if rank > self.bounds.rounds {
                    errors.insert(key, EvalError::RecursionTooDeep { limit: self.bounds.rounds });
                    break;
                }
                if rows > self.bounds.rows {
                    errors.insert(key, EvalError::RecursionTooLarge { limit: self.bounds.rows });
                    break;
                }
                let mut derived: BTreeMap<Vec<i64>, Weight> = BTreeMap::new();
                for (fact, weight) in &working {
                    rows += weight;
                    let mut row = fact.clone();
                    row.extend(self.ranked.then_some(i64::from(rank)));
                    *result.entry(row).or_default() += weight;
                    for next in self.step(fact, edges) {
                        *derived.entry(next).or_default() += weight;
                    }
                }
                if !self.all {
                    seen.extend(working.into_keys());
                    derived.retain(|fact, _| !seen.contains(fact));
                    for weight in derived.values_mut() {
                        *weight = 1;
                    }
                }
                working = derived;
                rank += 1;
            }
        }
        (result, errors)
    }

    fn circuit(self, graph: &mut Graph) -> NodeId {
        let edges = graph.add(Operator::Input(EDGES));
        let starts = graph.add(Operator::Input(STARTS));
        let column = Scalar::column;
        let map = |input, project| {
            Operator::Map(Map { input, filter: Vec::new(), project: Some(project), prefix: 0 })
        };
        let base = match self.kind {
            Kind::Pairs => edges,
            Kind::Reach | Kind::TwoHops => starts,
            Kind::Lengths => graph.add(map(starts, vec![column(0, 0), Scalar::constant(Value::Integer(0))])),
            Kind::Each => graph.add(map(starts, vec![column(0, 0), column(0, 0)])),
        };
        let feedback = graph.add(Operator::Feedback(format!("{self:?}").into()));
        // The feedback's columns: parameters, the rank, the fact's own.
        let (rank, node) = match self.kind {
            Kind::Reach | Kind::TwoHops | Kind::Lengths => (0, 1),
            Kind::Pairs => (0, 2),
            Kind::Each => (1, 2),
        };
        let key = |column: usize| vec![KeyColumn::ascending(column)];
        let arranged = graph.add(Operator::Arrange { input: feedback, key: key(node) });
        let probe = |input, integral, column: usize, value: Scalar| Probe {
            input,
            integral,
            index: key(column),
            key: vec![value],
            exact: 0,
            search: None,
            conditions: Vec::new(),
        };
        let path = |probes| Path { conditions: Vec::new(), probes };
        let plain = |source| JoinInput { source, filter: Vec::new() };
        let (mut inputs, paths, last) = if self.kind == Kind::TwoHops {
            let paths = vec![
                path(vec![probe(1, edges, 0, column(0, node)), probe(2, edges, 0, column(1, 1))]),
                path(vec![probe(0, arranged, node, column(1, 0)), probe(2, edges, 0, column(1, 1))]),
                path(vec![probe(1, edges, 1, column(2, 0)), probe(0, arranged, node, column(1, 0))]),
            ];
            (vec![plain(feedback), plain(edges), plain(edges)], paths, 2)
        } else {
            let paths = vec![
                path(vec![probe(1, edges, 0, column(0, node))]),
                path(vec![probe(0, arranged, node, column(1, 0))]),
            ];
            (vec![plain(feedback), plain(edges)], paths, 1)
        };
        let mut project: Vec<Scalar> = Vec::new();
        match self.kind {
            Kind::Reach | Kind::TwoHops => project.extend([column(0, rank), column(last, 1)]),
            Kind::Pairs => project.extend([column(0, rank), column(0, 1), column(1, 1)]),
            Kind::Each => project.extend([column(0, 0), column(0, rank), column(1, 1)]),
            Kind::Lengths => {
                inputs[0].filter.push(Scalar::function("#0.2 < 4", |rows| {
                    Ok(Value::Boolean(rows[0][2] < Value::Integer(4)))
                }));
                let longer =
                    Scalar::function("#0.2 + 1", |rows| Ok(Value::Integer(rows[0][2].as_i64().unwrap() + 1)));
                project.extend([column(0, rank), column(1, 1), longer]);
            }
        }
        let prefix = (0..self.prefix()).map(|place| column(0, place)).collect();
        let step = graph.add(Operator::Join(Join { inputs, paths, conditions: Vec::new(), project, prefix }));
        let recursion = graph.add(Operator::Recurse(Recurse {
            parameters: self.prefix(),
            feedback,
            base,
            step,
            prefix: self.prefix(),
            all: self.all,
            ranked: self.ranked,
            bounds: self.bounds,
        }));
        assert_eq!(graph.recursion(graph.operator(feedback)), Some(recursion));
        let root = graph.add(Operator::Arrange { input: recursion, key: Vec::new() });
        graph.hold(root);
        root
    }

    /// The result of a circuit is the naive one.
    fn check(self, graph: &Graph, root: NodeId, edges: &Edges, starts: &Starts) -> Result<(), TestCaseError> {
        let (expected, errors) = self.naive(edges, starts);
        let rows = graph.arranged(root, &[]).into_iter();
        let result: BTreeMap<Vec<i64>, Weight> = rows
            .map(|(row, weight)| (row.iter().map(|value| value.as_i64().unwrap()).collect(), weight))
            .collect();
        prop_assert_eq!(result, expected, "{:?} over {:?} from {:?}", self, edges, starts);
        let keys = if self.prefix() == 0 { vec![Vec::new()] } else { (0..8).map(|key| vec![key]).collect() };
        for key in keys {
            let row: Row = key.iter().copied().map(Value::Integer).collect();
            prop_assert_eq!(
                graph.error(root, &row),
                errors.get(&key),
                "{:?} at {:?} over {:?}",
                self,
                key,
                edges
            );
        }
        Ok(())
    }
}

fn integers(values: &[i64]) -> Row {
    values.iter().copied().map(Value::Integer).collect()
}

fn relations(edges: &Edges, starts: &Starts) -> Relations {
    let mut relations = Relations::default();
    let mut relation = Relation::of(&[0, 1], edges.iter().map(|(from, to)| integers(&[*from, *to])));
    relation.ensure_index(&[KeyColumn::ascending(0)]);
    relation.ensure_index(&[KeyColumn::ascending(1)]);
    relations.put(EDGES, relation);
    relations.put(STARTS, Relation::of(&[0], starts.iter().map(|start| integers(&[*start]))));
    relations
}

fn difference<T: Ord + Copy>(before: &BTreeSet<T>, after: &BTreeSet<T>, row: impl Fn(T) -> Row) -> ZSet {
    let gone = before.difference(after).map(|element| (row(*element), -1));
    let come = after.difference(before).map(|element| (row(*element), 1));
    gone.chain(come).collect::<ZSet>().consolidated()
}

fn changes(before: (&Edges, &Starts), after: (&Edges, &Starts)) -> [(RelationId, ZSet); 2] {
    [
        (EDGES, difference(before.0, after.0, |(from, to)| integers(&[from, to]))),
        (STARTS, difference(before.1, after.1, |start| integers(&[start]))),
    ]
}

fn toggled<T: Ord + Copy>(set: &BTreeSet<T>, elements: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = set.clone();
    for element in elements {
        if !set.remove(&element) {
            set.insert(element);
        }
    }
    set
}

/// A batch: the edges and starts that it toggles.
type Batches = Vec<(Vec<(i64, i64)>, Vec<i64>)>;

fn batches() -> impl Strategy<Value = Batches> {
    let edge = (0_i64..7, 0_i64..7);
    let batch = (proptest::collection::vec(edge, 0..8), proptest::collection::vec(0_i64..7, 0..2));
    proptest::collection::vec(batch, 1..7)
}

fn run(case: Case, batches: &Batches) -> Result<(), TestCaseError> {
    let (mut edges, mut starts) = (Edges::new(), Starts::new());
    let mut graph = Graph::default();
    let root = case.circuit(&mut graph);
    graph.hydrate(&relations(&edges, &starts));
    let mut single = graph.clone();
    for (toggle_edges, toggle_starts) in batches {
        let (new_edges, new_starts) =
            (toggled(&edges, toggle_edges.iter().copied()), toggled(&starts, toggle_starts.iter().copied()));
        let (before, after) = (relations(&edges, &starts), relations(&new_edges, &new_starts));
        let before_step: BTreeMap<Row, Weight> =
            graph.arranged(root, &[]).into_iter().map(|(row, weight)| (row.clone(), weight)).collect();
        let all = changes((&edges, &starts), (&new_edges, &new_starts));
        // A step that its budget ends has not been.
        let copy = &mut graph.clone();
        if copy.step_within(&before, &after, all.clone(), &BTreeSet::new(), 3).is_err() {
            case.check(copy, root, &edges, &starts)?;
            copy.step(&before, &after, all.clone(), &BTreeSet::new());
            case.check(copy, root, &new_edges, &new_starts)?;
        }
        let mut outputs = graph.step(&before, &after, all, &BTreeSet::from([root]));
        case.check(&graph, root, &new_edges, &new_starts)?;
        // What came out is what changed.
        let mut sum = before_step;
        for (row, weight) in outputs.remove(&root).unwrap_or_default().rows {
            *sum.entry(row).or_default() += weight;
        }
        sum.retain(|_, weight| *weight != 0);
        let now: BTreeMap<Row, Weight> =
            graph.arranged(root, &[]).into_iter().map(|(row, weight)| (row.clone(), weight)).collect();
        prop_assert_eq!(sum, now);
        // One row at a time comes to the same.
        let (mut at_edges, mut at_starts) = (edges.clone(), starts.clone());
        for edge in edges.symmetric_difference(&new_edges) {
            let next = toggled(&at_edges, [*edge]);
            let change = changes((&at_edges, &at_starts), (&next, &at_starts));
            single.step(
                &relations(&at_edges, &at_starts),
                &relations(&next, &at_starts),
                change,
                &BTreeSet::new(),
            );
            at_edges = next;
            case.check(&single, root, &at_edges, &at_starts)?;
        }
        for start in starts.symmetric_difference(&new_starts) {
            let next = toggled(&at_starts, [*start]);
            let change = changes((&at_edges, &at_starts), (&at_edges, &next));
            single.step(
                &relations(&at_edges, &at_starts),
                &relations(&at_edges, &next),
                change,
                &BTreeSet::new(),
            );
            at_starts = next;
            case.check(&single, root, &at_edges, &at_starts)?;
        }
        (edges, starts) = (new_edges, new_starts);
        // A circuit that comes later has the same state.
        let mut late = Graph::default();
        let late_root = case.circuit(&mut late);
        late.hydrate(&relations(&edges, &starts));
        case.check(&late, late_root, &edges, &starts)?;
        let sizes = |graph: &Graph, root| -> Vec<usize> {
            graph.describe(root).iter().map(|node| node.rows).collect()
        };
        prop_assert_eq!(sizes(&late, late_root), sizes(&graph, root));
    }
    // When every row has gone, so has all state.
    let none = (Edges::new(), Starts::new());
    let last = changes((&edges, &starts), (&none.0, &none.1));
    graph.step(&relations(&edges, &starts), &relations(&none.0, &none.1), last, &BTreeSet::new());
    for node in graph.describe(root) {
        prop_assert_eq!(node.rows, 0, "{:?}", node.operator);
    }
    prop_assert_eq!(graph.error(root, &Row::empty()), None);
    graph.release(root);
    graph.collect();
    prop_assert!(graph.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sets_equal_the_textbook_at_every_step(batches in batches()) {
        for kind in KINDS {
            run(Case::new(kind), &batches)?;
        }
    }

    #[test]
    fn distances_are_the_ranks(batches in batches()) {
        for kind in [Kind::Reach, Kind::Each] {
            run(Case { ranked: true, ..Case::new(kind) }, &batches)?;
        }
    }

    #[test]
    fn copies_are_counted(batches in batches()) {
        // Ways of up to four edges end, on cycles too.
        run(Case { all: true, ..Case::new(Kind::Lengths) }, &batches)?;
    }

    /// What is cut off, and whether it is an error, depends on the relations alone and not on how they came to be.
    #[test]
    fn a_cut_is_a_function_of_the_input(batches in batches(), rounds in 0_u32..6, rows in 0_i64..30) {
        let bounds = Bounds { rounds, rows };
        for kind in KINDS {
            run(Case { bounds, ..Case::new(kind) }, &batches)?;
            run(Case { bounds, all: true, ..Case::new(kind) }, &batches)?;
        }
    }
}

/// A cycle that nothing reaches any more goes, though its facts derive each other.
#[test]
fn facts_that_only_support_each_other_go() {
    let case = Case::new(Kind::Reach);
    let before = Edges::from([(0, 1), (1, 2), (2, 3), (3, 1)]);
    let after = Edges::from([(1, 2), (2, 3), (3, 1), (3, 2)]);
    let starts = Starts::from([0]);
    let mut graph = Graph::default();
    let root = case.circuit(&mut graph);
    graph.hydrate(&relations(&before, &starts));
    assert_eq!(graph.arranged(root, &[]).len(), 4);
    let change = changes((&before, &starts), (&after, &starts));
    graph.step(&relations(&before, &starts), &relations(&after, &starts), change, &BTreeSet::new());
    assert_eq!(graph.arranged(root, &[]), [(&integers(&[0]), 1)]);
}

/// A generator of numbers that is the same everywhere (Steele et al., 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A thousand nodes, three thousand edges, the nodes that one of them reaches.
fn large() -> (Graph, NodeId, Relations, Vec<(i64, i64)>) {
    let mut state = 7;
    let mut edges = Edges::new();
    while edges.len() < 3_000 {
        edges.insert(((random(&mut state) % 1_000) as i64, (random(&mut state) % 1_000) as i64));
    }
    let mut graph = Graph::default();
    let root = Case::new(Kind::Reach).circuit(&mut graph);
    let relations = relations(&edges, &Starts::from([0]));
    graph.hydrate(&relations);
    let toggles = edges.iter().copied().step_by(10).collect();
    (graph, root, relations, toggles)
}

fn toggle(graph: &mut Graph, relations: &mut Relations, edge: (i64, i64), weight: Weight) {
    let before = relations.clone();
    let row = integers(&[edge.0, edge.1]);
    let table = relations.get_mut(EDGES).unwrap();
    if weight > 0 {
        table.insert(&row);
    } else {
        table.remove(&row);
    }
    graph.step(&before, relations, [(EDGES, ZSet::from_iter([(row, weight)]))], &BTreeSet::new());
}

#[test]
fn an_edge_costs_what_it_changes() {
    let (mut graph, root, mut relations, toggles) = large();
    let reached = graph.arranged(root, &[]).len();
    assert!(reached > 900, "{reached} nodes are reached");
    let work = |graph: &Graph| -> u64 {
        graph.describe(root).iter().map(|node| node.work.rows_in + node.work.probes).sum()
    };
    let before = work(&graph);
    for edge in &toggles {
        toggle(&mut graph, &mut relations, *edge, -1);
        toggle(&mut graph, &mut relations, *edge, 1);
    }
    let each = (work(&graph) - before) / (2 * toggles.len() as u64);
    assert_eq!(graph.arranged(root, &[]).len(), reached);
    assert!(each < 60, "{each} rows and probes a toggle, of {reached} nodes");
}
