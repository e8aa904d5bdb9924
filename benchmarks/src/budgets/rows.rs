//! Durable rows: against the number of requests, against the peak, against windows and deadband, and how many go in a call.
//!
//! Invariant: all of it is counted in a time of its own, and the same on any machine.

use deltaic_quota::{Chunk, Input, MemoryLedger, Policy, Reason, RequestId, Time, Units, Window};

use super::flow::{Flow, Outcome, policy};
use super::grouped;
use super::plot::{Line, Plot};
use super::world::{Random, World, key};

const KEYS: usize = 1_000;
const RATE: u64 = 100_000;

pub(super) fn run() {
    against_requests();
    against_peak();
    against_windows();
    against_latency();
}

fn row(name: &str, first: &str, outcome: &Outcome) {
    let bytes = outcome
        .bytes
        .map_or("-".to_owned(), |bytes| format!("{:.0}", bytes as f64 / outcome.rows.max(1) as f64));
    println!(
        "| {first} | {name} | {} | {} | {} | {} | **{}** | {} | {bytes} | {} | {} |",
        grouped(outcome.admitted),
        grouped(outcome.refunded),
        grouped(outcome.denied),
        outcome.over,
        grouped(outcome.rows),
        grouped(outcome.calls),
        grouped(outcome.under_by_crash),
        grouped(outcome.over_by_crash),
    );
}

fn heading(first: &str) {
    println!(
        "| {first} | way | admitted | given back | denied | over the limit | rows | calls | bytes a row | a crash, at most: \
         under | over |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

const COLOURS: [&str; 5] = ["#b3321f", "#d98a00", "#5f7fb8", "#1d5fbf", "#777"];

fn line(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Line {
    Line { name: name.to_owned(), colour: COLOURS[colour], is_dashed: colour == 4, points }
}

/// At fixed keys and peak.
fn against_requests() {
    println!(
        "Rows against requests: {KEYS} keys, each up to 100 units in 5 steps and back, {} a second.\n",
        grouped(RATE)
    );
    heading("requests");
    let names = ["a row each", "coalesced, 1 s", "Deltaic, settled each second", "Deltaic, deadband of 100"];
    let mut lines: [Vec<(f64, f64)>; 5] = Default::default();
    for requests in [10_000, 100_000, 1_000_000, 10_000_000] {
        let flow = Flow { keys: KEYS, requests, rate: RATE, peak: 100, steps: 5, limit: 1_000 };
        let outcomes = [
            flow.each_a_row(),
            flow.coalesced(1_000),
            flow.leased(policy(1_000, 0)),
            flow.leased(policy(1_000, 100)),
        ];
        for (place, outcome) in outcomes.iter().enumerate() {
            row(names[place], &grouped(requests), outcome);
            lines[place].push((requests as f64, outcome.rows as f64));
        }
        lines[4].push((requests as f64, KEYS as f64));
    }
    let mut all = names.to_vec();
    all.push("I, the lower bound");
    let lines =
        lines.into_iter().enumerate().map(|(place, points)| line(all[place], place, points)).collect();
    let title = "Durable rows against requests, 1,000 keys, peak 100".to_owned();
    Plot { title, across: "requests", up: "durable rows", lines }.save("rows-against-requests.svg");
    println!();
}

/// At fixed keys and requests.
fn against_peak() {
    println!(
        "Rows against the peak: {KEYS} keys, 1,000,000 requests, each key up in 50 steps and back, chunks of at most 100.\n"
    );
    heading("peak");
    let names =
        ["a row each", "coalesced, 1 s", "Deltaic, settled each second", "Deltaic, deadband of the peak"];
    let mut lines: [Vec<(f64, f64)>; 5] = Default::default();
    let mut product = Vec::new();
    for peak in [50, 500, 5_000, 50_000] {
        let limit = 10 * peak;
        let flow = Flow { keys: KEYS, requests: 1_000_000, rate: RATE, peak, steps: 50, limit };
        let chunk = Chunk { most: Units(100), ..Chunk::default() };
        let leased = |deadband| flow.leased(Policy { chunk, ..policy(limit, deadband) });
        let outcomes = [flow.each_a_row(), flow.coalesced(1_000), leased(0), leased(peak)];
        for (place, outcome) in outcomes.iter().enumerate() {
            row(names[place], &grouped(peak), outcome);
            lines[place].push((peak as f64, outcome.rows as f64));
        }
        lines[4].push((peak as f64, KEYS as f64));
        product.push((peak as f64, KEYS as f64 * (2.0 + peak as f64 / 100.0)));
    }
    let mut all = names.to_vec();
    all.push("I, the lower bound");
    let mut lines: Vec<Line> =
        lines.into_iter().enumerate().map(|(place, points)| line(all[place], place, points)).collect();
    let name = "I (2 + P / c)".to_owned();
    lines.push(Line { name, colour: "#3a8f4d", is_dashed: true, points: product });
    let title = "Durable rows against the peak, 1,000 keys, 1,000,000 requests".to_owned();
    Plot { title, across: "peak P of a key, units", up: "durable rows", lines }.save("rows-against-peak.svg");
    println!();
}

/// The number of accounts is keys times windows.
fn against_windows() {
    println!(
        "Rows against windows and deadband: {KEYS} keys, peak 100 in 5 steps, 1,000,000 requests in 50 s.\n"
    );
    heading("window, deadband");
    let flow = Flow { keys: KEYS, requests: 1_000_000, rate: 20_000, peak: 100, steps: 5, limit: 1_000 };
    for millis in [1_000, 10_000, 0] {
        for deadband in [0, 20, 100] {
            let (window, name) = match millis {
                0 => (Window::None, "stock".to_owned()),
                millis => (Window::Fixed { millis, offset: 0 }, format!("{} s", millis / 1_000)),
            };
            let outcome = flow.leased(Policy { window, ..policy(1_000, deadband) });
            let accounts = KEYS as u64 * 50_000_u64.checked_div(millis).unwrap_or(1);
            row(&format!("I = {}", grouped(accounts)), &format!("{name}, {deadband}"), &outcome);
        }
    }
    println!();
}

/// A slower ledger is asked less often, for more at once.
fn against_latency() {
    println!(
        "Rows in a call, by how long the ledger takes: {KEYS} keys, 1,000,000 units in 10 s, all kept, limit 900 a key.\n"
    );
    println!(
        "| the ledger answers after | admitted | denied | over the limit | rows | calls | rows in a call | bytes a row | a crash: under |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for latency in [0, 1, 10, 100] {
        let (limit, names) = (900, (0..KEYS as u64).map(key).collect::<Vec<_>>());
        let mut world = World::new(MemoryLedger::new(), policy(limit, 0), latency);
        let mut handles: Vec<_> = names.iter().map(|name| world.handle(0, name)).collect();
        let (mut random, mut used, mut denied) = (Random(11), vec![0_u64; KEYS], 0_u64);
        let mut asked: Vec<usize> = Vec::new();
        let mut heard = 0;
        for number in 0..1_000_000_u64 {
            let now = number / 100;
            if number % 100 == 0 {
                world.tick(now);
                if now % 1_000 == 0 {
                    world.look();
                }
            }
            let place = random.below(KEYS as u64) as usize;
            match handles[place].try_consume(Time(now), Units(1)).map(drop) {
                Ok(()) => used[place] += 1,
                Err(refusal) if refusal.reason == Reason::Lease => {
                    let request = RequestId(asked.len() as u64);
                    asked.push(place);
                    let (policy, key) = (world.policy, names[place].clone());
                    world.step(now, Input::Consume { request, policy, key, units: Units(1) });
                }
                Err(_) => denied += 1,
            }
            for (request, answer) in world.replies.drain(..) {
                heard += 1;
                match answer {
                    Ok(_) => used[asked[request.0 as usize]] += 1,
                    Err(_) => denied += 1,
                }
            }
        }
        let mut now = 10_000;
        while heard < asked.len() {
            now += 1;
            world.tick(now);
            for (request, answer) in world.replies.drain(..) {
                heard += 1;
                match answer {
                    Ok(_) => used[asked[request.0 as usize]] += 1,
                    Err(_) => denied += 1,
                }
            }
        }
        drop(handles);
        let over = used.iter().map(|used| used.saturating_sub(limit)).sum::<u64>();
        let (_, cost) = world.close(now + 1);
        println!(
            "| {latency} ms | {} | {} | {over} | {} | {} | {:.1} | {:.0} | {} |",
            grouped(used.iter().sum()),
            grouped(denied),
            grouped(cost.rows),
            grouped(cost.calls),
            cost.rows as f64 / cost.calls as f64,
            cost.bytes as f64 / cost.rows as f64,
            grouped(cost.exposure),
        );
    }
}
