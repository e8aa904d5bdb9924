//! What every [`Ledger`] has to hold, as checks that assert the *values of the rows*: an update that touches no row
//! answers as quietly as one that does.
//!
//! Invariant: the checks use the trait alone, so that a store passes by what it stores. [`check_all`] runs each on
//! a ledger of its own; `make` gives an empty one.
//!
//! ```
//! deltaic_quota::conformance::check_all(deltaic_quota::MemoryLedger::new);
//! ```

mod aggregates;

pub use aggregates::{check_aggregates, check_aggregates_in_any_order};

use crate::{
    Account, Baseline, Batch, Claim, Entry, Epoch, Key, Keys, Lease, Ledger, LedgerError, LimitWord, NodeId,
    Place, Reply, Seq, Silent, Stored, Then, Time, Units, WindowId,
};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Runs every check; panics at the first that does not hold.
pub fn check_all<L: Ledger>(mut make: impl FnMut() -> L) {
    settle_and_extend_changes_the_rows(&mut make());
    a_repeat_changes_nothing_and_grants_the_same(&mut make());
    a_batch_out_of_its_turn_is_refused(&mut make());
    a_dead_epoch_is_burnt_and_refused(&mut make());
    grants_end_at_the_limit_and_the_last_unit_is_granted_once(&mut make());
    a_refund_after_settling_is_spent_again(&mut make());
    a_cut_is_reached_as_leases_come_home(&mut make());
    credit_is_counted_once(&mut make());
    a_closed_lease_leaves_nothing_behind(&mut make());
    a_node_with_broken_counts_is_refused_whole(&mut make());
    windows_slide_under_one_limit(&mut make());
    what_has_no_cover_is_recorded(&mut make());
    a_bucket_has_one_holder_and_rises(&mut make());
    a_standing_share_is_not_burnt(&mut make());
    edges_of_the_numbers(&mut make());
    an_account_that_is_named_twice_is_refused(&mut make());
    who_was_not_heard_is_told_and_its_end_is_a_burn(&mut make());
    what_others_hold_is_called_home(&mut make());
    a_want_ends_when_nothing_can_come(&mut make());
    what_a_reply_has_no_room_for_is_recalled_by_the_next(&mut make());
    a_bucket_a_share_and_an_old_window_want_nothing(&mut make());
    keys_are_told_in_parts_each_once(&mut make());
}

/// An entry that says nothing and asks for nothing, to be filled in.
pub fn entry(account: &Account, limit: Units) -> Entry {
    Entry {
        account: account.clone(),
        span: 0,
        limit: LimitWord::Initially(limit),
        consumed: Units::ZERO,
        refunded: Units::ZERO,
        returned: Units::ZERO,
        unbacked: Units::ZERO,
        credited: Units::ZERO,
        claim: Claim::Units(Units::ZERO),
        then: Then::Keep,
    }
}

/// A batch of a node.
pub fn batch(node: NodeId, epoch: u64, seq: u64, entries: Vec<Entry>) -> Batch {
    Batch { node, epoch: Epoch(epoch), seq: Seq(seq), now: Time(0), horizon: Time(0), entries }
}

fn stock(name: &str) -> Account {
    Account::stock(Key::new(name.as_bytes()).expect("invariant: the checks' names are short"))
}

fn want(account: &Account, limit: u64, want: u64) -> Entry {
    Entry { claim: Claim::Units(Units(want)), ..entry(account, Units(limit)) }
}

fn settle(account: &Account, consumed: u64, refunded: u64, returned: u64) -> Entry {
    Entry {
        consumed: Units(consumed),
        refunded: Units(refunded),
        returned: Units(returned),
        ..entry(account, Units(u64::from(u32::MAX)))
    }
}

fn open<L: Ledger>(ledger: &mut L, node: NodeId, epoch: u64) {
    let opened = ledger.open(node).expect("an epoch can be opened");
    assert_eq!(opened.epoch, Epoch(epoch), "epochs count from 1");
}

fn apply<L: Ledger>(ledger: &mut L, batch: &Batch) -> Reply {
    let reply = ledger.apply(batch).expect("a batch in its turn is applied");
    assert_eq!((reply.seq, reply.rows.len()), (batch.seq, batch.entries.len()), "one row for each entry");
    reply
}

fn baseline<L: Ledger>(ledger: &mut L, account: &Account) -> Baseline {
    ledger.load(account).expect("an account can be loaded").expect("the account is stored").baseline
}

/// `(limit, used, reserved)` as stored.
fn row<L: Ledger>(ledger: &mut L, account: &Account) -> (u64, u64, u64) {
    let row = baseline(ledger, account);
    (row.limit.0, row.used.0, row.reserved.0)
}

fn lease<L: Ledger>(ledger: &mut L, account: &Account, node: NodeId) -> Option<Lease> {
    let loaded = ledger.load(account).expect("an account can be loaded").expect("the account is stored");
    loaded.leases.into_iter().find(|(owner, _)| *owner == node).map(|(_, lease)| lease)
}

fn image<L: Ledger>(ledger: &mut L) -> Vec<u8> {
    ledger.image().expect("a ledger can be imaged")
}

fn settle_and_extend_changes_the_rows<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    assert_eq!(ledger.load(&account), Ok(None), "nothing was stored yet");
    open(ledger, A, 1);
    let reply = apply(ledger, &batch(A, 1, 1, vec![want(&account, 100, 30)]));
    assert_eq!(reply.rows[0].granted, Units(30));
    assert_eq!(row(ledger, &account), (100, 0, 30));
    let more = Entry { claim: Claim::Units(Units(10)), ..settle(&account, 20, 5, 3) };
    let reply = apply(ledger, &batch(A, 1, 2, vec![more]));
    assert_eq!(reply.rows[0].granted, Units(40), "grants are cumulative");
    assert_eq!(row(ledger, &account), (100, 15, 22));
    let stored = lease(ledger, &account, A).expect("the lease is stored");
    assert_eq!((stored.epoch, stored.seq, stored.granted), (Epoch(1), Seq(2), Units(40)));
    assert_eq!((stored.consumed, stored.refunded, stored.returned), (Units(20), Units(5), Units(3)));
    assert_eq!(reply.rows[0].baseline.left(), Units(63));
}

fn a_repeat_changes_nothing_and_grants_the_same<L: Ledger>(ledger: &mut L) {
    let (one, two) = (stock("one"), stock("two"));
    open(ledger, A, 1);
    let first = batch(A, 1, 1, vec![want(&one, 100, 30), want(&two, 10, 99)]);
    let closing = Entry { then: Then::Close, ..settle(&two, 4, 0, 6) };
    let second =
        batch(A, 1, 2, vec![Entry { claim: Claim::Units(Units(7)), ..settle(&one, 10, 0, 0) }, closing]);
    let answer = apply(ledger, &first);
    let stored = image(ledger);
    assert_eq!(apply(ledger, &first), answer, "the same batch has the same answer");
    assert_eq!(image(ledger), stored, "the same batch changes no byte");
    let answer = apply(ledger, &second);
    let stored = image(ledger);
    for _ in 0..2 {
        apply(ledger, &first);
        assert_eq!(image(ledger), stored, "yesterday's batch changes no byte");
        assert_eq!(apply(ledger, &second), answer, "a repeat has its answer after others came late");
        assert_eq!(image(ledger), stored);
    }
}

fn a_batch_out_of_its_turn_is_refused<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    let early = batch(A, 1, 2, vec![want(&account, 9, 1)]);
    assert_eq!(ledger.apply(&early), Err(LedgerError::Unopened { node: A }));
    open(ledger, A, 1);
    let stored = image(ledger);
    assert_eq!(ledger.apply(&early), Err(LedgerError::Gap { sent: Seq(2), expected: Seq(1) }));
    assert_eq!(image(ledger), stored, "a refused batch changes no byte");
}

fn a_dead_epoch_is_burnt_and_refused<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    open(ledger, B, 1);
    apply(ledger, &batch(B, 1, 1, vec![want(&account, 100, 10)]));
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 100, 30)]));
    let late = batch(A, 1, 2, vec![settle(&account, 12, 2, 0)]);
    apply(ledger, &late);
    assert_eq!(row(ledger, &account), (100, 10, 30));
    let opened = ledger.open(A).expect("an epoch can be opened");
    assert_eq!((opened.epoch, opened.burnt), (Epoch(2), Units(20)));
    assert_eq!(row(ledger, &account), (100, 30, 10), "what the dead epoch held is spent, the other's is not");
    assert_eq!(lease(ledger, &account, A), None);
    let stored = image(ledger);
    let fenced = Err(LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) });
    for seq in 1..5 {
        assert_eq!(ledger.apply(&Batch { seq: Seq(seq), ..late.clone() }), fenced);
    }
    assert_eq!(image(ledger), stored, "a zombie changes no byte");
    assert_eq!(ledger.open(A).map(|opened| opened.burnt), Ok(Units::ZERO), "nothing is burnt twice");
}

fn grants_end_at_the_limit_and_the_last_unit_is_granted_once<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    open(ledger, B, 1);
    let granted = |reply: Reply| reply.rows[0].granted.0;
    assert_eq!(granted(apply(ledger, &batch(A, 1, 1, vec![want(&account, 10, 9)]))), 9);
    assert_eq!(granted(apply(ledger, &batch(B, 1, 1, vec![want(&account, 10, 9)]))), 1);
    assert_eq!(granted(apply(ledger, &batch(A, 1, 2, vec![want(&account, 10, u64::MAX)]))), 9);
    assert_eq!(row(ledger, &account), (10, 0, 10));
}

fn a_refund_after_settling_is_spent_again<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 10, 10)]));
    apply(ledger, &batch(A, 1, 2, vec![settle(&account, 10, 0, 0)]));
    assert_eq!(row(ledger, &account), (10, 10, 0));
    apply(ledger, &batch(A, 1, 3, vec![settle(&account, 10, 6, 0)]));
    assert_eq!(row(ledger, &account), (10, 4, 6), "a refund moves units from used to reserved");
    apply(ledger, &batch(A, 1, 4, vec![settle(&account, 11, 6, 5)]));
    assert_eq!(row(ledger, &account), (10, 5, 0));
}

fn a_cut_is_reached_as_leases_come_home<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 100, 60)]));
    let cut = Entry { limit: LimitWord::Set(Units(20)), ..settle(&account, 10, 0, 0) };
    apply(ledger, &batch(A, 1, 2, vec![Entry { claim: Claim::Units(Units(1)), ..cut }]));
    assert_eq!(row(ledger, &account), (60, 10, 50), "the limit is what is in use, and nothing is granted");
    assert_eq!(baseline(ledger, &account).target, Units(20));
    apply(ledger, &batch(A, 1, 3, vec![settle(&account, 10, 0, 35)]));
    assert_eq!(row(ledger, &account), (25, 10, 15));
    apply(ledger, &batch(A, 1, 4, vec![settle(&account, 10, 0, 50)]));
    assert_eq!(row(ledger, &account), (20, 10, 0), "the target is reached");
    let raise = Entry { limit: LimitWord::Set(Units(30)), ..settle(&account, 10, 0, 50) };
    let reply = apply(ledger, &batch(A, 1, 5, vec![Entry { claim: Claim::Units(Units(99)), ..raise }]));
    assert_eq!(reply.rows[0].granted, Units(80), "a raise is granted from at once");
    assert_eq!(row(ledger, &account), (30, 10, 20));
}

fn credit_is_counted_once<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    let credit = batch(A, 1, 1, vec![Entry { credited: Units(5), ..want(&account, 10, 0) }]);
    for _ in 0..3 {
        apply(ledger, &credit);
        assert_eq!(row(ledger, &account), (15, 0, 0));
    }
    apply(ledger, &batch(A, 1, 2, vec![Entry { credited: Units(7), ..want(&account, 10, 0) }]));
    assert_eq!(row(ledger, &account), (17, 0, 0), "credit is cumulative");
}

fn a_closed_lease_leaves_nothing_behind<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 10, 8)]));
    let close = batch(A, 1, 2, vec![Entry { then: Then::Close, ..settle(&account, 3, 0, 4) }]);
    let reply = apply(ledger, &close);
    assert_eq!(reply.rows[0].granted, Units::ZERO);
    assert_eq!(row(ledger, &account), (10, 4, 0), "what neither came home nor was settled is spent");
    assert_eq!(lease(ledger, &account, A), None);
    assert_eq!(apply(ledger, &close), reply, "a close can be repeated");
    let reply = apply(ledger, &batch(A, 1, 3, vec![want(&account, 99, 9)]));
    assert_eq!(reply.rows[0].granted, Units(6), "a later lease begins anew, with the limit that is stored");
}

fn a_node_with_broken_counts_is_refused_whole<L: Ledger>(ledger: &mut L) {
    let (one, two) = (stock("one"), stock("two"));
    open(ledger, A, 1);
    apply(ledger, &batch(A, 1, 1, vec![want(&one, 10, 5), want(&two, 10, 5)]));
    apply(ledger, &batch(A, 1, 2, vec![settle(&one, 4, 1, 1), settle(&two, 1, 0, 0)]));
    let stored = image(ledger);
    let wrong = [
        (settle(&one, 9, 1, 1), LedgerError::Overdrawn { account: one.clone() }),
        (settle(&one, 4, 5, 1), LedgerError::Overdrawn { account: one.clone() }),
        (settle(&one, 5, 1, 2), LedgerError::Overdrawn { account: one.clone() }),
        (settle(&one, u64::MAX, 1, u64::MAX), LedgerError::Overdrawn { account: one.clone() }),
        (settle(&one, 3, 1, 1), LedgerError::Backwards { account: one.clone() }),
        (settle(&one, 4, 0, 1), LedgerError::Backwards { account: one.clone() }),
        (settle(&one, 4, 1, 0), LedgerError::Backwards { account: one.clone() }),
        (
            Entry { limit: LimitWord::Set(Units(1 << 63)), ..settle(&one, 4, 1, 1) },
            LedgerError::LimitTooHigh { account: one.clone(), limit: Units(1 << 63) },
        ),
    ];
    for (entry, error) in wrong {
        // The good entry before it must not be applied either.
        let outcome = ledger.apply(&batch(A, 1, 3, vec![settle(&two, 2, 0, 0), entry]));
        let same_kind = |found: &LedgerError| std::mem::discriminant(found) == std::mem::discriminant(&error);
        assert!(outcome.as_ref().is_err_and(same_kind), "{outcome:?} and not {error:?}");
        assert_eq!(image(ledger), stored, "a refused batch changes no byte");
    }
}

fn windows_slide_under_one_limit<L: Ledger>(ledger: &mut L) {
    let at = |window: u64| Account { window: WindowId(window), ..stock("k") };
    let sliding = |window: u64, units: u64| Entry { span: 2, ..want(&at(window), 10, units) };
    open(ledger, A, 1);
    open(ledger, B, 1);
    let granted = |reply: Reply| reply.rows[0].granted.0;
    assert_eq!(granted(apply(ledger, &batch(A, 1, 1, vec![sliding(5, 4)]))), 4);
    assert_eq!(granted(apply(ledger, &batch(A, 1, 2, vec![sliding(6, 4)]))), 4);
    let reply = apply(ledger, &batch(A, 1, 3, vec![sliding(7, 4)]));
    assert_eq!((reply.rows[0].granted, reply.rows[0].baseline.before), (Units(2), Units(8)));
    assert_eq!(
        granted(apply(ledger, &batch(B, 1, 1, vec![sliding(6, 4)]))),
        0,
        "a window is not granted from later"
    );
    let home = Entry { span: 2, ..settle(&at(5), 1, 0, 3) };
    let reply = apply(ledger, &batch(A, 1, 4, vec![home, sliding(7, 4)]));
    assert_eq!(reply.rows[1].granted, Units(5), "what came home of an earlier window is there again");
    assert_eq!(reply.rows[1].newest, WindowId(7));
    let reply = apply(ledger, &batch(A, 1, 5, vec![sliding(8, 99)]));
    assert_eq!(reply.rows[0].granted, Units(1), "window 5 has left, 6 and 7 have 4 and 5");
}

fn what_has_no_cover_is_recorded<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    let unbacked = |units: u64| Entry { unbacked: Units(units), ..want(&account, 10, 0) };
    apply(ledger, &batch(A, 1, 1, vec![unbacked(7)]));
    assert_eq!(row(ledger, &account), (10, 7, 0));
    apply(ledger, &batch(A, 1, 2, vec![unbacked(14)]));
    assert_eq!(row(ledger, &account), (10, 10, 0), "the constraint holds");
    assert_eq!(baseline(ledger, &account).overrun, Units(4), "and what went over is known");
    apply(ledger, &batch(A, 1, 3, vec![unbacked(8)]));
    assert_eq!(row(ledger, &account), (10, 8, 0), "refunds take from what went over first");
    assert_eq!(baseline(ledger, &account).overrun, Units::ZERO);
}

fn a_bucket_has_one_holder_and_rises<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    open(ledger, B, 1);
    let high = |until: u64| Entry { claim: Claim::High(until), ..entry(&account, Units(10)) };
    let reply = apply(ledger, &batch(A, 1, 1, vec![high(50)]));
    assert_eq!((reply.rows[0].baseline.high, reply.rows[0].held_by), (50, None));
    let reply = apply(ledger, &batch(A, 1, 2, vec![high(40)]));
    assert_eq!(reply.rows[0].baseline.high, 50, "a mark never falls");
    let reply = apply(ledger, &batch(B, 1, 1, vec![high(90)]));
    assert_eq!((reply.rows[0].baseline.high, reply.rows[0].held_by), (50, Some(A)));
    open(ledger, A, 2);
    let reply = apply(ledger, &batch(B, 1, 2, vec![high(90)]));
    assert_eq!(
        (reply.rows[0].baseline.high, reply.rows[0].held_by),
        (90, None),
        "a dead holder holds nothing"
    );
}

fn a_standing_share_is_not_burnt<L: Ledger>(ledger: &mut L) {
    let account = Account { window: WindowId::EVERY, ..stock("k") };
    open(ledger, A, 1);
    let share = Batch { horizon: Time(700), ..batch(A, 1, 1, vec![want(&account, 10, 6)]) };
    assert_eq!(apply(ledger, &share).rows[0].granted, Units(6));
    assert_eq!(row(ledger, &account), (10, 0, 6));
    let opened = ledger.open(A).expect("an epoch can be opened");
    assert_eq!((opened.burnt, opened.horizon), (Units::ZERO, Time(700)));
    // It stays the node's, and nobody else's: a life that was only thought dead may still spend it.
    assert_eq!(row(ledger, &account), (10, 0, 6));
    open(ledger, B, 1);
    assert_eq!(apply(ledger, &batch(B, 1, 1, vec![want(&account, 10, 10)])).rows[0].granted, Units(4));
    let reply = apply(ledger, &batch(A, 2, 1, vec![want(&account, 10, 6)]));
    assert_eq!(reply.rows[0].granted, Units(6), "what it had, and no more is left");
    apply(ledger, &batch(A, 2, 2, vec![settle(&account, 0, 0, 6)]));
    assert_eq!(row(ledger, &account), (10, 0, 4), "it goes home when the node says so");
}

fn edges_of_the_numbers<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    let most = Units::MAX.0;
    let reply = apply(ledger, &batch(A, 1, 1, vec![want(&account, most, u64::MAX)]));
    let granted = reply.rows[0].granted;
    assert!(granted <= Units::LEASE_MAX, "a lease leaves room: {granted}");
    apply(ledger, &batch(A, 1, 2, vec![Entry { credited: Units::MAX, ..settle(&account, granted.0, 0, 0) }]));
    assert_eq!(row(ledger, &account), (most, granted.0, 0), "credit ends at the largest limit");
    let zero = stock("zero");
    let reply = apply(ledger, &batch(A, 1, 3, vec![want(&zero, 0, 5)]));
    assert_eq!(reply.rows[0].granted, Units::ZERO);
    let empty = stock("");
    assert_eq!(apply(ledger, &batch(A, 1, 4, vec![want(&empty, 5, 5)])).rows[0].granted, Units(5));
    assert_eq!(apply(ledger, &batch(A, 1, 5, vec![])).rows, []);
}

fn an_account_that_is_named_twice_is_refused<L: Ledger>(ledger: &mut L) {
    let (one, two) = (stock("one"), stock("two"));
    let later = Account { window: WindowId(1), ..one.clone() };
    open(ledger, A, 1);
    let stored = image(ledger);
    let twice =
        batch(A, 1, 1, vec![want(&one, 10, 1), want(&later, 10, 1), want(&two, 10, 1), want(&one, 10, 1)]);
    assert_eq!(ledger.apply(&twice), Err(LedgerError::Twice { account: one.clone() }));
    let broken = batch(A, 1, 1, vec![settle(&two, 9, 0, 0), want(&one, 10, 1), want(&one, 10, 1)]);
    assert_eq!(ledger.apply(&broken), Err(LedgerError::Twice { account: one.clone() }), "before all else");
    assert_eq!(image(ledger), stored, "a refused batch changes no byte");
    let early = Batch { seq: Seq(2), ..twice.clone() };
    assert_eq!(ledger.apply(&early), Err(LedgerError::Gap { sent: Seq(2), expected: Seq(1) }));
    apply(ledger, &batch(A, 1, 1, vec![want(&one, 10, 1), want(&later, 10, 1)]));
}

fn who_was_not_heard_is_told_and_its_end_is_a_burn<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    let said = |ledger: &mut L, at: u64| ledger.silent(Time(at)).expect("silence can be asked for");
    let at = |now: u64, batch: Batch| Batch { now: Time(now), ..batch };
    open(ledger, A, 1);
    open(ledger, B, 1);
    assert_eq!(said(ledger, u64::MAX), [], "who holds no lease is not waited for");
    apply(ledger, &at(100, batch(A, 1, 1, vec![want(&account, 100, 30)])));
    apply(ledger, &at(300, batch(B, 1, 1, vec![want(&account, 100, 10)])));
    let silent = |node, seq| Silent { node, epoch: Epoch(1), seq: Seq(seq) };
    assert_eq!((said(ledger, 100), said(ledger, 101)), (vec![], vec![silent(A, 1)]));
    assert_eq!(said(ledger, 301), [silent(A, 1), silent(B, 1)]);
    // A batch that says nothing says that its node lives; a repeat says nothing new.
    let stored = row(ledger, &account);
    let heartbeat = at(400, batch(A, 1, 2, vec![]));
    apply(ledger, &heartbeat);
    assert_eq!((said(ledger, 400), row(ledger, &account)), (vec![silent(B, 1)], stored));
    apply(ledger, &at(999, batch(A, 1, 1, vec![])));
    assert_eq!(said(ledger, 401), [silent(A, 2), silent(B, 1)]);
    // Whoever finds it silent ends its life: what it held is spent.
    let opened = ledger.open(B).expect("an epoch can be opened");
    assert_eq!((opened.epoch, opened.burnt, row(ledger, &account)), (Epoch(2), Units(10), (100, 10, 30)));
    assert_eq!(said(ledger, 401), [silent(A, 2)], "the dead hold nothing");
    let fenced = Err(LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) });
    assert_eq!(ledger.apply(&at(500, batch(B, 1, 2, vec![settle(&account, 1, 0, 0)]))), fenced);
}

fn what_others_hold_is_called_home<L: Ledger>(ledger: &mut L) {
    let (account, other) = (stock("k"), stock("other"));
    open(ledger, A, 1);
    open(ledger, B, 1);
    let wanted = |ledger: &mut L, node| lease(ledger, &account, node).map(|lease| lease.wanted.0);
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 10, 10), want(&other, 10, 1)]));
    let reply = apply(ledger, &batch(B, 1, 1, vec![want(&account, 10, 25)]));
    assert_eq!((reply.rows[0].granted, reply.rows[0].recalled), (Units::ZERO, Units::ZERO));
    assert_eq!(wanted(ledger, B), Some(10), "no more is wanted than others hold");
    assert_eq!(reply.recalled, [], "nobody is told of its own wants");
    // The holder learns it with whatever it says next, and with each answer until it has done something about it.
    let heard = vec![(account.clone(), Units(10))];
    assert_eq!(apply(ledger, &batch(A, 1, 2, vec![])).recalled, heard);
    let reply = apply(ledger, &batch(A, 1, 3, vec![settle(&other, 1, 0, 0)]));
    assert_eq!((reply.recalled, reply.rows[0].recalled), (heard, Units::ZERO));
    let named = batch(A, 1, 4, vec![settle(&account, 2, 0, 0)]);
    let reply = apply(ledger, &named);
    assert_eq!((reply.recalled, reply.rows[0].recalled), (vec![], Units(10)));
    let part = apply(ledger, &batch(A, 1, 5, vec![settle(&account, 2, 0, 3)]));
    assert_eq!((part.rows[0].recalled, wanted(ledger, B)), (Units(10), Some(10)), "3 of 10 have come");
    // The wanting node asks again: what has come is its own, and what is missing now is wanted.
    let reply = apply(ledger, &batch(B, 1, 2, vec![want(&account, 10, 4)]));
    assert_eq!((reply.rows[0].granted, wanted(ledger, B)), (Units(3), Some(1)));
    let rest = batch(A, 1, 6, vec![settle(&account, 3, 0, 7)]);
    let reply = apply(ledger, &rest);
    assert_eq!((reply.rows[0].recalled, wanted(ledger, B)), (Units::ZERO, Some(0)), "enough has come");
    assert_eq!(apply(ledger, &rest), reply, "a repeat has the same answer");
    let reply = apply(ledger, &batch(B, 1, 3, vec![want(&account, 10, 4)]));
    assert_eq!((reply.rows[0].granted, row(ledger, &account)), (Units(7), (10, 3, 7)), "to the last unit");
}

fn a_want_ends_when_nothing_can_come<L: Ledger>(ledger: &mut L) {
    let account = stock("k");
    open(ledger, A, 1);
    open(ledger, B, 1);
    let wanted = |ledger: &mut L, node| lease(ledger, &account, node).map(|lease| lease.wanted.0);
    // Nobody else holds anything: an exhausted account leaves no want.
    apply(ledger, &batch(A, 1, 1, vec![want(&account, 10, 12)]));
    assert_eq!(wanted(ledger, A), Some(0));
    apply(ledger, &batch(B, 1, 1, vec![want(&account, 10, 5)]));
    assert_eq!(wanted(ledger, B), Some(5));
    // All of it was spent: there is nothing to come.
    apply(ledger, &batch(A, 1, 2, vec![settle(&account, 10, 0, 0)]));
    assert_eq!((wanted(ledger, B), row(ledger, &account)), (Some(0), (10, 10, 0)));
    // A refund is held again, and wanted again.
    apply(ledger, &batch(A, 1, 3, vec![settle(&account, 10, 2, 0)]));
    apply(ledger, &batch(B, 1, 2, vec![want(&account, 10, 5)]));
    assert_eq!(wanted(ledger, B), Some(2));
    // Who does not claim any more does not want any more.
    apply(ledger, &batch(B, 1, 3, vec![want(&account, 10, 0)]));
    assert_eq!(wanted(ledger, B), Some(0));
    apply(ledger, &batch(B, 1, 4, vec![want(&account, 10, 5)]));
    let close = Entry { then: Then::Close, ..want(&account, 10, 5) };
    apply(ledger, &batch(B, 1, 5, vec![close]));
    assert_eq!(apply(ledger, &batch(A, 1, 4, vec![])).recalled, [], "a closed lease wants nothing");
    apply(ledger, &batch(B, 1, 6, vec![want(&account, 10, 5)]));
    assert_eq!(apply(ledger, &batch(A, 1, 5, vec![])).recalled, [(account.clone(), Units(2))]);
    open(ledger, B, 2);
    assert_eq!(apply(ledger, &batch(A, 1, 6, vec![])).recalled, [], "the dead want nothing");
}

fn what_a_reply_has_no_room_for_is_recalled_by_the_next<L: Ledger>(ledger: &mut L) {
    let accounts: Vec<Account> = (0..Reply::RECALLED + 9).map(|n| stock(&format!("{n:05}"))).collect();
    open(ledger, A, 1);
    open(ledger, B, 1);
    let all = |claim| accounts.iter().map(|account| want(account, 5, claim)).collect::<Vec<_>>();
    apply(ledger, &batch(A, 1, 1, all(5)));
    apply(ledger, &batch(B, 1, 1, all(2)));
    let names = |reply: Reply| reply.recalled.into_iter().map(|(account, _)| account).collect::<Vec<_>>();
    let first = names(apply(ledger, &batch(A, 1, 2, vec![])));
    assert_eq!(first, accounts[..Reply::RECALLED]);
    // Those that the batch names take no room.
    let home: Vec<Entry> = first.iter().skip(3).map(|account| settle(account, 0, 0, 5)).collect();
    let kept = settle(&first[0], 1, 0, 0);
    let rest = names(apply(ledger, &batch(A, 1, 3, [vec![kept], home].concat())));
    assert_eq!(rest, [&accounts[1..3], &accounts[Reply::RECALLED..]].concat());
}

fn a_bucket_a_share_and_an_old_window_want_nothing<L: Ledger>(ledger: &mut L) {
    let at = |window| Account { window, ..stock("k") };
    let windows = [WindowId(5), WindowId(4), WindowId::EVERY];
    open(ledger, A, 1);
    open(ledger, B, 1);
    for (place, window) in windows.into_iter().rev().enumerate() {
        apply(ledger, &batch(A, 1, place as u64 + 1, vec![want(&at(window), 10, 10)]));
    }
    let entries = windows.map(|window| want(&at(window), 10, 3)).to_vec();
    apply(ledger, &batch(B, 1, 1, entries));
    let wants = windows.map(|window| lease(ledger, &at(window), B).map(|lease| lease.wanted.0));
    assert_eq!(wants, [Some(3), Some(0), Some(0)]);
    assert_eq!(apply(ledger, &batch(A, 1, 4, vec![])).recalled, [(at(WindowId(5)), Units(3))]);
    let high = Entry { claim: Claim::High(7), ..entry(&at(WindowId(5)), Units(10)) };
    apply(ledger, &batch(B, 1, 2, vec![high]));
    assert_eq!(apply(ledger, &batch(A, 1, 5, vec![])).recalled, []);
}

/// Keys that differ in length and in their last bytes: whatever order a store has, none is told twice or left out.
fn keys_are_told_in_parts_each_once<L: Ledger>(ledger: &mut L) {
    open(ledger, A, 1);
    let names = ["a", "b", "ab", "ba", "a\u{0}", "\u{10ffff}"];
    let mut seq = 0;
    for (place, name) in names.iter().enumerate() {
        for window in [WindowId(4), WindowId(5), WindowId::EVERY] {
            let account = Account { window, ..stock(name) };
            let units = 10 + place as u64;
            // The second window is granted beside the first one's settled units, as a sliding limit has it.
            let spent = Entry { span: 2, ..settle(&account, units, 0, 0) };
            for entry in [Entry { span: 2, ..want(&account, 100, units) }, spent] {
                seq += 1;
                apply(ledger, &batch(A, 1, seq, vec![entry]));
            }
        }
    }
    let mut told: Vec<Stored> = Vec::new();
    loop {
        let behind = told.last().map(|stored| stored.key.clone());
        let part = ledger.stored(&Keys::Behind(behind, 4)).expect("keys are told");
        assert!(part.len() <= 4, "no more than were asked for");
        if part.is_empty() {
            break;
        }
        told.extend(part);
    }
    assert_eq!(told.len(), names.len(), "each once");
    for (place, name) in names.iter().enumerate() {
        let key = stock(name).key;
        let stored = told.iter().find(|stored| stored.key == key).expect("each key is told");
        assert_eq!(ledger.stored(&Keys::Only(key.clone())), Ok(vec![stored.clone()]));
        assert_eq!(stored.target, Units(100));
        let windows: Vec<WindowId> = stored.windows.iter().map(|(window, _)| *window).collect();
        assert_eq!(windows, [WindowId(4), WindowId(5), WindowId::EVERY]);
        for (window, stored) in &stored.windows {
            assert_eq!(*stored, baseline(ledger, &Account { key: key.clone(), window: *window }));
        }
        let units = Units(10 + place as u64);
        let at = |id: u64| stored.at(&Place { id: WindowId(id), span: 1, begins: Time(0), ends: Time(1) });
        let sums = |id: u64| (at(id).used, at(id).before, at(id).limit);
        assert_eq!(sums(5), (units, units, Units(100)), "what went in the window before counts");
        assert_eq!(sums(6), (Units::ZERO, units, Units(100)), "so it does for one that has no row");
        assert_eq!(sums(7), (Units::ZERO, Units::ZERO, Units(100)));
    }
    assert_eq!(ledger.stored(&Keys::Only(stock("never").key)), Ok(vec![]));
}
