//! [`AntiEntropy`]: how replicas come to hold the same writes, whatever is lost, repeated or late between them.
//!
//! Each replica asks each of its peers for a *stream*: it says what it holds, and the peer sends what is missing, delta by
//! delta, each derived from the state at that moment. A delta names the one before it, and is merged only when that one was;
//! so a replica holds a *cut* of all writes at any time, never a write without those before it (the causal delta-merging
//! condition of Almeida, Shoker and Baquero, "Delta State Replicated Data Types", 2018). Acknowledgements say what a peer
//! holds: only what it lacks travels, and nothing goes back to where it came from (Enes, Almeida, Baquero and Leitão,
//! "Efficient Synchronization of State-based CRDTs", 2019).
//!
//! Nothing here reads a clock or sends: time and messages come in, effects go out. The state is somebody else's, and merging
//! takes its time: a delta is acknowledged when [`Input::Merged`] says that it will not be forgotten.
//!
//! Invariants: what a peer is thought to hold it holds durably; the stable cut never passes what a member holds; a replica
//! that finds out that it was restored from a copy says nothing more until it has come back under another name. What cannot be
//! found out is a copy whose lost writes nobody remembers; one that differs all the same is told by the sums of states,
//! which are compared at equal cuts.
//!
//! ```
//! use deltaic_causality::ActorId;
//! use deltaic_crdt::anti_entropy::{Effect, Input, Micros, Settings};
//! use deltaic_crdt::{AntiEntropy, GCounter, Plain, Replica};
//!
//! // Two replicas in one process: each message arrives at once, each merge is done at once.
//! let mut replicas: Vec<_> = [ActorId(1), ActorId(2)]
//!     .map(|actor| Replica::<u64, Plain<GCounter>>::new(actor))
//!     .map(|replica| (AntiEntropy::new(replica.actor(), 1, &replica, Settings::default()), replica))
//!     .into();
//! replicas[0].1.write(&7, |views, dot| views.increment(dot, 1_000))?;
//!
//! let mut inputs = vec![(0, Input::Join(ActorId(2))), (1, Input::Join(ActorId(1)))];
//! while let Some((place, input)) = inputs.pop() {
//!     let (sync, replica) = &mut replicas[place];
//!     let from = replica.actor();
//!     for effect in sync.step(Micros(0), input, replica) {
//!         match effect {
//!             Effect::Send { bytes, .. } => inputs.insert(0, (1 - place, Input::Received(from, bytes))),
//!             Effect::Merge { id, to, body, .. } => {
//!                 replica.merge(&body, &to)?;
//!                 inputs.push((place, Input::Merged(id)));
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(replicas[1].1.get(&7).map(|views| views.value()), Some(1_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod link;
mod message;
mod metrics;

use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::{ActorId, Dot, VersionVector};

use link::{Arrived, Link};
pub use message::{Message, StreamId};
use message::{covers, differing};
use metrics::Outstanding;
pub use metrics::SyncMetrics;

/// A moment, in microseconds of a clock that need not be that of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(pub u64);

impl Micros {
    fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// How a replica speaks with its peers. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least time between two deltas to a peer, and between two questions where there is news.
    pub least_interval: u64,
    /// The most time between two questions where there is none: the interval doubles up to this.
    pub most_interval: u64,
    /// How long an acknowledgement is waited for at first. It doubles as long as none comes.
    pub patience: u64,
    /// How many deltas are under way to a peer at once.
    pub window: usize,
    /// After how long without a word from a member [`Effect::Silent`] says so. Times when this replica itself stood still do not
    /// count.
    pub retention: u64,
}

impl Default for Settings {
    /// 10 ms, 10 s, half a second, 4, a week.
    fn default() -> Self {
        Self {
            least_interval: 10_000,
            most_interval: 10_000_000,
            patience: 500_000,
            window: 4,
            retention: 7 * 86_400 * 1_000_000,
        }
    }
}

/// The state that is to be the same everywhere.
pub trait State {
    /// What is held, and will not be forgotten. All writes of the replica itself are in it.
    fn cut(&self) -> &VersionVector;

    /// What a holder of `since` lacks, as bytes that [`Effect::Merge`] brings to it; none where that cannot be told any
    /// more, because what was trimmed lies behind `since`.
    fn delta(&self, since: &VersionVector) -> Option<Vec<u8>>;

    /// All of it, as bytes of the same kind.
    fn whole(&self) -> Vec<u8>;

    /// About how many bytes [`State::whole`] takes. It is made only where a delta takes more.
    fn whole_size(&self) -> usize;

    /// Sums of what was merged, one for each kind of things (a table), by rising kinds: equal where states are equal. Kinds
    /// whose sum is 0 are left out.
    fn sums(&self) -> impl Iterator<Item = (u64, u64)>;

    /// A sum of all that was merged. Cost: the kinds.
    fn digest(&self) -> u64 {
        self.sums().fold(0, |digest, (_, sum)| digest.wrapping_add(sum))
    }
}

/// What happens to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The replica has written, up to this number, and will not forget it.
    Wrote(u64),
    /// There is another member.
    Join(ActorId),
    /// A member is none any more, as this write says, which is held here: it has retired, or has been silent for too long.
    /// Nothing is taken from it any more. What is kept for it is kept until every member holds the write, and so takes nothing
    /// from it either, nor from one that has left since without holding it; so one that has just joined is told of those that have left. Who may write so has to be settled elsewhere: two members that remove each other part for ever.
    Leave(ActorId, Dot),
    /// A message came from a peer.
    Received(ActorId, Vec<u8>),
    /// What [`Effect::Merge`] brought is merged and will not be forgotten.
    Merged(MergeId),
    /// It cannot be merged: it is not what it should be, or of a kind that is not known here. The peer is asked again when it
    /// has something else to say.
    Refused(MergeId),
}

/// Names a delta that is to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergeId {
    peer: ActorId,
    stream: StreamId,
    number: u64,
}

impl MergeId {
    /// Who sent it.
    pub fn peer(self) -> ActorId {
        self.peer
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A message is to be sent. It may be lost.
    Send {
        /// To whom.
        peer: ActorId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A delta is to be merged. Its answer is [`Input::Merged`] or [`Input::Refused`]; until then no other of this peer comes.
    /// It must not be merged any more when the peer has left by then ([`Input::Leave`]).
    Merge {
        /// To be named in the answer.
        id: MergeId,
        /// What is held when it is merged, beyond what was held before: each actor's writes up to these. Of a whole state all
        /// that the peer holds.
        to: VersionVector,
        /// Whether it is all of the peer's state.
        is_whole: bool,
        /// The delta, from [`State::delta`] or [`State::whole`].
        body: Vec<u8>,
    },
    /// Every member holds this cut, and whatever comes from now on was written by somebody who held it: what is kept for those
    /// that lack it can be trimmed. (Baquero, Almeida and Shoker, "Making Operation-Based CRDTs Operation-Based", 2014, call
    /// it causally stable.)
    Stable(VersionVector),
    /// Nothing was heard of a member for the retention. As long as it is a member, what is kept for it is kept.
    Silent(ActorId),
    /// This replica is no member any more: it must come back as another actor, and make anew what it wrote meanwhile. Nothing
    /// is sent from now on.
    Forgotten {
        /// Who has forgotten it.
        by: ActorId,
    },
    /// This replica was restored from a copy, as somebody has seen writes of its that it has not: it must come back as
    /// another actor. Nothing is sent from now on.
    Restored {
        /// Who has seen them.
        by: ActorId,
    },
    /// A peer was restored from a copy: it holds less than it once said. Nothing more is said to it.
    PeerRestored(ActorId),
    /// A peer has the same cut and another state: there is a fault, here or there.
    Diverged {
        /// The peer.
        peer: ActorId,
        /// The kinds of things that differ ([`State::sums`]).
        kinds: Vec<u64>,
    },
}

/// Brings a replica and its peers to the same state.
#[derive(Debug)]
pub struct AntiEntropy {
    actor: ActorId,
    /// The life of this replica, and how many streams it has asked for.
    life: u64,
    /// How many writes it had made when this life began.
    began: u64,
    streams: u64,
    settings: Settings,
    links: BTreeMap<ActorId, Link>,
    /// Those that have left, by the write that says so, with what they had told, until nothing of them can come any more.
    leaving: BTreeMap<ActorId, (Dot, VersionVector)>,
    left: BTreeSet<ActorId>,
    stable: VersionVector,
    /// A cut that every member held, and what they had written by then.
    candidate: Option<(VersionVector, VersionVector)>,
    /// The last step, and the time that has passed without the pauses of this replica.
    stepped: Micros,
    awake: Micros,
    /// It has to come back under another name: nothing is said any more.
    has_ended: bool,
    outstanding: Outstanding,
    metrics: SyncMetrics,
}

impl AntiEntropy {
    /// Whether this replica is no member any more, or an old copy of one: nothing that it writes from now on is merged anywhere.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// A replica that has just started, with what it has. `life` must be above that of each start before: a counter that is
    /// stored, or the time.
    pub fn new(actor: ActorId, life: u64, state: &impl State, settings: Settings) -> Self {
        Self {
            actor,
            life,
            began: state.cut().last(actor),
            streams: 0,
            settings,
            links: BTreeMap::new(),
            leaving: BTreeMap::new(),
            left: BTreeSet::new(),
            stable: VersionVector::default(),
            candidate: None,
            stepped: Micros::default(),
            awake: Micros::default(),
            has_ended: false,
            outstanding: Outstanding::default(),
            metrics: SyncMetrics::default(),
        }
    }

    /// What was done since the start.
    pub fn metrics(&self) -> SyncMetrics {
        self.metrics
    }

    /// What every member holds, as [`Effect::Stable`] said last.
    pub fn stable(&self) -> &VersionVector {
        &self.stable
    }

    /// What a peer holds, as far as it has said so.
    pub fn holds(&self, peer: ActorId) -> Option<&VersionVector> {
        self.links.get(&peer).map(|link| &link.holds)
    }

    /// The members besides this one.
    pub fn peers(&self) -> impl Iterator<Item = ActorId> + '_ {
        self.links.keys().copied()
    }

    /// For how long some member has lacked a write of this replica, in microseconds.
    pub fn lag(&self, now: Micros) -> u64 {
        self.outstanding.oldest().map_or(0, |since| now.0.saturating_sub(since.0))
    }

    /// When [`Input::Tick`] is due.
    pub fn wake_at(&self, state: &impl State) -> Option<Micros> {
        if self.has_ended {
            return None;
        }
        let talking = self.links.values().filter(|link| !link.is_restored);
        talking.map(|link| link.wake_at(link.has_news(state.cut()), self.settings.window)).min()
    }

    /// Takes in what happened. Cost: the peers, and what is sent.
    pub fn step(&mut self, now: Micros, input: Input, state: &impl State) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.has_ended {
            return effects;
        }
        // While this replica stood still it heard of nobody, and that is nobody's silence.
        let most = self.settings.most_interval.saturating_mul(2);
        self.awake = self.awake.after(now.0.saturating_sub(self.stepped.0).min(most));
        self.stepped = self.stepped.max(now);
        match input {
            Input::Tick => {}
            Input::Wrote(seq) => {
                self.outstanding.wrote(seq, now);
                self.links.values_mut().for_each(|link| link.hurry(now, &self.settings));
            }
            Input::Join(peer) if peer == self.actor => {}
            Input::Join(peer) => {
                if !self.left.contains(&peer) {
                    self.links
                        .entry(peer)
                        .or_insert_with(|| Link::new(peer, now, self.awake, &self.settings));
                }
            }
            Input::Leave(peer, by) => {
                let told = self.links.remove(&peer).map(|link| link.told).unwrap_or_default();
                if self.left.insert(peer) {
                    self.leaving.insert(peer, (by, told));
                }
            }
            Input::Received(peer, bytes) => self.received(now, peer, &bytes, state, &mut effects),
            Input::Merged(id) => self.merged(now, id, &mut effects),
            Input::Refused(id) => {
                if let Some(link) =
                    self.links.get_mut(&id.peer).filter(|link| link.incoming.stream == id.stream)
                {
                    // Asked at its own pace: what was refused would come again at once.
                    link.incoming = link::Incoming::default();
                }
            }
        }
        if !self.has_ended {
            self.speak(now, state, &mut effects);
            self.settle(now, state, &mut effects);
        }
        effects
    }

    fn received(
        &mut self,
        now: Micros,
        peer: ActorId,
        bytes: &[u8],
        state: &impl State,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(message) = Message::decode(bytes) else {
            self.metrics.unreadable += 1;
            return;
        };
        let Some(link) = self.links.get_mut(&peer) else {
            if let (true, Message::Ask { stream, .. }) = (self.left.contains(&peer), message) {
                let told = Message::Forgotten { life: stream.life };
                effects.push(send(peer, &told, &mut self.metrics));
            }
            return;
        };
        if link.is_restored {
            if let Message::Ask { stream, .. } = message {
                effects.push(send(peer, &Message::Restored { life: stream.life }, &mut self.metrics));
            }
            return;
        }
        (link.heard_at, link.is_silent) = (self.awake, false);
        match message {
            Message::Ask { stream, began, to, cut, digest } => {
                let life = stream.life;
                if to > self.life || cut.last(self.actor) > state.cut().last(self.actor) {
                    self.has_ended = true;
                    return effects.push(Effect::Restored { by: peer });
                }
                if life < link.life {
                    // An old message, or an old copy of the peer, which finds that out by the answer.
                    return link.ask_now(now);
                }
                if life > link.life {
                    // What it had written when it began is no less than what it told before.
                    if !covers(&cut, &link.holds) || began < link.holds.last(peer) {
                        link.is_restored = true;
                        effects.push(Effect::PeerRestored(peer));
                        return effects.push(send(peer, &Message::Restored { life }, &mut self.metrics));
                    }
                    link.met(life, &self.settings);
                    link.ask_now(now);
                }
                if to != self.life {
                    // It was meant for the life before this one.
                    link.holds.join(&cut);
                    return link.ask_now(now);
                }
                link.asked(stream, &cut, &self.settings);
                link.told.join(&cut);
                if cut == *state.cut() && digest != state.digest() {
                    // Which kinds differ is for the peer to find, as for us by its answer to our question.
                    let told = Message::Sums { life, cut, sums: state.sums().collect() };
                    effects.push(send(peer, &told, &mut self.metrics));
                } else if !covers(state.cut(), &cut) && link.incoming.merging.is_none() {
                    link.hurry(now, &self.settings);
                }
            }
            Message::Delta { stream, number, after, to, is_whole, body } => {
                if to.last(self.actor) > state.cut().last(self.actor) {
                    self.has_ended = true;
                    return effects.push(Effect::Restored { by: peer });
                }
                if stream == link.incoming.stream {
                    link.wait(Arrived { number, after, to, is_whole, body });
                    self.take(now, peer, effects);
                }
            }
            Message::Sums { life, cut, sums } => {
                if life == self.life && cut == *state.cut() {
                    let kinds = differing(&sums, &state.sums().collect::<Vec<_>>());
                    if !kinds.is_empty() {
                        self.metrics.diverged += 1;
                        effects.push(Effect::Diverged { peer, kinds });
                    }
                }
            }
            Message::Restored { life } if life == self.life => {
                self.has_ended = true;
                effects.push(Effect::Restored { by: peer });
            }
            Message::Forgotten { life } if life == self.life => {
                self.has_ended = true;
                effects.push(Effect::Forgotten { by: peer });
            }
            Message::Restored { .. } | Message::Forgotten { .. } => {}
            Message::Ack { stream, number } => link.acked(now, stream, number, &self.settings),
            Message::Missing { stream, number } => {
                link.acked(now, stream, number, &self.settings);
                if stream == link.outgoing.stream {
                    link.give_up(now, &mut self.metrics);
                }
            }
        }
    }

    /// Takes the next of the deltas that have come from a peer, unless one is being merged.
    fn take(&mut self, now: Micros, peer: ActorId, effects: &mut Vec<Effect>) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let incoming = &mut link.incoming;
        let stream = incoming.stream;
        while incoming.merging.is_none() {
            let Some(Arrived { number, after, to, is_whole, body }) = incoming.waiting.pop_front() else {
                return;
            };
            let answer = if number <= incoming.merged {
                self.metrics.redundant += 1;
                Message::Ack { stream, number: incoming.merged }
            } else if after > incoming.merged {
                Message::Missing { stream, number: incoming.merged }
            } else {
                incoming.merging = Some(number);
                let id = MergeId { peer, stream, number };
                link.holds.join(&to);
                effects.push(Effect::Merge { id, to, is_whole, body });
                link.hurry(now, &self.settings);
                return;
            };
            effects.push(send(peer, &answer, &mut self.metrics));
        }
    }

    fn merged(&mut self, now: Micros, id: MergeId, effects: &mut Vec<Effect>) {
        let MergeId { peer, stream, number } = id;
        self.metrics.merged += 1;
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.incoming.stream != stream || link.incoming.merging != Some(number) {
            return;
        }
        link.incoming.merging = None;
        link.incoming.merged = number;
        effects.push(send(peer, &Message::Ack { stream, number }, &mut self.metrics));
        // What came from one peer is news for the others.
        self.links.values_mut().for_each(|link| link.hurry(now, &self.settings));
        self.take(now, peer, effects);
    }

    /// Says to each peer what is due.
    fn speak(&mut self, now: Micros, state: &impl State, effects: &mut Vec<Effect>) {
        for link in self.links.values_mut().filter(|link| !link.is_restored) {
            link.give_up_if_late(now, &self.settings, &mut self.metrics);
            let question = link.ask(now, state, &self.settings, (self.life, self.began, &mut self.streams));
            effects.extend(question.map(|message| send(link.peer, &message, &mut self.metrics)));
            while let Some(delta) = link.delta(now, state, &self.settings, &mut self.metrics) {
                effects.push(send(link.peer, &delta, &mut self.metrics));
            }
        }
    }

    /// Forgets what those had told that have left and of whom nothing can come any more: neither to a member that does not hold
    /// the write that says so, nor to one that has left since, did not hold it either, and may hand it on.
    fn forget_the_left(&mut self) {
        let links = &self.links;
        let is_open = |by: &Dot| links.values().any(|link| !link.told.contains(*by));
        let (mut open, mut closed): (Vec<_>, Vec<_>) = self
            .leaving
            .iter()
            .map(|(gone, (by, told))| (*gone, *by, told))
            .partition(|(_, by, _)| is_open(by));
        let mut next = 0;
        while let Some((_, _, told)) = open.get(next).copied() {
            let reached;
            (reached, closed) = closed.into_iter().partition(|(_, by, _)| !told.contains(*by));
            open.extend::<Vec<_>>(reached);
            next += 1;
        }
        let forgotten: Vec<ActorId> = closed.into_iter().map(|(gone, ..)| gone).collect();
        for gone in forgotten {
            self.leaving.remove(&gone);
        }
    }

    /// Finds out what every member holds, and what no write can come to that has not seen it.
    fn settle(&mut self, now: Micros, state: &impl State, effects: &mut Vec<Effect>) {
        for link in self.links.values_mut().filter(|link| !link.is_silent) {
            if self.awake.0.saturating_sub(link.heard_at.0) >= self.settings.retention {
                link.is_silent = true;
                effects.push(Effect::Silent(link.peer));
            }
        }
        let held = self.links.values().map(|link| link.holds.last(self.actor)).min();
        self.outstanding.reached(held.unwrap_or(u64::MAX), now, &mut self.metrics);

        self.forget_the_left();
        let links = &self.links;
        let (mut held, mut before) = (state.cut().clone(), VersionVector::default());
        let gone = self.leaving.values().map(|(_, told)| told);
        for told in links.values().map(|link| &link.told).chain(gone) {
            held.meet(told);
            before.join(told);
        }
        // What somebody held before it held the cut may not have seen it, and may still be on its way to us.
        let (candidate, before) = self.candidate.get_or_insert((held, before));
        if covers(state.cut(), before) {
            if !covers(&self.stable, candidate) {
                self.stable.join(candidate);
                effects.push(Effect::Stable(self.stable.clone()));
            }
            self.candidate = None;
        }
    }
}

fn send(peer: ActorId, message: &Message, metrics: &mut SyncMetrics) -> Effect {
    let bytes = message.encode();
    let length = bytes.len() as u64;
    match message {
        Message::Delta { is_whole: true, .. } => metrics.whole_bytes += length,
        Message::Delta { .. } => metrics.delta_bytes += length,
        _ => metrics.other_bytes += length,
    }
    Effect::Send { peer, bytes }
}
