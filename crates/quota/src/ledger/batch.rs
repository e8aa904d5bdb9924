//! [`Batch`]: what a node sends, and its bytes.
//!
//! Invariant: equal batches have equal bytes, decoding what was encoded gives the batch back, and foreign bytes give
//! an error. A batch that is sent again is the same bytes: it is kept, never made anew.

use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};

use crate::{Account, Epoch, Key, NodeId, Seq, Time, Units, WindowId};

/// The most entries of a batch.
const ENTRIES: usize = 1 << 20;

/// What a node has to say to the ledger at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who speaks.
    pub node: NodeId,
    /// In which of its lives.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// When, by the node's clock: until then it is known to be alive.
    pub now: Time,
    /// The node spends standing shares only of windows that begin before this.
    pub horizon: Time,
    /// One per account, in the order of accounts, so that two nodes' transactions lock rows in one order.
    pub entries: Vec<Entry>,
}

/// One account's row: settle, then extend. All amounts are cumulative for the lease but what is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which row.
    pub account: Account,
    /// How many windows before this one count against its limit: 0 unless the window slides.
    pub span: u64,
    /// The limit, as the node knows it.
    pub limit: LimitWord,
    /// Admitted, gross.
    pub consumed: Units,
    /// Given back by clients.
    pub refunded: Units,
    /// Sent home unspent.
    pub returned: Units,
    /// Spent without cover, net of refunds; it may go down.
    pub unbacked: Units,
    /// Added to the limit.
    pub credited: Units,
    /// What the node would like to have.
    pub claim: Claim,
    /// Whether the lease ends here.
    pub then: Then,
}

/// What an entry says of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitWord {
    /// It stays; a key that is new gets this one.
    Initially(Units),
    /// It is to be this from now on.
    Set(Units),
}

/// What an entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Up to so many units of what is left, beyond all granted so far.
    Units(Units),
    /// The bucket's high-water mark up to this.
    High(u64),
}

/// What becomes of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    Keep,
    /// It ends: the row is removed. What it still covers is spent.
    Close,
}

impl Batch {
    /// The batch's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + 48 * self.entries.len());
        let count = self.entries.len() as u64;
        for word in [self.node.0, self.epoch.0, self.seq.0, self.now.0, self.horizon.0, count] {
            write_u64(&mut bytes, word);
        }
        for entry in &self.entries {
            write_bytes(&mut bytes, entry.account.key.as_bytes());
            let (set, limit) = match entry.limit {
                LimitWord::Initially(limit) => (0, limit),
                LimitWord::Set(limit) => (1, limit),
            };
            let (high, claim) = match entry.claim {
                Claim::Units(units) => (0, units.0),
                Claim::High(until) => (2, until),
            };
            let close = if entry.then == Then::Close { 4 } else { 0 };
            for word in [
                entry.account.window.0,
                entry.span,
                set | high | close,
                limit.0,
                entry.consumed.0,
                entry.refunded.0,
                entry.returned.0,
                entry.unbacked.0,
                entry.credited.0,
                claim,
            ] {
                write_u64(&mut bytes, word);
            }
        }
        bytes
    }

    /// Reads what [`Batch::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (node, epoch, seq) = (NodeId(reader.u64()?), Epoch(reader.u64()?), Seq(reader.u64()?));
        let (now, horizon) = (Time(reader.u64()?), Time(reader.u64()?));
        let count = reader.length(ENTRIES)?;
        let entries = (0..count).map(|_| entry(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { node, epoch, seq, now, horizon, entries })
    }
}

fn entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let key = Key::new(reader.bytes(Key::BYTES)?).ok_or(DecodeError::Invalid("key"))?;
    let account = Account { key, window: WindowId(reader.u64()?) };
    let (span, flags) = (reader.u64()?, reader.u64()?);
    if flags > 7 {
        return Err(DecodeError::Invalid("flags of an entry"));
    }
    let mut units = || Ok::<_, DecodeError>(Units(reader.u64()?));
    let limit = units()?;
    let limit = if flags & 1 == 0 { LimitWord::Initially(limit) } else { LimitWord::Set(limit) };
    let [consumed, refunded, returned, unbacked, credited, claim] =
        [units()?, units()?, units()?, units()?, units()?, units()?];
    let claim = if flags & 2 == 0 { Claim::Units(claim) } else { Claim::High(claim.0) };
    let then = if flags & 4 == 0 { Then::Keep } else { Then::Close };
    Ok(Entry { account, span, limit, consumed, refunded, returned, unbacked, credited, claim, then })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let numbers = proptest::collection::vec(any::<u64>(), 9);
        (proptest::collection::vec(any::<u8>(), 0..20), numbers, 0_u8..8).prop_map(|(key, n, flags)| Entry {
            account: Account { key: Key::new(&key).unwrap(), window: WindowId(n[0]) },
            span: n[1],
            limit: if flags & 1 == 0 {
                LimitWord::Initially(Units(n[2]))
            } else {
                LimitWord::Set(Units(n[2]))
            },
            consumed: Units(n[3]),
            refunded: Units(n[4]),
            returned: Units(n[5]),
            unbacked: Units(n[6]),
            credited: Units(n[7]),
            claim: if flags & 2 == 0 { Claim::Units(Units(n[8])) } else { Claim::High(n[8]) },
            then: if flags & 4 == 0 { Then::Keep } else { Then::Close },
        })
    }

    proptest! {
        #[test]
        fn a_batch_comes_back_and_a_torn_one_is_an_error(
            entries in proptest::collection::vec(entries(), 0..5), node: u64, epoch: u64, seq: u64,
            now: u64, horizon: u64,
        ) {
            let batch = Batch {
                node: NodeId(node),
                epoch: Epoch(epoch),
                seq: Seq(seq),
                now: Time(now),
                horizon: Time(horizon),
                entries,
            };
            let bytes = batch.encode();
            prop_assert_eq!(Batch::decode(&bytes), Ok(batch));
            for end in 0..bytes.len() {
                prop_assert!(Batch::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Batch::decode(&bytes);
        }
    }

    #[test]
    fn unknown_flags_are_refused() {
        let entry = [1, b'k', 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        let bytes = [&[1, 1, 1, 0, 0, 1][..], &entry].concat();
        assert_eq!(Batch::decode(&bytes), Err(DecodeError::Invalid("flags of an entry")));
    }
}
