//! `/v1/sync`: many live queries over one WebSocket.
//!
//! One task a connection. It sends what waits before it takes the next message, so a client that does not read is
//! not listened to either, and a subscription's first news have left before the next one is made.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{
        ConnectInfo, State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    response::{IntoResponse, Response},
};
use deltaic_engine::{Claims, Subscribe, SubscriptionId};
use deltaic_protocol::{ClientMessage, ErrorBody, Hello, PokeText, ServerMessage};
use deltaic_types::limits;

use crate::{
    budgets,
    connection::{Peer, Severance},
    delivery::Wire,
    engine::{Client, Command},
    http::{App, Refusal},
    live::{HEARTBEAT, drained},
    mailbox::Mailbox,
    status::life_of,
};

pub(crate) async fn sync(
    State(app): State<App>,
    ConnectInfo(Peer(severance)): ConnectInfo<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => return Refusal(ErrorBody::new("08P01", error.body_text())).into_response(),
    };
    upgrade
        .max_message_size(limits::FRAME_BYTES)
        .max_frame_size(limits::FRAME_BYTES)
        // A poke leaves at once.
        .write_buffer_size(0)
        .on_upgrade(move |socket| serve(app, severance, socket))
}

async fn serve(app: App, severance: Arc<Severance>, socket: WebSocket) {
    let mailbox = Arc::new(Mailbox::new(severance, Arc::clone(&app.metrics)));
    let Ok(client) = app.engine.connect(Wire::Pokes, &mailbox) else { return };
    let mut connection = Connection { socket, client, mailbox, subscriptions: BTreeSet::new(), claims: None };
    let farewell = connection.run(&app).await;
    if let Some((code, reason)) = farewell {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = connection.socket.send(Message::Close(Some(frame))).await;
    }
}

struct Connection {
    socket: WebSocket,
    client: Client,
    mailbox: Arc<Mailbox>,
    subscriptions: BTreeSet<u64>,
    /// Those of its hello; none where something else came first.
    claims: Option<Claims>,
}

impl Connection {
    /// Serves until the client goes (None) or the server ends the connection, with the reason.
    async fn run(&mut self, app: &App) -> Option<(u16, &'static str)> {
        let mut draining = app.draining.clone();
        loop {
            tokio::select! {
                biased;
                text = self.mailbox.next() => {
                    self.socket.send(Message::text(text?)).await.ok()?;
                }
                () = drained(&mut draining) => {
                    return Some((close_code::AWAY, "the server is shutting down"));
                }
                message = self.socket.recv() => match message? {
                    Ok(Message::Text(text)) => self.take(app, &text).await.ok()?,
                    Ok(Message::Binary(_)) => return Some((close_code::UNSUPPORTED, "messages are JSON text")),
                    Ok(Message::Close(_)) => return None,
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Err(error) => {
                        let long = error.to_string().contains("too long") || error.to_string().contains("too big");
                        return long.then_some((close_code::SIZE, "the message is too long"));
                    }
                },
                // Whoever has vanished does not answer, and the system ends the connection.
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.socket.send(Message::Ping(Vec::new().into())).await.ok()?;
                }
            }
        }
    }

    async fn take(&mut self, app: &App, text: &str) -> Result<(), axum::Error> {
        match ClientMessage::decode(text) {
            Ok(ClientMessage::Hello(hello)) => self.greet(hello).await,
            Ok(ClientMessage::Ping(number)) => self.answer(&ServerMessage::Pong(number)).await,
            Ok(ClientMessage::Budget(question)) => {
                let answer = budgets::answer(app, question).await;
                self.answer(&ServerMessage::Budget(answer)).await
            }
            Ok(ClientMessage::Unsubscribe(unsubscribe)) => {
                self.subscriptions.remove(&unsubscribe.id);
                let command = Command::Unsubscribe { client: self.client.id, subscription: unsubscribe.id };
                self.client.engine.tell(command);
                Ok(())
            }
            Ok(ClientMessage::Subscribe(subscribe)) => self.subscribe(subscribe).await,
            Err(error) => self.answer(&ServerMessage::Error((&error).into())).await,
        }
    }

    /// Takes the claims of the session, which stay what they are: what is subscribed already was asked with them.
    async fn greet(&mut self, hello: Hello) -> Result<(), axum::Error> {
        if self.claims.is_some() {
            let message = "a connection says hello once, before it subscribes: open another one";
            return self.answer(&ServerMessage::Error(ErrorBody::new("08P01", message))).await;
        }
        self.claims = Some(hello.claims);
        Ok(())
    }

    async fn subscribe(&mut self, subscribe: deltaic_protocol::Subscribe) -> Result<(), axum::Error> {
        let id = subscribe.id;
        let claims = self.claims.get_or_insert_default().clone();
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS {
            let limit = limits::SUBSCRIPTIONS;
            let message = format!("a connection has {limit} live queries at most: end one first");
            let error = ErrorBody::new("53400", message);
            let body = serde_json::to_string(&error).map_err(axum::Error::new)?;
            let mut poke = PokeText::new(0);
            poke.push(id, None, "error", &body);
            return self.socket.send(Message::text(poke.finish())).await;
        }
        let resume = subscribe.cookie.and_then(|cookie| cookie.parse().ok());
        let outcome = self.client.engine.subscribe(Subscribe {
            client: self.client.id,
            subscription: SubscriptionId(id),
            sql: subscribe.sql,
            parameters: subscribe.params,
            claims,
            resume,
            life: life_of(subscribe.keep),
        });
        match outcome.await {
            Ok(()) => self.subscriptions.insert(id),
            Err(refused) if !refused.is_told => {
                return self.answer(&ServerMessage::Error(refused.error)).await;
            }
            Err(_) => self.subscriptions.remove(&id),
        };
        Ok(())
    }

    async fn answer(&mut self, message: &ServerMessage) -> Result<(), axum::Error> {
        let text = serde_json::to_string(message).map_err(axum::Error::new)?;
        self.socket.send(Message::text(text)).await
    }
}
