//! [`Rows`]: what a ledger stores, and the rules by which a batch changes it.
//!
//! The rules stand here once, for every ledger that keeps rows by key: one whose rows are elsewhere takes those that an
//! operation concerns, lets the rules change them, and writes what differs in the same transaction.
//!
//! Invariant: `used + reserved <= limit` for every account and `reserved` is the sum of what its leases cover,
//! asserted after every operation on what it touched.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_types::codec::{write_bytes, write_u64};

use super::{
    Baseline, Batch, Claim, Entry, Lease, LedgerError, LimitWord, Loaded, Opened, Reply, Row, Silent, Stored,
    Then,
};
use crate::{Account, Epoch, Key, NodeId, Seq, Time, Units, WindowId};

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRow {
    /// Its epoch.
    pub epoch: Epoch,
    /// The last batch of the epoch.
    pub seq: Seq,
    /// The time of that batch; the beginning of time before the first.
    pub heard: Time,
    /// The node spends standing shares only of windows that begin before this.
    pub horizon: Time,
}

/// What all windows of a key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRow {
    /// What the limit is to be.
    pub target: Units,
    /// The latest window that was granted from.
    pub newest: WindowId,
}

/// An account without its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountRow {
    /// What the limit is.
    pub limit: Units,
    /// Spent for good.
    pub used: Units,
    /// Held by leases.
    pub reserved: Units,
    /// Spent without a lease beyond what the limit had room for.
    pub overrun: Units,
    /// The high-water mark of a bucket.
    pub high: u64,
    /// Who holds the bucket.
    pub holder: Option<(NodeId, Epoch)>,
}

/// Rows of a ledger: all of them, or those that an operation concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The nodes.
    pub nodes: BTreeMap<NodeId, NodeRow>,
    /// The keys.
    pub keys: BTreeMap<Key, KeyRow>,
    /// The accounts.
    pub accounts: BTreeMap<Account, AccountRow>,
    /// The leases. They are put in by [`Rows::put_lease`], which knows those that want something.
    pub leases: BTreeMap<(Account, NodeId), Lease>,
    /// Of these, the ones that want something.
    wanting: BTreeSet<(Account, NodeId)>,
}

/// What a claim gave, and what it did not although the account is open to it.
#[derive(Debug, Clone, Copy, Default)]
struct Granted {
    units: Units,
    short: Units,
}

impl Rows {
    /// Puts a lease in, in the place of the one before.
    pub fn put_lease(&mut self, account: Account, node: NodeId, lease: Lease) {
        let place = (account, node);
        if lease.wanted.is_zero() {
            self.wanting.remove(&place);
        } else {
            self.wanting.insert(place.clone());
        }
        self.leases.insert(place, lease);
    }

    fn remove_lease(&mut self, place: &(Account, NodeId)) -> Option<Lease> {
        self.wanting.remove(place);
        self.leases.remove(place)
    }

    /// What the windows before this one use up of a sliding limit.
    fn before(&self, account: &Account, span: u64) -> Units {
        let first = WindowId(account.window.0.saturating_sub(span));
        if first == account.window {
            return Units::ZERO;
        }
        let from = Account { key: account.key.clone(), window: first };
        let rows = self.accounts.range(from..account.clone());
        rows.fold(Units::ZERO, |sum, (_, row)| sum.plus(row.used).plus(row.reserved))
    }

    pub(super) fn leases_of(&self, account: &Account) -> impl Iterator<Item = (NodeId, Lease)> {
        let all = (account.clone(), NodeId(0))..=(account.clone(), NodeId(u64::MAX));
        self.leases.range(all).map(|((_, node), lease)| (*node, *lease))
    }

    fn baseline(&self, account: &Account, span: u64) -> Baseline {
        let key = self.keys.get(&account.key);
        let target = key.map_or(Units::ZERO, |key| key.target);
        let row = self.accounts.get(account).copied().unwrap_or_default();
        let before = if account.window == WindowId::EVERY { Units::ZERO } else { self.before(account, span) };
        Baseline {
            target,
            limit: row.limit.max(target),
            used: row.used,
            reserved: row.reserved,
            overrun: row.overrun,
            before,
            high: row.high,
        }
    }

    fn row(&self, batch: &Batch, entry: &Entry) -> Row {
        let account = &entry.account;
        let lease = self.leases.get(&(account.clone(), batch.node));
        let holder = self.accounts.get(account).and_then(|row| row.holder);
        Row {
            granted: lease.map_or(Units::ZERO, |lease| lease.granted),
            baseline: self.baseline(account, entry.span),
            newest: self.keys.get(&account.key).map_or(WindowId(0), |key| key.newest),
            held_by: holder.map(|(node, _)| node).filter(|node| *node != batch.node),
            recalled: self.wanted(account, batch.node),
        }
    }

    /// Whether the entry could be applied: everything is looked at before anything is changed.
    fn check(&self, batch: &Batch, entry: &Entry) -> Result<(), LedgerError> {
        let account = || entry.account.clone();
        let (LimitWord::Initially(limit) | LimitWord::Set(limit)) = entry.limit;
        if limit > Units::MAX {
            return Err(LedgerError::LimitTooHigh { account: account(), limit });
        }
        let lease = self.leases.get(&(account(), batch.node)).copied().unwrap_or_default();
        let down = entry.consumed < lease.consumed
            || entry.refunded < lease.refunded
            || entry.returned < lease.returned
            || entry.credited < lease.credited;
        if down {
            return Err(LedgerError::Backwards { account: account() });
        }
        let net = entry.consumed.0.checked_sub(entry.refunded.0);
        let gone = net.and_then(|net| net.checked_add(entry.returned.0));
        match gone {
            Some(gone) if gone <= lease.granted.0 => Ok(()),
            _ => Err(LedgerError::Overdrawn { account: account() }),
        }
    }

    fn settle_and_extend(&mut self, batch: &Batch, entry: &Entry) {
        let account = &entry.account;
        let lease_key = (account.clone(), batch.node);
        let mut lease = self.leases.get(&lease_key).copied().unwrap_or_default();
        let (initial, set) = match entry.limit {
            LimitWord::Initially(limit) => (limit, None),
            LimitWord::Set(limit) => (limit, Some(limit)),
        };
        let first = KeyRow { target: initial, newest: WindowId(0) };
        let key = self.keys.entry(account.key.clone()).or_insert(first);
        if let Some(limit) = set {
            key.target = limit;
        }
        key.target = key.target.plus(entry.credited.minus(lease.credited));
        let target = key.target;

        let covered = lease.outstanding();
        let net = lease.net();
        lease = Lease {
            epoch: batch.epoch,
            seq: batch.seq,
            granted: lease.granted,
            consumed: entry.consumed,
            refunded: entry.refunded,
            returned: entry.returned,
            unbacked: entry.unbacked,
            credited: entry.credited,
            wanted: Units::ZERO,
        };
        let before_unbacked = self.leases.get(&lease_key).map_or(Units::ZERO, |lease| lease.unbacked);
        let mut row = self.accounts.remove(account).unwrap_or_default();
        row.used = Units(row.used.0 + lease.net().0 - net.0);
        row.reserved = Units(row.reserved.0 + lease.outstanding().0 - covered.0);
        row.limit = target.max(row.used.plus(row.reserved));
        // What was spent without cover is entered where there is room; the rest is what went over.
        let more = entry.unbacked.minus(before_unbacked);
        let room = row.limit.minus(row.used).minus(row.reserved);
        row.used = row.used.plus(more.min(room));
        row.overrun = row.overrun.plus(more.minus(room));
        let less = before_unbacked.minus(entry.unbacked);
        let over = row.overrun.min(less);
        row.overrun = row.overrun.minus(over);
        row.used = row.used.minus(less.minus(over));
        self.accounts.insert(account.clone(), row);

        let elsewhere = row.reserved.minus(lease.outstanding());
        let Granted { units: grant, short } = self.grant(batch, entry, target);
        lease.granted = lease.granted.plus(grant);
        lease.wanted = short.min(elsewhere);
        let row = self.accounts.entry(account.clone()).or_default();
        row.reserved = row.reserved.plus(grant);
        if entry.then == Then::Close {
            let covered = lease.outstanding();
            row.reserved = row.reserved.minus(covered);
            row.used = row.used.plus(covered);
            row.holder = row.holder.filter(|(node, _)| *node != batch.node);
        }
        row.limit = target.max(row.used.plus(row.reserved));
        if entry.then == Then::Close {
            self.remove_lease(&lease_key);
        } else {
            self.put_lease(lease_key.0, lease_key.1, lease);
        }
    }

    fn grant(&mut self, batch: &Batch, entry: &Entry, target: Units) -> Granted {
        let account = &entry.account;
        let key = self.keys.get_mut(&account.key).expect("invariant: made before the grant");
        let want = match entry.claim {
            Claim::Units(want) => want,
            Claim::High(until) => {
                let row = self.accounts.entry(account.clone()).or_default();
                let free = row.holder.is_none_or(|(node, epoch)| {
                    node == batch.node || self.nodes.get(&node).is_none_or(|node| node.epoch != epoch)
                });
                if free {
                    row.holder = Some((batch.node, batch.epoch));
                    row.high = row.high.max(until);
                }
                return Granted::default();
            }
        };
        if want.is_zero() {
            return Granted::default();
        }
        if account.window != WindowId::EVERY {
            if account.window < key.newest {
                return Granted::default();
            }
            if key.newest < account.window {
                key.newest = account.window;
                self.forget(account, entry.span);
            }
        }
        let row = self.accounts.get(account).copied().unwrap_or_default();
        let left = target.minus(row.used).minus(row.reserved).minus(if account.window == WindowId::EVERY {
            Units::ZERO
        } else {
            self.before(account, entry.span)
        });
        let outstanding = row.reserved;
        let units = want.min(left).min(Units::LEASE_MAX.minus(outstanding));
        // A standing share is not spent but by time: nobody could send any of it home.
        let short = if account.window == WindowId::EVERY { Units::ZERO } else { want.minus(units) };
        Granted { units, short }
    }

    /// What other nodes want of an account.
    fn wanted(&self, account: &Account, node: NodeId) -> Units {
        let others = self.wanting_of(account).filter(|(owner, _)| *owner != node);
        others.fold(Units::ZERO, |sum, (_, lease)| sum.plus(lease.wanted))
    }

    fn wanting_of(&self, account: &Account) -> impl Iterator<Item = (NodeId, Lease)> {
        let all = (account.clone(), NodeId(0))..=(account.clone(), NodeId(u64::MAX));
        let known = |place: &(Account, NodeId)| Some((place.1, *self.leases.get(place)?));
        self.wanting.range(all).filter_map(known)
    }

    /// Ends the wants of an account if what is left is enough for all, or nobody holds what could come home.
    fn meet(&mut self, account: &Account, span: u64) {
        let wanting: Vec<(NodeId, Lease)> = self.wanting_of(account).collect();
        if wanting.is_empty() {
            return;
        }
        let baseline = self.baseline(account, span);
        let wanted = wanting.iter().fold(Units::ZERO, |sum, (_, lease)| sum.plus(lease.wanted));
        if baseline.reserved.is_zero() || baseline.left() >= wanted {
            for (node, lease) in wanting {
                self.put_lease(account.clone(), node, Lease { wanted: Units::ZERO, ..lease });
            }
        }
    }

    /// What a node holds, others want and the batch does not name.
    fn recalled(&self, batch: &Batch) -> Vec<(Account, Units)> {
        let named: BTreeSet<&Account> = batch.entries.iter().map(|entry| &entry.account).collect();
        let mut recalled: Vec<(Account, Units)> = Vec::new();
        for (account, _) in &self.wanting {
            let holds = |lease: &Lease| !lease.outstanding().is_zero();
            let is_held = self.leases.get(&(account.clone(), batch.node)).is_some_and(holds);
            let wanted = self.wanted(account, batch.node);
            let is_told = recalled.last().is_some_and(|(last, _)| last == account);
            if is_held && !wanted.is_zero() && !is_told && !named.contains(account) {
                recalled.push((account.clone(), wanted));
                if recalled.len() == Reply::RECALLED {
                    break;
                }
            }
        }
        recalled
    }

    /// Windows that can count against nothing any more, and that no lease is open for.
    fn forget(&mut self, newest: &Account, span: u64) {
        let from = Account { key: newest.key.clone(), window: WindowId(0) };
        let to = Account { key: newest.key.clone(), window: WindowId(newest.window.0.saturating_sub(span)) };
        let open = |account: &Account| self.leases_of(account).next().is_some();
        let old: Vec<Account> = self
            .accounts
            .range(from..to)
            .filter(|(account, row)| row.reserved.is_zero() && !open(account))
            .map(|(account, _)| account.clone())
            .collect();
        for account in old {
            self.accounts.remove(&account);
        }
    }

    fn assert_constraint(&self, account: &Account) {
        if let Some(row) = self.accounts.get(account) {
            assert!(
                row.used.0 + row.reserved.0 <= row.limit.0,
                "invariant: used + reserved <= limit, but {account} has {row:?}"
            );
            let covered: u64 = self.leases_of(account).map(|(_, lease)| lease.outstanding().0).sum();
            assert_eq!(row.reserved.0, covered, "invariant: reserved is what leases cover, for {account}");
        }
    }

    /// Begins a node's next epoch. Concerned: the node, its leases, their accounts and all leases of these.
    pub fn open(&mut self, node: NodeId) -> Opened {
        let new = NodeRow { epoch: Epoch(0), seq: Seq(0), heard: Time(0), horizon: Time(0) };
        let row = self.nodes.entry(node).or_insert(new);
        row.epoch = Epoch(row.epoch.0 + 1);
        (row.seq, row.heard) = (Seq(0), Time(0));
        let (epoch, horizon) = (row.epoch, row.horizon);
        let mut burnt = Units::ZERO;
        let leased: Vec<(Account, NodeId)> =
            self.leases.keys().filter(|(_, owner)| *owner == node).cloned().collect();
        for key in leased {
            let lease = self.remove_lease(&key).expect("invariant: listed just now");
            let covered = lease.outstanding();
            let (account, _) = key;
            if account.window == WindowId::EVERY {
                // A standing share is not spent by being held, and stays the node's: a life that is only thought dead may
                // spend it up to the horizon, and nobody else may meanwhile. The new life does from there on.
                let lease = Lease { epoch, granted: covered, ..Lease::default() };
                self.put_lease(account.clone(), node, lease);
            } else {
                let row = self.accounts.get_mut(&account).expect("invariant: a lease has an account");
                row.reserved = row.reserved.minus(covered);
                row.used = row.used.plus(covered);
                burnt = burnt.plus(covered);
            }
            self.assert_constraint(&account);
        }
        Opened { epoch, burnt, horizon }
    }

    /// Settles and extends. Concerned: the batch's node; of each entry's key the key, all accounts and all leases; the nodes
    /// that hold these accounts; and all leases of each account that some node wants units of and this node holds.
    pub fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        let node = self.nodes.get(&batch.node).ok_or(LedgerError::Unopened { node: batch.node })?;
        if batch.epoch != node.epoch {
            return Err(LedgerError::Fenced { sent: batch.epoch, current: node.epoch });
        }
        if batch.seq > node.seq.next() {
            return Err(LedgerError::Gap { sent: batch.seq, expected: node.seq.next() });
        }
        if batch.seq == node.seq.next() {
            let mut named = BTreeSet::new();
            if let Some(entry) = batch.entries.iter().find(|entry| !named.insert(&entry.account)) {
                return Err(LedgerError::Twice { account: entry.account.clone() });
            }
            batch.entries.iter().try_for_each(|entry| self.check(batch, entry))?;
            for entry in &batch.entries {
                self.settle_and_extend(batch, entry);
            }
            let node = self.nodes.get_mut(&batch.node).expect("invariant: looked up above");
            (node.seq, node.heard, node.horizon) = (batch.seq, batch.now, batch.horizon);
            batch.entries.iter().for_each(|entry| self.meet(&entry.account, entry.span));
            batch.entries.iter().for_each(|entry| self.assert_constraint(&entry.account));
        }
        let rows = batch.entries.iter().map(|entry| self.row(batch, entry)).collect();
        Ok(Reply { seq: batch.seq, rows, recalled: self.recalled(batch) })
    }

    /// The nodes that hold leases and were last heard of before a moment. Concerned: these nodes, and a lease of each.
    pub fn silent(&self, before: Time) -> Vec<Silent> {
        let holders: BTreeSet<NodeId> = self.leases.keys().map(|(_, node)| *node).collect();
        let silent = self.nodes.iter().filter(|(node, row)| row.heard < before && holders.contains(node));
        silent.map(|(node, row)| Silent { node: *node, epoch: row.epoch, seq: row.seq }).collect()
    }

    /// An account with its leases. Concerned: the key, the account, its leases.
    pub fn load(&self, account: &Account) -> Option<Loaded> {
        if !self.accounts.contains_key(account) && !self.keys.contains_key(&account.key) {
            return None;
        }
        let leases = self.leases_of(account).collect();
        Some(Loaded { baseline: self.baseline(account, 0), leases })
    }

    /// A key with its windows. Concerned: the key and its accounts.
    pub fn stored(&self, key: &Key) -> Option<Stored> {
        let row = self.keys.get(key)?;
        let [first, last] = [WindowId(0), WindowId::EVERY].map(|window| Account { key: key.clone(), window });
        let accounts = self.accounts.range(first..=last);
        let windows = accounts.map(|(account, _)| (account.window, self.baseline(account, 0))).collect();
        Some(Stored { key: key.clone(), target: row.target, windows })
    }

    /// All rows as bytes, in one order.
    pub fn image(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut words = |key: &[u8], words: &[u64]| {
            write_bytes(&mut bytes, key);
            for word in words {
                write_u64(&mut bytes, *word);
            }
        };
        for (node, row) in &self.nodes {
            words(b"node", &[node.0, row.epoch.0, row.seq.0, row.heard.0, row.horizon.0]);
        }
        for (key, row) in &self.keys {
            words(key.as_bytes(), &[row.target.0, row.newest.0]);
        }
        for (account, row) in &self.accounts {
            let holder = row.holder.map_or([0, 0, 0], |(node, epoch)| [1, node.0, epoch.0]);
            let amounts = [row.limit.0, row.used.0, row.reserved.0, row.overrun.0, row.high];
            words(account.key.as_bytes(), &[account.window.0]);
            words(b"", &amounts);
            words(b"", &holder);
        }
        for ((account, node), lease) in &self.leases {
            words(account.key.as_bytes(), &[node.0, account.window.0, lease.epoch.0, lease.seq.0]);
            words(b"", &[lease.granted.0, lease.consumed.0, lease.refunded.0, lease.returned.0]);
            words(b"", &[lease.unbacked.0, lease.credited.0, lease.wanted.0]);
        }
        bytes
    }
}
