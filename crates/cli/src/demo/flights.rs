//! The week's flights as a list of things that happen, in order of time.
//!
//! A flight is announced a day ahead, then it departs and arrives, or is cancelled at the time of its departure.
//! It arrives its time in the air and twenty minutes on the ground after it departed: the arrival's own times are
//! local to airports whose zone is not always known.

use anyhow::Context;
use deltaic_types::datetime::parse_timestamp;

const FLIGHTS: &str = include_str!("../../../../examples/flights/flights.csv");

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// The columns that are known before a flight departs.
const ANNOUNCED: [&str; 15] = [
    "id",
    "year",
    "month",
    "day",
    "sched_dep_time",
    "sched_arr_time",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
    "hour",
    "minute",
    "time_hour",
];

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The values of [`Flights::columns`].
    Announced(Vec<String>),
    /// One statement.
    Update(String),
}

/// The week.
#[derive(Debug)]
pub(crate) struct Flights {
    /// The columns of an announcement.
    pub(crate) columns: [&'static str; 15],
    /// What happens, with its time in microseconds.
    pub(crate) happenings: Vec<(i64, Happening)>,
    /// When the replay begins: what was announced before is there from the start.
    pub(crate) start: i64,
}

/// Reads the extract.
pub(crate) fn read() -> anyhow::Result<Flights> {
    let mut reader = csv::Reader::from_reader(FLIGHTS.as_bytes());
    let header = reader.headers()?.clone();
    let mut happenings = Vec::new();
    let mut first = i64::MAX;
    for record in reader.records() {
        let record = record?;
        let field = |name: &str| {
            let place = header.iter().position(|column| column == name);
            place.and_then(|place| record.get(place)).with_context(|| format!("flights.csv has no {name}"))
        };
        let number = |name: &str| -> anyhow::Result<Option<i64>> {
            let text = field(name)?;
            Ok(if text.is_empty() { None } else { Some(text.parse()?) })
        };
        let hour = parse_timestamp(field("time_hour")?)?;
        let scheduled = hour + number("minute")?.unwrap_or(0) * MINUTE;
        first = first.min(scheduled);
        let values: anyhow::Result<Vec<String>> =
            ANNOUNCED.iter().map(|name| Ok(field(name)?.to_owned())).collect();
        happenings.push((scheduled - DAY, Happening::Announced(values?)));
        let id = field("id")?;
        let Some(time) = number("dep_time")? else {
            let sql = format!("UPDATE flights SET status = 'cancelled' WHERE id = {id}");
            happenings.push((scheduled, Happening::Update(sql)));
            continue;
        };
        let delay = number("dep_delay")?.unwrap_or(0);
        let departure = scheduled + delay * MINUTE;
        let sql = format!(
            "UPDATE flights SET status = 'departed', dep_time = {time}, dep_delay = {delay} WHERE id = {id}"
        );
        happenings.push((departure, Happening::Update(sql)));
        // A diverted flight has no arrival here.
        if let (Some(time), Some(air), Some(delay)) =
            (number("arr_time")?, number("air_time")?, number("arr_delay")?)
        {
            let sql = format!(
                "UPDATE flights SET status = 'arrived', arr_time = {time}, arr_delay = {delay}, air_time = {air} \
                 WHERE id = {id}"
            );
            happenings.push((departure + (air + 20) * MINUTE, Happening::Update(sql)));
        }
    }
    happenings.sort_by_key(|(time, _)| *time);
    Ok(Flights { columns: ANNOUNCED, happenings, start: first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flight_is_announced_before_anything_else_happens_to_it() {
        let flights = read().unwrap();
        let announced = flights.happenings.iter().filter(|(_, what)| matches!(what, Happening::Announced(_)));
        assert_eq!(announced.count(), 6_099);
        let cancelled = flights
            .happenings
            .iter()
            .filter(|(_, what)| matches!(what, Happening::Update(sql) if sql.contains("cancelled")));
        assert_eq!(cancelled.count(), 35);
        let mut known = std::collections::BTreeSet::new();
        for (_, what) in &flights.happenings {
            match what {
                Happening::Announced(values) => assert!(known.insert(values[0].clone())),
                Happening::Update(sql) => {
                    let id = sql.rsplit(' ').next().unwrap();
                    assert!(known.contains(id), "{sql}");
                }
            }
        }
    }
}
