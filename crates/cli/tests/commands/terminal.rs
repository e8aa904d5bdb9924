//! The program on a terminal, which `script` makes: what is only drawn there.

use std::{io::Write, process::Command, process::Stdio};

use crate::running::{Directory, Running, deltaic};

/// The same command on a terminal of its own.
fn on_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> =
        words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"))).collect();
    let mut script = Command::new("script");
    script.args(["-qefc", &quoted.join(" "), "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
}

#[test]
fn a_watched_result_is_drawn_over_itself_and_marks_what_changed() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[
        "CREATE TABLE t (id integer PRIMARY KEY, name text)",
        "INSERT INTO t VALUES (1, 'old'), (2, 'same')",
    ]);
    let mut watch =
        Running::start(&mut on_terminal(server.client("watch").arg("SELECT id, name FROM t ORDER BY id")));
    let first = watch.text_until("2 rows, lsn 2");
    assert!(first.contains("old") && !first.contains("\u{1b}[7m"), "{first:?}");
    server.sql(&["UPDATE t SET name = 'new' WHERE id = 1"]);
    let second = watch.text_until("2 rows, lsn 3");
    // From the first line again, one row in reverse, the other as it was.
    assert!(second.contains("\u{1b}[1;1H"), "{second:?}");
    assert_eq!(second.matches("\u{1b}[7m").count(), 1, "{second:?}");
    assert!(second.contains("\u{1b}[7m 1 │ new"), "{second:?}");
}

#[test]
fn the_prompt_runs_statements_and_lists_tables() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&["CREATE TABLE cats (name text PRIMARY KEY, lives integer)"]);
    let mut command = on_terminal(&server.client("sql"));
    let mut prompt = Running::start(command.stdin(Stdio::piped()));
    // What is typed before a line is asked for is not waited for.
    let answer = |prompt: &mut Running, asked: &str, line: &str| {
        prompt.text_until(asked);
        prompt.stdin().write_all(format!("{line}\r").as_bytes()).unwrap();
    };
    answer(&mut prompt, "deltaic> ", "SELECT 40 +");
    answer(&mut prompt, "      -> ", "2 AS answer; -- ;");
    let said = prompt.text_until("1 row");
    assert!(said.contains("answer") && said.contains("42"), "{said:?}");
    answer(&mut prompt, "deltaic> ", "\\d cats");
    assert!(prompt.text_until("2 rows").contains("lives"));
    answer(&mut prompt, "deltaic> ", "SELECT x;");
    prompt.text_until("42703");
    answer(&mut prompt, "deltaic> ", "\\q");
    assert_eq!(prompt.ended(), Some(0));
}

#[test]
fn the_demo_shows_how_far_it_has_loaded() {
    let directory = Directory::new();
    let mut command = deltaic("demo");
    command.args(["--listen", "127.0.0.1:0", "--speed", "0", "--data"]).arg(directory.path());
    let mut demo = Running::start(&mut on_terminal(&command));
    let loading = demo.text_until("the console is at");
    assert!(loading.contains('█') && loading.contains('%'), "{loading:?}");
    assert!(!loading.contains("loaded 16 rows"), "a bar takes the place of the lines");
}
