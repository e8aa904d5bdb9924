//! Serves connections until the server drains.
//!
//! Invariant: a connection that has been accepted either gets its answers or is closed at a known time: whoever does
//! not send its request in time is not waited for, and at the end only what was begun is finished.

use std::{convert::Infallible, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, serve::Listener};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tower_service::Service;

use crate::{
    connection::{Connection, Connections},
    live::drained,
};

/// How long the head of a request may take, and how long a connection may have none.
const HEAD: Duration = Duration::from_secs(30);

/// Accepts connections until the server drains, then waits for what was begun.
pub(crate) async fn serve(router: Router, mut connections: Connections, mut draining: watch::Receiver<bool>) {
    // Each connection holds a sender: when all are gone, nothing is received any more.
    let (open, mut closed) = mpsc::channel::<Infallible>(1);
    loop {
        let connection = tokio::select! {
            biased;
            () = drained(&mut draining) => break,
            (connection, _) = connections.accept() => connection,
        };
        let (router, draining, open) = (router.clone(), draining.clone(), open.clone());
        tokio::spawn(async move {
            serve_one(router, connection, draining).await;
            drop(open);
        });
    }
    drop((connections, open));
    closed.recv().await;
}

/// Serves one connection to its end. A failure is its client's.
async fn serve_one(router: Router, connection: Connection, mut draining: watch::Receiver<bool>) {
    let peer = connection.peer();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.clone().call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut serving = pin!(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
    tokio::select! {
        _ = serving.as_mut() => {}
        () = drained(&mut draining) => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}
