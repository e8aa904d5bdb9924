//! Replays the week: each thing that happens is a transaction, at its simulated time; after the last one the
//! week begins anew.

use std::time::{Duration, Instant};

use deltaic_server::{DemoClock, EngineHandle, SqlFailure};
use deltaic_types::datetime::timestamp_to_iso;

use super::flights::{Flights, Happening};
use crate::import::Inserts;

/// How often it is looked what is due: what is shown moves smoothly.
const TICK: Duration = Duration::from_millis(40);

/// How many statements share a transaction when more is due than can be done one by one.
const TOGETHER: usize = 50;

pub(crate) fn replay(engine: &EngineHandle, clock: &DemoClock, flights: &Flights) -> anyhow::Result<()> {
    while !clock.is_stopped() {
        week(engine, clock, flights)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the replay turns real time into simulated time")]
fn week(engine: &EngineHandle, clock: &DemoClock, flights: &Flights) -> anyhow::Result<()> {
    engine.execute("DELETE FROM flights", Vec::new())?;
    let mut time = flights.start;
    let mut next = due(engine, flights, 0, time)?;
    let mut last = Instant::now();
    while next < flights.happenings.len() && !clock.is_stopped() {
        clock.set_time(timestamp_to_iso(time));
        clock.pause(TICK);
        let now = Instant::now();
        time += (now.duration_since(last).as_micros() as f64 * clock.status().speed) as i64;
        last = now;
        next = due(engine, flights, next, time)?;
    }
    Ok(())
}

/// Does everything from `next` that is due at `time`; gives the first thing that is not.
fn due(engine: &EngineHandle, flights: &Flights, next: usize, time: i64) -> Result<usize, SqlFailure> {
    let end = flights.happenings.partition_point(|(at, _)| *at <= time).max(next);
    let due = &flights.happenings[next..end];
    let mut announced = Inserts::new("flights", flights.columns.into_iter(), "");
    // Announcements come first: nothing that is due with them may miss them.
    for (_, what) in due {
        if let Happening::Announced(values) = what {
            announced.push(values.iter().map(String::as_str));
            if announced.rows == TOGETHER {
                engine.execute(&announced.take().0, Vec::new())?;
            }
        }
    }
    if announced.rows > 0 {
        engine.execute(&announced.take().0, Vec::new())?;
    }
    let updates: Vec<&str> = due
        .iter()
        .filter_map(|(_, what)| if let Happening::Update(sql) = what { Some(sql.as_str()) } else { None })
        .collect();
    let together = if updates.len() > TOGETHER { TOGETHER } else { 1 };
    for statements in updates.chunks(together) {
        engine.execute(&statements.join(";\n"), Vec::new())?;
    }
    Ok(end)
}
