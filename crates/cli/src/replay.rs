//! [`Replay`]: the week of flights as a sequence of departures and arrivals.
//!
//! Invariant: the same file gives the same events in the same order; a flight departs once, and arrives once
//! after that, or is cancelled. Times are seconds since the week's first event.

use anyhow::{Context, Result};

/// A flight as the file has it, where it matters for the replay.
#[derive(Debug, Clone)]
struct Flight {
    id: i64,
    origin: String,
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
    flight: i64,
    origin: String,
    what: What,
}

/// What happens. NULL in the file is NULL here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Departs { time: i64, delay: Option<i64> },
    Arrives { time: Option<i64>, delay: Option<i64>, in_air: i64 },
    IsCancelled,
}

impl Event {
    /// The airport whose waiting passengers are told: where a flight departs a quarter of an hour late, or never.
    pub(crate) fn is_told_at(&self) -> Option<&str> {
        let is_news = match self.what {
            What::Departs { delay, .. } => delay.is_some_and(|minutes| minutes >= 15),
            What::IsCancelled => true,
            What::Arrives { .. } => false,
        };
        is_news.then_some(&self.origin)
    }

    /// The statement that makes it so: whole numbers and NULLs alone come from the file.
    pub(crate) fn statement(&self) -> String {
        let show = |number: Option<i64>| number.map_or("NULL".to_owned(), |number| number.to_string());
        let set = match self.what {
            What::Departs { time, delay } => {
                format!("status = 'departed', dep_time = {time}, dep_delay = {}", show(delay))
            }
            What::Arrives { time, delay, in_air } => format!(
                "status = 'arrived', arr_time = {}, arr_delay = {}, air_time = {in_air}",
                show(time),
                show(delay)
            ),
            What::IsCancelled => "status = 'cancelled'".to_owned(),
        };
        format!("UPDATE flights SET {set} WHERE id = {}", self.flight)
    }
}

/// All flights back to what they were before the week.
pub(crate) const RESET: &str = "UPDATE flights SET status = 'scheduled', dep_time = NULL, dep_delay = NULL, \
    arr_time = NULL, arr_delay = NULL, air_time = NULL WHERE status <> 'scheduled'";

/// Columns that are not known before a flight departs.
const LATER: [&str; 5] = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"];

/// The events of a week.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) events: Vec<Event>,
    /// When the first event is, in seconds since 1970.
    pub(crate) start: i64,
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
                origin: record[place("origin")?].to_owned(),
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
        let mut events = events(&flights);
        let start = events.first().map_or(0, |event| event.at);
        for event in &mut events {
            event.at -= start;
        }
        Ok(Self { events, start, schedule })
    }
}

fn events(flights: &[Flight]) -> Vec<Event> {
    let mut events = Vec::new();
    for flight in flights {
        let mut push = |at, what| {
            events.push(Event { at, flight: flight.id, origin: flight.origin.clone(), what });
        };
        let Some(time) = flight.dep_time else {
            push(flight.scheduled, What::IsCancelled);
            continue;
        };
        let departed = flight.scheduled + flight.dep_delay.unwrap_or(0) * 60;
        push(departed, What::Departs { time, delay: flight.dep_delay });
        if let Some(in_air) = flight.air_time {
            // Taxiing is not in the data; a quarter of an hour stands for it.
            let at = departed + (in_air + 15) * 60;
            push(at, What::Arrives { time: flight.arr_time, delay: flight.arr_delay, in_air });
        }
    }
    events.sort_by_key(|event| event.at);
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
        let told: Vec<(i64, String)> =
            replay.events.iter().map(|event| (event.at / 60, event.statement())).collect();
        let set = |minute, set: &str, id| (minute, format!("UPDATE flights SET {set} WHERE id = {id}"));
        assert_eq!(
            told,
            [
                set(0, "status = 'departed', dep_time = 517, dep_delay = 2", 1),
                set(43, "status = 'cancelled'", 2),
                set(242, "status = 'arrived', arr_time = 830, arr_delay = 11, air_time = 227", 1),
            ]
        );
        let told_at: Vec<Option<&str>> = replay.events.iter().map(Event::is_told_at).collect();
        assert_eq!(told_at, [None, Some("EWR"), None]);
        assert!(replay.schedule.lines().nth(1).unwrap().starts_with("1,2013,1,1,,515,,,819,,UA"));
    }
}
