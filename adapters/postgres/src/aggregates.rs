//! Aggregates in the database: combined here, between the locks of their rows and one statement that writes them.
//!
//! Invariant: a call is one transaction, by the rules of [`AggregateRows`]. It locks its node and then its keys in the
//! order of their bytes, first those that are new and then all: nodes wait for each other and never in a circle.

use deltaic_quota::{AggregateLedger, AggregateRows, Changes, Combine, Epoch, Key, LedgerError, NodeId, Seq};
use tokio_postgres::{Error, IsolationLevel, Row, Transaction};

use crate::link::Session;
use crate::word::Word;
use crate::{PostgresLedger, outcome, read};

impl AggregateLedger for PostgresLedger {
    fn open_aggregate(&mut self, name: &Key, node: NodeId) -> Result<Epoch, LedgerError> {
        let of = name.clone();
        let run = async move |session: &mut Session| {
            let begin = format!(
                "WITH session AS MATERIALIZED (SELECT {0}.require_session())
                 INSERT INTO {0}.aggregate_nodes AS n (name, node, epoch, seq) SELECT $1::bytea, $2::numeric, 1, 0 FROM session
                 ON CONFLICT (name, node) DO UPDATE SET epoch = n.epoch + 1, seq = 0
                 RETURNING epoch",
                session.schema
            );
            let row = session.client.query_one(&begin, &[&of.as_bytes(), &Word(node.0)]).await?;
            row.try_get::<_, Word>(0)
        };
        let Word(epoch) = self.call(run, outcome::of_call)?;
        self.known().unknown.forget(Some(name), node);
        Ok(Epoch(epoch))
    }

    fn combine_encoded(
        &mut self,
        name: &Key,
        changes: &Changes<Vec<u8>>,
        combine: Combine,
    ) -> Result<(), LedgerError> {
        let (of, sent) = (name.clone(), changes.clone());
        let run = async move |session: &mut Session| combined(session, &of, &sent, combine).await;
        // What the rules refuse was answered by the database: it is known.
        let outcome = self.call(run, outcome::of_call).and_then(|ruled| ruled);
        self.known().unknown.settle(Some(name), (changes.node, changes.epoch, changes.seq), outcome)
    }

    fn aggregate_encoded(&mut self, name: &Key, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        let (name, key) = (name.clone(), key.clone());
        let run = async move |session: &mut Session| {
            let text =
                format!("SELECT value FROM {}.aggregates WHERE name = $1 AND key = $2", session.schema);
            let row = session.client.query_opt(&text, &[&name.as_bytes(), &key.as_bytes()]).await?;
            row.map_or(Ok(None), |row| row.try_get(0))
        };
        self.call(run, outcome::of_call)
    }

    fn image_of_aggregates(&mut self) -> Result<Vec<u8>, LedgerError> {
        Ok(self.call(async |session| all(session).await, outcome::of_call)?.image())
    }
}

/// Whether the rules took the changes; an error of the database before that.
async fn combined(
    session: &mut Session,
    name: &Key,
    changes: &Changes<Vec<u8>>,
    combine: Combine,
) -> Result<Result<(), LedgerError>, Error> {
    let schema = &session.schema;
    let mut transaction = session.client.transaction().await?;
    transaction.execute(&format!("SELECT {schema}.require_session()"), &[]).await?;
    let mut before = AggregateRows::default();
    let node =
        format!("SELECT epoch, seq FROM {schema}.aggregate_nodes WHERE name = $1 AND node = $2 FOR UPDATE");
    if let Some(row) = transaction.query_opt(&node, &[&name.as_bytes(), &Word(changes.node.0)]).await? {
        before.nodes.insert((name.clone(), changes.node), turn(&row, 0)?);
    }
    let stands = before.nodes.get(&(name.clone(), changes.node));
    if stands.is_some_and(|(epoch, seq)| changes.epoch == *epoch && changes.seq == seq.next()) {
        take_values(&mut transaction, schema, name, changes, &mut before).await?;
    }
    let mut after = before.clone();
    let ruled = after.combine(name, changes, combine);
    if ruled.is_err() || before == after {
        transaction.rollback().await?;
        return Ok(ruled);
    }
    let differ = || after.values.iter().filter(|(place, value)| before.values.get(*place) != Some(*value));
    let keys: Vec<&[u8]> = differ().map(|((_, key), _)| key.as_bytes()).collect();
    let values: Vec<&[u8]> = differ().map(|(_, value)| &value[..]).collect();
    let write = format!(
        "UPDATE {schema}.aggregates a SET value = u.value FROM unnest($2::bytea[], $3::bytea[]) AS u (key, value)
         WHERE a.name = $1 AND a.key = u.key"
    );
    transaction.execute(&write, &[&name.as_bytes(), &keys, &values]).await?;
    let next = format!("UPDATE {schema}.aggregate_nodes SET seq = $3::numeric WHERE name = $1 AND node = $2");
    transaction.execute(&next, &[&name.as_bytes(), &Word(changes.node.0), &Word(changes.seq.0)]).await?;
    transaction.commit().await?;
    Ok(ruled)
}

/// Locks the values of a batch, and those that are new by making them.
async fn take_values(
    transaction: &mut Transaction<'_>,
    schema: &str,
    name: &Key,
    changes: &Changes<Vec<u8>>,
    rows: &mut AggregateRows,
) -> Result<(), Error> {
    let keys: Vec<&[u8]> = changes.rows.iter().map(|(key, _)| key.as_bytes()).collect();
    let make = format!(
        "INSERT INTO {schema}.aggregates (name, key)
         SELECT DISTINCT $1::bytea, k.key FROM unnest($2::bytea[]) AS k (key)
         WHERE NOT EXISTS (SELECT FROM {schema}.aggregates a WHERE a.name = $1 AND a.key = k.key)
         ORDER BY k.key
         ON CONFLICT DO NOTHING"
    );
    transaction.execute(&make, &[&name.as_bytes(), &keys]).await?;
    let take = format!(
        "SELECT key, value FROM {schema}.aggregates WHERE name = $1 AND key = ANY ($2) ORDER BY key FOR UPDATE"
    );
    for row in transaction.query(&take, &[&name.as_bytes(), &keys]).await? {
        if let Some(value) = row.try_get(1)? {
            rows.values.insert((name.clone(), read::key(&row, 0)?), value);
        }
    }
    Ok(())
}

/// All there is.
async fn all(session: &mut Session) -> Result<AggregateRows, Error> {
    let schema = &session.schema;
    let snapshot = session
        .client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut rows = AggregateRows::default();
    for row in
        snapshot.query(&format!("SELECT name, node, epoch, seq FROM {schema}.aggregate_nodes"), &[]).await?
    {
        let Word(node) = row.try_get(1)?;
        rows.nodes.insert((read::key(&row, 0)?, NodeId(node)), turn(&row, 2)?);
    }
    for row in snapshot.query(&format!("SELECT name, key, value FROM {schema}.aggregates"), &[]).await? {
        rows.values.insert((read::key(&row, 0)?, read::key(&row, 1)?), row.try_get(2)?);
    }
    snapshot.commit().await?;
    Ok(rows)
}

fn turn(row: &Row, first: usize) -> Result<(Epoch, Seq), Error> {
    let [Word(epoch), Word(seq)] = [row.try_get(first)?, row.try_get(first + 1)?];
    Ok((Epoch(epoch), Seq(seq)))
}
