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
use deltaic_storage::{Identity, RedbStore, Store};
use deltaic_types::{DatabaseId, limits};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
};

use crate::{
    config::{Config, ServeError},
    connection::{Connections, Peer},
    driver::{Driver, DriverError, Opener},
    engine::{Command, EngineHandle},
    http::App,
    metrics::Metrics,
};

/// How long clients may take to receive what they were promised when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    engine: EngineHandle,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: oneshot::Receiver<io::Result<()>>,
    driver: oneshot::Receiver<Result<(), DriverError>>,
    thread: thread::JoinHandle<()>,
    runtime: Runtime,
}

impl Server {
    /// Starts a server: opens the data directory, loads the engine and listens.
    pub fn start(config: Config) -> Result<Self, ServeError> {
        Self::start_with(config, |data| {
            // Drawn once for a new directory; an existing one keeps its own.
            let identity = Identity { database: DatabaseId(random()), actor: ActorId(1) };
            Box::new(move || Ok(Box::new(RedbStore::open_or_create(&data, identity)?) as Box<dyn Store>))
        })
    }

    /// The same over a store of the caller's choice.
    pub(crate) fn start_with(
        config: Config,
        opener: impl FnOnce(PathBuf) -> Opener,
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
        let (opener, for_driver) = (opener(config.data), Arc::clone(&metrics));
        let thread = thread::Builder::new().name("engine".into()).spawn(move || {
            let outcome =
                catch_unwind(AssertUnwindSafe(|| match Driver::open(opener, received, for_driver) {
                    Ok(driver) => {
                        let _ = opened.send(Ok(()));
                        driver.run()
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                        Ok(())
                    }
                }));
            let _ = ended.send(outcome.unwrap_or(Err(DriverError::Panicked)));
        })?;
        is_open.blocking_recv().unwrap_or(Err(DriverError::Panicked))?;
        let engine = EngineHandle::new(commands, limits::QUEUED_REQUESTS);
        let (stop, stopping) = watch::channel(false);
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("sockets").enable_all().build()?;
        let loopback = address.ip().is_loopback();
        let app = App::new(engine.clone(), metrics, stopping.clone(), config.demo, loopback);
        let (finished, served) = oneshot::channel();
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(async move {
            let outcome = serve(app, listener, stopping).await;
            let _ = finished.send(outcome);
        });
        Ok(Self { engine, address, stop, served, driver, thread, runtime })
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

    /// Begins the end at the first Ctrl-C or SIGTERM, calling `first`; a second one ends the process at once.
    pub fn stop_on_signals(&self, first: impl FnOnce() + Send + 'static) {
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            signal().await;
            first();
            stop.send_replace(true);
            signal().await;
            // 128 and the number of SIGINT, as a shell expects it.
            std::process::exit(130);
        });
    }

    /// Waits for the end. The directory is consistent after it, whatever it returns.
    pub fn wait(self) -> Result<(), ServeError> {
        let Self { engine, stop, mut served, mut driver, thread, runtime, .. } = self;
        let mut stopping = stop.subscribe();
        let ended_early = runtime.block_on(async {
            tokio::select! {
                outcome = &mut driver => Some(outcome),
                _ = stopping.wait_for(|stopping| *stopping) => None,
                outcome = &mut served => {
                    drop(outcome);
                    None
                }
            }
        });
        stop.send_replace(true);
        runtime.block_on(async {
            // Who does not take its answer in time does not get it.
            let _ = tokio::time::timeout(DRAIN, &mut served).await;
        });
        engine.tell(Command::Stop);
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

/// Ends a server from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Begins the end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

async fn serve(
    app: App,
    listener: tokio::net::TcpListener,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let service = app.router().into_make_service_with_connect_info::<Peer>();
    axum::serve(Connections::new(listener), service)
        .with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        })
        .await
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
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
