//! A PostgreSQL server of our own: made in a directory of its own, on loopback only, stopped when dropped.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use postgres::{Client, NoTls, SimpleQueryMessage};

/// A running server and a connection to it.
pub struct Postgres {
    child: Child,
    directory: PathBuf,
    client: Option<Client>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn binary(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop()
}

/// A command that does not run as root, which the server refuses to.
fn command(program: &Path, directory: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Postgres {
    /// Starts a server; None where PostgreSQL is not installed or does not start.
    pub fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let directory = std::env::temp_dir().join(format!("deltaic-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).ok()?;
        let _ = Command::new("chown").args(["nobody:nogroup"]).arg(&directory).status();
        let data = directory.join("data");
        let made = command(&binary("initdb")?, &directory)
            .args(["--auth=trust", "--username=deltaic", "--locale=C.UTF-8", "--encoding=UTF8", "-N", "-D"])
            .arg(&data)
            .status()
            .ok()?;
        if !made.success() {
            return None;
        }
        let settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "jit=off"];
        let mut server = command(&binary("postgres")?, &directory);
        server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
        for setting in settings {
            server.args(["-c", setting]);
        }
        let child = server.spawn().ok()?;
        let mut started = Self { child, directory, client: None };
        let address = format!("host=127.0.0.1 port={port} user=deltaic dbname=postgres connect_timeout=1");
        // The server says that it is ready by taking a connection.
        for _ in 0..20_000 {
            if let Ok(client) = Client::connect(&address, NoTls) {
                started.client = Some(client);
                return Some(started);
            }
            if started.child.try_wait().ok()?.is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        None
    }

    /// Runs statements; the rows of the last one as text, or the SQLSTATE of the failure.
    pub fn run(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let client = self.client.as_mut().expect("invariant: a started server has its connection");
        let messages = client
            .simple_query(sql)
            .map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.client = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
