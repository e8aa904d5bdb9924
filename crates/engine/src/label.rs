//! [`Labels`]: what each operator of a circuit does, in a line that names columns as the query does.
//!
//! Operators know columns by place. The names follow the rows: a table's columns, a projection's expressions, the
//! groups and calls of an aggregate; they are for people and nothing depends on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use deltaic_dataflow::{
    Aggregate, Description, Edge, Edges, KeyColumn, Limit, NodeId, Operator, Probe, RelationId, Scalar,
    Search, TopK, Unnest, WindowCall,
};

use deltaic_types::Value;

use crate::tables::Tables;

/// The labels of a circuit's operators.
pub(crate) struct Labels<'a> {
    tables: &'a Tables,
    /// Column names that more than one table of the circuit has: these are written with the table's.
    ambiguous: BTreeSet<&'a str>,
    /// The columns that each operator gives out.
    columns: BTreeMap<NodeId, Vec<String>>,
    /// The operators that give out parameters.
    parameters: BTreeSet<NodeId>,
    /// The columns of the arrangements by two bounds.
    edges: BTreeMap<NodeId, Edges>,
    /// The base of each feedback's recursion, and how many parameters its rows begin with.
    bases: BTreeMap<Arc<str>, (NodeId, usize)>,
}

impl<'a> Labels<'a> {
    /// Names the columns of a circuit's operators, which come inputs first.
    pub(crate) fn of(nodes: &[Description], tables: &'a Tables) -> Self {
        let mut seen = BTreeSet::new();
        let mut ambiguous = BTreeSet::new();
        for node in nodes {
            let Operator::Input(RelationId::Table(table)) = &node.operator else { continue };
            let schema = tables.catalog().get(*table);
            for column in schema.into_iter().flat_map(|schema| &schema.columns) {
                if !seen.insert(column.name.as_str()) {
                    ambiguous.insert(column.name.as_str());
                }
            }
        }
        let mut bases = BTreeMap::new();
        for node in nodes {
            let Operator::Recurse(recurse) = &node.operator else { continue };
            let feedback = nodes.iter().find(|node| node.id == recurse.feedback);
            if let Some(Operator::Feedback(name)) = feedback.map(|node| &node.operator) {
                bases.insert(Arc::clone(name), (recurse.base, recurse.prefix));
            }
        }
        let (columns, parameters) = (BTreeMap::new(), BTreeSet::new());
        let edges = nodes.iter().filter_map(|node| match node.operator {
            Operator::Corner { edges, .. } => Some((node.id, edges)),
            _ => None,
        });
        let edges = edges.collect();
        let mut labels = Self { tables, ambiguous, columns, parameters, edges, bases };
        for node in nodes {
            let gives_parameters = match &node.operator {
                Operator::Input(RelationId::Parameters(_)) => true,
                Operator::Map(map) => map.project.is_none() && labels.parameters.contains(&map.input),
                Operator::Arrange { input, .. }
                | Operator::Corner { input, .. }
                | Operator::Distinct { input } => labels.parameters.contains(input),
                _ => false,
            };
            if gives_parameters {
                labels.parameters.insert(node.id);
            }
            let columns = labels.outputs(&node.operator);
            labels.columns.insert(node.id, columns);
        }
        labels
    }

    fn columns_of(&self, node: NodeId) -> &[String] {
        self.columns.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The name of a column that an operator gives out. The relation of parameters has as many as the query.
    fn name(&self, node: NodeId, column: usize) -> Option<String> {
        if self.parameters.contains(&node) {
            return Some(format!("${}", column + 1));
        }
        self.columns_of(node).get(column).cloned()
    }

    /// The names of the columns that an operator gives out.
    fn outputs(&self, operator: &Operator) -> Vec<String> {
        match operator {
            Operator::Input(RelationId::Table(id)) => {
                let Some(schema) = self.tables.catalog().get(*id) else { return Vec::new() };
                let name = |place: &usize| {
                    let column = &schema.columns[*place].name;
                    if self.ambiguous.contains(column.as_str()) {
                        format!("{}.{column}", schema.name)
                    } else {
                        column.clone()
                    }
                };
                self.tables.hot_columns(*id).iter().map(name).collect()
            }
            Operator::Input(RelationId::Parameters(_)) | Operator::Constant(_) => Vec::new(),
            Operator::Input(RelationId::Clock) => vec!["now".to_owned()],
            Operator::Temporal(temporal) => {
                let conditions =
                    temporal.conditions.iter().map(|found| &found.condition).cloned().collect::<Vec<_>>();
                let conditions = self.expressions(&conditions, &[temporal.input, temporal.clock]);
                self.columns_of(temporal.input).iter().cloned().chain(conditions).collect()
            }
            Operator::Map(map) => match &map.project {
                Some(project) => self.expressions(project, &[map.input]),
                None => self.columns_of(map.input).to_vec(),
            },
            Operator::Join(join) => {
                let inputs: Vec<NodeId> = join.inputs.iter().map(|input| input.source).collect();
                self.expressions(&join.project, &inputs)
            }
            Operator::MatchJoin(join) => {
                self.expressions(&join.project, &[join.left.source, join.right.source])
            }
            Operator::SetOperation(operation) => self.columns_of(operation.left).to_vec(),
            Operator::Aggregate(aggregate) => {
                let keys = self.expressions(&aggregate.key, &[aggregate.input]);
                keys.into_iter().chain(self.calls(aggregate)).collect()
            }
            Operator::Arrange { input, .. }
            | Operator::Corner { input, .. }
            | Operator::Distinct { input }
            | Operator::Negate { input } => self.columns_of(*input).to_vec(),
            // Behind the parameters, of which there are as many as the query has, stands the value of the list.
            Operator::Unnest(unnest) => {
                let name = |place| self.name(unnest.input, place).unwrap_or_default();
                (0..unnest.width).map(name).chain([self.list(unnest)]).collect()
            }
            Operator::Union { inputs } => {
                inputs.first().map_or(Vec::new(), |first| self.columns_of(*first).to_vec())
            }
            Operator::TopK(top_k) => self.columns_of(top_k.input).to_vec(),
            Operator::Feedback(name) => {
                let Some((base, prefix)) = self.bases.get(name) else { return Vec::new() };
                let mut columns: Vec<String> =
                    self.columns_of(*base).iter().map(|name| format!("feedback.{name}")).collect();
                columns.insert((*prefix).min(columns.len()), "round".to_owned());
                columns
            }
            Operator::Recurse(recurse) => {
                let mut columns = self.columns_of(recurse.base).to_vec();
                columns.extend(recurse.ranked.then(|| "round".to_owned()));
                columns
            }
            Operator::Window(window) => {
                let calls = window.calls.iter().map(|call| format!("{}()", call.name()));
                self.columns_of(window.input).iter().cloned().chain(calls).collect()
            }
        }
    }

    /// What an operator does.
    pub(crate) fn label(&self, operator: &Operator) -> String {
        let mut text = operator.name().to_owned();
        match operator {
            Operator::Input(RelationId::Table(table)) => {
                if let Some(schema) = self.tables.catalog().get(*table) {
                    let _ = write!(text, " {}", schema.name);
                }
            }
            Operator::Map(map) => {
                if !map.filter.is_empty() {
                    let filter = self.expressions(&map.filter, &[map.input]);
                    let _ = write!(text, " where {}", filter.join(" and "));
                }
                if let Some(project) = &map.project {
                    let project = self.expressions(project, &[map.input]);
                    let _ = write!(text, " -> {}", project.join(", "));
                }
            }
            Operator::Unnest(unnest) => {
                let _ = write!(text, " {}", self.list(unnest));
            }
            Operator::Corner { input, edges } => {
                let columns = [edges.first.column, edges.second.column].map(KeyColumn::ascending);
                let _ = write!(text, " ({})", self.order(&columns, *input));
            }
            Operator::Arrange { input, key } if !key.is_empty() => {
                let _ = write!(text, " by ({})", self.order(key, *input));
            }
            Operator::Join(join) => {
                let inputs: Vec<NodeId> = join.inputs.iter().map(|input| input.source).collect();
                let own =
                    join.inputs.iter().flat_map(|input| self.expressions(&input.filter, &[input.source]));
                let conditions: Vec<String> =
                    self.expressions(&join.conditions, &inputs).into_iter().chain(own).collect();
                if !conditions.is_empty() {
                    let _ = write!(text, " on {}", conditions.join(" and "));
                }
                let searches: BTreeSet<String> = join
                    .paths
                    .iter()
                    .flat_map(|path| &path.probes)
                    .filter_map(|probe| self.search(probe, &inputs))
                    .collect();
                for search in searches {
                    let _ = write!(text, ", searching {search}");
                }
            }
            Operator::MatchJoin(join) => {
                let names = |key: &[KeyColumn], node| self.names(key, node);
                let left = names(&join.left_key, join.left.source);
                let right = names(&join.right_key, join.right.source);
                let prime = if join.left.source == join.right.source { "'" } else { "" };
                let equal = left.iter().zip(&right).map(|(left, right)| format!("{left} = {right}{prime}"));
                let inputs = [join.left.source, join.right.source];
                let conditions: Vec<String> =
                    equal.chain(self.expressions(&join.conditions, &inputs)).collect();
                if !conditions.is_empty() {
                    let _ = write!(text, " on {}", conditions.join(" and "));
                }
            }
            Operator::Aggregate(aggregate) => {
                let _ = write!(text, " {}", self.calls(aggregate).join(", "));
                if !aggregate.key.is_empty() {
                    let keys = self.expressions(&aggregate.key, &[aggregate.input]);
                    let _ = write!(text, " by ({})", keys.join(", "));
                }
            }
            Operator::Temporal(temporal) => {
                let conditions: Vec<Scalar> =
                    temporal.conditions.iter().map(|found| found.condition.clone()).collect();
                let conditions = self.expressions(&conditions, &[temporal.input, temporal.clock]);
                let _ = write!(text, " {}", conditions.join(", "));
            }
            Operator::TopK(top_k) => text += &self.window(top_k),
            Operator::Recurse(recurse) if recurse.ranked => text += ", each row at its first round",
            Operator::Window(window) => {
                let calls: Vec<&str> = window.calls.iter().map(WindowCall::name).collect();
                let _ = write!(text, " {}", calls.join(", "));
                let columns = (0..window.prefix).chain(window.partition.iter().copied());
                let partition: Vec<KeyColumn> = columns.map(KeyColumn::ascending).collect();
                for (word, key) in [("of", &partition), ("by", &window.order)] {
                    if !key.is_empty() {
                        let _ = write!(text, " {word} ({})", self.order(key, window.input));
                    }
                }
                text += ", re-evaluated per partition";
            }
            _ => {}
        }
        text
    }

    /// What a probe looks for behind its key.
    fn search(&self, probe: &Probe, inputs: &[NodeId]) -> Option<String> {
        let node = inputs[probe.input];
        let column = |place: usize| self.name(node, place).unwrap_or_else(|| format!("#{place}"));
        let behind = || probe.index.last().map_or_else(String::new, |key| column(key.column));
        let bound = |column: &str, op: &str, limit: &Limit| {
            let equal = if limit.inclusive { "=" } else { "" };
            format!("{column} {op}{equal} {}", self.expression(&limit.value, inputs))
        };
        Some(match probe.search.as_ref()? {
            Search::Between { lower, upper } => {
                let lower = lower.iter().map(|limit| bound(&behind(), ">", limit));
                let upper = upper.iter().map(|limit| bound(&behind(), "<", limit));
                lower.chain(upper).collect::<Vec<_>>().join(" and ")
            }
            Search::Prefixes(text) => {
                format!("{} for prefixes of {}", behind(), self.expression(text, inputs))
            }
            Search::Extensions(text) => {
                format!("{} for what begins with {}", behind(), self.expression(text, inputs))
            }
            Search::Corner { first, second } => {
                let edges = self.edges.get(&probe.integral)?;
                let side = |edge: Edge, limit| {
                    bound(&column(edge.column), if edge.above { ">" } else { "<" }, limit)
                };
                format!("{} and {}", side(edges.first, first), side(edges.second, second))
            }
        })
    }

    fn window(&self, top_k: &TopK) -> String {
        let mut text = String::new();
        for (bound, word) in [(&top_k.limit, " "), (&top_k.offset, " after ")] {
            match bound.as_constant() {
                Some(Value::Null | Value::Integer(0)) if word == " after " => {}
                Some(Value::Null) => {}
                Some(Value::Integer(n)) => text += &format!("{word}{n}"),
                _ => text += &format!("{word}{}", self.expression(bound, &[top_k.input])),
            }
        }
        if !top_k.partition.is_empty() {
            let names = top_k.partition.iter().map(|place| KeyColumn::ascending(*place)).collect::<Vec<_>>();
            let _ = write!(text, " of each ({})", self.names(&names, top_k.input).join(", "));
        }
        if !top_k.order.is_empty() {
            let _ = write!(text, " by ({})", self.order(&top_k.order, top_k.input));
        }
        text
    }

    /// A value of the lists that an operator takes apart.
    fn list(&self, unnest: &Unnest) -> String {
        let lists = self.expressions(&unnest.values, &[unnest.input]).join(", ");
        if unnest.arrays { format!("any({lists})") } else { format!("any of ({lists})") }
    }

    fn calls(&self, aggregate: &Aggregate) -> Vec<String> {
        let show = |scalar: &Scalar| self.expression(scalar, &[aggregate.input]);
        let call = |call: &deltaic_dataflow::AggregateCall| {
            let mut arguments: Vec<String> = call.arguments.iter().map(show).collect();
            let term =
                |key: &KeyColumn| arguments[key.column].clone() + if key.descending { " desc" } else { "" };
            let order: Vec<String> = call.order.iter().map(term).collect();
            // Behind its arguments stands what only the order uses.
            arguments.truncate(call.function.arity());
            if arguments.is_empty() {
                arguments.push("*".to_owned());
            }
            if let Some(direct) = &call.direct {
                let direct = direct.name().replace("#0.", "$");
                arguments = vec![direct];
            }
            let distinct = if call.distinct { "distinct " } else { "" };
            let order =
                if order.is_empty() { String::new() } else { format!(" order by {}", order.join(", ")) };
            let filter = call.filter.as_ref().map(|filter| format!(" filter ({})", show(filter)));
            let name = call.function.name();
            format!("{name}({distinct}{}{order}){}", arguments.join(", "), filter.unwrap_or_default())
        };
        aggregate.calls.iter().map(call).collect()
    }

    fn names(&self, key: &[KeyColumn], node: NodeId) -> Vec<String> {
        key.iter()
            .map(|key| self.name(node, key.column).unwrap_or_else(|| format!("#{}", key.column)))
            .collect()
    }

    fn order(&self, key: &[KeyColumn], node: NodeId) -> String {
        let names = self.names(key, node).into_iter().zip(key);
        let terms: Vec<String> =
            names.map(|(name, key)| if key.descending { name + " desc" } else { name }).collect();
        terms.join(", ")
    }

    fn expressions(&self, scalars: &[Scalar], inputs: &[NodeId]) -> Vec<String> {
        scalars.iter().map(|scalar| self.expression(scalar, inputs)).collect()
    }

    /// A scalar's name with `#1.2`, the third column of the second input, as the column's name.
    fn expression(&self, scalar: &Scalar, inputs: &[NodeId]) -> String {
        let mut text = String::new();
        let mut rest = scalar.name();
        while let Some(at) = rest.find('#') {
            text += &rest[..at];
            rest = &rest[at + 1..];
            let (input, after) = number(rest);
            let (column, end) = after.strip_prefix('.').map_or((None, after), number);
            let node = input.and_then(|input| inputs.get(input));
            match node.zip(column).and_then(|(node, column)| self.name(*node, column)) {
                Some(name) => {
                    text += &name;
                    // A table that is joined with itself is one input; its second row has a prime, the third two.
                    let before = inputs.iter().take(input.unwrap_or(0)).filter(|input| Some(*input) == node);
                    text += &"'".repeat(before.count());
                    rest = end;
                }
                None => text.push('#'),
            }
        }
        text + rest
    }
}

/// The number that a text begins with, and the rest.
fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}
