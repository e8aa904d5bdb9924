//! [`Connections`]: the listening socket; its connections are bounded in number, and each can be severed.
//!
//! Severing is for a client that does not read: the task that writes to it waits in the write and can neither
//! say goodbye nor end by itself.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::serve::Listener;
use deltaic_types::limits;
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Ends a connection from outside the task that serves it.
#[derive(Debug, Default)]
pub(crate) struct Severance {
    severed: AtomicBool,
    waker: AtomicWaker,
}

impl Severance {
    pub(crate) fn sever(&self) {
        self.severed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_severed(&self) -> bool {
        self.severed.load(Ordering::Acquire)
    }
}

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: TcpListener,
    free: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(limits::CONNECTIONS)) }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("invariant: it is never closed");
        // Axum's own listener waits and tries again where the system has no descriptors left.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // A poke is one small packet and is not to wait for another.
        let _ = stream.set_nodelay(true);
        (Connection { stream, severance: Arc::default(), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that can be severed.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    severance: Arc<Severance>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// What handlers may know of it.
    pub(crate) fn peer(&self) -> Peer {
        Peer(Arc::clone(&self.severance))
    }

    /// The stream, unless it was severed; and if it is later, the task is woken.
    fn open(&mut self, context: &Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        self.severance.waker.register(context.waker());
        if self.severance.is_severed() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client does not read"));
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(context)?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open(context)?.poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What a handler knows of its connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Arc<Severance>);
