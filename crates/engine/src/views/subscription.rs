//! Subscriptions: who watches a view, from its first message to its end.
//!
//! Invariant: a subscriber has a result that changes can be added to, or has been told why not.

use std::sync::Arc;

use deltaic_types::Row;

use super::{Place, Subscriber, ViewId, Views, without_result};
use crate::{
    cookie::Cookie,
    effects::{Message, News, Snapshot},
    error::RequestError,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    life::Life,
};

impl Views {
    /// The first message of a subscription to a view that was just opened: a snapshot, or what is missing since the
    /// cookie; or why there is none.
    pub(crate) fn subscribe(
        &mut self,
        subscribe: &Subscribe,
        opened: Result<ViewId, RequestError>,
        place: &Place<'_>,
    ) -> Vec<Message> {
        match opened {
            Ok(view) => {
                let id = (subscribe.client, subscribe.subscription);
                self.subscriptions.insert(id, view);
                self.first(view, id, (subscribe.resume, subscribe.life), place)
            }
            Err(error) => vec![Message {
                client: subscribe.client,
                subscription: subscribe.subscription,
                view: None,
                news: News::Error { error: Arc::new(error), cookie: None },
            }],
        }
    }

    /// The first message of a subscription.
    pub(super) fn first(
        &mut self,
        view: ViewId,
        id: (ClientId, SubscriptionId),
        (resume, life): (Option<Cookie>, Life),
        place: &Place<'_>,
    ) -> Vec<Message> {
        let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
        self.idle.take(view);
        entry.life = if entry.subscribers.is_empty() { life } else { entry.life.max(life) };
        let cookie = Cookie { database: place.database, lsn: place.lsn, minor: entry.minor };
        let message = |news| Message { client: id.0, subscription: id.1, view: Some(view), news };
        let mut subscriber = Subscriber { has_result: true };
        let resumable = resume.filter(|resume| {
            resume.database == cookie.database
                && resume.minor == cookie.minor
                && entry.error.is_none()
                && (entry.since..=place.lsn).contains(&resume.lsn)
        });
        let messages = match (resumable, &entry.error) {
            (Some(resume), _) => {
                let missed: Vec<Message> = entry
                    .ring
                    .iter()
                    .filter(|change| change.cookie.lsn > resume.lsn)
                    .map(|change| message(News::Change(Arc::clone(change))))
                    .collect();
                if missed.is_empty() { vec![message(News::Current(cookie))] } else { missed }
            }
            (None, Some(error)) => {
                subscriber.has_result = false;
                let error = Arc::new(RequestError::Evaluation(error.clone()));
                vec![message(News::Error { error, cookie: Some(without_result(cookie)) })]
            }
            (None, None) => {
                vec![message(News::Snapshot(Arc::new(self.snapshot(view, cookie))))]
            }
        };
        let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
        entry.subscribers.insert(id, subscriber);
        messages
    }

    pub(super) fn snapshot(&self, view: ViewId, cookie: Cookie) -> Snapshot {
        let view = &self.by_id[&view];
        let circuit = self.templates[&view.template].circuit;
        let prefix = &view.tuple[..circuit.prefix];
        let mut rows = Vec::new();
        for (row, weight) in self.graph.arranged(circuit.root, prefix) {
            let row: Row = row[circuit.prefix..].iter().cloned().collect();
            rows.extend(std::iter::repeat_n(row, weight as usize));
        }
        Snapshot { columns: view.columns.clone(), order: view.order.clone(), rows, cookie }
    }

    /// Ends a subscription. The view stays for a while.
    pub(crate) fn unsubscribe(&mut self, id: (ClientId, SubscriptionId), now: Now) {
        let Some(view) = self.subscriptions.remove(&id) else {
            return self.hydrating.forget(|waiting| (waiting.client, waiting.subscription) == id);
        };
        let entry = self.by_id.get_mut(&view).expect("invariant: a subscription has its view");
        entry.subscribers.remove(&id);
        if entry.subscribers.is_empty() && entry.names.is_empty() {
            self.idle.put(view, entry.life, now, entry.bytes);
        }
    }

    /// Ends all subscriptions of a client.
    pub(crate) fn disconnect(&mut self, client: ClientId, now: Now) {
        let first = (client, SubscriptionId(0));
        let last = (client, SubscriptionId(u64::MAX));
        let ended: Vec<_> = self.subscriptions.range(first..=last).map(|(id, _)| *id).collect();
        for id in ended {
            self.unsubscribe(id, now);
        }
        self.hydrating.forget(|waiting| waiting.client == client);
    }
}
