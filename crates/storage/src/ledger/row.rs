//! The rows of a ledger as bytes, and where they stand.
//!
//! Invariant: the places of a key's rows begin with the key's own and with no other key's; rows of one key stand in the
//! order of windows, then of nodes. A record's checksum covers its place, and decoding anything else than what was
//! written gives [`Damage`], never a panic.

use deltaic_quota::{
    Account, AccountRow, Epoch, Key, KeyRow, Lease, NodeId, NodeRow, Seq, Time, Units, WindowId,
};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::Damage;
use crate::record::{Kind, open, seal, start};

/// The bytes of a number in a place: big-endian, so that places have the order of numbers.
const NUMBER: usize = 8;

/// Where a key stands: its length, so that none is another's prefix, and its bytes.
pub(super) fn key_place(key: &Key) -> Vec<u8> {
    let bytes = key.as_bytes();
    let length = u16::try_from(bytes.len()).expect("invariant: a key's length is limited");
    [&length.to_be_bytes()[..], bytes].concat()
}

pub(super) fn account_place(account: &Account) -> Vec<u8> {
    [&key_place(&account.key)[..], &account.window.0.to_be_bytes()].concat()
}

pub(super) fn lease_place(account: &Account, node: NodeId) -> Vec<u8> {
    [&account_place(account)[..], &node.0.to_be_bytes()].concat()
}

/// Where a lease stands among those of its node.
pub(super) fn held_place(node: NodeId, lease: &[u8]) -> Vec<u8> {
    [&node.0.to_be_bytes()[..], lease].concat()
}

/// The key at the front of a place, and what follows.
pub(super) fn split_key(place: &[u8]) -> Result<(Key, &[u8]), Damage> {
    let (length, rest) = place.split_first_chunk::<2>().ok_or(Damage::Misplaced)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (key, rest) = rest.split_at_checked(length).ok_or(Damage::Misplaced)?;
    Ok((Key::new(key).ok_or(Damage::Misplaced)?, rest))
}

fn split_number(place: &[u8]) -> Result<(u64, &[u8]), Damage> {
    let (number, rest) = place.split_first_chunk::<NUMBER>().ok_or(Damage::Misplaced)?;
    Ok((u64::from_be_bytes(*number), rest))
}

fn end(rest: &[u8]) -> Result<(), Damage> {
    if rest.is_empty() { Ok(()) } else { Err(Damage::Misplaced) }
}

pub(super) fn key_of(place: &[u8]) -> Result<Key, Damage> {
    let (key, rest) = split_key(place)?;
    end(rest).map(|()| key)
}

pub(super) fn account_of(place: &[u8]) -> Result<Account, Damage> {
    let (key, rest) = split_key(place)?;
    let (window, rest) = split_number(rest)?;
    end(rest).map(|()| Account { key, window: WindowId(window) })
}

pub(super) fn lease_of(place: &[u8]) -> Result<(Account, NodeId), Damage> {
    let (key, rest) = split_key(place)?;
    let (window, rest) = split_number(rest)?;
    let (node, rest) = split_number(rest)?;
    end(rest).map(|()| (Account { key, window: WindowId(window) }, NodeId(node)))
}

/// Where a node stands among those of an aggregate.
pub(super) fn node_place(name: &Key, node: NodeId) -> Vec<u8> {
    [&key_place(name)[..], &node.0.to_be_bytes()].concat()
}

pub(super) fn node_of(place: &[u8]) -> Result<(Key, NodeId), Damage> {
    let (name, rest) = split_key(place)?;
    let (node, rest) = split_number(rest)?;
    end(rest).map(|()| (name, NodeId(node)))
}

fn write<const N: usize>(kind: Kind, numbers: [u64; N], place: &[u8]) -> Vec<u8> {
    let mut bytes = start(kind);
    for number in numbers {
        write_u64(&mut bytes, number);
    }
    seal(bytes, place)
}

/// Numbers, of which formats before this one had the first `old`: the others were nothing then.
fn read<const N: usize>(record: &[u8], kind: Kind, place: &[u8], old: usize) -> Result<[u64; N], Damage> {
    let mut reader: Reader<'_> = open(record, kind, place)?;
    let mut numbers = [0; N];
    for (at, number) in numbers.iter_mut().enumerate() {
        if at == old && reader.is_empty() {
            break;
        }
        *number = reader.u64()?;
    }
    reader.finish()?;
    Ok(numbers)
}

pub(super) fn write_node(row: &NodeRow, node: NodeId) -> Vec<u8> {
    write(Kind::BudgetNode, [row.epoch.0, row.seq.0, row.horizon.0, row.heard.0], &node.0.to_be_bytes())
}

pub(super) fn read_node(record: &[u8], node: NodeId) -> Result<NodeRow, Damage> {
    let [epoch, seq, horizon, heard] = read(record, Kind::BudgetNode, &node.0.to_be_bytes(), 3)?;
    Ok(NodeRow { epoch: Epoch(epoch), seq: Seq(seq), heard: Time(heard), horizon: Time(horizon) })
}

/// Where a node stands in an aggregate.
pub(super) fn write_turn((epoch, seq): (Epoch, Seq), place: &[u8]) -> Vec<u8> {
    write(Kind::AggregateNode, [epoch.0, seq.0], place)
}

pub(super) fn read_turn(record: &[u8], place: &[u8]) -> Result<(Epoch, Seq), Damage> {
    let [epoch, seq] = read(record, Kind::AggregateNode, place, 2)?;
    Ok((Epoch(epoch), Seq(seq)))
}

pub(super) fn write_key(row: &KeyRow, place: &[u8]) -> Vec<u8> {
    write(Kind::BudgetKey, [row.target.0, row.newest.0], place)
}

pub(super) fn read_key(record: &[u8], place: &[u8]) -> Result<KeyRow, Damage> {
    let [target, newest] = read(record, Kind::BudgetKey, place, 2)?;
    Ok(KeyRow { target: Units(target), newest: WindowId(newest) })
}

pub(super) fn write_account(row: &AccountRow, place: &[u8]) -> Vec<u8> {
    let AccountRow { limit, used, reserved, overrun, high, holder } = row;
    let (is_held, node, epoch) = holder.map_or((0, 0, 0), |(node, epoch)| (1, node.0, epoch.0));
    let numbers = [limit.0, used.0, reserved.0, overrun.0, *high, is_held, node, epoch];
    write(Kind::BudgetAccount, numbers, place)
}

pub(super) fn read_account(record: &[u8], place: &[u8]) -> Result<AccountRow, Damage> {
    let [limit, used, reserved, overrun, high, is_held, node, epoch] =
        read(record, Kind::BudgetAccount, place, 8)?;
    let holder = match is_held {
        0 if node == 0 && epoch == 0 => None,
        1 => Some((NodeId(node), Epoch(epoch))),
        _ => return Err(DecodeError::Invalid("holder").into()),
    };
    let row = AccountRow {
        limit: Units(limit),
        used: Units(used),
        reserved: Units(reserved),
        overrun: Units(overrun),
        high,
        holder,
    };
    // The constraint of the store: rows that break it were not written here.
    let is_within = used.checked_add(reserved).is_some_and(|held| held <= limit);
    if is_within { Ok(row) } else { Err(DecodeError::Invalid("account: used + reserved <= limit").into()) }
}

pub(super) fn write_lease(row: &Lease, place: &[u8]) -> Vec<u8> {
    let Lease { epoch, seq, granted, consumed, refunded, returned, unbacked, credited, wanted } = row;
    let counts = [granted.0, consumed.0, refunded.0, returned.0, unbacked.0, credited.0, wanted.0];
    let [granted, consumed, refunded, returned, unbacked, credited, wanted] = counts;
    let numbers = [epoch.0, seq.0, granted, consumed, refunded, returned, unbacked, credited, wanted];
    write(Kind::BudgetLease, numbers, place)
}

pub(super) fn read_lease(record: &[u8], place: &[u8]) -> Result<Lease, Damage> {
    let [epoch, seq, granted, consumed, refunded, returned, unbacked, credited, wanted] =
        read(record, Kind::BudgetLease, place, 8)?;
    Ok(Lease {
        epoch: Epoch(epoch),
        seq: Seq(seq),
        granted: Units(granted),
        consumed: Units(consumed),
        refunded: Units(refunded),
        returned: Units(returned),
        unbacked: Units(unbacked),
        credited: Units(credited),
        wanted: Units(wanted),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::ledger) fn node_of_first_format(row: &NodeRow, node: NodeId) -> Vec<u8> {
        write(Kind::BudgetNode, [row.epoch.0, row.seq.0, row.horizon.0], &node.0.to_be_bytes())
    }

    pub(in crate::ledger) fn lease_of_first_format(row: &Lease, place: &[u8]) -> Vec<u8> {
        let Lease { epoch, seq, granted, consumed, refunded, returned, unbacked, credited, .. } = *row;
        let counts = [granted, consumed, refunded, returned, unbacked, credited].map(|units| units.0);
        let [granted, consumed, refunded, returned, unbacked, credited] = counts;
        let numbers = [epoch.0, seq.0, granted, consumed, refunded, returned, unbacked, credited];
        write(Kind::BudgetLease, numbers, place)
    }

    fn key() -> impl Strategy<Value = Key> {
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Key::new(&bytes).unwrap())
    }

    proptest! {
        #[test]
        fn places_have_the_order_of_what_stands_there_and_are_read_again(
            (a, b) in (key(), key()),
            windows in any::<(u64, u64)>(),
            nodes in any::<(u64, u64)>(),
        ) {
            let of = |key: &Key, window, node| (Account { key: key.clone(), window: WindowId(window) }, NodeId(node));
            let (x, y) = (of(&a, windows.0, nodes.0), of(&b, windows.1, nodes.1));
            let place = |(account, node): &(Account, NodeId)| lease_place(account, *node);
            prop_assert_eq!(lease_of(&place(&x)).unwrap(), x.clone());
            prop_assert_eq!(account_of(&account_place(&x.0)).unwrap(), x.0.clone());
            prop_assert_eq!(key_of(&key_place(&a)).unwrap(), a.clone());
            prop_assert_eq!(place(&x).starts_with(&key_place(&b)), a == b, "no key is another's prefix");
            if a == b {
                prop_assert_eq!(place(&x).cmp(&place(&y)), x.cmp(&y));
            }
        }

        #[test]
        fn rows_are_read_as_written_and_nowhere_else(numbers in any::<[u32; 9]>(), held in any::<bool>(), key in key()) {
            let [a, b, c, d, e, f, g, h, i] = numbers.map(u64::from);
            let account = Account { key, window: WindowId(i) };
            let (place, other) = (account_place(&account), lease_place(&account, NodeId(a)));
            let row = AccountRow {
                limit: Units(a + b + c),
                used: Units(a),
                reserved: Units(b),
                overrun: Units(d),
                high: e,
                holder: held.then_some((NodeId(f), Epoch(g))),
            };
            prop_assert_eq!(read_account(&write_account(&row, &place), &place).unwrap(), row);
            prop_assert_eq!(read_account(&write_account(&row, &place), &other), Err(Damage::Checksum));
            let broken = AccountRow { limit: Units((a + b).saturating_sub(1)), ..row };
            if a + b > 0 {
                prop_assert!(read_account(&write_account(&broken, &place), &place).is_err());
            }
            let node = NodeRow { epoch: Epoch(a), seq: Seq(b), heard: Time(e), horizon: Time(c) };
            prop_assert_eq!(read_node(&write_node(&node, NodeId(d)), NodeId(d)).unwrap(), node);
            let key = KeyRow { target: Units(a), newest: WindowId(b) };
            prop_assert_eq!(read_key(&write_key(&key, &place), &place).unwrap(), key);
            let lease = Lease {
                epoch: Epoch(a),
                seq: Seq(b),
                granted: Units(c),
                consumed: Units(d),
                refunded: Units(e),
                returned: Units(f),
                unbacked: Units(g),
                credited: Units(h),
                wanted: Units(i),
            };
            prop_assert_eq!(read_lease(&write_lease(&lease, &other), &other).unwrap(), lease);
            // As the first format had them.
            let old = write(Kind::BudgetLease, [a, b, c, d, e, f, g, h], &other);
            prop_assert_eq!(read_lease(&old, &other).unwrap(), Lease { wanted: Units::ZERO, ..lease });
            let old = write(Kind::BudgetNode, [a, b, c], &d.to_be_bytes());
            prop_assert_eq!(read_node(&old, NodeId(d)).unwrap(), NodeRow { heard: Time(0), ..node });
            let torn = write(Kind::BudgetLease, [a, b, c, d, e, f, g], &other);
            prop_assert!(read_lease(&torn, &other).is_err());
        }

        #[test]
        fn foreign_bytes_are_damage(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(read_account(&bytes, b"there").is_err());
            prop_assert!(read_lease(&bytes, b"there").is_err());
            prop_assert!(read_node(&bytes, NodeId(1)).is_err());
            prop_assert!(read_key(&bytes, b"there").is_err());
            for read in [lease_of(&bytes).err(), account_of(&bytes).err(), key_of(&bytes).err()] {
                prop_assert!(read.is_none_or(|damage| damage == Damage::Misplaced));
            }
        }
    }
}
