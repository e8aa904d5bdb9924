//! [`Piped`]: a contestant in another process, which is asked in lines over pipes.
//!
//! `open TASK ISSUES PROJECTS QUERIES SEED` is answered by `ok` or `no`; `run FIRST COUNT` by the steps' times in
//! nanoseconds, which the process took itself; `sum` by the sum or `-`; `close` by `ok`; `name`, which comes first,
//! by the heading. Invariant: a line out is answered by one line in, so the pipes never fill.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    rc::Rc,
    time::Duration,
};

use crate::{
    contestant::{Contestant, Sample, Trial},
    workload::Workload,
};

/// A process that does what the lines ask.
pub struct Piped {
    name: String,
    process: Rc<RefCell<Process>>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

struct Running(Rc<RefCell<Process>>);

impl Process {
    fn ask(&mut self, line: &str) -> std::io::Result<String> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(std::io::Error::other(format!("the process ended over `{line}`")));
        }
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Piped {
    /// Starts the process and asks its name.
    pub fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut process = Process { child, input, output };
        let name = process.ask("name")?;
        Ok(Self { name, process: Rc::new(RefCell::new(process)) })
    }
}

impl Contestant for Piped {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>> {
        let Workload { task, issues, projects, queries, seed, .. } = workload;
        let line = format!("open {} {issues} {projects} {queries} {seed}", task.name());
        let answer = self.process.borrow_mut().ask(&line).expect("the process answers");
        (answer == "ok").then(|| Box::new(Running(Rc::clone(&self.process))) as Box<dyn Trial>)
    }
}

impl Trial for Running {
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample> {
        let answer = self.0.borrow_mut().ask(&format!("run {first} {count}")).expect("the process answers");
        let time = |word: &str| Duration::from_nanos(word.parse().expect("a number of nanoseconds"));
        answer.split_whitespace().map(|word| Sample::of(time(word))).collect()
    }

    fn sum(&mut self) -> Option<i64> {
        self.0.borrow_mut().ask("sum").expect("the process answers").parse().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Another workload is opened over whatever was left.
        let _ = self.0.borrow_mut().ask("close");
    }
}
