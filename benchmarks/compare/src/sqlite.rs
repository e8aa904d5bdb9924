//! [`Sqlite`]: the change applied, and then the prepared statement of the query run again and read to its end.
//!
//! In memory, no journal, statements kept prepared, an index for each query that has a use for one. Of many
//! `k = $1` only the one concerned is run again, as if something told which: the best that re-querying can do.

use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection, params};

use crate::{
    contestant::{Contestant, Sample, Trial},
    workload::{Task, Workload, weigh},
};

/// Its place in the list of contestants.
#[derive(Debug)]
pub struct Sqlite;

struct Running {
    workload: Workload,
    connection: Connection,
    prios: Vec<i64>,
    sum: i64,
}

fn load(workload: &Workload) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(2_000);
    connection.execute_batch(
        "PRAGMA journal_mode = off; PRAGMA synchronous = off;
         CREATE TABLE issue (id INTEGER PRIMARY KEY, project INTEGER, status INTEGER, prio INTEGER, title TEXT);
         CREATE TABLE project (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE edge (id INTEGER PRIMARY KEY, src INTEGER, dst INTEGER);
         CREATE INDEX issue_project ON issue (project);
         CREATE INDEX edge_src ON edge (src, dst); BEGIN",
    )?;
    if workload.task == Task::Reach {
        let mut insert = connection.prepare("INSERT INTO edge VALUES (?, ?, ?)")?;
        for number in 0..workload.projects {
            let (from, to) = workload.edge(number);
            insert.execute(params![number, from, to])?;
        }
    } else {
        let mut insert = connection.prepare("INSERT INTO issue VALUES (?, ?, ?, ?, ?)")?;
        for issue in (0..workload.issues).map(|id| workload.issue(id)) {
            insert.execute(params![issue.id, issue.project, issue.status, issue.prio, issue.title])?;
        }
        let mut insert = connection.prepare("INSERT INTO project VALUES (?, ?)")?;
        for id in 0..workload.projects {
            insert.execute(params![id, Workload::project(id)])?;
        }
    }
    let index = match workload.task {
        Task::Count => "CREATE INDEX issue_prio ON issue (prio)",
        Task::Min | Task::Max => "CREATE INDEX issue_group ON issue (project, prio)",
        Task::Top => "CREATE INDEX issue_order ON issue (prio DESC, id)",
        _ => "",
    };
    connection.execute_batch(&format!("COMMIT; {index}; ANALYZE"))?;
    Ok(connection)
}

/// The sum of a statement's result, every value of it read.
fn read(mut statement: CachedStatement<'_>, parameters: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<i64> {
    let columns = statement.column_count();
    let mut rows = statement.query(parameters)?;
    let mut sum = 0;
    while let Some(row) = rows.next()? {
        for column in 2..columns {
            std::hint::black_box(row.get_ref(column)?);
        }
        sum += weigh(row.get(0)?, row.get(1)?);
    }
    Ok(sum)
}

impl Contestant for Sqlite {
    fn name(&self) -> String {
        format!("SQLite {}", rusqlite::version())
    }

    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>> {
        // To drop a query that is asked again each time is nothing.
        if workload.task == Task::Drop {
            return None;
        }
        let connection = load(workload).expect("it loads");
        let prios = (0..workload.issues).map(|id| workload.issue(id).prio).collect();
        Some(Box::new(Running { workload: workload.clone(), connection, prios, sum: 0 }))
    }
}

impl Trial for Running {
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample> {
        (first..first + count).map(|step| Sample::of(self.step(step).expect("a statement runs"))).collect()
    }

    fn sum(&mut self) -> Option<i64> {
        match self.workload.task {
            Task::HydrateJson => None,
            Task::Keyed => {
                let sql = "SELECT id, prio, title FROM issue WHERE project < ?";
                let statement = self.connection.prepare_cached(sql).expect("it prepares");
                Some(read(statement, &[&self.workload.queries]).expect("it runs"))
            }
            _ => Some(self.sum),
        }
    }
}

impl Running {
    fn step(&mut self, step: u32) -> rusqlite::Result<Duration> {
        let Self { workload, connection, prios, sum } = self;
        let cached = |sql: &str| connection.prepare_cached(sql);
        let start;
        match workload.task {
            Task::HydrateJson => {
                let query = workload.sql(0);
                let sql = format!("SELECT json_group_array(json_array(id, prio, title)) FROM ({query})");
                drop(cached(&sql)?);
                start = Instant::now();
                let text: String = cached(&sql)?.query_row([], |row| row.get(0))?;
                std::hint::black_box(text);
            }
            Task::HydrateFilter | Task::HydrateJoin => {
                let sql = workload.sql(0);
                drop(cached(&sql)?);
                start = Instant::now();
                *sum = read(cached(&sql)?, &[])?;
            }
            Task::Add | Task::Drop => {
                let sql = workload.sql(0);
                start = Instant::now();
                *sum = read(cached(&sql)?, &[&workload.asked(step)])?;
            }
            Task::New => {
                let sql = workload.sql(step);
                start = Instant::now();
                *sum = read(cached(&sql)?, &[])?;
            }
            Task::Batch => {
                let (sql, rows) = (workload.sql(0), workload.batch());
                start = Instant::now();
                connection.execute_batch("BEGIN")?;
                if step % 2 == 0 {
                    let mut insert = cached("INSERT INTO issue VALUES (?, ?, ?, ?, ?)")?;
                    for it in &rows {
                        insert.execute(params![it.id, it.project, it.status, it.prio, it.title])?;
                    }
                } else {
                    let mut delete = cached("DELETE FROM issue WHERE id = ?")?;
                    for it in &rows {
                        delete.execute([it.id])?;
                    }
                }
                connection.execute_batch("COMMIT")?;
                *sum = read(cached(&sql)?, &[])?;
            }
            Task::Reach => {
                let sql = workload.sql(0);
                let (number, back) = workload.toggled(step);
                let (from, to) = workload.edge(number);
                start = Instant::now();
                if back {
                    cached("INSERT INTO edge VALUES (?, ?, ?)")?.execute(params![number, from, to])?;
                } else {
                    cached("DELETE FROM edge WHERE id = ?")?.execute([number])?;
                }
                *sum = read(cached(&sql)?, &[])?;
            }
            Task::Filter
            | Task::Join
            | Task::Count
            | Task::Min
            | Task::Max
            | Task::Top
            | Task::Keyed
            | Task::Unindexed => {
                let count = if workload.task == Task::Unindexed { workload.queries } else { 1 };
                let queries: Vec<String> = (0..count).map(|query| workload.sql(query)).collect();
                let id = workload.touched(step);
                let prio = &mut prios[id as usize];
                *prio = Workload::prio(step, *prio);
                start = Instant::now();
                cached("UPDATE issue SET prio = ? WHERE id = ?")?.execute(params![*prio, id])?;
                *sum = 0;
                for sql in &queries {
                    let statement = cached(sql)?;
                    let keyed = workload.task == Task::Keyed;
                    *sum += if keyed { read(statement, &[&id])? } else { read(statement, &[])? };
                }
            }
        }
        Ok(start.elapsed())
    }
}
