//! The tables: medians with ratios to us, 99th percentiles, memory.
//!
//! Invariant: a line tells what was lost as it tells what was won: a ratio below one is bold, an aim that is missed
//! is called missed.

use std::time::Duration;

use crate::{
    contestant::{Sample, Work},
    memory::Held,
    workload::Workload,
};

/// What a contestant did with a workload.
#[derive(Debug, Default)]
pub struct Measured {
    pub samples: Vec<Sample>,
    /// Work of its circuits over so many steps.
    pub work: Option<(Work, u32)>,
}

/// A workload with what each contestant did, in their order; None for who has no such thing.
pub type Line = (Workload, Vec<Option<Measured>>);

/// A share of the samples lies below this, in microseconds.
fn percentile(times: impl Iterator<Item = Duration>, share: f64) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let place = (times.len() as f64 * share) as usize;
    times[place.min(times.len() - 1)].as_secs_f64() * 1e6
}

impl Measured {
    fn whole(&self, share: f64) -> f64 {
        percentile(self.samples.iter().map(|sample| sample.whole), share)
    }

    fn circuit(&self, share: f64) -> Option<f64> {
        let times: Option<Vec<Duration>> = self.samples.iter().map(|sample| sample.circuit).collect();
        times.map(|times| percentile(times.into_iter(), share))
    }
}

/// Three digits, with a unit.
fn time(micros: f64) -> String {
    let (value, unit) = if micros >= 1_000.0 { (micros / 1_000.0, "ms") } else { (micros, "us") };
    let places = usize::from(value < 100.0) + usize::from(value < 10.0);
    format!("{value:.places$} {unit}")
}

fn ratio(theirs: f64, ours: f64) -> String {
    let ratio = theirs / ours;
    let places = usize::from(ratio < 10.0) + usize::from(ratio < 1.0);
    if ratio < 1.0 { format!("**{ratio:.places$}x**") } else { format!("{ratio:.places$}x") }
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn heading(first: &[&str], names: &[String]) -> String {
    let cells: Vec<String> =
        first.iter().map(|cell| (*cell).to_owned()).chain(names.iter().cloned()).collect();
    let rule = vec!["---".to_owned(); cells.len()];
    row(&cells) + &row(&rule)
}

const NOTHING: &str = "-";

/// The medians; the first two contestants are ours.
pub fn medians(names: &[String], lines: &[Line]) -> String {
    let first = ["workload", "aim", "circuit", "circuit and tables", "request", "probes, rows"];
    let mut text = heading(&first, &names[2..]);
    for (workload, measured) in lines {
        let of = |place: usize| measured[place].as_ref();
        let circuit = of(0).map(|it| it.whole(0.5));
        let request = of(1).map(|it| it.whole(0.5));
        let ours = circuit.or(request);
        let aim = workload.aim.map_or(NOTHING.to_owned(), |aim| match ours {
            Some(ours) if ours <= aim => time(aim),
            Some(_) => format!("{}, missed", time(aim)),
            None => format!("{}, not yet", time(aim)),
        });
        let shown = |value: Option<f64>| value.map_or(NOTHING.to_owned(), time);
        let work = of(0).and_then(|it| it.work.as_ref()).map(|(work, steps)| {
            let steps = f64::from((*steps).max(1));
            format!("{:.1}, {:.1}", work.probes as f64 / steps, work.rows as f64 / steps)
        });
        let work = if workload.task.hydrates() { None } else { work };
        let mut cells = vec![
            workload.label.to_owned(),
            aim,
            shown(of(0).and_then(|it| it.circuit(0.5))),
            shown(circuit),
            shown(request),
            work.unwrap_or(NOTHING.to_owned()),
        ];
        cells.extend((2..names.len()).map(|place| match (of(place), ours) {
            (Some(it), Some(ours)) => {
                let theirs = it.whole(0.5);
                format!("{} ({})", time(theirs), ratio(theirs, ours))
            }
            (Some(it), None) => time(it.whole(0.5)),
            (None, _) => NOTHING.to_owned(),
        }));
        text += &row(&cells);
    }
    text
}

/// A percentile of each contestant.
pub fn percentiles(title: &str, share: f64, names: &[String], lines: &[Line]) -> String {
    let mut text = heading(&[title], names);
    for (workload, measured) in lines {
        let mut cells = vec![workload.label.to_owned()];
        cells.extend(
            measured.iter().map(|it| it.as_ref().map_or(NOTHING.to_owned(), |it| time(it.whole(share)))),
        );
        text += &row(&cells);
    }
    text
}

/// The memory.
pub fn memory(lines: &[Held]) -> String {
    let mut text = heading(&["memory of", "aim", "counted", "as the engine reports it"], &[]);
    for Held { label, aim, counted, reported } in lines {
        let met = if counted <= aim { "" } else { ", missed" };
        let reported = reported.map_or(NOTHING.to_owned(), |bytes| format!("{bytes} B"));
        text += &row(&[(*label).to_owned(), format!("{aim} B{met}"), format!("{counted} B"), reported]);
    }
    text
}
