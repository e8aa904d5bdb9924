//! `traverse(edges, start, depth)` in FROM: what a graph's edges reach from a node, and how far away it is.
//!
//! It is a recursion over the nodes whose rows know the round that first derives them, which is the shortest
//! distance; so cycles end without a bound, and the state is a row a node and distance. Invariant: the plan holds
//! nothing of its own, so a traversal is as live as any recursion.

use deltaic_query::{
    coercion::Context,
    expression::Expr,
    lower::recurs,
    plan::{Plan, Query, ROUND, ResultColumn},
    traverse::{Step, traverse},
};
use deltaic_types::TableSchema;
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, Spanned, TableFactor},
    tokenizer::Span,
};

use super::{
    Binder,
    coercion::Operand,
    folded,
    from::Relation,
    scope::{Found, Scope, ScopeColumn},
};
use crate::{error::SqlError, suggestion::nearest};

/// The name of the function.
const NAME: &str = "traverse";

/// Its parameters, in their order.
const PARAMETERS: [&str; 6] = ["edges", "start", "depth", "source", "target", "direction"];

/// A call as it is written.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    name: &'a ast::ObjectName,
    arguments: &'a [FunctionArg],
    alias: Option<&'a ast::TableAlias>,
}

/// The call of this function that stands in FROM.
pub(super) fn traversal(factor: &TableFactor) -> Option<Call<'_>> {
    let (name, arguments, alias) = match factor {
        TableFactor::Table { name, alias, args: Some(args), with_ordinality: false, .. }
            if args.settings.is_none() =>
        {
            (name, &args.args, alias)
        }
        TableFactor::Function { name, args, alias, with_ordinality: false, .. } => (name, args, alias),
        _ => return None,
    };
    let [ast::ObjectNamePart::Identifier(ident)] = &name.0[..] else { return None };
    (folded(ident) == NAME).then_some(Call { name, arguments, alias: alias.as_ref() })
}

impl<'a> Binder<'a> {
    /// A traversal as a relation of nodes and depths; it may read the tables to its left.
    pub(super) fn traverse(&mut self, call: Call<'a>, span: Span) -> Result<Relation, SqlError> {
        let [edges, start, depth, source, target, direction] = self.traverse_arguments(call)?;
        let (Some(edges), Some(start)) = (edges, start) else {
            let hint = "Write traverse(edges, start [, depth] [, source => 'column', target => 'column'] \
                        [, direction => 'out', 'in' or 'both']).";
            return Err(SqlError::UndefinedFunction {
                signature: format!("{NAME} without edges and start"),
                hint: Some(hint.to_owned()),
                position: self.at(call.name.span()),
            });
        };
        let (table, (edges, scope)) = self.edges(edges)?;
        let source = source.map(|source| self.edge_column(source, &scope)).transpose()?;
        let target = target.map(|target| self.edge_column(target, &scope)).transpose()?;
        let (source, target) = self.ends(source, target, table, &scope, span)?;
        let forth = follow(&source, &target);
        let back = follow(&target, &source);
        let steps = match direction {
            None => vec![forth],
            Some(ast) => match &*self.written_name(ast, "direction")?.to_lowercase() {
                "out" => vec![forth],
                "in" => vec![back],
                "both" => vec![forth, back],
                other => {
                    let what = format!("the direction '{other}'");
                    return Err(self.refuse(&what, Some("Write 'out', 'in' or 'both'."), ast.span()));
                }
            },
        };
        let data_type = source.data_type;
        let operand = self.traverse_operand(start)?;
        let start = self.coerce(operand, &data_type, Context::Implicit, "start of traverse", start.span())?;
        let depth_span = depth.map_or(span, Spanned::span);
        let depth = depth.map(|depth| self.depth(depth)).transpose()?;
        let plan = traverse(&edges, start, depth, &steps)
            .map_err(|error| SqlError::InvalidLiteral { error, position: self.at(depth_span) })?;
        let column = |name: &str, data_type| ResultColumn { name: name.to_owned(), data_type };
        let columns = vec![column("node", data_type), column("depth", ROUND)];
        let name = call.alias.map_or_else(|| NAME.to_owned(), |alias| folded(&alias.name));
        self.derived(Query { plan, columns, order: Vec::new() }, name, call.alias, span)
    }

    /// The arguments by their places, given in order or by name.
    fn traverse_arguments(&self, call: Call<'a>) -> Result<[Option<&'a ast::Expr>; 6], SqlError> {
        let mut found = [None; PARAMETERS.len()];
        let wrong = |message: String, span| SqlError::Syntax { message, position: self.at(span) };
        let mut named = false;
        for (number, argument) in call.arguments.iter().enumerate() {
            let (place, value) = match argument {
                FunctionArg::Unnamed(_) if named => {
                    let message = "an argument in order behind one with a name".to_owned();
                    return Err(wrong(message, call.name.span()));
                }
                FunctionArg::Unnamed(value) => (Some(number), value),
                FunctionArg::Named { name, arg, .. }
                | FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => {
                    named = true;
                    (PARAMETERS.iter().position(|known| *known == folded(name)), arg)
                }
                FunctionArg::ExprNamed { arg, .. } => (None, arg),
            };
            let (Some(slot), FunctionArgExpr::Expr(value)) =
                (place.and_then(|place| found.get_mut(place)), value)
            else {
                let message = format!("{NAME} takes {}, not {argument}", PARAMETERS.join(", "));
                return Err(wrong(message, call.name.span()));
            };
            if slot.replace(value).is_some() {
                return Err(wrong(format!("{argument} is given twice"), value.span()));
            }
        }
        Ok(found)
    }

    /// A name given as an identifier, which is folded, or as a text, which is not.
    fn written_name(&self, ast: &ast::Expr, place: &str) -> Result<String, SqlError> {
        match ast {
            ast::Expr::Identifier(ident) => return Ok(folded(ident)),
            ast::Expr::CompoundIdentifier(idents) => {
                if let [schema, ident] = &idents[..]
                    && folded(schema) == "public"
                {
                    return Ok(folded(ident));
                }
            }
            ast::Expr::Value(value) => {
                if let ast::Value::SingleQuotedString(text) = &value.value {
                    return Ok(text.clone());
                }
            }
            _ => {}
        }
        let what = format!("an expression as the {place} of {NAME}");
        Err(self.refuse(&what, Some("Write a name, such as 'knows'."), ast.span()))
    }

    /// The table, view or common table that holds the edges.
    fn edges(&mut self, ast: &'a ast::Expr) -> Result<(Option<&'a TableSchema>, Relation), SqlError> {
        let span = ast.span();
        let name = self.written_name(ast, "edges")?;
        if let Some(relation) = self.common_table(&name, None, span)? {
            if recurs(&relation.0) {
                return Err(SqlError::InvalidRecursion {
                    name,
                    fault: "recursive reference must not appear as the edges of traverse",
                    instead: "Traverse the table that holds the single steps.",
                    position: self.at(span),
                });
            }
            return Ok((None, relation));
        }
        if let Some(view) = self.catalog.view(&name) {
            return Ok((None, self.view_in_from(view, None, span)?));
        }
        let table = self.catalog.table(&name).ok_or_else(|| self.undefined_table(name, span))?;
        let scope = self.table_in_from(table, &table.name);
        let types = table.columns.iter().map(|column| column.data_type.clone()).collect();
        Ok((Some(table), (Plan::Scan { table: table.id, types }, scope)))
    }

    fn edge_column(&self, ast: &ast::Expr, edges: &Scope) -> Result<ScopeColumn, SqlError> {
        let name = self.written_name(ast, "column")?;
        match edges.find(None, &name) {
            Found::One(column) => Ok(column.clone()),
            Found::Many => Err(SqlError::AmbiguousColumn { name, position: self.at(ast.span()) }),
            Found::None => {
                let nearest = nearest(&name, edges.columns.iter().map(|column| column.name.as_str()));
                Err(SqlError::UndefinedColumn { name, nearest, position: self.at(ast.span()) })
            }
        }
    }

    /// The columns of an edge's ends: those named, and else those that the table's keys make likely.
    fn ends(
        &self,
        source: Option<ScopeColumn>,
        target: Option<ScopeColumn>,
        table: Option<&TableSchema>,
        scope: &Scope,
        span: Span,
    ) -> Result<(ScopeColumn, ScopeColumn), SqlError> {
        let at = |place: &usize| scope.columns.iter().find(|column| column.place == *place).cloned();
        let taken: Vec<usize> = source.iter().chain(&target).map(|column| column.place).collect();
        let mut likely =
            likely_ends(table, scope).into_iter().filter(|place| !taken.contains(place)).collect::<Vec<_>>();
        // A column that is named as the other end leaves its place to the first that is left.
        likely.reverse();
        let mut next = || likely.pop().as_ref().and_then(at);
        let (Some(source), Some(target)) = (source.or_else(&mut next), target.or_else(&mut next)) else {
            let reason = format!("the edges of {NAME} need a source and a target column");
            return Err(SqlError::InvalidColumnReference { reason, position: self.at(span) });
        };
        if source.data_type != target.data_type {
            return Err(SqlError::TypeMismatch {
                place: format!(
                    "the target of {NAME} is the column \"{}\", which must be as the source \"{}\" and",
                    target.name, source.name
                ),
                expected: source.data_type.to_string(),
                found: target.data_type.to_string(),
                position: self.at(span),
            });
        }
        Ok((source, target))
    }

    fn traverse_operand(&mut self, ast: &'a ast::Expr) -> Result<Operand, SqlError> {
        self.seeing_left(|binder| binder.expr(ast, &Scope::default()))
    }

    /// The greatest depth.
    fn depth(&mut self, ast: &'a ast::Expr) -> Result<Expr, SqlError> {
        let span = ast.span();
        let operand =
            self.without_subqueries("the depth of traverse", |binder| binder.traverse_operand(ast))?;
        let depth = self.coerce(operand, &ROUND, Context::Implicit, "depth of traverse", span)?;
        if depth.reads_time() {
            return Err(self.refuse("the time in the depth of traverse", None, span));
        }
        Ok(depth)
    }
}

fn follow(from: &ScopeColumn, to: &ScopeColumn) -> Step {
    Step { from: from.place, to: to.place, nullable: !to.not_null }
}

/// The places of the columns that may be an edge's ends, the likeliest first: its first foreign keys; a primary key
/// of two columns; what is not the primary key.
fn likely_ends(table: Option<&TableSchema>, scope: &Scope) -> Vec<usize> {
    let every = || scope.columns.iter().map(|column| column.place);
    let Some(table) = table else { return every().collect() };
    let foreign = table.foreign_keys.iter().filter_map(|key| match key.columns[..] {
        [column] => Some(column),
        _ => None,
    });
    let foreign: Vec<usize> = foreign.collect();
    if foreign.len() >= 2 {
        return foreign;
    }
    if table.primary_key.len() >= 2 {
        return table.primary_key.clone();
    }
    let own: Vec<usize> = every().filter(|place| !table.primary_key.contains(place)).collect();
    if own.len() >= 2 { own } else { every().collect() }
}
