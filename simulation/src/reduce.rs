//! Statements cut down as syntax trees, one edit at a time: a part left out, or something simpler in its place.
//!
//! Invariant: the edits of a text are numbered, the large ones first in each query, and an edit's texts depend on
//! nothing but the text and its number. Whether a text makes sense is its reader's business; that it has one answer
//! is seen to here.

mod decided;
mod gone;
mod kinds;
mod tree;

use std::ops::ControlFlow;

use deltaic_sql::{
    Parsed, parse,
    sqlparser::ast::{
        Distinct, Expr, FromTable, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident,
        JoinConstraint, JoinOperator, LimitClause, OrderByExpr, Query, Select, SelectItem, SetExpr,
        Statement, TableFactor, WindowType,
    },
};

pub use decided::is_decided;
pub use kinds::Shapes;

use gone::{forget, without_column};
use kinds::{Column, columns_of, constants, kind_of, with_common_tables};
use tree::Part;

/// The texts that the edit of a number makes of a statement; None if it has fewer edits.
pub fn edited(sql: &str, shapes: &Shapes, number: usize) -> Option<Vec<String>> {
    let mut ast = parse(sql).ok()?.into_iter().next()?.into_ast()?;
    let before = ast.to_string();
    let mut edit = Edit { wanted: number, seen: 0, replaced: None, whole: None };
    edit.statement(&mut ast, shapes);
    if !edit.is_made() {
        return None;
    }
    let mut texts = Vec::new();
    // What an aggregate lists twice, as its argument and in its order, changes in both places or not at all.
    if let Some((old, new)) = &edit.replaced {
        texts.push(before.replace(old.as_str(), new));
    }
    texts.push(edit.whole.as_ref().map_or_else(|| ast.to_string(), ToString::to_string));
    texts.retain(|text| {
        let parsed = parse(text).ok().and_then(|list| list.into_iter().next());
        // Shorter, or earlier in the alphabet, so that an end is reached.
        let order = |text: &str| (text.len(), text.to_owned());
        order(text) < order(&before).min(order(sql))
            && parsed.and_then(Parsed::into_ast).is_some_and(|mut one| is_decided(&mut one, shapes))
    });
    texts.dedup();
    Some(texts)
}

/// What has to stay of a query's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// Nothing: nobody reads them.
    Free,
    /// The kinds and names of those that are read.
    Kinds,
    /// Their number too.
    Number,
}

/// Walks to the place of one edit and makes it.
#[derive(Debug)]
struct Edit {
    wanted: usize,
    /// How many places for edits were passed.
    seen: usize,
    /// The text of an expression, and of what took its place.
    replaced: Option<(String, String)>,
    /// The query that takes the place of the whole.
    whole: Option<Query>,
}

impl Edit {
    /// Whether the edit at hand is the one to be made: true once at most, so that a walk may go on behind it.
    fn here(&mut self) -> bool {
        self.seen += 1;
        self.seen == self.wanted + 1
    }

    fn is_made(&self) -> bool {
        self.seen > self.wanted
    }

    /// A part may go.
    fn without<T>(&mut self, part: &mut Option<T>) {
        if part.is_some() && self.here() {
            *part = None;
        }
    }

    /// Each item may go, as long as some are left.
    fn without_one<T>(&mut self, items: &mut Vec<T>, least: usize) {
        for place in 0..items.len() {
            if items.len() > least && self.here() {
                items.remove(place);
            }
        }
    }

    /// Each order may be the plain one.
    fn directions<'t>(&mut self, keys: impl IntoIterator<Item = &'t mut OrderByExpr>) {
        for key in keys {
            self.without(&mut key.options.sort);
            self.without(&mut key.options.nulls_first);
        }
    }

    fn statement(&mut self, statement: &mut Statement, shapes: &Shapes) {
        match statement {
            Statement::Query(query) => {
                self.inner_query(query);
                self.query(query, shapes, &[], Columns::Free);
            }
            Statement::Insert(insert) => {
                let Some(source) = &mut insert.source else { return };
                let SetExpr::Values(values) = &mut *source.body else { return };
                self.without_one(&mut values.rows, 1);
                for value in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                    self.expr(value, shapes, &[], true);
                }
            }
            Statement::Update(update) => {
                let columns = target(&update.table.relation, shapes);
                self.selection(&mut update.selection, shapes, &columns);
                for assignment in &mut update.assignments {
                    self.expr(&mut assignment.value, shapes, &columns, true);
                }
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                let columns = from.first().map(|table| target(&table.relation, shapes)).unwrap_or_default();
                self.selection(&mut delete.selection, shapes, &columns);
            }
            _ => {}
        }
    }

    /// One of the queries further in for the whole.
    fn inner_query(&mut self, query: &mut Query) {
        let mut found = Vec::new();
        tree::walk_query(query, &mut |part| {
            if let Part::Query(inner) = part {
                found.push(inner.clone());
            }
            ControlFlow::Continue(())
        });
        for inner in found.into_iter().skip(1) {
            if self.here() {
                self.whole = Some(inner);
            }
        }
    }

    fn selection(&mut self, selection: &mut Option<Expr>, shapes: &Shapes, columns: &[Column]) {
        self.without(selection);
        if let Some(condition) = selection {
            self.expr(condition, shapes, columns, true);
        }
    }

    fn query(&mut self, query: &mut Query, shapes: &Shapes, outer: &[Column], read: Columns) {
        if self.is_made() {
            return;
        }
        let extended = with_common_tables(shapes, query, outer);
        self.clauses(query, read);
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            for place in 0..cte.alias.columns.len() {
                if cte.alias.columns.len() > 1 && self.here() {
                    cte.alias.columns.remove(place);
                    without_column(&mut cte.query, place);
                }
            }
            self.query(&mut cte.query, &extended, outer, Columns::Number);
        }
        let united = matches!(&*query.body, SetExpr::SetOperation { .. });
        self.body(&mut query.body, &extended, outer, if united { Columns::Number } else { read });
    }

    /// The clauses around a query's body, and whole columns of it.
    fn clauses(&mut self, query: &mut Query, read: Columns) {
        self.without(&mut query.with);
        self.without(&mut query.limit_clause);
        self.directions(tree::order_keys(query).into_iter().flatten());
        if let Some(LimitClause::LimitOffset { limit: Some(_), offset: offset @ Some(_), .. }) =
            &mut query.limit_clause
        {
            self.without(offset);
        }
        if query.order_by.is_some() && self.here() {
            query.order_by = None;
            query.limit_clause = None;
            for select in tree::selects(&mut query.body) {
                select.distinct.take_if(|distinct| matches!(distinct, Distinct::On(_)));
            }
        }
        let width = tree::selects(&mut query.body).first().map_or(0, |select| select.projection.len());
        if read != Columns::Number && width > 1 {
            for place in 0..width {
                if self.here() {
                    without_column(query, place);
                }
            }
        }
    }

    fn body(&mut self, body: &mut SetExpr, shapes: &Shapes, outer: &[Column], read: Columns) {
        match body {
            SetExpr::Select(select) => self.select(select, shapes, outer, read),
            SetExpr::Query(inner) => self.query(inner, shapes, outer, read),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, shapes, outer, Columns::Number);
                self.body(right, shapes, outer, Columns::Number);
                for side in [left.clone(), right.clone()] {
                    if self.here() {
                        *body = *side;
                    }
                }
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &mut Select, shapes: &Shapes, outer: &[Column], read: Columns) {
        let columns = [&columns_of(select, shapes, outer)[..], outer].concat();
        self.joins(select, &columns);
        self.without(&mut select.distinct);
        self.without(&mut select.having);
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            self.without_one(keys, 0);
        }
        self.selection(&mut select.selection, shapes, &columns);
        for factor in tree::factors(select) {
            self.table(factor, shapes, &columns);
        }
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            if let Some(condition) = tree::join_condition(&mut join.join_operator) {
                self.expr(condition, shapes, &columns, true);
            }
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                self.expr(expr, shapes, &columns, read != Columns::Free);
            }
        }
        if let Some(having) = &mut select.having {
            self.expr(having, shapes, &columns, true);
        }
    }

    /// Another table in the place of one; a query for itself alone, or its first table in its place.
    fn table(&mut self, factor: &mut TableFactor, shapes: &Shapes, columns: &[Column]) {
        if let TableFactor::Table { name, .. } = factor {
            for other in shapes.keys() {
                if self.here() {
                    *name = vec![Ident::new(other)].into();
                }
            }
        }
        let TableFactor::Derived { lateral, subquery, alias, .. } = factor else { return };
        if *lateral && self.here() {
            *lateral = false;
        }
        self.query(subquery, shapes, columns, Columns::Kinds);
        let select = tree::selects(&mut subquery.body).into_iter().next();
        let mut first = select.and_then(|select| select.from.first()).map(|table| table.relation.clone());
        if let Some(TableFactor::Table { alias: name, .. }) = &mut first {
            name.clone_from(alias);
        }
        if let (Some(first @ TableFactor::Table { .. }), true) = (first, self.here()) {
            *factor = first;
        }
    }

    /// Tables left out of FROM, and joins made plain.
    fn joins(&mut self, select: &mut Select, columns: &[Column]) {
        for table in 0..select.from.len() {
            for place in 0..select.from[table].joins.len() {
                let mut gone = None;
                if self.here() {
                    gone = Some(select.from[table].joins.remove(place).relation);
                } else if place == 0 && self.here() {
                    let first = select.from[table].joins.remove(0).relation;
                    gone = Some(std::mem::replace(&mut select.from[table].relation, first));
                }
                if let Some(gone) = gone {
                    forget(select, &gone, columns);
                    return;
                }
                let operator = &mut select.from[table].joins[place].join_operator;
                let condition = tree::join_condition(operator).cloned();
                if let (Some(condition), false) = (condition, matches!(operator, JoinOperator::Join(_))) {
                    if self.here() {
                        *operator = JoinOperator::Join(JoinConstraint::On(condition));
                    }
                }
            }
        }
    }

    /// `keep` says whether what takes its place must have its kind.
    fn expr(&mut self, expr: &mut Expr, shapes: &Shapes, columns: &[Column], keep: bool) {
        if self.is_made() {
            return;
        }
        let kind = kind_of(expr, shapes, columns);
        let mut simpler = constants(kind);
        for operand in tree::operands(expr) {
            if !keep || (kind.is_some() && kind == kind_of(operand, shapes, columns)) {
                simpler.push(operand.clone());
            }
        }
        for other in simpler {
            if self.here() {
                self.replaced = Some((expr.to_string(), other.to_string()));
                *expr = other;
                return;
            }
        }
        self.parts(expr);
        let read = if matches!(expr, Expr::Exists { .. }) { Columns::Free } else { Columns::Number };
        if let Some(query) = tree::subquery(expr) {
            self.query(query, shapes, columns, read);
        }
        for operand in tree::operands(expr) {
            self.expr(operand, shapes, columns, true);
        }
    }

    /// Parts of an expression that may be left out.
    fn parts(&mut self, expr: &mut Expr) {
        if let Expr::InSubquery { negated, .. }
        | Expr::Exists { negated, .. }
        | Expr::InList { negated, .. } = expr
        {
            if *negated && self.here() {
                *negated = false;
            }
        }
        match expr {
            Expr::InList { list, .. } => self.without_one(list, 1),
            Expr::Function(function) => {
                self.directions(&mut function.within_group);
                self.without(&mut function.filter);
                self.without(&mut function.over);
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    self.without_one(&mut spec.partition_by, 0);
                    self.without(&mut spec.window_frame);
                    self.without_one(&mut spec.order_by, 0);
                    self.directions(&mut spec.order_by);
                }
                let FunctionArguments::List(list) = &mut function.args else { return };
                self.without(&mut list.duplicate_treatment);
                for clause in &mut list.clauses {
                    if let FunctionArgumentClause::OrderBy(keys) = clause {
                        self.without_one(keys, 0);
                        self.directions(keys);
                    }
                }
                list.clauses.retain(
                    |clause| !matches!(clause, FunctionArgumentClause::OrderBy(keys) if keys.is_empty()),
                );
            }
            _ => {}
        }
    }
}

/// The columns of the table that a statement writes.
fn target(factor: &TableFactor, shapes: &Shapes) -> Vec<Column> {
    let TableFactor::Table { name, .. } = factor else { return Vec::new() };
    let table = crate::naive::last(name);
    let columns = shapes.get(&table).cloned().unwrap_or_default();
    columns.into_iter().map(|(name, kind)| Column { alias: table.clone(), name, kind }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{case::Case, generator::Generator, naive::Kind};

    fn shapes() -> Shapes {
        let columns = [("id", Kind::Int), ("c0", Kind::Int), ("c1", Kind::Text)];
        let columns: Vec<_> = columns.into_iter().map(|(name, kind)| (name.to_owned(), Some(kind))).collect();
        Shapes::from([("t0".to_owned(), columns.clone()), ("t1".to_owned(), columns)])
    }

    fn all(sql: &str) -> Vec<String> {
        (0..).map_while(|number| edited(sql, &shapes(), number)).flatten().collect()
    }

    fn reaches(sql: &str, expected: &str) {
        assert!(all(sql).iter().any(|text| text == expected), "{:#?}", all(sql));
    }

    #[test]
    fn each_part_can_be_left_out() {
        let sql = "SELECT r0.id, r1.c1 FROM t0 AS r0 LEFT JOIN t1 AS r1 ON r0.id = r1.c0 AND r1.c1 = 'a' WHERE r0.c0 > 1 \
                   AND r1.id IS NULL ORDER BY 1 DESC, 2 LIMIT 3";
        reaches(sql, &sql.replace(" LIMIT 3", ""));
        reaches(sql, &sql.replace("LEFT JOIN", "JOIN"));
        reaches(sql, &sql.replace(" AND r1.c1 = 'a'", ""));
        reaches(sql, &sql.replace(" AND r1.id IS NULL", ""));
        reaches(sql, &sql.replace("SELECT r0.id, ", "SELECT ").replace("1 DESC, 2", "1"));
        reaches(sql, &sql.replace(" WHERE r0.c0 > 1 AND r1.id IS NULL", ""));
        reaches(
            sql,
            "SELECT r0.id, '' FROM t0 AS r0 WHERE r0.c0 > 1 AND 1 IS NULL ORDER BY 1 DESC, 2 LIMIT 3",
        );
        reaches(
            "WITH RECURSIVE rec (k0) AS (SELECT 1 FROM t0 AS b UNION SELECT s.c0 FROM rec JOIN t0 AS s ON s.id = rec.k0) \
             SELECT rec.k0 FROM rec",
            "WITH RECURSIVE rec (k0) AS (SELECT 1 FROM t0 AS b) SELECT rec.k0 FROM rec",
        );
        reaches("SELECT (SELECT max(q.c0) FROM t1 AS q) FROM t0 AS r0", "SELECT max(q.c0) FROM t1 AS q");
        reaches(
            "SELECT 1 FROM t1 AS r0 JOIN t0 AS r1 ON true",
            "SELECT 1 FROM t0 AS r0 JOIN t0 AS r1 ON true",
        );
        reaches("DELETE FROM t0 WHERE id = 3 OR c0 = 4", "DELETE FROM t0 WHERE id = 3");
    }

    #[test]
    fn what_decides_an_answer_stays() {
        let sql = "SELECT row_number() OVER (ORDER BY r0.id, r0.c0, r0.c1), r0.c1 FROM t0 AS r0 ORDER BY 1, 2 LIMIT 1";
        for text in all(sql) {
            assert!(!text.contains("LIMIT") || text.contains("ORDER BY 1"), "{text}");
            // Without its window it is refused.
            assert!(!text.contains("row_number() OVER") || text.contains("ORDER BY r0.id"), "{text}");
        }
        // In both places or in none.
        reaches(
            "SELECT array_agg(r0.c0 + 1 ORDER BY r0.c0 + 1) FROM t0 AS r0",
            "SELECT array_agg(r0.c0 ORDER BY r0.c0) FROM t0 AS r0",
        );
    }

    #[test]
    fn the_generators_queries_have_one_answer() {
        for seed in 0..300 {
            let shapes = crate::shrink::shapes(&Case::of(seed));
            let mut generator = Generator::new(seed);
            for _ in 0..10 {
                let sql = generator.query().sql;
                let mut ast = parse(&sql).unwrap().remove(0).into_ast().unwrap();
                assert!(is_decided(&mut ast, &shapes), "seed {seed}: {sql}");
            }
        }
    }
}
