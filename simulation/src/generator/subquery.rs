//! Subqueries: in conditions, as values, beside the tables to their left; set operations over them.
//!
//! What a subquery gives is one value or one set of rows, whatever order its rows are found in, so that all
//! oracles agree.

use super::{Columns, Generator, KINDS, type_name};
use crate::naive::Kind;

impl Generator {
    /// Whether another subquery may stand here: two levels are enough for a column that passes one by.
    pub(super) fn may_nest(&mut self, chance: usize) -> bool {
        self.in_query && self.level < 2 && self.random.one_in(chance)
    }

    /// Generates what is one level further in. Names of tables there are others.
    fn inside<T>(&mut self, within: impl FnOnce(&mut Self) -> T) -> T {
        self.level += 1;
        self.nested = true;
        let result = within(self);
        self.level -= 1;
        result
    }

    /// `FROM … WHERE …` of a subquery, correlated more often than not, and its own columns.
    fn nested_from(&mut self, outer: &Columns) -> (String, Columns) {
        let alias = format!("q{}", self.level);
        let table = self.random.pick(&self.tables.clone()).clone();
        let own: Columns =
            table.columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
        let mut conditions = Vec::new();
        if !self.random.one_in(3) {
            let inner = self.column_of(Kind::Int, &own);
            let around = self.column_of(Kind::Int, outer);
            if let (Some(inner), Some(around)) = (inner, around) {
                let op = *self.random.pick(&["=", "=", "=", "=", "<", "<>", "IS NOT DISTINCT FROM"]);
                conditions.push(format!("{inner} {op} {around}"));
            }
        }
        if self.random.one_in(2) {
            let columns =
                if self.random.one_in(3) { own.iter().chain(outer).cloned().collect() } else { own.clone() };
            conditions.push(self.condition(&columns, 1));
        }
        let condition = match &conditions[..] {
            [] => String::new(),
            list => format!(" WHERE {}", list.join(" AND ")),
        };
        (format!(" FROM {} AS {alias}{condition}", table.name), own)
    }

    /// A condition that asks about a subquery's rows.
    pub(super) fn nested_condition(&mut self, outer: &Columns) -> String {
        let not = *self.random.pick(&["", "", "NOT "]);
        match self.random.below(5) {
            0 | 1 => {
                let (from, _) = self.inside(|generator| generator.nested_from(outer));
                format!("{not}EXISTS (SELECT 1{from})")
            }
            2 | 3 => {
                let kind = *self.random.pick(&[Kind::Int, Kind::Int, Kind::Text, Kind::Decimal]);
                let value = self.column_of(kind, outer).unwrap_or_else(|| self.literal(kind));
                let query = self.column_query(kind, outer);
                format!("{value} {not}IN ({query})")
            }
            _ => {
                let kind = *self.random.pick(&[Kind::Int, Kind::Double, Kind::Text]);
                let value = self.column_of(kind, outer).unwrap_or_else(|| self.literal(kind));
                let op = *self.random.pick(&["=", "<>", "<", ">="]);
                let each = *self.random.pick(&["ANY", "ALL"]);
                let query = self.column_query(kind, outer);
                format!("{value} {op} {each} ({query})")
            }
        }
    }

    /// A query of one column of a kind.
    fn column_query(&mut self, kind: Kind, outer: &Columns) -> String {
        self.inside(|generator| {
            let (from, own) = generator.nested_from(outer);
            let column = generator.column_of(kind, &own).unwrap_or_else(|| generator.literal(kind));
            let limit = if generator.random.one_in(6) { " ORDER BY 1 LIMIT 2" } else { "" };
            format!("SELECT {column}{from}{limit}")
        })
    }

    /// A value that a subquery computes.
    pub(super) fn nested_value(&mut self, kind: Kind, outer: &Columns) -> String {
        self.inside(|generator| {
            let before = generator.parameters.len();
            let (from, own) = generator.nested_from(outer);
            let column = generator.column_of(kind, &own).unwrap_or_else(|| generator.literal(kind));
            let number = generator.column_of(Kind::Int, &own).unwrap_or_else(|| "1".to_owned());
            match (kind, generator.random.below(5)) {
                (Kind::Big, 0) => format!("(SELECT count(*){from})"),
                (Kind::Big, 1) => format!("(SELECT sum({number}){from})"),
                (Kind::Decimal, 0) => format!("(SELECT avg({number}){from})"),
                // A key finds one row; anything else may find more, and that is an error.
                (_, 2) => {
                    // Nobody reads what was generated above, nor its parameters.
                    generator.parameters.truncate(before);
                    let keyed = |table: &&super::TableShape| table.columns[0].0 == "id";
                    let tables: Vec<_> = generator.tables.iter().filter(keyed).cloned().collect();
                    let table = generator.random.pick(&tables).clone();
                    let alias = format!("k{}", generator.level);
                    let own: Columns =
                        table.columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
                    let column = generator.column_of(kind, &own).unwrap_or_else(|| generator.literal(kind));
                    let key = generator.column_of(Kind::Int, outer).unwrap_or_else(|| "1".to_owned());
                    format!("(SELECT {column} FROM {} AS {alias} WHERE {alias}.id = {key})", table.name)
                }
                (_, 3) if generator.random.one_in(4) => format!("(SELECT {column}{from})"),
                (_, 3) => format!("(SELECT {column}{from} ORDER BY 1 DESC LIMIT 1)"),
                (Kind::Bool, _) => format!("(SELECT count({number}) > 1{from})"),
                _ => format!("(SELECT max({column}){from})"),
            }
        })
    }

    /// A lateral table over the columns to its left.
    pub(super) fn lateral(&mut self, alias: &str, left: &Columns) -> (String, Columns) {
        self.inside(|generator| {
            let (from, own) = generator.nested_from(left);
            let kinds = [Kind::Int, *generator.random.pick(&KINDS)];
            let items: Vec<String> = kinds
                .iter()
                .enumerate()
                .map(|(place, kind)| {
                    let column = generator.column_of(*kind, &own).unwrap_or_else(|| generator.literal(*kind));
                    format!("{column} AS k{place}")
                })
                .collect();
            let limit = if generator.random.one_in(2) { " ORDER BY 1, 2 DESC LIMIT 2" } else { "" };
            let columns =
                kinds.iter().enumerate().map(|(place, kind)| (format!("{alias}.k{place}"), *kind)).collect();
            (format!("LATERAL (SELECT {}{from}{limit}) AS {alias}", items.join(", ")), columns)
        })
    }

    /// Two or three queries of equal columns under set operations, and how many columns there are.
    pub(super) fn set_operation(&mut self) -> (String, usize) {
        let kinds: Vec<Kind> = (0..=self.random.below(2)).map(|_| *self.random.pick(&KINDS)).collect();
        let mut text = self.query_of(&kinds);
        for _ in 0..=usize::from(self.random.one_in(3)) {
            let op = *self.random.pick(&["UNION", "INTERSECT", "EXCEPT", "EXCEPT"]);
            let all = *self.random.pick(&["", " ALL"]);
            text = format!("{text} {op}{all} {}", self.query_of(&kinds));
        }
        (text, kinds.len())
    }

    fn query_of(&mut self, kinds: &[Kind]) -> String {
        let (from, columns) = self.from(false);
        let items: Vec<String> = kinds
            .iter()
            .map(|kind| {
                // Both sides have the type, also where one is NULL.
                format!("({})::{}", self.scalar(*kind, &columns, 1), type_name(*kind))
            })
            .collect();
        let condition = if self.random.one_in(2) {
            format!(" WHERE {}", self.condition(&columns, 1))
        } else {
            String::new()
        };
        format!("SELECT {}{from}{condition}", items.join(", "))
    }
}
