//! [`Link`]: a connection on a thread of its own, so that whoever waits for an answer can stop waiting.
//!
//! Invariant: calls run one after the other. Who has stopped waiting never uses the link again: what is still under way on
//! it ends by itself, and then its connection with it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls, Statement};

use crate::columns::Columns;
use crate::schema::{self, Absent, quoted};
use crate::{ConnectError, Settings};

/// What a connection of the ledger has: itself, and its statements.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) open: Statement,
    pub(crate) apply: Statement,
    pub(crate) silent: Statement,
    /// The schema as an identifier.
    pub(crate) schema: String,
}

type Call = Box<dyn FnOnce(&mut Session) + Send>;

#[derive(Debug)]
pub(crate) struct Link {
    calls: Sender<Call>,
    wait: Duration,
}

impl Session {
    fn begin(settings: &Settings, absent: Absent) -> Result<Self, ConnectError> {
        let of = |error: &postgres::Error| ConnectError::of(error, &settings.schema);
        let mut client = settings.config.connect(NoTls).map_err(|error| of(&error))?;
        schema::prepare(&mut client, settings, absent)?;
        let schema = quoted(&settings.schema);
        let arguments: Vec<String> = (1..=Columns::COUNT).map(|number| format!("${number}")).collect();
        let apply = format!("SELECT * FROM {schema}.apply({})", arguments.join(", "));
        let open = format!("SELECT * FROM {schema}.open($1)");
        let open = client.prepare(&open).map_err(|error| of(&error))?;
        let apply = client.prepare(&apply).map_err(|error| of(&error))?;
        let silent = format!("SELECT * FROM {schema}.silent($1)");
        let silent = client.prepare(&silent).map_err(|error| of(&error))?;
        Ok(Self { client, open, apply, silent, schema })
    }
}

impl Link {
    pub(crate) fn connect(settings: &Settings, absent: Absent) -> Result<Self, ConnectError> {
        let unreachable = |why: String| ConnectError::Unreachable { why };
        let wait = settings.answer_timeout;
        let (calls, waiting): (Sender<Call>, Receiver<Call>) = channel();
        let (ready, begun) = channel();
        let settings = settings.clone();
        let serve = move || match Session::begin(&settings, absent) {
            Ok(mut session) => {
                if ready.send(Ok(())).is_ok() {
                    for call in waiting {
                        call(&mut session);
                    }
                }
            }
            // Nobody waits any more: then nobody has to know.
            Err(error) => drop(ready.send(Err(error))),
        };
        thread::Builder::new()
            .name("deltaic-postgres".to_owned())
            .spawn(serve)
            .map_err(|error| unreachable(error.to_string()))?;
        match begun.recv_timeout(wait) {
            Ok(outcome) => outcome.map(|()| Self { calls, wait }),
            Err(_) => Err(unreachable(no_answer(wait))),
        }
    }

    /// Runs a call; none if it has no answer in time.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = channel();
        let call = move |session: &mut Session| drop(answer.send(run(session)));
        self.calls.send(Box::new(call)).ok()?;
        answered.recv_timeout(self.wait).ok()
    }
}

pub(crate) fn no_answer(wait: Duration) -> String {
    format!("no answer within {wait:?}")
}
