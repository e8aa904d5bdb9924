//! [`rounds_v1`]: the seed's first version: rounds of 90 seconds, vector clocks, and a next round when half are ready.
//!
//! Invariant: a participant is ready when its own clock says that the round is over; it goes on when it knows of at
//! least half of all that they are ready or further; only then does it compute. Each publication goes to everybody, so
//! a round costs the square of the participants in messages. A state whose sender's clock is not newer is dropped.

use std::sync::Arc;

use super::damped_v2::{Watch, sample};
use super::network::Agenda;
use super::rule::{Gift, View};
use super::{Economy, Run, Step, Trace};
use crate::Time;

/// How long a round is.
const ROUND_MILLIS: u64 = 90_000;
/// How often a participant repeats its state to one other.
const GOSSIP_MILLIS: u64 = 10_000;

/// What a participant publishes.
#[derive(Debug)]
struct Published {
    from: usize,
    round: u64,
    is_ready: bool,
    clock: Vec<u64>,
    needs: Vec<(usize, f64)>,
    factor: f64,
    gifts: Vec<Gift>,
}

#[derive(Debug)]
enum Event {
    Arrives {
        to: usize,
        state: Arc<Published>,
    },
    /// The round is over by the participant's clock.
    Over {
        who: usize,
        round: u64,
    },
    Gossip {
        who: usize,
    },
    Step(Step),
    Sample,
}

struct Participant {
    view: View,
    clock: Vec<u64>,
    round: u64,
    is_ready: bool,
    /// The round and readiness of each, as far as it is known.
    known: Vec<(u64, bool)>,
    skew: u64,
    last: Option<Arc<Published>>,
    needs: Vec<(usize, f64)>,
    gifts: Vec<Gift>,
    /// When its round began, and the longest that one took.
    since: Time,
    longest: u64,
}

struct World<'a> {
    economy: Economy,
    run: &'a Run,
    links: Vec<[Vec<usize>; 2]>,
    agenda: Agenda<Event>,
    all: Vec<Participant>,
    watch: Watch,
}

/// Runs it from a moment at which everybody knows the needs of all. `O(m n)` in the messages and participants.
pub fn rounds_v1(economy: &Economy, run: &Run) -> Trace {
    let mut trace = Trace { given: vec![0.0; economy.links.len()], ..Trace::default() };
    let links = economy.links_of();
    let count = economy.participants.len();
    let mut agenda = Agenda::new(run.network.clone());
    let all = (0..count).map(|who| Participant {
        view: View::new(economy, who, &links[who]),
        clock: vec![0; count],
        round: 0,
        is_ready: false,
        known: vec![(0, false); count],
        skew: agenda.chance.below(run.network.skew + 1),
        last: None,
        needs: Vec::new(),
        gifts: Vec::new(),
        since: Time(0),
        longest: 0,
    });
    let all: Vec<Participant> = all.collect();
    for (who, participant) in all.iter().enumerate() {
        agenda.at(over(Time(0), participant.skew), Event::Over { who, round: 0 });
        agenda.at(Time(GOSSIP_MILLIS), Event::Gossip { who });
    }
    for (at, step) in &run.steps {
        agenda.at(*at, Event::Step(*step));
    }
    agenda.at(Time(run.every), Event::Sample);
    let watch = Watch::new(economy);
    let mut world = World { economy: economy.clone(), run, links, agenda, all, watch };
    while let Some((now, event)) = world.agenda.next(run.until) {
        match event {
            Event::Arrives { to, state } => world.arrives(now, to, &state),
            Event::Over { who, round } => {
                let participant = &mut world.all[who];
                if participant.round == round && !participant.is_ready {
                    participant.is_ready = true;
                    world.publish(now, who);
                    world.advance(now, who);
                }
            }
            Event::Gossip { who } => {
                let to = world.agenda.chance.below(count as u64) as usize;
                if let Some(state) = world.all[who].last.clone().filter(|_| to != who) {
                    world.send(now, to, state);
                }
                world.agenda.at(Time(now.0 + GOSSIP_MILLIS), Event::Gossip { who });
            }
            Event::Step(Step::Leave(who)) => world.agenda.leave(economy.participants[who]),
            Event::Step(Step::Need(place, quantity)) => {
                world.economy.needs[place].1 = quantity;
                world.watch.wait(now, place);
            }
            Event::Sample => {
                let views: Vec<&View> = world.all.iter().map(|participant| &participant.view).collect();
                sample(&world.economy, &world.links, &views, now, &mut trace);
                world.agenda.at(Time(now.0 + run.every), Event::Sample);
            }
        }
    }
    trace.messages = world.agenda.messages;
    trace.traffic = world.agenda.traffic;
    let longest = |participant: &Participant| participant.longest.max(run.until.0 - participant.since.0);
    trace.waits = world.all.iter().map(longest).collect();
    world.watch.end(&mut trace);
    trace.rounds = world.all.iter().map(|participant| participant.round).min().unwrap_or(0);
    trace
}

/// When a clock that is ahead by so much shows the end of the round that it shows now.
fn over(now: Time, skew: u64) -> Time {
    let shown = now.0 + skew;
    Time(now.0 + ROUND_MILLIS - shown % ROUND_MILLIS)
}

impl World<'_> {
    fn send(&mut self, now: Time, to: usize, state: Arc<Published>) {
        let ids = (self.economy.participants[state.from], self.economy.participants[to]);
        let bytes = self.run.bytes(state.needs.len() + state.gifts.len());
        self.agenda.send(now, ids, bytes, Event::Arrives { to, state });
    }

    fn publish(&mut self, now: Time, who: usize) {
        let participant = &mut self.all[who];
        participant.clock[who] += 1;
        participant.known[who] = (participant.round, participant.is_ready);
        let state = Arc::new(Published {
            from: who,
            round: participant.round,
            is_ready: participant.is_ready,
            clock: participant.clock.clone(),
            needs: participant.needs.clone(),
            factor: participant.view.damping.get(who),
            gifts: participant.gifts.clone(),
        });
        participant.last = Some(Arc::clone(&state));
        for to in (0..self.all.len()).filter(|to| *to != who) {
            self.send(now, to, Arc::clone(&state));
        }
    }

    fn arrives(&mut self, now: Time, to: usize, state: &Published) {
        let participant = &mut self.all[to];
        if state.clock[state.from] <= participant.clock[state.from] {
            return;
        }
        for (mine, theirs) in participant.clock.iter_mut().zip(&state.clock) {
            *mine = (*mine).max(*theirs);
        }
        participant.known[state.from] = (state.round, state.is_ready);
        let mut differs = participant.view.damping.set(state.from, state.factor);
        for (place, need) in &state.needs {
            differs |= participant.view.needs.set(*place, *need);
        }
        let is_mine = |gift: &&Gift| self.economy.needs[self.economy.links[gift.place].need].0 == to;
        for gift in state.gifts.iter().filter(is_mine) {
            differs |= participant.view.given.set(gift.place, gift.quantity);
            self.watch.see(&self.economy, now, *gift);
        }
        self.watch.note(now, differs);
        self.advance(now, to);
    }

    /// Goes on to the next round, if it is ready and half are.
    fn advance(&mut self, now: Time, who: usize) {
        let participant = &mut self.all[who];
        let round = participant.round;
        let ahead =
            participant.known.iter().filter(|(other, ready)| *other > round || (*other == round && *ready));
        if !participant.is_ready || ahead.count() * 2 < participant.known.len() {
            return;
        }
        participant.round += 1;
        participant.is_ready = false;
        let [gives, takes] = &self.links[who];
        participant.longest = participant.longest.max(now.0 - participant.since.0);
        participant.since = now;
        participant.needs = participant.view.receive(&self.economy, who, takes, now, self.run.needs);
        let (gifts, differs) = participant.view.give(&self.economy, gives);
        participant.gifts = gifts;
        self.watch.note(now, differs);
        let round = participant.round;
        let end = over(now, participant.skew);
        self.publish(now, who);
        self.agenda.at(end, Event::Over { who, round });
    }
}
