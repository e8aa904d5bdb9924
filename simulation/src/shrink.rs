//! [`shrink`]: a failing case made small by leaving out what it fails without.
//!
//! Invariant: what is kept fails in the same way as the case that was given; the result depends on nothing but
//! the case and the budget, which is a number of runs.

use std::collections::BTreeMap;

use deltaic_sql::{
    parse,
    sqlparser::ast::{SetExpr, Statement, TableObject},
};

use crate::{
    case::{Case, Step, Write},
    failure::Failed,
    generator::QueryCase,
    naive::{Table, last},
    reduce::{Shapes, edited},
    run::{Judge, run},
};

/// How many smaller cases are run at most.
pub const BUDGET: usize = 4_000;

/// A smaller case.
#[derive(Debug)]
pub struct Shrunk {
    /// The case.
    pub case: Case,
    /// How it fails.
    pub failed: Failed,
    /// How many cases were run.
    pub runs: usize,
}

/// Makes a failing case small.
pub fn shrink(case: &Case, failed: Failed, judge: &mut Judge<'_>, budget: usize) -> Shrunk {
    let postgres = if failed.kind.needs_postgres() { judge.postgres.as_deref_mut() } else { None };
    let judge = Judge { postgres, tell: false, meddle: judge.meddle };
    let smallest = Shrunk { case: case.clone(), failed, runs: 0 };
    let mut shrinker = Shrinker { judge, smallest, budget };
    if shrinker.smallest.failed.kind.is_shrinkable() {
        shrinker.all();
    }
    shrinker.smallest
}

/// The columns of a case's tables.
pub fn shapes(case: &Case) -> Shapes {
    let mut shapes = Shapes::new();
    for step in &case.steps {
        let Step::Schema(sql) = step else { continue };
        let Some(Statement::CreateTable(create)) = first(sql) else { continue };
        let Some(table) = Table::of(&create) else { continue };
        let columns = table.columns.into_iter().zip(table.kinds.into_iter().map(Some));
        shapes.insert(last(&create.name), columns.collect());
    }
    shapes
}

/// Leaves out items as long as `fails` says that the rest still does: all, halves, quarters, single ones.
fn ddmin<T: Clone>(mut items: Vec<T>, fails: &mut dyn FnMut(&[T]) -> bool) {
    let mut chunk = items.len();
    while chunk > 0 {
        let mut start = 0;
        while start < items.len() {
            let end = (start + chunk).min(items.len());
            let rest = [&items[..start], &items[end..]].concat();
            if fails(&rest) {
                items = rest;
            } else {
                start = end;
            }
        }
        chunk /= 2;
    }
}

struct Shrinker<'a> {
    judge: Judge<'a>,
    smallest: Shrunk,
    budget: usize,
}

impl Shrinker<'_> {
    /// Keeps a case if it fails in the same way.
    fn accepts(&mut self, case: Case) -> bool {
        if self.smallest.runs >= self.budget || case == self.smallest.case {
            return false;
        }
        self.smallest.runs += 1;
        match run(&case, &mut self.judge) {
            Err(failed) if failed.kind == self.smallest.failed.kind => {
                (self.smallest.case, self.smallest.failed) = (case, failed);
                true
            }
            _ => false,
        }
    }

    fn all(&mut self) {
        let mut cut = self.smallest.case.clone();
        cut.steps.truncate(self.smallest.failed.steps);
        self.accepts(cut);
        loop {
            let before = self.smallest.case.clone();
            self.settings();
            self.statements();
            self.texts();
            self.columns();
            if self.smallest.case == before {
                return;
            }
        }
    }

    /// How and where queries are computed, time that passes, parameters and what arrives together: in all steps, then
    /// in each.
    fn settings(&mut self) {
        let mut case = self.smallest.case.clone();
        case.steps.iter_mut().for_each(plain);
        self.accepts(case);
        for place in 0..self.smallest.case.steps.len() {
            let mut case = self.smallest.case.clone();
            plain(&mut case.steps[place]);
            self.accepts(case);
        }
    }

    /// Statements and queries.
    fn statements(&mut self) {
        let case = self.smallest.case.clone();
        ddmin((0..case.size()).collect(), &mut |kept| self.accepts(only(&case, kept)));
    }

    /// What statements and queries say. Those that are equal stay equal: a template may be what fails.
    fn texts(&mut self) {
        let mut place = 0;
        while let Some(mut sql) =
            texts(&mut self.smallest.case.clone()).get(place).map(|text| (**text).clone())
        {
            let shapes = shapes(&self.smallest.case);
            let mut number = 0;
            while let Some(shorter) = edited(&sql, &shapes, number) {
                let accepted = shorter.into_iter().find(|text| {
                    let case = with_text(&self.smallest.case, &sql, text);
                    self.accepts(case)
                });
                match accepted {
                    Some(text) => sql = text,
                    None => number += 1,
                }
            }
            place += 1;
        }
    }

    /// Columns of tables, with their values in INSERTs.
    fn columns(&mut self) {
        for (table, columns) in shapes(&self.smallest.case) {
            for (column, _) in columns.iter().skip(1).rev() {
                let mut case = self.smallest.case.clone();
                for step in &mut case.steps {
                    match step {
                        Step::Schema(sql) => without_column(sql, &table, column),
                        Step::Write(write) => {
                            let statements = write.requests.iter_mut().flatten();
                            statements.for_each(|sql| without_column(sql, &table, column));
                        }
                        _ => {}
                    }
                }
                self.accepts(case);
            }
        }
    }
}

/// A step without what changes no result.
fn plain(step: &mut Step) {
    match step {
        Step::Write(write) => write.computed = None,
        Step::Unsubscribe { pass_time, .. } => *pass_time = false,
        Step::Subscribe { query, .. } => {
            *query = QueryCase { sql: query.inlined(), parameters: Vec::new(), nested: query.nested };
        }
        Step::Schema(_) => {}
    }
}

/// The case with those of its statements and queries alone that have these numbers, which ascend.
fn only(case: &Case, kept: &[usize]) -> Case {
    let mut number = 0;
    let mut is_kept = || {
        number += 1;
        kept.binary_search(&(number - 1)).is_ok()
    };
    let mut steps = Vec::new();
    for step in &case.steps {
        match step {
            Step::Write(write) => {
                let mut requests = write.requests.clone();
                for statements in &mut requests {
                    statements.retain(|_| is_kept());
                }
                requests.retain(|statements| !statements.is_empty());
                if !requests.is_empty() {
                    steps.push(Step::Write(Write { requests, computed: write.computed }));
                }
            }
            other => steps.extend(is_kept().then(|| other.clone())),
        }
    }
    Case { steps }
}

/// The texts of a case's queries and of its statements that write.
fn texts(case: &mut Case) -> Vec<&mut String> {
    let mut texts = Vec::new();
    for step in &mut case.steps {
        match step {
            Step::Subscribe { query, .. } => texts.push(&mut query.sql),
            Step::Write(write) => texts.extend(write.requests.iter_mut().flatten()),
            _ => {}
        }
    }
    texts
}

/// The case with another text wherever this one stands.
fn with_text(case: &Case, old: &str, new: &str) -> Case {
    let mut case = case.clone();
    for text in texts(&mut case).into_iter().filter(|text| *text == old) {
        new.clone_into(text);
    }
    for step in &mut case.steps {
        if let Step::Subscribe { query, .. } = step {
            *query = renumbered(query);
        }
    }
    case
}

fn first(sql: &str) -> Option<Statement> {
    parse(sql).ok()?.into_iter().next()?.into_ast()
}

/// A definition of the table or an INSERT into it without a column.
fn without_column(sql: &mut String, table: &str, column: &str) {
    let Some(mut ast) = first(sql) else { return };
    match &mut ast {
        Statement::CreateTable(create) if last(&create.name) == table => {
            create.columns.retain(|other| other.name.value.to_lowercase() != column);
        }
        Statement::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else { return };
            let place = insert.columns.iter().position(|other| last(other) == column);
            let (true, Some(place), Some(source)) = (last(name) == table, place, &mut insert.source) else {
                return;
            };
            let SetExpr::Values(values) = &mut *source.body else { return };
            insert.columns.remove(place);
            for row in &mut values.rows {
                row.content.remove(place);
            }
        }
        _ => return,
    }
    *sql = ast.to_string();
}

/// The query with the parameters alone that it reads, numbered anew in the order in which it reads them.
fn renumbered(query: &QueryCase) -> QueryCase {
    let mut parameters = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut parts = query.sql.split('$');
    let mut sql = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let new = *numbers.entry(number).or_insert_with(|| {
            let place = number.parse::<usize>().unwrap_or_default().wrapping_sub(1);
            parameters.push(query.parameters.get(place).cloned().unwrap_or_default());
            parameters.len()
        });
        sql += &format!("${new}{rest}");
    }
    QueryCase { sql, parameters, nested: query.nested }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::{Kind, Oracle},
        naive::{Database, V},
        random::Random,
        run::Meddle,
    };

    /// What stands in a query that fails, and how long its shrunk text may be.
    const FEATURES: [(&str, usize); 14] = [
        ("LEFT JOIN", 90),
        ("FULL JOIN", 90),
        ("GROUP BY", 60),
        ("DISTINCT ON", 70),
        ("WITH RECURSIVE", 140),
        ("LATERAL", 110),
        ("EXCEPT ALL", 90),
        ("FILTER", 80),
        ("ROWS BETWEEN", 160),
        ("EXISTS", 90),
        ("LIMIT", 60),
        ("coalesce", 80),
        ("row_number", 110),
        ("array_agg", 80),
    ];

    fn wrong<const N: usize>(database: &Database, query: &QueryCase, rows: &mut Vec<Vec<V>>) {
        let is_filled = |table: &Table| !table.rows.is_empty();
        if query.sql.contains(FEATURES[N].0) && database.values().any(is_filled) {
            rows.push(Vec::new());
        }
    }

    const WRONG: [Meddle; 14] = [
        wrong::<0>,
        wrong::<1>,
        wrong::<2>,
        wrong::<3>,
        wrong::<4>,
        wrong::<5>,
        wrong::<6>,
        wrong::<7>,
        wrong::<8>,
        wrong::<9>,
        wrong::<10>,
        wrong::<11>,
        wrong::<12>,
        wrong::<13>,
    ];

    fn judge<'a>(meddle: Meddle) -> Judge<'a> {
        Judge { meddle: Some(meddle), ..Judge::default() }
    }

    /// The shrunk cases of the first seeds that fail so. They fail so again, and any other run comes to the same.
    fn shrunk(meddle: Meddle, kind: impl Fn(&Kind) -> bool, count: usize) -> Vec<Shrunk> {
        let failing = (1..).filter_map(|seed| {
            let case = Case::of(seed);
            let failed = run(&case, &mut judge(meddle)).err()?;
            assert!(kind(&failed.kind), "seed {seed}: {failed}");
            let shrunk = shrink(&case, failed.clone(), &mut judge(meddle), BUDGET);
            assert!(shrunk.runs < BUDGET, "seed {seed}: {}", shrunk.case.script());
            assert_eq!(shrunk.failed.kind, failed.kind, "seed {seed}");
            assert_eq!(
                run(&shrunk.case, &mut judge(meddle)).err().as_ref(),
                Some(&shrunk.failed),
                "seed {seed}"
            );
            assert_eq!(shrink(&case, failed, &mut judge(meddle), BUDGET).case, shrunk.case, "seed {seed}");
            Some(shrunk)
        });
        failing.take(count).collect()
    }

    /// Three tables at most, a row and a query.
    fn assert_small(shrunk: &Shrunk, length: usize) {
        let script = shrunk.case.script();
        assert!(shrunk.case.size() <= 5, "{script}");
        for step in &shrunk.case.steps {
            if let Step::Subscribe { query, .. } = step {
                assert!(query.sql.len() <= length, "{} characters: {script}", query.sql.len());
            }
        }
    }

    #[test]
    fn a_wrong_feature_is_found_alone() {
        for (meddle, (feature, length)) in WRONG.into_iter().zip(FEATURES) {
            for shrunk in shrunk(meddle, |kind| *kind == Kind::Rows(Oracle::Naive), 1) {
                assert!(shrunk.case.script().contains(feature));
                assert_small(&shrunk, length);
            }
        }
    }

    #[test]
    fn a_left_join_with_a_null_key_is_found_alone() {
        let meddle: Meddle = |database, query, rows| {
            let is_null = |table: &Table| table.rows.iter().any(|row| row[1] == V::Null);
            if query.sql.contains("LEFT JOIN")
                && database.values().any(|table| table.columns.len() > 1 && is_null(table))
            {
                rows.push(Vec::new());
            }
        };
        for shrunk in shrunk(meddle, |kind| *kind == Kind::Rows(Oracle::Naive), 5) {
            assert!(shrunk.case.script().contains("NULL"));
            assert_small(&shrunk, 90);
        }
    }

    #[test]
    fn a_panic_is_caught_and_shrunk() {
        let meddle: Meddle = |_, query, rows| {
            let places = rows.len();
            assert!(!query.sql.contains("JOIN"), "joined {places} rows");
        };
        for shrunk in shrunk(meddle, |kind| matches!(kind, Kind::Panic(_)), 3) {
            assert!(shrunk.failed.difference.contains("joined"), "{}", shrunk.failed);
            assert_small(&shrunk, 90);
        }
    }

    /// Otherwise a case could come to another failure, which is none: one of a query with several answers, or of
    /// types that the oracle does not know.
    #[test]
    fn no_edit_makes_a_right_case_wrong() {
        let mut made = 0;
        for seed in 1..4 {
            let mut case = Case::of(seed);
            case.steps.iter_mut().for_each(plain);
            let mut random = Random::new(seed);
            for _ in 0..60 {
                let all: Vec<String> = texts(&mut case).into_iter().map(|text| text.clone()).collect();
                let sql = random.pick(&all);
                let shapes = shapes(&case);
                let count =
                    (0..usize::MAX).take_while(|number| edited(sql, &shapes, *number).is_some()).count();
                for text in edited(sql, &shapes, random.below(count)).unwrap_or_default() {
                    let shorter = with_text(&case, sql, &text);
                    match run(&shorter, &mut Judge::default()) {
                        Ok(_) => (case, made) = (shorter, made + 1),
                        Err(Failed { kind: Kind::Refused(_) | Kind::Unknown, .. }) => {}
                        Err(failed) => panic!("seed {seed}: {sql}\n{failed}"),
                    }
                }
            }
        }
        assert!(made > 50, "{made}");
    }

    #[test]
    fn the_budget_is_kept() {
        let case = Case::of(1);
        let meddle: Meddle = |_, _, rows| rows.push(Vec::new());
        let failed = run(&case, &mut judge(meddle)).unwrap_err();
        for budget in [0, 1, 20] {
            let shrunk = shrink(&case, failed.clone(), &mut judge(meddle), budget);
            assert_eq!(shrunk.runs, budget);
            assert!(run(&shrunk.case, &mut judge(meddle)).is_err());
        }
    }

    #[test]
    fn items_that_are_not_needed_go() {
        let mut least = Vec::new();
        ddmin((0..100).collect(), &mut |items: &[i32]| {
            let fails = [7, 60, 61].iter().all(|item| items.contains(item));
            if fails {
                least = items.to_vec();
            }
            fails
        });
        assert_eq!(least, [7, 60, 61]);
    }

    #[test]
    fn parameters_count_anew() {
        let query = |sql: &str, parameters: &[i64]| QueryCase {
            sql: sql.to_owned(),
            parameters: parameters.iter().map(|n| (*n).into()).collect(),
            nested: false,
        };
        let before = query("SELECT $10, $3 + $10", &[0, 0, 3, 0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(renumbered(&before), query("SELECT $1, $2 + $1", &[10, 3]));
    }
}
