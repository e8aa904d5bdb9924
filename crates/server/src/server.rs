//! [`Server`]: the engine's thread, the runtime and the listening socket, from start to end.
//!
//! The end has an order: no more requests are admitted, those in work are answered, the sockets are closed, the
//! engine's thread does what it was asked before, and the store is closed last.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use deltaic_causality::ActorId;
use deltaic_quota::Ledger;
use deltaic_storage::{Identity, RedbEvents, RedbLedger, RedbStore, Store};
use deltaic_types::{DatabaseId, limits};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
};

use crate::{
    budgets::{Door, Events, EventsOpener, LedgerOpener},
    config::{Config, ServeError},
    connection::Connections,
    driver::{Driver, DriverError, Opener},
    engine::{Command, EngineHandle},
    http::App,
    live::drained,
    metrics::Metrics,
    serving,
};

/// How long clients may take to receive what they were promised when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    engine: EngineHandle,
    owner: Owner,
    door: Arc<Door>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: oneshot::Receiver<()>,
    driver: oneshot::Receiver<Result<(), DriverError>>,
    thread: thread::JoinHandle<()>,
    runtime: Runtime,
}

impl Server {
    /// Starts a server: opens the data directory, loads the engine and listens.
    pub fn start(config: Config) -> Result<Self, ServeError> {
        let shared = config.ledger.clone();
        Self::start_with(config, move |data| {
            // Drawn once for a new directory; an existing one keeps its own.
            let identity = Identity { database: DatabaseId(random()), actor: ActorId(1) };
            let files = data.clone();
            let ledger: LedgerOpener = Box::new(move || {
                if let Some(shared) = &shared {
                    return shared.open();
                }
                let opened = RedbLedger::open_or_create(&files).map_err(|error| error.to_string())?;
                Ok(Box::new(opened) as Box<dyn Ledger + Send>)
            });
            let files = data.clone();
            let events: EventsOpener =
                Box::new(move || RedbEvents::open_or_create(&files).map_err(|error| error.to_string()));
            let store: Opener =
                Box::new(move || Ok(Box::new(RedbStore::open_or_create(&data, identity)?) as Box<dyn Store>));
            (store, ledger, events)
        })
    }

    /// The same over a store of the caller's choice.
    pub(crate) fn start_with(
        config: Config,
        openers: impl FnOnce(PathBuf) -> (Opener, LedgerOpener, EventsOpener),
    ) -> Result<Self, ServeError> {
        config.check()?;
        // The port comes first: a second server on it says so before it touches any data.
        let listener = TcpListener::bind(config.listen).map_err(|source| listen_error(&config, source))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(Metrics::default());
        let (commands, received) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let (ended, driver) = oneshot::channel();
        let is_shared = config.ledger.is_some();
        let (opener, ledger, events) = openers(config.data);
        let events = Events::start(events)?;
        let (for_driver, back) = (Arc::clone(&metrics), commands.clone());
        let budgets = (ledger, events.clone());
        let thread = thread::Builder::new().name("engine".into()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                match Driver::open(opener, (budgets, is_shared), (received, back), for_driver) {
                    Ok(driver) => {
                        let _ = opened.send(Ok(()));
                        driver.run()
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                        Ok(())
                    }
                }
            }));
            let _ = ended.send(outcome.unwrap_or(Err(DriverError::Panicked)));
        })?;
        is_open.blocking_recv().unwrap_or(Err(DriverError::Panicked))?;
        let engine = EngineHandle::new(commands, limits::QUEUED_REQUESTS);
        let owner = Owner(engine.clone());
        let (stop, stopping) = watch::channel(false);
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("sockets").enable_all().build()?;
        let loopback = address.ip().is_loopback();
        let door = Arc::new(Door::new(engine.clone(), events)?);
        let app =
            App::new(engine.clone(), metrics, stopping.clone(), Arc::clone(&door), config.demo, loopback);
        let (finished, served) = oneshot::channel();
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(async move {
            serving::serve(app.router(), Connections::new(listener), stopping).await;
            let _ = finished.send(());
        });
        Ok(Self { engine, owner, door, address, stop, served, driver, thread, runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to the engine.
    pub fn engine(&self) -> EngineHandle {
        self.engine.clone()
    }

    /// Begins the end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What begins the end from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Begins the end at the first Ctrl-C or SIGTERM, calling `first`; a second one ends the process at once. From
    /// its return on, a signal is heard.
    pub fn stop_on_signals(&self, first: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let stop = self.stop.clone();
        let mut signals = {
            let _context = self.runtime.enter();
            Signals::new()?
        };
        self.runtime.spawn(async move {
            signals.next().await;
            // Before anything that is not ours to trust: `first` may fail, and the end must begin nevertheless.
            stop.send_replace(true);
            first();
            signals.next().await;
            // 128 and the number of SIGINT, as a shell expects it.
            std::process::exit(130);
        });
        Ok(())
    }

    /// Waits for the end. The directory is consistent after it, whatever it returns.
    pub fn wait(self) -> Result<(), ServeError> {
        let Self { owner, door, stop, served, mut driver, thread, runtime, .. } = self;
        let mut stopping = stop.subscribe();
        let ended_early = runtime.block_on(async {
            let outcome = tokio::select! {
                outcome = &mut driver => Some(outcome),
                () = drained(&mut stopping) => None,
            };
            stop.send_replace(true);
            // Who does not take its answer in time does not get it.
            let _ = tokio::time::timeout(DRAIN, served).await;
            outcome
        });
        // From here on nothing is admitted, and what is unspent can go home.
        door.close();
        drop(owner);
        let outcome = match ended_early {
            Some(outcome) => outcome,
            None => driver.blocking_recv(),
        };
        let joined = thread.join();
        runtime.shutdown_background();
        if joined.is_err() {
            return Err(DriverError::Panicked.into());
        }
        Ok(outcome.unwrap_or(Err(DriverError::Panicked))?)
    }
}

/// Whose end is the end of the engine's thread.
#[derive(Debug)]
struct Owner(EngineHandle);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.tell(Command::Stop);
    }
}

/// Ends a server from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Begins the end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// What asks a program to end: Ctrl-C and SIGTERM.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// A file beyond the allowed size. Heard, so that the write fails as one on a full disk, which ends nothing.
    _file_size: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // SIGXFSZ has this number on every Unix that Rust knows of but for a few MIPS machines.
            _file_size: signal(SignalKind::from_raw(25))?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What asks a program to end: Ctrl-C.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn listen_error(config: &Config, source: io::Error) -> ServeError {
    let address = config.listen;
    if source.kind() == io::ErrorKind::AddrInUse {
        ServeError::PortInUse { address }
    } else {
        ServeError::Listen { address, source }
    }
}

/// A random number: std draws the keys of its hasher from the system.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicU8, Ordering},
    };

    use deltaic_causality::HybridTime;
    use deltaic_storage::{
        Commit, Damage, Header, MemoryStore, OpenError, Reader, Stager, StorageError, StoredRow, TableSize,
    };
    use deltaic_types::{Lsn, Row, TableId, Value, limits};

    use super::*;

    /// What the next append, or the next trim, says.
    #[derive(Debug, Default)]
    struct Fault(AtomicU8);

    const NONE: u8 = 0;
    const FULL: u8 = 1;
    const UNSYNCED: u8 = 2;
    const TRIM_FULL: u8 = 3;
    const TRIM_DAMAGED: u8 = 4;

    impl Fault {
        /// Whether `outcome` was asked for, which it is once. A fault is met by the operation that it is meant for:
        /// a server trims when it finds the time.
        fn meets(&self, outcome: u8) -> bool {
            self.0.compare_exchange(outcome, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }
    }

    /// A store that fails when it is told to, over one that survives being opened anew.
    struct Faulty {
        inner: Arc<std::sync::Mutex<MemoryStore>>,
        fault: Arc<Fault>,
    }

    impl Faulty {
        fn inner(&self) -> std::sync::MutexGuard<'_, MemoryStore> {
            self.inner.lock().unwrap()
        }
    }

    impl Reader for Faulty {
        fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
            self.inner().row(table, key)
        }

        fn scan(
            &self,
            table: TableId,
            columns: &[usize],
            visit: &mut dyn FnMut(Row),
        ) -> Result<(), StorageError> {
            self.inner().scan(table, columns, visit)
        }
    }

    impl Store for Faulty {
        fn header(&self) -> Result<Header, StorageError> {
            self.inner().header()
        }

        fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
            self.inner().snapshot()
        }

        fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
            self.inner().commits(after, limit)
        }

        fn append(&mut self, commits: &[Commit]) -> Result<(), StorageError> {
            if self.fault.meets(FULL) {
                return Err(StorageError::DiskFull { source: io::ErrorKind::StorageFull.into() });
            }
            if self.fault.meets(UNSYNCED) {
                return Err(StorageError::SyncFailed { source: io::Error::other("no answer") });
            }
            self.inner().append(commits)
        }

        fn stager(&self) -> Box<dyn Stager> {
            self.inner().stager()
        }

        fn settle(&mut self, limit: usize) -> Result<bool, StorageError> {
            self.inner().settle(limit)
        }

        fn trim(&mut self, keep: u64, limit: usize) -> Result<bool, StorageError> {
            if self.fault.meets(TRIM_FULL) {
                return Err(StorageError::DiskFull { source: io::ErrorKind::StorageFull.into() });
            }
            if self.fault.meets(TRIM_DAMAGED) {
                return Err(StorageError::Corrupted { part: "log", damage: Damage::Missing });
            }
            self.inner().trim(keep, limit)
        }

        fn first(&self) -> Lsn {
            self.inner().first()
        }

        fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
            self.inner().sizes()
        }
    }

    fn start(fault: &Arc<Fault>) -> Server {
        let identity = Identity { database: DatabaseId(7), actor: ActorId(1) };
        start_over(fault, &Arc::new(std::sync::Mutex::new(MemoryStore::new(identity))))
    }

    fn start_over(fault: &Arc<Fault>, inner: &Arc<std::sync::Mutex<MemoryStore>>) -> Server {
        let config = Config::new("unused", "127.0.0.1:0".parse().unwrap());
        let fault = Arc::clone(fault);
        let inner = Arc::clone(inner);
        Server::start_with(config, |_| {
            let store: Opener = Box::new(move || {
                let (inner, fault) = (Arc::clone(&inner), Arc::clone(&fault));
                Ok::<Box<dyn Store>, OpenError>(Box::new(Faulty { inner, fault }))
            });
            let ledger: LedgerOpener = Box::new(|| Err("no ledger".to_owned()));
            (store, ledger, Box::new(|| Err("no events".to_owned())))
        })
        .unwrap()
    }

    #[test]
    fn a_full_disk_refuses_the_request_and_loses_nothing() {
        let fault = Arc::new(Fault::default());
        let server = start(&fault);
        let engine = server.engine();
        engine.execute("CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1)", vec![]).unwrap();
        fault.0.store(FULL, Ordering::SeqCst);
        let refused = engine.execute("INSERT INTO t VALUES (2)", vec![]).unwrap_err().0;
        assert_eq!((refused.code.as_str(), refused.http_status()), ("53100", 507));
        assert!(refused.message.contains("make room"), "{}", refused.message);
        engine.execute("INSERT INTO t VALUES (3)", vec![]).unwrap();
        let rows = engine.execute("SELECT id FROM t ORDER BY id", vec![]).unwrap().rows;
        assert_eq!(rows, [[serde_json::json!(1)], [serde_json::json!(3)]]);
        server.stop();
        server.wait().unwrap();
    }

    #[test]
    fn a_disk_that_does_not_confirm_ends_the_server() {
        let fault = Arc::new(Fault::default());
        let server = start(&fault);
        let engine = server.engine();
        fault.0.store(UNSYNCED, Ordering::SeqCst);
        let refused = engine.execute("CREATE TABLE t (id integer PRIMARY KEY)", vec![]).unwrap_err().0;
        assert_eq!(refused.code, "57P01");
        let error = server.wait().unwrap_err();
        assert!(matches!(error, ServeError::Driver(DriverError::Storage(_))), "{error}");
        assert!(error.to_string().contains("did not confirm"), "{error}");
    }

    /// A store whose log is longer than it need be, and how long it is.
    fn long_log(commits: u64) -> Arc<std::sync::Mutex<MemoryStore>> {
        let identity = Identity { database: DatabaseId(7), actor: ActorId(1) };
        let mut store = MemoryStore::new(identity);
        let commit =
            |lsn| Commit { lsn: Lsn(lsn), time: HybridTime(lsn), seq: 0, changes: Vec::new().into() };
        store.append(&(1..=commits).map(commit).collect::<Vec<_>>()).unwrap();
        Arc::new(std::sync::Mutex::new(store))
    }

    fn length_of(store: &std::sync::Mutex<MemoryStore>) -> u64 {
        let store = store.lock().unwrap();
        let last = store.header().unwrap().lsn.0;
        last + 1 - store.first().0
    }

    #[test]
    fn the_log_is_trimmed_between_requests() {
        let store = long_log(limits::LOG_COMMITS + 5_500);
        let server = start_over(&Arc::new(Fault::default()), &store);
        let engine = server.engine();
        engine.execute("CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1)", vec![]).unwrap();
        let mut longest = 0;
        for _ in 0..2_500 {
            engine.execute("UPDATE t SET id = id", vec![]).unwrap();
            longest = longest.max(length_of(&store));
        }
        // All that is too much goes, and little of what came since is left.
        let left = length_of(&store);
        assert_eq!(engine.status().unwrap().log_commits, left);
        assert!((limits::LOG_COMMITS..limits::LOG_COMMITS + 1_002).contains(&left), "{left}");
        assert!(longest < limits::LOG_COMMITS + 5_510, "{longest}");
        server.stop();
        server.wait().unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_trimmed_holds_up_nobody() {
        for outcome in [TRIM_FULL, TRIM_DAMAGED] {
            let store = long_log(limits::LOG_COMMITS + 1_500);
            let fault = Arc::new(Fault::default());
            fault.0.store(outcome, Ordering::SeqCst);
            // The first that meets it is the trim that comes with the start.
            let server = start_over(&fault, &store);
            while fault.0.load(Ordering::SeqCst) != NONE {
                std::thread::yield_now();
            }
            let engine = server.engine();
            engine.execute("CREATE TABLE t (id integer PRIMARY KEY)", vec![]).unwrap();
            for id in 0..500 {
                engine.execute(&format!("INSERT INTO t VALUES ({id})"), vec![]).unwrap();
            }
            let rows = engine.execute("SELECT count(*) FROM t", vec![]).unwrap().rows;
            assert_eq!(rows, [[serde_json::json!(500)]]);
            assert!(length_of(&store) > limits::LOG_COMMITS + 1_500);
            server.stop();
            server.wait().unwrap();
        }
    }
}
