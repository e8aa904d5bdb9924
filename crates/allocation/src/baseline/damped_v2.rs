//! [`damped_v2`]: the seed's second version: whoever hears something new computes and publishes, and recipients damp
//! what they ask for when they were given too much.
//!
//! Invariant: it is the seed's reactive loop: publications are held back for 100 ms, nothing is compared with what is
//! older, and the test of convergence is each provider's own.

use super::network::Agenda;
use super::rule::View;
use super::{Economy, Run, Trace};
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
        given: Vec<(usize, f64)>,
    },
    /// A participant publishes its commitment.
    Commit {
        who: usize,
    },
    /// A participant computes and publishes what it gives.
    Give {
        who: usize,
    },
    Sample,
}

/// Runs it from the moment at which all have published their needs. `O(m log m)` in the messages.
pub fn damped_v2(economy: &Economy, run: &Run) -> Trace {
    let mut trace =
        Trace { samples: Vec::new(), given: vec![0.0; economy.links.len()], messages: 0, rounds: 0 };
    let links = economy.links_of();
    let mut views: Vec<View> = links.iter().map(|_| View::new(economy)).collect();
    let mut agenda = Agenda::new(run.network.clone());
    // Who will publish already.
    let (mut commits, mut gives) = (vec![false; views.len()], vec![true; views.len()]);
    for (who, [gives, _]) in links.iter().enumerate() {
        if !gives.is_empty() {
            agenda.at(Time(DEBOUNCE_MILLIS), Event::Give { who });
        }
    }
    agenda.at(Time(run.every), Event::Sample);
    while let Some((now, event)) = agenda.next(run.until) {
        let later = Time(now.0 + DEBOUNCE_MILLIS);
        match event {
            Event::Commitment { to, from, needs, factor } => {
                for (place, need) in needs {
                    views[to].needs[place] = need;
                }
                views[to].damping[from] = factor;
                if !std::mem::replace(&mut gives[to], true) {
                    agenda.at(later, Event::Give { who: to });
                }
            }
            Event::State { to, given } => {
                for (place, quantity) in given {
                    views[to].given[place] = quantity;
                }
                if !std::mem::replace(&mut commits[to], true) {
                    agenda.at(later, Event::Commit { who: to });
                }
            }
            Event::Commit { who } => {
                commits[who] = false;
                let needs = views[who].receive(economy, who, &links[who][1], now, run.needs);
                let factor = views[who].damping[who];
                let mut providers: Vec<usize> = links[who][1]
                    .iter()
                    .map(|place| economy.capacities[economy.links[*place].capacity].0)
                    .collect();
                providers.dedup();
                for to in providers {
                    let event = Event::Commitment { to, from: who, needs: needs.clone(), factor };
                    agenda.send(now, economy.participants[who], economy.participants[to], event);
                }
            }
            Event::Give { who } => {
                gives[who] = false;
                let given = views[who].give(economy, &links[who][0]);
                let owner = |place: usize| economy.needs[economy.links[place].need].0;
                let mut by_recipient = given;
                by_recipient.sort_by_key(|(place, _)| owner(*place));
                for group in by_recipient.chunk_by(|a, b| owner(a.0) == owner(b.0)) {
                    let to = owner(group[0].0);
                    let event = Event::State { to, given: group.to_vec() };
                    agenda.send(now, economy.participants[who], economy.participants[to], event);
                }
            }
            Event::Sample => {
                let known: Vec<&View> = views.iter().collect();
                sample(economy, &links, &known, now, &mut trace);
                agenda.at(Time(now.0 + run.every), Event::Sample);
            }
        }
    }
    trace.messages = agenda.messages;
    trace
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
            given[*place] = view.given[*place];
        }
        providers += 1;
        converged += usize::from(view.converged);
    }
    let factors = views.iter().enumerate().map(|(who, view)| view.damping[who]);
    trace.sample(economy, now, &given, converged * 5 >= providers * 4, factors.fold(1.0, f64::min));
}
