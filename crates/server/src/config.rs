//! [`Config`]: what a server is told; [`ServeError`]: why it does not start or has ended.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use deltaic_quota::Ledger;
use thiserror::Error;

use crate::{demo::DemoClock, driver::DriverError};

/// Opens a ledger that several servers share: when it is first needed, and after it failed.
#[derive(Clone)]
pub struct SharedLedger(Arc<dyn Fn() -> Result<Box<dyn Ledger + Send>, String> + Send + Sync>);

impl SharedLedger {
    /// By what opens it; its error is told to who runs the server.
    pub fn new(open: impl Fn() -> Result<Box<dyn Ledger + Send>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Ledger + Send>, String> {
        (self.0)()
    }
}

impl fmt::Debug for SharedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedLedger").finish_non_exhaustive()
    }
}

/// What a server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory; made where there is none.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether others than this machine may be let in, although nobody has to say who they are.
    pub insecure_no_auth: bool,
    /// The ledger of budgets that several servers share; without it each has one of its own in its directory.
    pub ledger: Option<SharedLedger>,
    /// The replay's clock, in a demo.
    pub demo: Option<Arc<DemoClock>>,
}

impl Config {
    /// A server of a data directory.
    pub fn new(data: impl AsRef<Path>, listen: SocketAddr) -> Self {
        Self { data: data.as_ref().to_owned(), listen, insecure_no_auth: false, ledger: None, demo: None }
    }

    /// Refuses what is not safe.
    pub(crate) fn check(&self) -> Result<(), ServeError> {
        if self.listen.ip().is_loopback() || self.insecure_no_auth {
            Ok(())
        } else {
            Err(ServeError::NotLoopback { address: self.listen })
        }
    }
}

/// Why a server does not start, or has ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others than this machine would be let in.
    #[error(
        "{address} is open to other machines and there is no authentication: listen on 127.0.0.1, or give \
         --insecure-no-auth if the network is trusted"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Another program listens there.
    #[error("port {} is in use: stop the program that uses it, or choose another with --listen {}:0 (0 takes a free port)", .address.port(), .address.ip())]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// It cannot listen there.
    #[error("cannot listen on {address} ({source}): choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The engine did not start, or has ended.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The system gave no threads, or the sockets failed.
    #[error("the server ended: {source}")]
    Io {
        /// What the system said.
        #[from]
        source: io::Error,
    },
}
