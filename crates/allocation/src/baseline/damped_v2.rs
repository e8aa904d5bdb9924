//! [`damped_v2`]: the seed's second version: whoever hears something new computes and publishes, and recipients damp
//! what they ask for when they were given too much.
//!
//! Invariant: it is the seed's reactive loop: publications are held back for 100 ms, nothing is compared with what is
//! older, and the test of convergence is each provider's own.

use super::network::Agenda;
use super::rule::{Gift, View};
use super::{EPSILON, Economy, Run, Step, Trace};
use crate::Time;

/// How long a publication is held back.
const DEBOUNCE_MILLIS: u64 = 100;

#[derive(Debug)]
enum Event {
    /// A recipient's needs and factor reach a provider.
    Commitment {
        to: usize,
        from: usize,
        needs: Vec<(usize, f64)>,
        factor: f64,
    },
    /// A provider's gifts reach a recipient.
    State {
        to: usize,
        gifts: Vec<Gift>,
    },
    /// A participant publishes its commitment.
    Commit {
        who: usize,
    },
    /// A participant computes and publishes what it gives.
    Give {
        who: usize,
    },
    Step(Step),
    Sample,
}

/// Runs it from the moment at which all have published their needs. `O(m log m)` in the messages.
pub fn damped_v2(economy: &Economy, run: &Run) -> Trace {
    let mut economy = economy.clone();
    let mut trace = Trace { given: vec![0.0; economy.links.len()], ..Trace::default() };
    let links = economy.links_of();
    let mut views: Vec<View> =
        links.iter().enumerate().map(|(who, links)| View::new(&economy, who, links)).collect();
    let mut agenda = Agenda::new(run.network.clone());
    // Who will publish already.
    let (mut commits, mut gives) = (vec![false; views.len()], vec![true; views.len()]);
    let mut watch = Watch::new(&economy);
    for (who, [gives, _]) in links.iter().enumerate() {
        if !gives.is_empty() {
            agenda.at(Time(DEBOUNCE_MILLIS), Event::Give { who });
        }
    }
    for (at, step) in &run.steps {
        agenda.at(*at, Event::Step(*step));
    }
    agenda.at(Time(run.every), Event::Sample);
    while let Some((now, event)) = agenda.next(run.until) {
        let later = Time(now.0 + DEBOUNCE_MILLIS);
        let id = |who: usize| economy.participants[who];
        match event {
            Event::Commitment { to, from, needs, factor } => {
                let mut differs = views[to].damping.set(from, factor);
                for (place, need) in needs {
                    differs |= views[to].needs.set(place, need);
                }
                watch.note(now, differs);
                if !std::mem::replace(&mut gives[to], true) {
                    agenda.at(later, Event::Give { who: to });
                }
            }
            Event::State { to, gifts } => {
                for gift in gifts {
                    watch.note(now, views[to].given.set(gift.place, gift.quantity));
                    watch.see(&economy, now, gift);
                }
                if !std::mem::replace(&mut commits[to], true) {
                    agenda.at(later, Event::Commit { who: to });
                }
            }
            Event::Commit { who } => {
                commits[who] = false;
                let needs = views[who].receive(&economy, who, &links[who][1], now, run.needs);
                let factor = views[who].damping.get(who);
                let mut providers: Vec<usize> = links[who][1]
                    .iter()
                    .map(|place| economy.capacities[economy.links[*place].capacity].0)
                    .collect();
                providers.dedup();
                for to in providers {
                    let event = Event::Commitment { to, from: who, needs: needs.clone(), factor };
                    agenda.send(now, (id(who), id(to)), run.bytes(needs.len()), event);
                }
            }
            Event::Give { who } => {
                gives[who] = false;
                let (mut gifts, differs) = views[who].give(&economy, &links[who][0]);
                watch.note(now, differs);
                let owner = |gift: &Gift| economy.needs[economy.links[gift.place].need].0;
                gifts.sort_by_key(owner);
                for group in gifts.chunk_by(|a, b| owner(a) == owner(b)) {
                    let to = owner(&group[0]);
                    let event = Event::State { to, gifts: group.to_vec() };
                    agenda.send(now, (id(who), id(to)), run.bytes(group.len()), event);
                }
            }
            Event::Step(Step::Leave(who)) => agenda.leave(id(who)),
            Event::Step(Step::Need(place, quantity)) => {
                economy.needs[place].1 = quantity;
                watch.wait(now, place);
                let owner = economy.needs[place].0;
                if !std::mem::replace(&mut commits[owner], true) {
                    agenda.at(later, Event::Commit { who: owner });
                }
            }
            Event::Sample => {
                let known: Vec<&View> = views.iter().collect();
                sample(&economy, &links, &known, now, &mut trace);
                agenda.at(Time(now.0 + run.every), Event::Sample);
            }
        }
    }
    trace.messages = agenda.messages;
    trace.traffic = agenda.traffic;
    watch.end(&mut trace);
    trace
}

/// What is looked at during a run beside its samples.
pub(super) struct Watch {
    changed: Time,
    /// Since when a need waits to be seen, by place.
    waiting: Vec<Option<Time>>,
    seen: Vec<(usize, u64)>,
}

impl Watch {
    pub(super) fn new(economy: &Economy) -> Self {
        Self { changed: Time(0), waiting: vec![None; economy.needs.len()], seen: Vec::new() }
    }

    /// Something is different, or not.
    pub(super) fn note(&mut self, now: Time, differs: bool) {
        if differs {
            self.changed = now;
        }
    }

    /// A need changes.
    pub(super) fn wait(&mut self, now: Time, need: usize) {
        self.waiting[need] = Some(now);
        self.changed = now;
    }

    /// A recipient hears of a gift, which was computed from what it needs now or from what it needed before.
    pub(super) fn see(&mut self, economy: &Economy, now: Time, gift: Gift) {
        let need = economy.links[gift.place].need;
        if let Some(since) =
            self.waiting[need].filter(|_| (gift.needed - economy.needs[need].1).abs() <= EPSILON)
        {
            self.seen.push((need, now.0 - since.0));
            self.waiting[need] = None;
        }
    }

    pub(super) fn end(self, trace: &mut Trace) {
        trace.changed = self.changed;
        trace.seen = self.seen;
    }
}

/// What the providers give by their own account.
pub(super) fn sample(
    economy: &Economy,
    links: &[[Vec<usize>; 2]],
    views: &[&View],
    now: Time,
    trace: &mut Trace,
) {
    let mut given = vec![0.0; economy.links.len()];
    let (mut providers, mut converged) = (0, 0);
    for ([gives, _], view) in links.iter().zip(views).filter(|([gives, _], _)| !gives.is_empty()) {
        for place in gives {
            given[*place] = view.given.get(*place);
        }
        providers += 1;
        converged += usize::from(view.converged);
    }
    let factors = views.iter().enumerate().map(|(who, view)| view.damping.get(who));
    trace.sample(economy, now, &given, converged * 5 >= providers * 4, factors.fold(1.0, f64::min));
}
