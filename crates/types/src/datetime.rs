//! Dates and instants: days and microseconds since 1970-01-01 UTC, read and printed.
//!
//! The calendar is the proleptic Gregorian one, the years are those of the calendar library (to 9999), and
//! text without a zone is read as UTC. No clock is here: the time of day is an input of the engine.

use jiff::civil;

use crate::{EvalError, Interval, datetime_text, interval::DAY_MICROS};

const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// The calendar date of a day number.
pub fn civil_date(days: i32) -> Result<civil::Date, EvalError> {
    EPOCH
        .checked_add(jiff::Span::new().try_days(i64::from(days)).map_err(out_of_range)?)
        .map_err(out_of_range)
}

/// The day number of a calendar date.
pub fn days_of(date: civil::Date) -> i32 {
    let span = date.duration_since(EPOCH);
    (span.as_secs() / 86_400) as i32
}

/// The calendar date and the microsecond of the day of an instant, in UTC.
pub fn civil_instant(micros: i64) -> Result<(civil::Date, i64), EvalError> {
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).map_err(|_| EvalError::DatetimeOutOfRange)?;
    Ok((civil_date(days)?, micros.rem_euclid(DAY_MICROS)))
}

/// An instant of the years 1 to 9999, which are those that print and read.
pub fn in_years(micros: i64) -> Result<i64, EvalError> {
    let (date, _) = civil_instant(micros)?;
    if date.year() < 1 { Err(EvalError::DatetimeOutOfRange) } else { Ok(micros) }
}

/// The instant of a calendar date and a microsecond of its day, in UTC.
pub fn instant_of(date: civil::Date, micros_of_day: i64) -> i64 {
    i64::from(days_of(date)) * DAY_MICROS + micros_of_day
}

/// The instant moved by an interval: months first (clamped to the month's last day), then days, then the
/// rest, as PostgreSQL does in UTC.
pub fn add_interval(micros: i64, interval: Interval) -> Result<i64, EvalError> {
    let moved = if interval.months == 0 && interval.days == 0 {
        micros
    } else {
        let (date, of_day) = civil_instant(micros)?;
        let months = jiff::Span::new().try_months(interval.months).map_err(out_of_range)?;
        let days = jiff::Span::new().try_days(interval.days).map_err(out_of_range)?;
        // Two steps: one span of both would have one sign.
        let date = date.checked_add(months).and_then(|date| date.checked_add(days)).map_err(out_of_range)?;
        instant_of(date, of_day)
    };
    let moved = moved.checked_add(interval.micros).ok_or(EvalError::DatetimeOutOfRange)?;
    in_years(moved)
}

/// Reads `2013-01-31`, `20130131`, `1/31/2013`, `Jan 31, 2013`; a time after it is read and dropped.
pub fn parse_date(text: &str) -> Result<i32, EvalError> {
    datetime_text::date(text)
}

/// Reads `2013-01-31T10:00:00.5Z` and what else PostgreSQL takes: any form of a date, then a time or none,
/// then an offset or `UTC` or nothing, which is UTC.
pub fn parse_timestamp(text: &str) -> Result<i64, EvalError> {
    datetime_text::instant(text)
}

/// `2013-01-31`.
pub fn date_to_text(days: i32) -> String {
    civil_date(days).map_or_else(|_| format!("{days} days"), |date| date.to_string())
}

/// `2013-01-31T10:00:00.5Z`: what values in JSON have.
pub fn timestamp_to_iso(micros: i64) -> String {
    timestamp_text(micros, 'T', "Z")
}

/// `2013-01-31 10:00:00.5+00`: what a cast to text gives.
pub fn timestamp_to_text(micros: i64) -> String {
    timestamp_text(micros, ' ', "+00")
}

fn timestamp_text(micros: i64, separator: char, zone: &str) -> String {
    let Ok((date, of_day)) = civil_instant(micros) else { return format!("{micros} microseconds") };
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut text =
        format!("{date}{separator}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        text += format!(".{fraction:06}").trim_end_matches('0');
    }
    text + zone
}

fn out_of_range(_: jiff::Error) -> EvalError {
    EvalError::DatetimeOutOfRange
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_and_print() {
        for (text, iso) in [
            ("2013-01-01 10:00:00+00", "2013-01-01T10:00:00Z"),
            ("2013-01-01T05:00:00-05:00", "2013-01-01T10:00:00Z"),
            ("2013-01-01 10:00", "2013-01-01T10:00:00Z"),
            ("2013-01-01", "2013-01-01T00:00:00Z"),
            ("1969-12-31 23:59:59.5 UTC", "1969-12-31T23:59:59.5Z"),
            ("2024-02-29T24:00:00Z", "2024-03-01T00:00:00Z"),
            ("2013-12-31 23:59:59.9999996", "2014-01-01T00:00:00Z"),
            ("2013-01-01 10:00:60.5", "2013-01-01T10:01:00.5Z"),
        ] {
            assert_eq!(timestamp_to_iso(parse_timestamp(text).unwrap()), iso, "{text}");
        }
        for text in [
            "",
            "now",
            "2013-13-01x",
            "2013-01-01 25:00",
            "2013-01-01 10:00 Mars",
            "2013-01-01 10",
            "2013-01-01 24:00:00.1",
            "2013-01-01 2999999999999999993:59:59",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
        assert!(matches!(parse_timestamp("2013-02-30"), Err(EvalError::NoSuchTime { .. })));
        assert!(matches!(parse_date("2013-02-30"), Err(EvalError::NoSuchTime { .. })));
        assert_eq!(date_to_text(parse_date("1600-02-29").unwrap()), "1600-02-29");
    }

    #[test]
    fn months_are_clamped_to_their_last_day() {
        let start = parse_timestamp("2024-01-31 12:00").unwrap();
        let month = Interval { months: 1, ..Interval::default() };
        assert_eq!(timestamp_to_iso(add_interval(start, month).unwrap()), "2024-02-29T12:00:00Z");
        assert_eq!(
            add_interval(start, Interval { months: 12 * 9000, ..Interval::default() }),
            Err(EvalError::DatetimeOutOfRange)
        );
    }
}
