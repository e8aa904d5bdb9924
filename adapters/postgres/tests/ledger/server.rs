//! A server of PostgreSQL of the tests' own: in a directory of its own, on a socket there and nowhere else.
//!
//! Invariant: a server ends with the last test that uses it, whether that passes or not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use deltaic_postgres::{PostgresLedger, Settings};
use postgres::{Client, NoTls};

/// A running server that keeps what it acknowledges.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static SCHEMAS: AtomicU64 = AtomicU64::new(0);

/// The server of the tests that change none of its settings; none where PostgreSQL is not installed.
pub(crate) fn shared() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(private()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server of one's own.
pub(crate) fn private() -> Option<Server> {
    let (Some(initdb), Some(postgres)) = (binary("initdb"), binary("postgres")) else {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: cargo xtask step install");
        println!("skipped: PostgreSQL is not installed");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("755").arg(directory.path()).status().unwrap();
    let home = directory.path().join("server");
    std::fs::create_dir(&home).unwrap();
    let _ = Command::new("chown").arg("nobody:nogroup").arg(&home).stderr(Stdio::null()).status();
    let data = home.join("data");
    let made = command(&initdb, &home)
        .args(["--auth=trust", "--username=owner", "--locale=C.UTF-8", "--encoding=UTF8", "-N", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(made.success(), "initdb makes a cluster");
    let child = command(&postgres, &home)
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=", "-c", "autovacuum=off", "-c", "max_connections=60", "-k"])
        .arg(&home)
        .spawn()
        .unwrap();
    let mut server = Server { child, directory };
    // The server says that it is ready by taking a connection.
    while Client::connect(&server.address("owner"), NoTls).is_err() {
        assert_eq!(server.child.try_wait().unwrap(), None, "the server starts");
        std::thread::yield_now();
    }
    Some(server)
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

/// Sends a signal to one process.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "{name} is sent to {process}");
}

impl Server {
    pub(crate) fn address(&self, user: &str) -> String {
        let home = self.directory.path().join("server");
        format!("host={} user={user} dbname=postgres connect_timeout=10", home.display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("server").join(".s.PGSQL.5432")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address("owner"), NoTls).unwrap()
    }

    /// A ledger of one's own.
    pub(crate) fn settings(&self) -> Settings {
        let schema = format!("ledger {}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        Settings::parse(&self.address("owner")).unwrap().schema(&schema).unwrap()
    }

    pub(crate) fn ledger(&self) -> PostgresLedger {
        PostgresLedger::connect(self.settings()).unwrap()
    }

    /// A ledger of one's own, and a client whose tables are the ledger's.
    pub(crate) fn ledger_and_client(&self, name: &str) -> (PostgresLedger, Client) {
        let settings =
            Settings::parse(&format!("{} application_name={name}", self.address("owner"))).unwrap();
        let ledger = PostgresLedger::connect(settings.schema(name).unwrap()).unwrap();
        let mut client = self.client();
        client.batch_execute(&format!("SET search_path = {name}")).unwrap();
        (ledger, client)
    }

    /// Changes a setting of the whole server, and waits for it.
    pub(crate) fn set(&self, setting: &str, value: &str) {
        self.client().batch_execute(&format!("ALTER SYSTEM SET {setting} = '{value}'")).unwrap();
        self.client().batch_execute("SELECT pg_reload_conf()").unwrap();
        let current = || -> String {
            self.client().query_one("SELECT current_setting($1)", &[&setting]).unwrap().get(0)
        };
        while current() != value {
            std::thread::yield_now();
        }
    }
}

/// The process that serves a ledger, once it waits for what is named.
pub(crate) fn waiting(client: &mut Client, name: &str, event: &str) -> i32 {
    let text = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event = $2";
    loop {
        if let Some(row) = client.query_opt(text, &[&name, &event]).unwrap() {
            return row.get(0);
        }
        std::thread::yield_now();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fast stop: sessions are ended, and nothing is left in shared memory.
        let _ = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
