//! [`Replica`]: a life, its disk with the backups of it, and what its data are.

use deltaic_causality::ActorId;
use deltaic_causality::itc::{Id, Stamp};
use deltaic_causality::life::{Epoch, Life, State, To};
use deltaic_types::codec::Reader;

use crate::history::History;

/// What the disk has: bytes and the data beside them.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) history: History,
    /// The transfers under way with the data that go with them, by nonce.
    pub(crate) transfers: Vec<(u128, History)>,
}

impl Disk {
    pub(crate) fn read(&self) -> State {
        let mut reader = Reader::new(&self.bytes);
        let state = State::read(&mut reader).unwrap();
        assert!(reader.is_empty());
        let mut again = Vec::new();
        state.write(&mut again);
        assert_eq!(again, self.bytes);
        state
    }
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) actor: ActorId,
    /// None while it is down.
    pub(crate) life: Option<Life>,
    pub(crate) history: History,
    pub(crate) transfers: Vec<(u128, History)>,
    pub(crate) disk: Disk,
    pub(crate) durable: State,
    pub(crate) backups: Vec<Disk>,
    /// Whether its state may be a copy from before: nobody has confirmed it yet.
    pub(crate) suspect: bool,
    /// Gone for good.
    pub(crate) dead: bool,
}

/// What a state lays claim to.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) actor: ActorId,
    pub(crate) epoch: Epoch,
    pub(crate) owned: Id,
    /// Ids on their way, and the proof that somebody has them.
    pub(crate) under_way: Vec<(Id, Stamp)>,
    pub(crate) stamp: Stamp,
}

impl Claim {
    fn of(state: &State) -> Self {
        Self {
            actor: state.me(),
            epoch: state.epoch(),
            owned: state.id().cloned().unwrap_or_else(Id::empty),
            under_way: state.outgoing().map(|(_, t)| (t.id().clone(), t.stamp().clone())).collect(),
            stamp: state.stamp().clone(),
        }
    }

    /// All that is in its hands.
    pub(crate) fn held(&self) -> Id {
        self.under_way.iter().fold(self.owned.clone(), |held, (id, _)| held.union(id))
    }
}

impl Replica {
    pub(crate) fn new(state: State) -> Self {
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        let disk = Disk { bytes, history: History::default(), transfers: Vec::new() };
        Self {
            actor: state.me(),
            life: None,
            history: History::default(),
            transfers: Vec::new(),
            durable: state,
            backups: vec![disk.clone()],
            disk,
            suspect: false,
            dead: false,
        }
    }

    /// The state in memory, or on disk while it is down.
    pub(crate) fn state(&self) -> &State {
        self.life.as_ref().map_or(&self.durable, Life::state)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Whether it takes part, now or later.
    pub(crate) fn is_present(&self) -> bool {
        !self.dead && !self.state().has_left() && !self.state().is_quarantined()
    }

    pub(crate) fn is_outside(&self) -> bool {
        self.is_present() && !self.state().is_member() && !self.state().is_retiring()
    }

    /// Whether it retires and something of it has no heir yet.
    pub(crate) fn needs_heir(&self) -> bool {
        self.state().is_retiring() && self.state().outgoing().any(|(_, transfer)| transfer.to() == To::Anyone)
    }

    pub(crate) fn crash(&mut self) {
        self.life = None;
        self.history = self.disk.history;
        self.transfers = self.disk.transfers.clone();
    }

    pub(crate) fn persist(&mut self, bytes: Vec<u8>) {
        self.disk = Disk { bytes, history: self.history, transfers: self.transfers.clone() };
        self.durable = self.disk.read();
        self.backups.push(self.disk.clone());
    }

    /// Keeps account of the data that go with each transfer: what was known when it was made.
    pub(crate) fn note_transfers(&mut self) {
        let under_way: Vec<u128> = self.state().outgoing().map(|(nonce, _)| nonce.0).collect();
        let history = self.history;
        self.transfers.retain(|(nonce, _)| under_way.contains(nonce));
        for nonce in under_way {
            if !self.transfers.iter().any(|(known, _)| *known == nonce) {
                self.transfers.push((nonce, history));
            }
        }
    }

    /// What it lays claim to, in memory and on disk.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let mut claims = vec![Claim::of(&self.durable)];
        claims.extend(self.life.as_ref().map(|life| Claim::of(life.state())));
        claims
    }
}
