//! The program while it runs.
//!
//! Invariant: no test waits for ever. A [`Watchdog`] kills what has not ended in time, and who reads from it sees
//! the end; what still runs at the end of a test is killed by its process id.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// After this, what runs is thought to hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory of its own for each test.
pub(crate) struct Directory(tempfile::TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// Kills a process that outlives the patience, unless it is dropped before.
struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    fn over(process: u32) -> Self {
        let (alive, ended) = mpsc::channel();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                signal(process, "-KILL");
            }
        });
        Self { _alive: alive }
    }
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

pub(crate) fn deltaic(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_deltaic"));
    program.arg(command).env_remove("DELTAIC_URL").stdin(Stdio::null());
    program
}

/// What came of a command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _watchdog = Watchdog::over(child.id());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
}

/// A command that goes on; it is ended with the value.
pub(crate) struct Running {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    address: String,
    _watchdog: Watchdog,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Self { _watchdog: Watchdog::over(child.id()), child, out, address: String::new() }
    }

    /// A server, once it has said where it is.
    pub(crate) fn at(command: &mut Command) -> Self {
        let mut running = Self::start(command);
        let line = running.line_with("http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.trim_end_matches('/').clone_into(&mut running.address);
        running
    }

    pub(crate) fn serve(directory: &Directory, arguments: &[&str]) -> Self {
        let mut command = deltaic("serve");
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(directory.path()).args(arguments);
        Self::at(&mut command)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A command that speaks to this server.
    pub(crate) fn client(&self, command: &str) -> Command {
        let mut program = deltaic(command);
        program.env("DELTAIC_URL", format!("http://{}", self.address));
        program
    }

    /// What statements print; they must succeed.
    pub(crate) fn sql(&self, statements: &[&str]) -> String {
        let ended = run(self.client("sql").args(statements));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    }

    /// The next line with a text in it.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let out = self.out.as_mut().unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the program ended before it said {part:?}");
            if line.contains(part) {
                return line.trim_end_matches('\n').to_owned();
            }
        }
    }

    /// What it says until a text has come, that text included.
    pub(crate) fn text_until(&mut self, end: &str) -> String {
        let out = self.out.as_mut().unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(end.as_bytes()) {
            let read = out.read(&mut byte).unwrap();
            assert_ne!(
                read,
                0,
                "the program ended before it said {end:?}: {:?}",
                String::from_utf8_lossy(&said)
            );
            said.push(byte[0]);
        }
        String::from_utf8(said).unwrap()
    }

    /// Its standard input, where it was piped.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().unwrap()
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The same with nobody at the other end of its standard output.
    pub(crate) fn deaf(mut self) -> Self {
        self.out = None;
        self
    }

    /// Sends a signal and waits for the end; gives the exit code, None if the signal itself was the end.
    pub(crate) fn end(mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
