//! The engine's results and news as the protocol's messages.
//!
//! Invariant: the news of a view are encoded once, however many subscribers it has; those of one commit to one
//! client leave as one poke.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_engine::{KeyColumn, Message, News, Outcome, RequestError, Snapshot, ViewChange};
use deltaic_protocol::{
    Change, Column, Current, Cut, ErrorBody, PokeText, RowChange, SqlResponse, encode_row, event_text,
};
use deltaic_types::{
    DataType, Row,
    order_key::{Sorted, order_key},
};
use serde::Serialize;

/// How a client is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Server-sent events of one subscription.
    Events,
    /// Pokes over a WebSocket.
    Pokes,
}

pub(crate) fn error_body(error: &RequestError) -> ErrorBody {
    ErrorBody {
        code: error.sqlstate().to_owned(),
        message: error.to_string(),
        position: error.position(),
        hint: error.hint(),
    }
}

pub(crate) fn response(outcome: &Outcome) -> SqlResponse {
    let types: Vec<DataType> = outcome.columns.iter().map(|column| column.data_type.clone()).collect();
    let columns = outcome.columns.iter().map(|column| self::column(&column.name, &column.data_type));
    SqlResponse {
        columns: columns.collect(),
        rows: outcome.rows.iter().map(|row| encode_row(row, &types)).collect(),
        rows_affected: outcome.rows_affected,
        lsn: outcome.lsn.0,
        cut: outcome.cut.clone().map(Cut),
    }
}

fn column(name: &str, data_type: &DataType) -> Column {
    Column { name: name.to_owned(), data_type: data_type.to_string() }
}

/// The sort key of a row, if there is an order.
fn key(row: &Row, order: &[KeyColumn]) -> Option<String> {
    let sorted = order.iter().map(|key| Sorted {
        value: &row[key.column],
        descending: key.descending,
        nulls_first: key.nulls_first,
    });
    (!order.is_empty()).then(|| order_key(sorted))
}

fn snapshot(snapshot: &Snapshot) -> deltaic_protocol::Snapshot {
    let types: Vec<DataType> = snapshot.columns.iter().map(|column| column.data_type.clone()).collect();
    let keys = snapshot.rows.iter().filter_map(|row| key(row, &snapshot.order));
    deltaic_protocol::Snapshot {
        columns: snapshot
            .columns
            .iter()
            .map(|column| self::column(&column.name, &column.data_type))
            .collect(),
        rows: snapshot.rows.iter().map(|row| encode_row(row, &types)).collect(),
        lsn: snapshot.cookie.lsn.0,
        keys: keys.collect(),
    }
}

fn change(change: &ViewChange) -> Change {
    let types: Vec<DataType> = change.columns.iter().map(|column| column.data_type.clone()).collect();
    let changes = change.changes.iter().map(|(row, weight)| RowChange {
        weight: *weight,
        row: encode_row(row, &types),
        key: key(row, &change.order),
    });
    Change { lsn: change.cookie.lsn.0, changes: changes.collect() }
}

fn json(value: &impl Serialize) -> Arc<str> {
    serde_json::to_string(value).expect("invariant: messages have text for keys").into()
}

/// Encodes the news of one delivery, each once.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bodies: BTreeMap<usize, Arc<str>>,
}

/// News, encoded.
struct Encoded {
    kind: &'static str,
    body: Arc<str>,
    cookie: Option<String>,
    lsn: u64,
}

impl Encoder {
    /// The messages for one client: one for each commit, in order, from news that stand together.
    pub(crate) fn messages(&mut self, wire: Wire, news: &[Message]) -> Vec<String> {
        let mut texts = Vec::new();
        let mut poke: Option<(u64, PokeText)> = None;
        for message in news {
            let Encoded { kind, body, cookie, lsn } = self.encode(&message.news);
            if wire == Wire::Events {
                texts.push(event_text(kind, cookie.as_deref(), &body));
                continue;
            }
            if let Some((_, done)) = poke.take_if(|(at, _)| *at != lsn) {
                texts.push(done.finish());
            }
            let (_, text) = poke.get_or_insert_with(|| (lsn, PokeText::new(lsn)));
            text.push(message.subscription.0, cookie.as_deref(), kind, &body);
        }
        texts.extend(poke.map(|(_, text)| text.finish()));
        texts
    }

    fn encode(&mut self, news: &News) -> Encoded {
        let (kind, body, cookie) = match news {
            News::Snapshot(news) => {
                let body = self.once(Arc::as_ptr(news).addr(), || json(&snapshot(news)));
                ("snapshot", body, Some(news.cookie))
            }
            News::Change(news) => {
                let body = self.once(Arc::as_ptr(news).addr(), || json(&change(news)));
                ("change", body, Some(news.cookie))
            }
            News::Current(cookie) => ("current", json(&Current { lsn: cookie.lsn.0 }), Some(*cookie)),
            News::Error { error, cookie } => ("error", json(&error_body(error)), *cookie),
        };
        let lsn = cookie.map_or(0, |cookie| cookie.lsn.0);
        Encoded { kind, body, cookie: cookie.map(|cookie| cookie.to_string()), lsn }
    }

    fn once(&mut self, address: usize, encode: impl FnOnce() -> Arc<str>) -> Arc<str> {
        Arc::clone(self.bodies.entry(address).or_insert_with(encode))
    }
}
