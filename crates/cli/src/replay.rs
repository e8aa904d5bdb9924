//! [`Replay`]: the week of flights as a sequence of departures and arrivals.
//!
//! Invariant: the same file gives the same events in the same order; a flight departs once, and arrives once
//! after that, or is cancelled. Times are seconds since the week's first event.

use anyhow::{Context, Result};
use serde_json::Value as Json;

/// A flight as the file has it, where it matters for the replay.
#[derive(Debug, Clone)]
struct Flight {
    id: i64,
    scheduled: i64,
    dep_time: Option<i64>,
    dep_delay: Option<i64>,
    arr_time: Option<i64>,
    arr_delay: Option<i64>,
    air_time: Option<i64>,
}

/// Something that happens to a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, in seconds since the first event.
    pub(crate) at: i64,
    /// The statement, with its parameters.
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Json>,
}

const DEPART: &str = "UPDATE flights SET status = 'departed', dep_time = $2, dep_delay = $3 WHERE id = $1";
const ARRIVE: &str =
    "UPDATE flights SET status = 'arrived', arr_time = $2, arr_delay = $3, air_time = $4 WHERE id = $1";
const CANCEL: &str = "UPDATE flights SET status = 'cancelled' WHERE id = $1";

/// All flights back to what they were before the week.
pub(crate) const RESET: &str = "UPDATE flights SET status = 'scheduled', dep_time = NULL, dep_delay = NULL, \
    arr_time = NULL, arr_delay = NULL, air_time = NULL WHERE status <> 'scheduled'";

/// Columns that are not known before a flight departs.
const LATER: [&str; 5] = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"];

/// The events of a week.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) events: Vec<Event>,
    /// The file as it was before anything happened: what is loaded.
    pub(crate) schedule: String,
}

impl Replay {
    /// Reads the flights' file.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        let headers = csv.headers()?.clone();
        let place = |name: &str| {
            headers.iter().position(|header| header == name).with_context(|| format!("no column {name}"))
        };
        let mut schedule = csv::Writer::from_writer(Vec::new());
        schedule.write_record(&headers)?;
        let mut flights = Vec::new();
        for record in csv.records() {
            let record = record?;
            let number = |name: &str| -> Result<Option<i64>> {
                let field = &record[place(name)?];
                if field.is_empty() { Ok(None) } else { Ok(Some(field.parse()?)) }
            };
            let hour = deltaic_types::datetime::parse_timestamp(&record[place("time_hour")?])?;
            flights.push(Flight {
                id: number("id")?.context("a flight without id")?,
                scheduled: hour / 1_000_000 + number("minute")?.unwrap_or(0) * 60,
                dep_time: number("dep_time")?,
                dep_delay: number("dep_delay")?,
                arr_time: number("arr_time")?,
                arr_delay: number("arr_delay")?,
                air_time: number("air_time")?,
            });
            let before = headers
                .iter()
                .zip(record.iter())
                .map(|(header, field)| if LATER.contains(&header) { "" } else { field });
            schedule.write_record(before)?;
        }
        let schedule = String::from_utf8(schedule.into_inner()?)?;
        Ok(Self { events: events(&flights), schedule })
    }
}

fn events(flights: &[Flight]) -> Vec<Event> {
    let mut events = Vec::new();
    for flight in flights {
        let id = Json::from(flight.id);
        let Some(dep_time) = flight.dep_time else {
            events.push(Event { at: flight.scheduled, sql: CANCEL, params: vec![id] });
            continue;
        };
        let departed = flight.scheduled + flight.dep_delay.unwrap_or(0) * 60;
        let params = vec![id.clone(), dep_time.into(), flight.dep_delay.into()];
        events.push(Event { at: departed, sql: DEPART, params });
        if let Some(air_time) = flight.air_time {
            // Taxiing is not in the data; a quarter of an hour stands for it.
            let at = departed + (air_time + 15) * 60;
            let params = vec![id, flight.arr_time.into(), flight.arr_delay.into(), air_time.into()];
            events.push(Event { at, sql: ARRIVE, params });
        }
    }
    events.sort_by_key(|event| event.at);
    let first = events.first().map_or(0, |event| event.at);
    for event in &mut events {
        event.at -= first;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_departs_before_it_arrives_and_a_cancelled_one_does_neither() {
        let text = "id,year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,\
            flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n\
            1,2013,1,1,517,515,2,830,819,11,UA,1,N1,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n\
            2,2013,1,1,,600,,,700,,UA,2,,EWR,IAH,,1400,6,0,2013-01-01T11:00:00Z\n";
        let replay = Replay::read(text).unwrap();
        let told: Vec<(i64, &str)> = replay.events.iter().map(|event| (event.at, event.sql)).collect();
        assert_eq!(told, [(0, DEPART), (43 * 60, CANCEL), (242 * 60, ARRIVE)]);
        assert!(replay.schedule.lines().nth(1).unwrap().starts_with("1,2013,1,1,,515,,,819,,UA"));
    }
}
