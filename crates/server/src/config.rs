//! [`Config`]: what a server is told; [`ServeError`]: why it does not start or has ended.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

use crate::{demo::DemoClock, driver::DriverError};

/// What a server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory; made where there is none.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether others than this machine may be let in, although nobody has to say who they are.
    pub insecure_no_auth: bool,
    /// The replay's clock, in a demo.
    pub demo: Option<Arc<DemoClock>>,
}

impl Config {
    /// A server of a data directory.
    pub fn new(data: impl AsRef<Path>, listen: SocketAddr) -> Self {
        Self { data: data.as_ref().to_owned(), listen, insecure_no_auth: false, demo: None }
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
