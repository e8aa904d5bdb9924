//! Steps of the engine over a store in memory.

use deltaic_causality::ActorId;
use deltaic_storage::{Identity, MemoryStore};
use deltaic_types::DatabaseId;

use crate::{measure, report, session::Session};

fn session() -> Session<MemoryStore> {
    Session::open(MemoryStore::new(Identity { database: DatabaseId(1), actor: ActorId(1) }))
}

/// A table of `rows` issues in `projects` projects.
fn issues(session: &mut Session<MemoryStore>, rows: usize, projects: usize) {
    session.run(
        "CREATE TABLE issues (id integer PRIMARY KEY, project integer, status text, prio integer, title text)",
        Vec::new(),
    );
    session.run("CREATE INDEX ON issues (project)", Vec::new());
    for chunk in (0..rows).collect::<Vec<_>>().chunks(500) {
        let values: Vec<String> = chunk
            .iter()
            .map(|id| {
                let status = if id % 2 == 0 { "open" } else { "done" };
                format!("({id}, {}, '{status}', {}, 'the title of issue {id}')", id % projects, id % 10)
            })
            .collect();
        session.run(&format!("INSERT INTO issues VALUES {}", values.join(", ")), Vec::new());
    }
}

pub(crate) fn run() {
    println!("| work | median | p99 |\n| --- | --- | --- |");
    hydration();
    changes();
    subscriptions();
}

fn hydration() {
    let mut session = session();
    issues(&mut session, 10_000, 100);
    let times = measure(50, |run| {
        let sql = format!("SELECT id, title FROM issues WHERE status = 'open' AND prio >= {}", run % 3);
        session.subscribe(run as u64, &sql);
    });
    report("hydrate 10,000 rows through a filter, snapshot included", times);
    let mut session = self::session();
    issues(&mut session, 1_000, 1_000);
    session.run("CREATE TABLE projects (id integer PRIMARY KEY, name text)", Vec::new());
    let values: Vec<String> = (0..1_000).map(|id| format!("({id}, 'project {id}')")).collect();
    session.run(&format!("INSERT INTO projects VALUES {}", values.join(", ")), Vec::new());
    let times = measure(50, |run| {
        let sql = format!(
            "SELECT i.id, i.title, p.name FROM issues i JOIN projects p ON p.id = i.project WHERE i.prio > {}",
            -1 - run as i64
        );
        session.subscribe(run as u64, &sql);
    });
    report("hydrate 1,000 joined with 1,000, snapshot included", times);
}

/// A request that changes one row, with one live query: parsing, constraints, log record and all.
fn changes() {
    for (name, query) in [
        ("no live query", None),
        ("a filter", Some("SELECT id, title FROM issues WHERE prio > 2")),
        (
            "a join",
            Some("SELECT i.id, p.name FROM issues i JOIN projects p ON p.id = i.project WHERE p.id < 50"),
        ),
        ("a count by group", Some("SELECT project, count(*) FROM issues GROUP BY project")),
        ("a max by group", Some("SELECT project, max(prio) FROM issues GROUP BY project")),
        ("a top 10", Some("SELECT id, prio FROM issues ORDER BY prio DESC, id LIMIT 10")),
    ] {
        let mut session = session();
        issues(&mut session, 10_000, 100);
        session.run("CREATE TABLE projects (id integer PRIMARY KEY, name text)", Vec::new());
        let values: Vec<String> = (0..100).map(|id| format!("({id}, 'project {id}')")).collect();
        session.run(&format!("INSERT INTO projects VALUES {}", values.join(", ")), Vec::new());
        if let Some(query) = query {
            session.subscribe(1, query);
        }
        let times = measure(2_000, |run| {
            let (id, prio) = ((run * 7919) % 10_000, run % 11);
            let parameters = vec![serde_json::Value::from(id), serde_json::Value::from(prio)];
            session.run("UPDATE issues SET prio = $2 WHERE id = $1", parameters);
        });
        report(&format!("UPDATE of one row of 10,000, whole request, with {name}"), times);
    }
}

fn subscriptions() {
    for count in [10, 1_000, 10_000] {
        let mut session = session();
        issues(&mut session, 10_000, 10_000);
        for project in 0..count {
            let sql = format!("SELECT id, title, prio FROM issues WHERE project = {project}");
            session.subscribe(project as u64, &sql);
        }
        let times = measure(2_000, |run| {
            let id = (run * 31) % count;
            let parameters = vec![serde_json::Value::from(id), serde_json::Value::from(run % 11)];
            session.run("UPDATE issues SET prio = $2 WHERE id = $1", parameters);
        });
        report(&format!("the same with {count} live `project = k`, one concerned"), times);
        let times = measure(1_000, |run| {
            let sql = format!("SELECT id, title, prio FROM issues WHERE project = {}", 10_000 + run);
            session.subscribe((20_000 + run) as u64, &sql);
        });
        report(&format!("subscribe once more beside {count}"), times);
    }
}
