//! The program while it runs.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

/// A directory of its own for each test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("deltaic-cli-test-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn deltaic(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_deltaic"));
    program.arg(command).env_remove("DELTAIC_URL").stdin(Stdio::null());
    program
}

/// Runs a command to its end: standard output, standard error, exit code.
pub(crate) fn run(command: &mut Command) -> (String, String, i32) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// A command that goes on; it is ended with the value.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, address: String::new() }
    }

    /// A server, once it has said where it is.
    pub(crate) fn at(command: &mut Command) -> Self {
        let mut running = Self::start(command);
        let line = running.line_with("console: http://");
        let address = line.trim_start_matches("console: http://").trim_end_matches('/');
        running.address = address.to_owned();
        running
    }

    pub(crate) fn serve(directory: &Directory, arguments: &[&str]) -> Self {
        let mut command = deltaic("serve");
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&directory.0).args(arguments);
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

    /// The next line with a text in it.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.out.read_line(&mut line).unwrap(),
                0,
                "the program ended before it said {part:?}"
            );
            if line.contains(part) {
                return line.trim_end_matches('\n').to_owned();
            }
        }
    }

    /// Ends it as Ctrl-C does; gives its exit code.
    pub(crate) fn interrupt(mut self) -> i32 {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
