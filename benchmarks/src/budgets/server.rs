//! A server of PostgreSQL of the benchmark's own, on loopback, as it comes: it syncs what it acknowledges.
//!
//! Invariant: the server ends with the value, whatever happened.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use postgres::{Client, NoTls};

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Where it listens.
    pub(super) const PORT: u16 = 54_871;

    /// None where PostgreSQL is not installed.
    pub(super) fn start() -> Option<Self> {
        let (initdb, postgres) = (binary("initdb")?, binary("postgres")?);
        let directory = tempfile::tempdir().expect("a directory is made");
        let home = directory.path().join("server");
        std::fs::create_dir(&home).expect("a directory is made");
        for (program, argument) in [("chmod", "755"), ("chown", "nobody:nogroup")] {
            let place = if program == "chmod" { directory.path() } else { &home };
            let _ = Command::new(program).arg(argument).arg(place).stderr(Stdio::null()).status();
        }
        let data = home.join("data");
        let made = command(&initdb, &home)
            .args(["--auth=trust", "--username=owner", "--locale=C.UTF-8", "--encoding=UTF8", "-D"])
            .arg(&data)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb makes a cluster");
        let child = command(&postgres, &home)
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={}", Self::PORT), "-k"])
            .arg(&home)
            .spawn()
            .expect("the server is started");
        let mut server = Self { child, directory };
        // The server says that it is ready by taking a connection.
        while Client::connect(&Self::address(), NoTls).is_err() {
            assert_eq!(server.child.try_wait().expect("it is a child"), None, "the server starts");
            std::thread::yield_now();
        }
        Some(server)
    }

    pub(super) fn address() -> String {
        Self::address_by(Self::PORT)
    }

    /// By another port, that leads to the server's.
    pub(super) fn address_by(port: u16) -> String {
        format!("host=127.0.0.1 port={port} user=owner dbname=postgres")
    }

    pub(super) fn client() -> Client {
        Client::connect(&Self::address(), NoTls).expect("the server takes a connection")
    }

    /// What the server says that it is and how it keeps what it acknowledges.
    pub(super) fn describe() -> String {
        let mut client = Self::client();
        let mut show = |name: &str| -> String {
            client.query_one(&format!("SHOW {name}"), &[]).expect("the setting is known").get(0)
        };
        format!(
            "PostgreSQL {}, fsync {}, synchronous_commit {}",
            show("server_version"),
            show("fsync"),
            show("synchronous_commit")
        )
    }
}

fn binary(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let paths = versions.flatten().map(|entry| entry.path().join("bin").join(name));
    paths.filter(|path| path.exists()).max()
}

/// A command that does not run as root, which the server refuses to.
fn command(program: &Path, directory: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT: it ends its sessions and stops in order.
        let _ = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = self.directory.path();
    }
}
