//! Rows of the tables as the rows of a ledger.
//!
//! Invariant: what is read in one call is of one snapshot. Nothing is computed here: [`Rows`] answers from what was read.

use deltaic_quota::{
    Account, AccountRow, Epoch, Key, KeyRow, Keys, Lease, NodeId, NodeRow, Rows, Seq, Time, Units, WindowId,
};
use tokio_postgres::{Error, IsolationLevel, Row};

use crate::link::Session;
use crate::word::Word;

const ACCOUNT: &str = "a.\"limit\", a.used, a.reserved, a.overrun, a.high, a.holder_node, a.holder_epoch";
const LEASE: &str =
    "l.node, l.epoch, l.seq, l.granted, l.consumed, l.refunded, l.returned, l.unbacked, l.credited, l.wanted";

/// An account with its key and its leases.
pub(crate) async fn account(session: &mut Session, account: &Account) -> Result<Rows, Error> {
    let schema = &session.schema;
    let text = format!(
        "SELECT k.target, k.newest, {ACCOUNT}, {LEASE} FROM {schema}.keys k
         LEFT JOIN {schema}.accounts a ON a.key = k.key AND a.\"window\" = $2::numeric
         LEFT JOIN {schema}.leases l ON l.key = a.key AND l.\"window\" = a.\"window\"
         WHERE k.key = $1"
    );
    let mut rows = Rows::default();
    for row in session.client.query(&text, &[&account.key.as_bytes(), &Word(account.window.0)]).await? {
        rows.keys.insert(account.key.clone(), key_row(&row, 0)?);
        if row.try_get::<_, Option<Word>>(2)?.is_some() {
            rows.accounts.insert(account.clone(), account_row(&row, 2)?);
        }
        if row.try_get::<_, Option<Word>>(9)?.is_some() {
            let (node, lease) = lease_row(&row, 9)?;
            rows.put_lease(account.clone(), node, lease);
        }
    }
    Ok(rows)
}

/// Keys with their accounts, and the keys in the order of the table.
pub(crate) async fn keys(session: &mut Session, wanted: &Keys) -> Result<(Vec<Key>, Rows), Error> {
    let schema = &session.schema;
    let text = format!(
        "SELECT k.key, a.\"window\", {ACCOUNT}, k.target, k.newest
         FROM (SELECT * FROM {schema}.keys
               WHERE ($1::bytea IS NULL OR key = $1) AND ($2::bytea IS NULL OR key > $2)
               ORDER BY key LIMIT $3) k
         LEFT JOIN {schema}.accounts a ON a.key = k.key
         ORDER BY k.key"
    );
    let (only, behind, most) = match wanted {
        Keys::Only(key) => (Some(key.as_bytes()), None, 1),
        Keys::Behind(key, most) => {
            (None, key.as_ref().map(Key::as_bytes), i64::try_from(*most).unwrap_or(i64::MAX))
        }
    };
    let (mut named, mut rows) = (Vec::new(), Rows::default());
    for row in session.client.query(&text, &[&only, &behind, &most]).await? {
        let key = key(&row, 0)?;
        if rows.keys.insert(key.clone(), key_row(&row, 9)?).is_none() {
            named.push(key);
        }
        if row.try_get::<_, Option<Word>>(1)?.is_some() {
            rows.accounts.insert(place(&row)?, account_row(&row, 2)?);
        }
    }
    Ok((named, rows))
}

/// All there is.
pub(crate) async fn all(session: &mut Session) -> Result<Rows, Error> {
    let schema = &session.schema;
    let snapshot = session
        .client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut rows = Rows::default();
    let nodes = format!("SELECT node, epoch, seq, heard, horizon FROM {schema}.nodes");
    for row in snapshot.query(&nodes, &[]).await? {
        let [node, epoch, seq, heard, horizon] = words(&row, 0)?;
        let stands =
            NodeRow { epoch: Epoch(epoch), seq: Seq(seq), heard: Time(heard), horizon: Time(horizon) };
        rows.nodes.insert(NodeId(node), stands);
    }
    let keys = format!("SELECT target, newest, key FROM {schema}.keys");
    for row in snapshot.query(&keys, &[]).await? {
        rows.keys.insert(key(&row, 2)?, key_row(&row, 0)?);
    }
    let accounts = format!("SELECT a.key, a.\"window\", {ACCOUNT} FROM {schema}.accounts a");
    for row in snapshot.query(&accounts, &[]).await? {
        rows.accounts.insert(place(&row)?, account_row(&row, 2)?);
    }
    let leases = format!("SELECT l.key, l.\"window\", {LEASE} FROM {schema}.leases l");
    for row in snapshot.query(&leases, &[]).await? {
        let (node, lease) = lease_row(&row, 2)?;
        rows.put_lease(place(&row)?, node, lease);
    }
    snapshot.commit().await?;
    Ok(rows)
}

fn word(row: &Row, place: usize) -> Result<u64, Error> {
    row.try_get::<_, Word>(place).map(|word| word.0)
}

fn words<const N: usize>(row: &Row, first: usize) -> Result<[u64; N], Error> {
    let mut words = [0; N];
    for (place, found) in words.iter_mut().enumerate() {
        *found = word(row, first + place)?;
    }
    Ok(words)
}

pub(crate) fn key(row: &Row, place: usize) -> Result<Key, Error> {
    let bytes: &[u8] = row.try_get(place)?;
    Ok(Key::new(bytes).expect("invariant: the table's constraint limits a key's length"))
}

fn place(row: &Row) -> Result<Account, Error> {
    Ok(Account { key: key(row, 0)?, window: WindowId(word(row, 1)?) })
}

fn key_row(row: &Row, first: usize) -> Result<KeyRow, Error> {
    let [target, newest] = words(row, first)?;
    Ok(KeyRow { target: Units(target), newest: WindowId(newest) })
}

fn account_row(row: &Row, first: usize) -> Result<AccountRow, Error> {
    let [limit, used, reserved, overrun, high] = words(row, first)?;
    let node: Option<Word> = row.try_get(first + 5)?;
    let epoch: Option<Word> = row.try_get(first + 6)?;
    let holder = node.zip(epoch).map(|(node, epoch)| (NodeId(node.0), Epoch(epoch.0)));
    let [limit, used, reserved, overrun] = [limit, used, reserved, overrun].map(Units);
    Ok(AccountRow { limit, used, reserved, overrun, high, holder })
}

fn lease_row(row: &Row, first: usize) -> Result<(NodeId, Lease), Error> {
    let [node, epoch, seq] = words(row, first)?;
    let [granted, consumed, refunded, returned, unbacked, credited, wanted] =
        words(row, first + 3)?.map(Units);
    let lease = Lease {
        epoch: Epoch(epoch),
        seq: Seq(seq),
        granted,
        consumed,
        refunded,
        returned,
        unbacked,
        credited,
        wanted,
    };
    Ok((NodeId(node), lease))
}
