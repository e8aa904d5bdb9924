//! [`Workload`]: what every contestant does, and the data it does it with.
//!
//! Invariant: data and changes are functions of a seed and a number, so that every contestant, in whatever
//! language, makes the same; the JavaScript of `js/` repeats [`mix`] and [`Workload::touched`] word for word.

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The whole result of a filter, from nothing.
    HydrateFilter,
    /// The same as JSON text.
    HydrateJson,
    /// The whole result of a join, from nothing.
    HydrateJoin,
    /// A hundred rows come, or the same hundred go, beneath a filter and a join.
    Batch,
    /// One row of all is updated beneath a filter.
    Filter,
    /// Beneath a filter and a join.
    Join,
    /// Beneath a count by group.
    Count,
    /// Beneath a minimum by group.
    Min,
    /// Beneath a maximum by group.
    Max,
    /// Beneath the first ten in an order.
    Top,
    /// One row is updated beneath many `k = $1`, of which one is concerned.
    Keyed,
    /// One row is updated beneath many filters that no index serves.
    Unindexed,
    /// A subscription to a query that is known, with ten rows.
    Add,
    /// The end of one.
    Drop,
    /// A subscription to a query of a new form, with ten rows.
    New,
    /// An edge goes, or comes back, beneath a transitive closure.
    Reach,
}

impl Task {
    /// The name, for those who are asked over a pipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::HydrateFilter => "hydrate-filter",
            Self::HydrateJson => "hydrate-json",
            Self::HydrateJoin => "hydrate-join",
            Self::Batch => "batch",
            Self::Filter => "filter",
            Self::Join => "join",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Top => "top",
            Self::Keyed => "keyed",
            Self::Unindexed => "unindexed",
            Self::Add => "add",
            Self::Drop => "drop",
            Self::New => "new",
            Self::Reach => "reach",
        }
    }

    /// Whether a step computes a whole result and changes nothing.
    pub fn hydrates(self) -> bool {
        matches!(self, Self::HydrateFilter | Self::HydrateJson | Self::HydrateJoin)
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Workload {
    /// What it is, for people.
    pub label: &'static str,
    /// What a step is.
    pub task: Task,
    /// Rows of `issue`; of a graph its nodes.
    pub issues: u32,
    /// Rows of `project`, over which the issues are spread evenly; of a graph its edges.
    pub projects: u32,
    /// Live queries.
    pub queries: u32,
    /// The most steps of a round.
    pub steps: u32,
    /// What a step is to take, in microseconds.
    pub aim: Option<f64>,
    /// The seed of its data.
    pub seed: u32,
}

/// The rows of a batch.
pub const BATCH: u32 = 100;

/// A row of the table `issue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub id: i64,
    pub project: i64,
    pub status: i64,
    pub prio: i64,
    pub title: String,
}

/// Scatters a number.
pub fn mix(number: u32, seed: u32) -> u32 {
    let mut hash = (number ^ seed).wrapping_mul(0x9E37_79B1);
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85EB_CA6B);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

/// What a row of a result adds to its sum. Every contestant reads every row that it gives out by this.
pub fn weigh(a: i64, b: i64) -> i64 {
    (a + 1) * (b + 7)
}

impl Workload {
    pub fn issue(&self, id: u32) -> Issue {
        let hash = mix(id, self.seed);
        Issue {
            id: i64::from(id),
            project: i64::from(id % self.projects),
            status: i64::from(hash % 4),
            prio: i64::from((hash >> 8) % 100),
            title: format!("the title of issue {id}"),
        }
    }

    pub fn project(id: u32) -> String {
        format!("project {id}")
    }

    /// The rows that come and go in a batch: they pass the filter.
    pub fn batch(&self) -> Vec<Issue> {
        let row = |id| Issue { status: 1, prio: 50, ..self.issue(id) };
        (self.issues..self.issues + BATCH).map(row).collect()
    }

    /// The row that a step updates.
    pub fn touched(&self, step: u32) -> u32 {
        match self.task {
            // Its project is one that a live query asks for.
            Task::Keyed => mix(step, self.seed) % self.queries,
            _ => mix(step, self.seed) % self.issues,
        }
    }

    /// Another priority than the row has.
    pub fn prio(step: u32, old: i64) -> i64 {
        (old + 1 + i64::from(step % 98)) % 100
    }

    /// The constants of a filter that no index serves: few rows pass.
    pub fn constants(query: u32) -> (i64, i64) {
        let factor = i64::from(1 + query % 10);
        (factor, factor * 98 + i64::from(query / 10))
    }

    /// The project that a step's subscription asks for: one that none asks for yet.
    pub fn asked(&self, step: u32) -> u32 {
        self.queries + step % (self.projects - self.queries)
    }

    /// An edge of the graph.
    pub fn edge(&self, number: u32) -> (i64, i64) {
        let end = |salt| i64::from(mix(number * 2 + salt, self.seed) % self.issues);
        (end(0), end(1))
    }

    /// The edge that a step toggles, and whether it comes back.
    pub fn toggled(&self, step: u32) -> (u32, bool) {
        (mix(step / 2, self.seed) % self.projects, step % 2 == 1)
    }

    /// The query in SQL, with `$1` or a literal for a parameter. `fresh` makes a hydration's text another one each
    /// time, so that nothing is found done.
    pub fn sql(&self, fresh: u32) -> String {
        let below = i64::from(fresh) + 1;
        match self.task {
            Task::HydrateFilter | Task::HydrateJson => {
                format!(
                    "SELECT id, prio, title FROM issue WHERE status < 1 AND prio > 20 AND prio > -{below}"
                )
            }
            Task::HydrateJoin => format!(
                "SELECT i.id, i.project, i.title, p.name FROM issue i JOIN project p ON p.id = i.project \
                 WHERE i.prio > -{below}"
            ),
            Task::Filter => "SELECT id, prio, title FROM issue WHERE status < 3 AND prio > 20".to_owned(),
            Task::Batch | Task::Join => "SELECT i.id, i.project, i.title, p.name FROM issue i \
                 JOIN project p ON p.id = i.project WHERE i.prio > 20"
                .to_owned(),
            Task::Count => "SELECT prio, count(*) FROM issue GROUP BY prio".to_owned(),
            Task::Min => "SELECT project, min(prio) FROM issue GROUP BY project".to_owned(),
            Task::Max => "SELECT project, max(prio) FROM issue GROUP BY project".to_owned(),
            Task::Top => "SELECT id, prio, title FROM issue ORDER BY prio DESC, id LIMIT 10".to_owned(),
            Task::Keyed | Task::Add | Task::Drop => {
                "SELECT id, prio, title FROM issue WHERE project = $1".to_owned()
            }
            Task::Unindexed => {
                let (factor, bound) = Self::constants(fresh);
                format!("SELECT id, prio, title FROM issue WHERE prio * {factor} + status > {bound}")
            }
            Task::New => {
                let project = self.asked(fresh);
                format!("SELECT id, prio, title FROM issue WHERE project = {project} AND prio > -{below}")
            }
            Task::Reach => "WITH RECURSIVE reach(n) AS (SELECT 0 UNION SELECT e.dst FROM reach r \
                 JOIN edge e ON e.src = r.n) SELECT n, n FROM reach"
                .to_owned(),
        }
    }
}

/// All lines of the table.
pub fn all(quick: bool, seed: u32) -> Vec<Workload> {
    use Task::{
        Add, Batch, Count, Drop, Filter, HydrateFilter, HydrateJoin, HydrateJson, Join, Keyed, Max, Min, New,
        Reach, Top, Unindexed,
    };
    let line = |label, task, issues: u32, projects: u32, queries: u32, steps, aim| Workload {
        label,
        task,
        issues: if quick { issues.min(1_000) } else { issues },
        projects: if quick { projects.min(if task == Task::Reach { 3_000 } else { 100 }) } else { projects },
        queries: if quick { queries.min(90) } else { queries },
        steps: if quick { 3 } else { steps },
        aim,
        seed,
    };
    vec![
        line("hydrate 10,000 rows through a filter", HydrateFilter, 10_000, 100, 0, 20, Some(500.0)),
        line("the same, as JSON text", HydrateJson, 10_000, 100, 0, 20, Some(1_500.0)),
        line("hydrate a join 1,000 x 1,000", HydrateJoin, 1_000, 1_000, 0, 20, Some(1_000.0)),
        line("hydrate a join 100,000 x 100,000", HydrateJoin, 100_000, 100_000, 0, 2, Some(150_000.0)),
        line("100 rows into filter and join, 1,000 x 1,000", Batch, 1_000, 1_000, 0, 200, Some(60.0)),
        line("1 row of 10,000 updated beneath a filter", Filter, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... a filter and a join", Join, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... a count by group", Count, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... a min by group", Min, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... a max by group", Max, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... a top 10", Top, 10_000, 100, 0, 1_000, Some(3.0)),
        line("... 1,000 live `k = $1`, one concerned", Keyed, 100_000, 100_000, 1_000, 1_000, Some(3.0)),
        line("... 10,000 of them", Keyed, 100_000, 100_000, 10_000, 1_000, Some(3.0)),
        line("... 100,000 of them", Keyed, 100_000, 100_000, 100_000, 1_000, Some(3.0)),
        line("... 1,000 filters that no index serves", Unindexed, 10_000, 100, 1_000, 200, Some(30.0)),
        line("add a subscription of 10 rows, 500 live", Add, 10_000, 1_000, 500, 500, Some(10.0)),
        line("drop one", Drop, 10_000, 1_000, 500, 500, Some(2.0)),
        line("a query of a new form, 10 rows", New, 10_000, 1_000, 500, 200, Some(300.0)),
        line("reachability, 1,000 nodes, 3,000 edges, one toggled", Reach, 1_000, 3_000, 0, 200, Some(40.0)),
    ]
}
