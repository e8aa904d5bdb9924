//! [`Case`]: what the fuzzer does, as a value: the steps of a seed, which can be replayed, cut and printed.
//!
//! Invariant: a case knows everything that a run of it depends on; replaying it twice gives the same outcome.

use crate::{
    generator::{Generator, QueryCase},
    random::Random,
};

/// One thing done, after which all live results are compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// CREATE TABLE or CREATE INDEX.
    Schema(String),
    /// A query becomes live.
    Subscribe {
        /// The number of the subscription.
        id: u64,
        /// The query.
        query: QueryCase,
    },
    /// A query is live no more.
    Unsubscribe {
        /// The number of the subscription.
        id: u64,
        /// Whether time passes until nothing of it is left.
        pass_time: bool,
    },
    /// Requests that arrive together.
    Write(Write),
}

/// Requests that arrive together and become one append.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Write {
    /// The requests, each of them statements of one transaction.
    pub requests: Vec<Vec<String>>,
    /// How queries are computed from here on: None as before.
    pub computed: Option<Computed>,
}

/// What must change no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Computed {
    /// Whether a commit computes live results anew instead of by their changes.
    pub anew: bool,
    /// Whether a query is computed beside the engine instead of in it.
    pub beside: bool,
}

/// The steps of a case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Case {
    /// In the order in which they are done.
    pub steps: Vec<Step>,
}

impl Write {
    /// The requests as text.
    pub fn texts(&self) -> Vec<String> {
        self.requests.iter().map(|statements| statements.join("; ")).collect()
    }
}

impl Case {
    /// The case of a seed.
    pub fn of(seed: u64) -> Self {
        let mut author = Author {
            generator: Generator::new(seed),
            steps: Vec::new(),
            live: Vec::new(),
            next: 0,
            asked: Vec::new(),
        };
        author.write_all();
        Self { steps: author.steps }
    }

    /// The tables that it makes, in order.
    pub fn tables(&self) -> Vec<String> {
        let created = self.steps.iter().filter_map(|step| match step {
            Step::Schema(sql) => sql.strip_prefix("CREATE TABLE "),
            _ => None,
        });
        created.map(|rest| rest.split([' ', '(']).next().unwrap_or_default().to_owned()).collect()
    }

    /// How many statements and queries it has: what a reader has to read.
    pub fn size(&self) -> usize {
        let sizes = self.steps.iter().map(|step| match step {
            Step::Write(write) => write.requests.iter().map(Vec::len).sum(),
            _ => 1,
        });
        sizes.sum()
    }

    /// The case as SQL, to be pasted; what no SQL says stands in comments.
    pub fn script(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        steps.join("\n")
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Schema(sql) => write!(f, "{sql};"),
            Self::Subscribe { id, query } => {
                write!(f, "-- live from here on as {id}{}:\n{};", query.values(), query.sql)
            }
            Self::Unsubscribe { id, pass_time } => {
                write!(f, "-- no longer live: {id}{}", if *pass_time { ", and time passes" } else { "" })
            }
            Self::Write(write) => {
                let mut lines = Vec::new();
                if let Some(computed) = write.computed {
                    let how = if computed.anew { "anew" } else { "by their changes" };
                    let place = if computed.beside { "beside the engine" } else { "in the engine" };
                    lines.push(format!("-- results are computed {how}, queries {place}"));
                }
                if write.requests.len() > 1 {
                    lines.push(format!("-- {} requests that arrive together:", write.requests.len()));
                }
                for statements in &write.requests {
                    let one = statements.len() == 1;
                    lines.extend((!one).then(|| "BEGIN;".to_owned()));
                    lines.extend(statements.iter().map(|statement| format!("{statement};")));
                    lines.extend((!one).then(|| "COMMIT;".to_owned()));
                }
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// Writes the case of a seed. It asks the generator alone, never the engine.
struct Author {
    generator: Generator,
    steps: Vec<Step>,
    /// The live subscriptions, in the order of their numbers.
    live: Vec<u64>,
    next: u64,
    /// The queries so far.
    asked: Vec<QueryCase>,
}

impl Author {
    fn random(&mut self) -> &mut Random {
        &mut self.generator.random
    }

    fn write_all(&mut self) {
        let schema = self.generator.schema();
        self.steps.extend(schema.into_iter().map(Step::Schema));
        let steps = 12 + self.random().below(12);
        for _ in 0..steps {
            match self.random().below(6) {
                0 => self.subscribe(),
                1 if self.live.len() > 3 => {
                    let live = self.live.clone();
                    let id = *self.random().pick(&live);
                    let pass_time = self.random().one_in(2);
                    self.live.retain(|other| *other != id);
                    self.steps.push(Step::Unsubscribe { id, pass_time });
                }
                _ => self.write(),
            }
        }
        // Everything goes: groups empty, matches end.
        for table in self.generator.tables.clone() {
            if self.random().one_in(3) {
                let statement = format!("DELETE FROM {} WHERE true", table.name);
                self.steps.push(Step::Write(Write { requests: vec![vec![statement]], computed: None }));
            }
        }
    }

    fn subscribe(&mut self) {
        // Now and then one that was there before, or is there.
        let again = !self.asked.is_empty() && self.random().one_in(3);
        let mut query =
            if again { self.generator.random.pick(&self.asked).clone() } else { self.generator.query() };
        if again && self.random().one_in(2) {
            // Another tuple of its template.
            for value in query.parameters.iter_mut().filter(|value| value.is_i64() || value.is_u64()) {
                *value = serde_json::Value::from(self.random().below(5));
            }
        }
        self.asked.push(query.clone());
        self.next += 1;
        self.live.push(self.next);
        self.steps.push(Step::Subscribe { id: self.next, query });
    }

    fn write(&mut self) {
        let anew = self.random().one_in(3);
        let beside = self.random().one_in(2);
        // Sometimes several statements are one transaction, sometimes several requests one append.
        let count = if self.random().one_in(3) { 1 + self.random().below(3) } else { 1 };
        let statements: Vec<String> = (0..count).map(|_| self.generator.statement()).collect();
        let requests = if self.random().one_in(2) {
            vec![statements]
        } else {
            statements.into_iter().map(|statement| vec![statement]).collect()
        };
        self.steps.push(Step::Write(Write { requests, computed: Some(Computed { anew, beside }) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Judge, run};

    #[test]
    fn a_case_replays_as_it_was_recorded() {
        for seed in 1..40 {
            let case = Case::of(seed);
            assert_eq!(case, Case::of(seed), "seed {seed}");
            let recorded = run(&case, &mut Judge::default());
            assert_eq!(recorded, run(&case.clone(), &mut Judge::default()), "seed {seed}");
            assert!(recorded.is_ok(), "seed {seed}: {recorded:?}");
        }
    }
}
