//! [`Link`]: what one replica knows of another, and the two streams between them.
//!
//! Invariant: `holds` is never more than what the peer holds and will not forget; the delta with the number `sent` brings
//! the peer to the cut that stands beside it, if it has merged the one before.

use std::collections::VecDeque;

use deltaic_causality::{ActorId, VersionVector};

use super::message::StreamId;
use super::message::advance;
use super::{Message, Micros, Settings, State, SyncMetrics};

/// A delta that waits until the one before it is merged.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) number: u64,
    pub(super) after: u64,
    pub(super) to: VersionVector,
    pub(super) is_whole: bool,
    pub(super) body: Vec<u8>,
}

/// How many deltas wait behind one that is being merged. More are dropped, and sent again.
const WAITING: usize = 16;

/// Our side of the peer's stream to us.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The stream that we asked for; none has the life 0.
    pub(super) stream: StreamId,
    /// The last delta that was merged.
    pub(super) merged: u64,
    /// The one that is being merged.
    pub(super) merging: Option<u64>,
    pub(super) waiting: VecDeque<Arrived>,
}

/// Our stream to the peer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The stream that the peer asked for; none has the life 0.
    pub(super) stream: StreamId,
    /// The last delta that the peer has merged.
    acked: u64,
    /// The last number that was given.
    last: u64,
    /// What is under way: numbers, and what the peer holds when it has merged them.
    sent: VecDeque<(u64, VersionVector)>,
    /// When the oldest of these is given up.
    give_up_at: Option<Micros>,
    /// How long it is waited for an acknowledgement.
    patience: u64,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: ActorId,
    /// Its life, as it said; 0 if it has said nothing.
    pub(super) life: u64,
    /// What the peer holds, as far as it has said so.
    pub(super) holds: VersionVector,
    /// All that it held when it last said so.
    pub(super) told: VersionVector,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// When it was last heard of, or became a member, on a clock that stands still while this replica does.
    pub(super) heard_at: Micros,
    /// It was said that nothing is heard of it.
    pub(super) is_silent: bool,
    /// It knows less than it once did: nothing more is said to it.
    pub(super) is_restored: bool,
    /// When the next question is due, and how far the one after it is away.
    ask_at: Micros,
    interval: u64,
    /// Deltas are sent from this moment on.
    send_at: Micros,
}

impl Link {
    pub(super) fn new(peer: ActorId, now: Micros, awake: Micros, settings: &Settings) -> Self {
        Self {
            peer,
            life: 0,
            holds: VersionVector::default(),
            told: VersionVector::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing { patience: settings.patience, ..Outgoing::default() },
            heard_at: awake,
            is_silent: false,
            is_restored: false,
            ask_at: now,
            interval: settings.least_interval,
            send_at: now,
        }
    }

    /// When something is due.
    pub(super) fn wake_at(&self, has_news: bool, window: usize) -> Micros {
        let can_send = has_news && self.outgoing.stream.life != 0 && self.outgoing.sent.len() < window;
        let send = if can_send { Some(self.send_at) } else { None };
        [send, self.outgoing.give_up_at].into_iter().flatten().fold(self.ask_at, Micros::min)
    }

    /// Something has happened: the peer is asked soon again.
    pub(super) fn hurry(&mut self, now: Micros, settings: &Settings) {
        self.interval = settings.least_interval;
        self.ask_at = self.ask_at.min(now.after(settings.most_interval));
    }

    /// What we hold, if it is time to say so.
    pub(super) fn ask(
        &mut self,
        now: Micros,
        state: &impl State,
        settings: &Settings,
        (life, began, streams): (u64, u64, &mut u64),
    ) -> Option<Message> {
        if now < self.ask_at {
            return None;
        }
        if self.incoming.stream.life == 0 {
            *streams += 1;
            self.incoming.stream = StreamId { life, number: *streams };
        }
        self.ask_at = now.after(self.interval);
        self.interval =
            self.interval.saturating_mul(2).clamp(settings.least_interval, settings.most_interval);
        let (stream, to) = (self.incoming.stream, self.life);
        Some(Message::Ask { stream, began, to, cut: state.cut().clone(), digest: state.digest() })
    }

    /// The peer has started: both streams begin anew.
    pub(super) fn met(&mut self, life: u64, settings: &Settings) {
        self.life = life;
        self.incoming = Incoming::default();
        self.outgoing = Outgoing { patience: settings.patience, ..Outgoing::default() };
    }

    /// The next question is asked now.
    pub(super) fn ask_now(&mut self, now: Micros) {
        self.ask_at = now;
    }

    /// The peer has asked for a stream.
    pub(super) fn asked(&mut self, stream: StreamId, cut: &VersionVector, settings: &Settings) {
        self.holds.join(cut);
        if stream > self.outgoing.stream {
            self.outgoing = Outgoing { stream, patience: settings.patience, ..Outgoing::default() };
        }
    }

    /// What the peer will hold when all that is under way has come.
    fn reaches(&self) -> VersionVector {
        let mut cut = self.holds.clone();
        if let Some((_, sent)) = self.outgoing.sent.back() {
            cut.join(sent);
        }
        cut
    }

    /// Whether there is something that the peer lacks and that is not under way.
    pub(super) fn has_news(&self, own: &VersionVector) -> bool {
        let reached = |actor| {
            let sent = self.outgoing.sent.back().map_or(0, |(_, sent)| sent.last(actor));
            self.holds.last(actor).max(sent)
        };
        own.iter().any(|(actor, seq)| seq > reached(actor))
    }

    /// What the peer lacks, if it is time to send it.
    pub(super) fn delta(
        &mut self,
        now: Micros,
        state: &impl State,
        settings: &Settings,
        metrics: &mut SyncMetrics,
    ) -> Option<Message> {
        let is_open = self.outgoing.stream.life != 0 && self.outgoing.sent.len() < settings.window;
        if !is_open || now < self.send_at || !self.has_news(state.cut()) {
            return None;
        }
        let since = self.reaches();
        let to = state.cut();
        let (is_whole, body) = smaller(state, &since);
        self.outgoing.last += 1;
        let number = self.outgoing.last;
        let after = self.outgoing.sent.back().map_or(self.outgoing.acked, |(number, _)| *number);
        self.outgoing.sent.push_back((number, to.clone()));
        self.outgoing.give_up_at.get_or_insert(now.after(self.outgoing.patience));
        self.send_at = now.after(settings.least_interval);
        // Of a whole state the cut says which writes are gone.
        let to = if is_whole { to.clone() } else { advance(&since, to) };
        let stream = self.outgoing.stream;
        *if is_whole { &mut metrics.wholes } else { &mut metrics.deltas } += 1;
        Some(Message::Delta { stream, number, after, to, is_whole, body })
    }

    /// The peer has merged a delta, and all before it.
    pub(super) fn acked(&mut self, now: Micros, stream: StreamId, number: u64, settings: &Settings) {
        let out = &mut self.outgoing;
        if stream != out.stream || number > out.last {
            return;
        }
        while let Some((merged, cut)) = out.sent.pop_front_if(|(sent, _)| *sent <= number) {
            if merged == number {
                self.holds.join(&cut);
            }
        }
        if number > out.acked {
            out.acked = number;
            out.patience = settings.patience;
        }
        out.give_up_at = (!out.sent.is_empty()).then(|| now.after(out.patience));
    }

    /// Nothing that is under way is waited for any more: it goes once again, behind what was acknowledged.
    pub(super) fn give_up(&mut self, now: Micros, metrics: &mut SyncMetrics) {
        metrics.resent += self.outgoing.sent.len() as u64;
        self.outgoing.sent.clear();
        self.outgoing.give_up_at = None;
        self.send_at = now;
    }

    /// The same, if it took too long. The next time it is waited twice as long.
    pub(super) fn give_up_if_late(&mut self, now: Micros, settings: &Settings, metrics: &mut SyncMetrics) {
        if self.outgoing.give_up_at.is_some_and(|at| at <= now) {
            self.outgoing.patience = self.outgoing.patience.saturating_mul(2).min(settings.most_interval);
            self.give_up(now, metrics);
        }
    }

    /// A delta has come that cannot be merged yet.
    pub(super) fn wait(&mut self, arrived: Arrived) {
        if self.incoming.waiting.len() < WAITING {
            self.incoming.waiting.push_back(arrived);
        }
    }
}

/// The delta or the whole state, whichever is smaller as encoded.
fn smaller(state: &impl State, since: &VersionVector) -> (bool, Vec<u8>) {
    match state.delta(since) {
        Some(delta) if delta.len() <= state.whole_size() => (false, delta),
        Some(delta) => {
            let whole = state.whole();
            if whole.len() < delta.len() { (true, whole) } else { (false, delta) }
        }
        None => (true, state.whole()),
    }
}
