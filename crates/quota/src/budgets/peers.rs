//! What a node owes to the other nodes of its ledger: a sign of life, units that they want, and a word about those that
//! have died.
//!
//! Invariant: a node that has keys in memory sends a batch at least every third of the time to live, if only an empty
//! one. It takes another node for dead only where the ledger has heard nothing of it between two looks that lie longer
//! apart than a sign of life takes, by one clock: clocks that differ kill nobody.

use super::{Budgets, Effects, Stage};
use crate::ledger::Silent;
use crate::{Account, NodeId, Time, Units};

/// Signs of life in a time to live.
const BEATS: u64 = 3;
/// Looks at the others in a time to live: fewer, so that a living node has spoken in between.
const LOOKS: u64 = 2;

/// When this node spoke, and whom it has not heard.
#[derive(Debug)]
pub(super) struct Peers {
    /// How long a node may be silent; none if for ever.
    time_to_live: Option<u64>,
    /// The time of the last batch.
    spoke: Time,
    /// When the ledger was last asked for the silent, or answered.
    looked: Option<Time>,
    /// Whether it was asked and has not answered.
    asked: bool,
    /// Those that it told, by where they stood.
    silent: Vec<Silent>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { time_to_live: Some(30_000), spoke: Time(0), looked: None, asked: false, silent: Vec::new() }
    }
}

impl Peers {
    pub(super) fn spoke(&mut self, clock: Time) {
        self.spoke = clock;
    }
}

impl Budgets {
    /// For how many milliseconds a node may be silent before others take it for dead and what it holds is spent: 30,000
    /// if nothing is said, 0 for ever. The same for all nodes of a ledger.
    pub fn set_time_to_live(&mut self, millis: u64) {
        self.peers.time_to_live = (millis > 0).then_some(millis);
    }

    /// Whether it is time for a batch that says nothing.
    pub(super) fn owes_heartbeat(&self) -> bool {
        // What is under way is a sign of life.
        let is_alive = matches!(self.stage, Stage::Running | Stage::Stopped) && !self.is_waiting();
        let holds = !self.slots.is_empty();
        let is_late = |millis: u64| self.clock.since(self.peers.spoke) >= millis.div_ceil(BEATS);
        is_alive && holds && self.peers.time_to_live.is_some_and(is_late)
    }

    /// Asks who is silent, now and then.
    pub(super) fn listen(&mut self, effects: &mut Effects) {
        // Who is not heard itself does not judge.
        let may = self.stage == Stage::Running && !self.away;
        let Some(millis) = self.peers.time_to_live.filter(|_| may) else { return };
        let looked = *self.peers.looked.get_or_insert(self.clock);
        if self.clock.since(looked) >= millis.div_ceil(LOOKS) {
            (self.peers.looked, self.peers.asked) = (Some(self.clock), true);
            effects.ask_silent = Some(Time(self.clock.0.saturating_sub(millis)));
        }
    }

    /// Takes those for dead that have not spoken since the last look.
    pub(super) fn bury(&mut self, silent: Vec<Silent>, effects: &mut Effects) {
        if self.stage != Stage::Running || !std::mem::take(&mut self.peers.asked) {
            return;
        }
        self.peers.looked = Some(self.clock);
        let before = std::mem::replace(&mut self.peers.silent, silent);
        let dead = self.peers.silent.iter().filter(|now| now.node != self.node && before.contains(now));
        let dead: Vec<NodeId> = dead.map(|silent| silent.node).collect();
        self.peers.silent.retain(|silent| !dead.contains(&silent.node));
        effects.declare_dead = dead;
    }

    /// Other nodes want units of these accounts: what is not needed at once goes home with the next batch.
    pub(super) fn recall(&mut self, accounts: &[(Account, Units)]) {
        for (account, _) in accounts {
            let Some(&index) = self.current.get(&account.key) else { continue };
            let index = index as usize;
            self.wake(index);
            let slot = self.at(index);
            // The others end, and then everything goes home.
            if slot.window == account.window && !slot.closing {
                slot.accumulator.recall();
                self.pending.insert(index);
            }
        }
    }
}
