//! [`Generator`]: random schemas, statements and queries, in SQL that both oracles understand.
//!
//! Values are few and small so that keys meet, groups fill and empty, and sums now and then overflow or
//! divide by zero. A query with LIMIT orders by all its columns, so its window is one set of rows.

mod aggregate;
mod subquery;
mod window;

use crate::{
    naive::{Kind, V},
    random::Random,
};

/// A table as generated.
#[derive(Debug, Clone)]
pub struct TableShape {
    /// Its name.
    pub name: String,
    /// Names and kinds of its columns; the first is the key, an integer.
    pub columns: Vec<(String, Kind)>,
}

/// A query with the values of its parameters, as SQL text and as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryCase {
    /// The text, with `$1`, `$2`, …
    pub sql: String,
    /// The values.
    pub parameters: Vec<serde_json::Value>,
    /// Whether it has subqueries in expressions. Which of their errors count is not the same for all: a subquery
    /// that nobody needs need not be computed.
    pub nested: bool,
}

impl QueryCase {
    /// The parameters as the oracle takes them.
    pub fn arguments(&self) -> Vec<V> {
        self.parameters.iter().map(|value| value.as_i64().map_or(V::Null, V::Int)).collect()
    }

    /// The text with the values where the parameters stand.
    pub fn inlined(&self) -> String {
        let mut sql = self.sql.clone();
        // The last first: `$1` begins `$10`.
        for (place, value) in self.parameters.iter().enumerate().rev() {
            let text = value.as_i64().map_or("NULL::integer".to_owned(), |n| format!("({n})"));
            sql = sql.replace(&format!("${}", place + 1), &text);
        }
        sql
    }

    /// `, $1 = 3, $2 = null`; nothing without parameters.
    pub fn values(&self) -> String {
        let values = self.parameters.iter().enumerate();
        values.map(|(place, value)| format!(", ${} = {value}", place + 1)).collect::<Vec<_>>().concat()
    }
}

/// Random SQL.
#[derive(Debug)]
pub struct Generator {
    /// The source of everything.
    pub random: Random,
    /// The tables.
    pub tables: Vec<TableShape>,
    parameters: Vec<serde_json::Value>,
    /// Whether an expression may have parameters: in a query, not in a statement.
    in_query: bool,
    /// How many subqueries there are around.
    level: usize,
    /// Whether any subquery was generated.
    nested: bool,
}

/// Columns that an expression may use: as written, and their kinds.
type Columns = Vec<(String, Kind)>;

const KINDS: [Kind; 6] = [Kind::Int, Kind::Big, Kind::Decimal, Kind::Double, Kind::Text, Kind::Bool];

impl Generator {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(2);
        let tables = (0..count)
            .map(|number| {
                let mut columns = vec![("id".to_owned(), Kind::Int)];
                for place in 0..2 + random.below(4) {
                    let kind = if place == 0 { Kind::Int } else { *random.pick(&KINDS) };
                    columns.push((format!("c{place}"), kind));
                }
                TableShape { name: format!("t{number}"), columns }
            })
            .collect();
        Self { random, tables, parameters: Vec::new(), in_query: false, level: 0, nested: false }
    }

    /// CREATE TABLE and, sometimes, CREATE INDEX.
    pub fn schema(&mut self) -> Vec<String> {
        let mut statements = Vec::new();
        for table in self.tables.clone() {
            let columns: Vec<String> = table
                .columns
                .iter()
                .enumerate()
                .map(|(place, (name, kind))| {
                    format!("{name} {}{}", type_name(*kind), if place == 0 { " PRIMARY KEY" } else { "" })
                })
                .collect();
            statements.push(format!("CREATE TABLE {} ({})", table.name, columns.join(", ")));
            if self.random.one_in(2) {
                statements.push(format!("CREATE INDEX ON {} (c0)", table.name));
            }
        }
        statements
    }

    /// A constant of a kind, NULL now and then.
    fn literal(&mut self, kind: Kind) -> String {
        if self.random.one_in(7) {
            return format!("NULL::{}", type_name(kind));
        }
        self.value(kind)
    }

    fn value(&mut self, kind: Kind) -> String {
        let n = self.random.below(7) as i64 - 2;
        match kind {
            Kind::Int if self.random.one_in(40) => "2147483647".to_owned(),
            Kind::Int => n.to_string(),
            Kind::Big if self.random.one_in(30) => "9223372036854775807".to_owned(),
            Kind::Big => format!("{n}::bigint"),
            Kind::Decimal => format!("{}.{}::numeric", n.abs(), self.random.below(3) * 25),
            Kind::Double => format!("{n}.5::double precision"),
            Kind::Text => format!("'{}'", self.random.pick(&["", "a", "b", "ab", "Abc", "a%", "été"])),
            Kind::Bool => (n > 0).to_string(),
        }
    }

    /// A statement that changes a table.
    pub fn statement(&mut self) -> String {
        let table = self.random.pick(&self.tables.clone()).clone();
        match self.random.below(10) {
            0..=4 => self.insert(&table),
            5..=7 => {
                let place = 1 + self.random.below(table.columns.len() - 1);
                let (name, kind) = table.columns[place].clone();
                let value = if self.random.one_in(3) {
                    self.scalar(kind, &table.columns, 1)
                } else {
                    self.literal(kind)
                };
                format!("UPDATE {} SET {name} = {value} WHERE {}", table.name, self.selection(&table))
            }
            _ => format!("DELETE FROM {} WHERE {}", table.name, self.selection(&table)),
        }
    }

    fn insert(&mut self, table: &TableShape) -> String {
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        let rows: Vec<String> = (0..=self.random.below(3))
            .map(|_| {
                let values: Vec<String> = table
                    .columns
                    .iter()
                    .enumerate()
                    .map(
                        |(place, (_, kind))| {
                            if place == 0 { self.random.below(30).to_string() } else { self.literal(*kind) }
                        },
                    )
                    .collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!("INSERT INTO {} ({}) VALUES {}", table.name, names.join(", "), rows.join(", "))
    }

    fn selection(&mut self, table: &TableShape) -> String {
        if self.random.one_in(2) {
            format!("id = {}", self.random.below(30))
        } else if self.random.one_in(8) {
            let other = self.random.pick(&self.tables.clone()).name.clone();
            match self.random.below(3) {
                0 => format!("id IN (SELECT c0 FROM {other})"),
                1 => format!("c0 NOT IN (SELECT id FROM {other} WHERE c0 IS NULL)"),
                _ => format!("NOT EXISTS (SELECT 1 FROM {other} AS q0 WHERE q0.c0 = {}.id)", table.name),
            }
        } else {
            self.condition(&table.columns, 1)
        }
    }

    /// A query without subqueries in its expressions, of which every error is everybody's.
    pub fn plain_query(&mut self) -> QueryCase {
        loop {
            let query = self.query();
            if !query.nested {
                return query;
            }
        }
    }

    /// A query.
    pub fn query(&mut self) -> QueryCase {
        self.in_query = true;
        self.nested = false;
        // The step of a recursion joins; what a subquery may read there is tested by hand.
        self.level = 2;
        let recursion = if self.random.one_in(6) { Some(self.recursion()) } else { None };
        self.level = 0;
        let own = self.parameters.len();
        let plain = recursion.is_some() || !self.random.one_in(8);
        let (mut sql, mut width) = if plain { self.select(true) } else { self.set_operation() };
        while recursion.is_some() && !sql.contains(" rec AS ") {
            // A common table that nobody reads is never looked at, nor are its parameters.
            self.parameters.truncate(own);
            (sql, width) = self.select(true);
        }
        let distinct_on = plain && self.random.one_in(12) && !sql.contains("GROUP BY");
        if distinct_on && sql.starts_with("SELECT ") && !sql.starts_with("SELECT DISTINCT") {
            let places = if width > 1 && self.random.one_in(2) { "1, 2" } else { "1" };
            let keys: Vec<String> = (1..=width).map(|place| place.to_string()).collect();
            let rest = &sql["SELECT ".len()..];
            sql = format!("SELECT DISTINCT ON ({places}) {rest} ORDER BY {}", keys.join(", "));
        } else if plain && self.random.one_in(8) && !sql.contains("GROUP BY") {
            // A table with itself, the same rows twice.
            sql = format!("{sql} UNION ALL {sql}");
        }
        if !sql.contains("DISTINCT ON") && self.random.one_in(4) {
            let keys: Vec<String> = (1..=width)
                .map(|place| {
                    let direction = if self.random.one_in(2) { " DESC" } else { "" };
                    let nulls = *self.random.pick(&["", "", " NULLS FIRST", " NULLS LAST"]);
                    format!("{place}{direction}{nulls}")
                })
                .collect();
            sql = format!("{sql} ORDER BY {}", keys.join(", "));
            if self.random.one_in(2) {
                let limit = self.random.below(6);
                if self.random.one_in(4) {
                    self.parameters.push(serde_json::Value::from(limit));
                    sql = format!("{sql} LIMIT ${}", self.parameters.len());
                } else {
                    sql = format!("{sql} LIMIT {limit}");
                }
                if self.random.one_in(2) {
                    sql = format!("{sql} OFFSET {}", self.random.below(4));
                }
            }
        }
        if let Some(recursion) = recursion {
            sql = format!("{recursion} {sql}");
            self.tables.retain(|table| table.name != "rec");
        }
        self.in_query = false;
        QueryCase { sql, parameters: std::mem::take(&mut self.parameters), nested: self.nested }
    }

    /// A recursive common table that ends on any data, known as a table from here on: over the values of a column,
    /// or up to a depth. A table is a graph with an edge from `id` to `c0`.
    fn recursion(&mut self) -> String {
        let bounded = self.random.one_in(2);
        let all = bounded && self.random.one_in(2);
        let names = |alias: &str, table: &TableShape| -> Columns {
            table.columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect()
        };
        let table = self.random.pick(&self.tables.clone()).clone();
        let columns = names("b", &table);
        let start = self.scalar(Kind::Int, &columns, 1);
        let condition = if self.random.one_in(4) {
            String::new()
        } else {
            format!(" WHERE {}", self.condition(&columns, 1))
        };
        let depth = if bounded { ", 0" } else { "" };
        let base = format!("SELECT {start}{depth} FROM {} AS b{condition}", table.name);
        let table = self.random.pick(&self.tables.clone()).clone();
        let mut columns = names("s", &table);
        let (from, to) = *self.random.pick(&[("id", "c0"), ("c0", "id")]);
        let join = *self.random.pick(&["JOIN", "JOIN", "LEFT JOIN"]);
        let from = match self.random.below(4) {
            0 if join == "JOIN" => format!("{} AS s JOIN rec ON s.{from} = rec.k0", table.name),
            _ => format!("rec {join} {} AS s ON s.{from} = rec.k0", table.name),
        };
        columns.push(("rec.k0".to_owned(), Kind::Int));
        let next = if bounded && self.random.one_in(3) {
            self.scalar(Kind::Int, &columns, 1)
        } else {
            format!("s.{to}")
        };
        let (depth, mut conditions) = if bounded {
            columns.push(("rec.k1".to_owned(), Kind::Int));
            (", rec.k1 + 1", vec![format!("rec.k1 < {}", 1 + self.random.below(if all { 2 } else { 4 }))])
        } else {
            ("", Vec::new())
        };
        if self.random.one_in(3) {
            conditions.push(self.condition(&columns, 1));
        }
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let kinds: Columns = ["k0", "k1"][..=usize::from(bounded)]
            .iter()
            .map(|name| ((*name).to_owned(), Kind::Int))
            .collect();
        let heads: Vec<&str> = kinds.iter().map(|(name, _)| name.as_str()).collect();
        let union = if all { "UNION ALL" } else { "UNION" };
        let sql = format!(
            "WITH RECURSIVE rec({}) AS ({base} {union} SELECT {next}{depth} FROM {from}{condition})",
            heads.join(", ")
        );
        // Most of the query's tables are the recursion.
        let shape = TableShape { name: "rec".to_owned(), columns: kinds };
        self.tables.extend(vec![shape; 4]);
        sql
    }

    /// A SELECT and how many columns it has.
    fn select(&mut self, nested: bool) -> (String, usize) {
        let (from, columns) = self.from(nested);
        let condition = if self.random.one_in(3) {
            String::new()
        } else {
            format!(" WHERE {}", self.condition(&columns, 2))
        };
        if self.random.one_in(3) {
            return self.grouped(&from, &columns, &condition);
        }
        let width = 1 + self.random.below(3);
        let windows = self.random.one_in(4) && !from.contains(" AS r2");
        let items: Vec<String> = (0..width)
            .map(|_| {
                if windows && self.random.one_in(2) {
                    return self.window(&columns);
                }
                let kind = *self.random.pick(&KINDS);
                self.scalar(kind, &columns, 1)
            })
            .collect();
        let distinct = if self.random.one_in(4) { "DISTINCT " } else { "" };
        (format!("SELECT {distinct}{}{from}{condition}", items.join(", ")), width)
    }

    fn grouped(&mut self, from: &str, columns: &Columns, condition: &str) -> (String, usize) {
        let keys: Vec<String> =
            (0..self.random.below(3)).map(|_| self.random.pick(columns).0.clone()).collect();
        let mut items = keys.clone();
        for _ in 0..=self.random.below(3) {
            items.push(self.aggregate(columns));
        }
        let windows = self.random.one_in(4);
        if windows {
            items.push(self.window_of_groups(&keys));
        }
        let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        let having = if !windows && self.random.one_in(4) {
            let value = if self.may_nest(4) {
                self.nested_value(Kind::Big, &Columns::new())
            } else {
                self.random.below(3).to_string()
            };
            format!(" HAVING count(*) > {value}")
        } else {
            String::new()
        };
        let width = items.len();
        (format!("SELECT {}{from}{condition}{group}{having}", items.join(", ")), width)
    }

    /// FROM, and the columns that it brings.
    fn from(&mut self, nested: bool) -> (String, Columns) {
        let mut columns = Columns::new();
        let mut text = String::from(" FROM ");
        let count = 1 + usize::from(self.random.one_in(2)) + usize::from(self.random.one_in(6));
        for number in 0..count {
            let alias = format!("r{number}");
            let lateral = number > 0 && nested && self.random.one_in(8);
            let (source, own) = if lateral {
                self.lateral(&alias, &columns)
            } else if nested && self.random.one_in(6) {
                self.derived(&alias)
            } else {
                let table = self.random.pick(&self.tables.clone()).clone();
                let own =
                    table.columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
                (format!("{} AS {alias}", table.name), own)
            };
            if number == 0 {
                text += &source;
                columns = own;
                continue;
            }
            let left = self.column_of(Kind::Int, &columns);
            let right = self.column_of(Kind::Int, &own);
            // Keys that are computed on one side or on both.
            let kind = self.random.below(8);
            let computed = (kind > 2 && right.is_some() && self.random.one_in(4)).then(|| {
                let left = self.scalar(Kind::Int, &columns, 1);
                let right =
                    if self.random.one_in(2) { self.scalar(Kind::Int, &own, 1) } else { right.clone()? };
                Some(format!("{left} = {right}"))
            });
            columns.extend(own);
            match kind {
                0 => text += &format!(" CROSS JOIN {source}"),
                1 if !lateral && left.is_some() && right.is_some() => {
                    // PostgreSQL makes a full join of equalities alone.
                    let on = left.zip(right).map(|(left, right)| format!("{left} = {right}"));
                    text += &format!(" FULL JOIN {source} ON {}", on.unwrap_or_default());
                }
                2 if !lateral => {
                    let on = self.plain_condition(&columns);
                    text += &format!(" RIGHT JOIN {source} ON {on}");
                }
                kind => {
                    let join = if kind < 5 { "JOIN" } else { "LEFT JOIN" };
                    let mut on = match (computed.flatten(), left, right) {
                        (Some(computed), ..) => computed,
                        (None, Some(left), Some(right)) => format!("{left} = {right}"),
                        _ => self.plain_condition(&columns),
                    };
                    if self.random.one_in(4) {
                        on = format!("{on} AND {}", self.plain_condition(&columns));
                    }
                    text += &format!(" {join} {source} ON {on}");
                }
            }
        }
        (text, columns)
    }

    fn derived(&mut self, alias: &str) -> (String, Columns) {
        let (from, columns) = self.from(false);
        let mut items = Vec::new();
        let mut own = Columns::new();
        if self.random.one_in(2) {
            let key = self.column_of(Kind::Int, &columns).unwrap_or_else(|| "1".to_owned());
            let sql = format!("SELECT {key} AS k0, count(*) AS k1{from} GROUP BY {key}");
            own.push((format!("{alias}.k0"), Kind::Int));
            own.push((format!("{alias}.k1"), Kind::Big));
            return (format!("({sql}) AS {alias}"), own);
        }
        if self.random.one_in(4) {
            let key = self.column_of(Kind::Int, &columns).unwrap_or_else(|| "1".to_owned());
            let number = self.row_number(&key, &columns);
            own.push((format!("{alias}.k0"), Kind::Int));
            own.push((format!("{alias}.k1"), Kind::Big));
            return (format!("(SELECT {key} AS k0, {number} AS k1{from}) AS {alias}"), own);
        }
        for place in 0..2 {
            let kind = if place == 0 { Kind::Int } else { *self.random.pick(&KINDS) };
            items.push(format!("{} AS k{place}", self.scalar(kind, &columns, 1)));
            own.push((format!("{alias}.k{place}"), kind));
        }
        let condition = if self.random.one_in(2) {
            format!(" WHERE {}", self.condition(&columns, 1))
        } else {
            String::new()
        };
        let distinct = if self.random.one_in(3) { "DISTINCT " } else { "" };
        (format!("(SELECT {distinct}{}{from}{condition}) AS {alias}", items.join(", ")), own)
    }

    fn column_of(&mut self, kind: Kind, columns: &Columns) -> Option<String> {
        let fitting: Vec<&(String, Kind)> = columns.iter().filter(|(_, other)| *other == kind).collect();
        if fitting.is_empty() { None } else { Some(self.random.pick(&fitting).0.clone()) }
    }

    /// An expression of a kind.
    fn scalar(&mut self, kind: Kind, columns: &Columns, depth: usize) -> String {
        let column = self.column_of(kind, columns);
        if depth == 0 || self.random.one_in(3) {
            return match column {
                Some(column) if !self.random.one_in(4) => column,
                _ => self.literal(kind),
            };
        }
        if self.may_nest(12) {
            return self.nested_value(kind, columns);
        }
        let depth = depth - 1;
        match (kind, self.random.below(7)) {
            (_, 0) => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.condition(columns, depth),
                self.scalar(kind, columns, depth),
                self.scalar(kind, columns, depth)
            ),
            (_, 1) => format!(
                "{}({}, {})",
                self.random.pick(&["coalesce", "coalesce", "nullif", "greatest", "least"]).to_owned(),
                self.scalar(kind, columns, depth),
                self.scalar(kind, columns, depth)
            ),
            (Kind::Int | Kind::Big, 2) => format!(
                "({} {} {})",
                self.scalar(kind, columns, depth),
                self.random.pick(&["/", "%"]).to_owned(),
                self.scalar(kind, columns, depth)
            ),
            (Kind::Int, 3) => format!("length({})", self.scalar(Kind::Text, columns, depth)),
            (Kind::Int, 4) | (Kind::Big | Kind::Decimal | Kind::Double, 3) => {
                format!("abs({})", self.scalar(kind, columns, depth))
            }
            (Kind::Int | Kind::Big | Kind::Decimal | Kind::Double, _) => {
                let op = *self.random.pick(&["+", "-", "*"]);
                format!("({} {op} {})", self.scalar(kind, columns, depth), self.scalar(kind, columns, depth))
            }
            (Kind::Text, 2) => {
                let name = *self.random.pick(&["upper", "lower"]);
                format!("{name}({})", self.scalar(kind, columns, depth))
            }
            (Kind::Text, _) => {
                format!("({} || {})", self.scalar(kind, columns, depth), self.scalar(kind, columns, depth))
            }
            (Kind::Bool, _) => format!("({})", self.condition(columns, depth)),
        }
    }

    /// A condition without subqueries: those that read both sides of an outer join are refused in its condition.
    fn plain_condition(&mut self, columns: &Columns) -> String {
        let level = std::mem::replace(&mut self.level, 2);
        let condition = self.condition(columns, 1);
        self.level = level;
        condition
    }

    fn condition(&mut self, columns: &Columns, depth: usize) -> String {
        if self.may_nest(14) {
            return self.nested_condition(columns);
        }
        if depth > 0 && self.random.one_in(2) {
            let (a, b) = (self.condition(columns, depth - 1), self.condition(columns, depth - 1));
            return match self.random.below(4) {
                0 | 1 => format!("{a} AND {b}"),
                2 => format!("({a} OR {b})"),
                _ => format!("NOT ({a} AND {b})"),
            };
        }
        let kind = *self.random.pick(&KINDS);
        if self.random.one_in(4) {
            return self.search(columns, depth);
        }
        let before = self.parameters.len();
        let operand = self.scalar(kind, columns, depth.min(1));
        match self.random.below(9) {
            0 => format!("{operand} IS NULL"),
            1 => format!("{operand} IS NOT NULL"),
            2 => format!("{operand} IN ({}, {})", self.literal(kind), self.literal(kind)),
            3 if kind != Kind::Bool => {
                format!("{operand} BETWEEN {} AND {}", self.literal(kind), self.literal(kind))
            }
            4 if kind == Kind::Text => {
                format!("{operand} LIKE '{}'", self.random.pick(&["a%", "%b", "_", "%", "A_c"]))
            }
            5 => format!("{operand} IS DISTINCT FROM {}", self.literal(kind)),
            6 | 7 => match self.column_of(kind, columns) {
                // The shape of most live queries: a column equals a value.
                Some(column) => {
                    self.parameters.truncate(before);
                    format!("{column} = {}", self.constant_or_parameter(kind))
                }
                None => format!("{operand} = {}", self.literal(kind)),
            },
            _ => {
                let op = *self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{operand} {op} {}", self.scalar(kind, columns, depth.min(1)))
            }
        }
    }

    /// A condition by which a row finds those who ask for it: a bound, an interval, a list or a prefix, of a column or
    /// of what is computed from columns, and may fail.
    fn search(&mut self, columns: &Columns, depth: usize) -> String {
        let kind = *self.random.pick(&[Kind::Int, Kind::Int, Kind::Int, Kind::Big, Kind::Double, Kind::Text]);
        let operand = match self.column_of(kind, columns) {
            Some(column) if !self.random.one_in(4) => column,
            _ => self.scalar(kind, columns, depth.min(1)),
        };
        match self.random.below(6) {
            0 | 1 => {
                let op = *self.random.pick(&["<", "<=", ">", ">="]);
                let value = self.constant_or_parameter(kind);
                if self.random.one_in(3) {
                    format!("{value} {op} {operand}")
                } else {
                    format!("{operand} {op} {value}")
                }
            }
            2 => {
                let (low, high) = (self.constant_or_parameter(kind), self.constant_or_parameter(kind));
                format!("{operand} BETWEEN {low} AND {high}")
            }
            3 => {
                let count = 1 + self.random.below(3);
                let list: Vec<String> = (0..count).map(|_| self.constant_or_parameter(kind)).collect();
                format!("{operand} IN ({})", list.join(", "))
            }
            _ if kind == Kind::Text => {
                format!(
                    "{operand} LIKE '{}'",
                    self.random.pick(&["a%", "ab%", "%", "a", "", "A%", "\\a%", "é%"])
                )
            }
            _ => {
                let (a, b) = (self.constant_or_parameter(kind), self.constant_or_parameter(Kind::Int));
                let other = self.column_of(Kind::Int, columns);
                let other = other.map_or(String::new(), |other| format!(" AND {other} <= {b}"));
                // Where there is no other column its parameter is read by nobody.
                if other.is_empty() && b.starts_with('$') {
                    self.parameters.pop();
                }
                format!("{operand} > {a}{other}")
            }
        }
    }

    fn constant_or_parameter(&mut self, kind: Kind) -> String {
        if !self.in_query || kind != Kind::Int || self.random.one_in(2) {
            return self.literal(kind);
        }
        let value = if self.random.one_in(9) {
            serde_json::Value::Null
        } else {
            serde_json::Value::from(self.random.below(7) as i64 - 2)
        };
        self.parameters.push(value);
        format!("${}", self.parameters.len())
    }
}

/// The SQL name of a kind.
pub fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "integer",
        Kind::Big => "bigint",
        Kind::Decimal => "numeric",
        Kind::Double => "double precision",
        Kind::Text => "text",
        Kind::Bool => "boolean",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_read() {
        for seed in 0..2_000 {
            let mut generator = Generator::new(seed);
            for _ in 0..5 {
                let query = generator.query();
                for number in 1..=query.parameters.len() {
                    let name = format!("${number}");
                    let mut read = query
                        .sql
                        .split(&name)
                        .skip(1)
                        .filter(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
                    assert!(read.next().is_some(), "seed {seed}: ${number} in {}", query.sql);
                }
            }
        }
    }
}
