//! Dates and instants: days and microseconds since 1970-01-01 UTC, read and printed.
//!
//! The calendar is the proleptic Gregorian one, the years are those of the calendar library (to 9999), and
//! text without a zone is read as UTC. No clock is here: the time of day is an input of the engine.

use jiff::civil;

use crate::{EvalError, Interval, interval::DAY_MICROS};

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
    civil_instant(moved)?;
    Ok(moved)
}

/// Reads `2013-01-31`.
pub fn parse_date(text: &str) -> Result<i32, EvalError> {
    let wrong = || EvalError::invalid_text("date", text);
    let trimmed = text.trim();
    // A timestamp's date part is a date, as in PostgreSQL.
    let date = trimmed.split(['T', ' ']).next().unwrap_or(trimmed);
    if date.len() < trimmed.len() {
        parse_timestamp(trimmed).map_err(|_| wrong())?;
    }
    Ok(days_of(read_date(date).ok_or_else(wrong)??))
}

/// Reads `2013-01-31T10:00:00.5Z`, with a space for the T, with `+05`, `-05:30`, `UTC` or nothing for the Z
/// (nothing is UTC), without the seconds, or a date alone.
pub fn parse_timestamp(text: &str) -> Result<i64, EvalError> {
    let wrong = || EvalError::invalid_text("timestamptz", text);
    let trimmed = text.trim();
    let (date, rest) = match trimmed.find(['T', ' ', 't']) {
        Some(at) => (&trimmed[..at], trimmed[at + 1..].trim_start()),
        None => (trimmed, ""),
    };
    let date = read_date(date).ok_or_else(wrong)??;
    let zone_at = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
    let of_day = if rest.is_empty() { 0 } else { read_clock(&rest[..zone_at]).ok_or_else(wrong)? };
    let offset = read_zone(rest[zone_at..].trim()).ok_or_else(wrong)?;
    let micros = instant_of(date, of_day) - offset * 1_000_000;
    civil_instant(micros)?;
    Ok(micros)
}

fn read_date(text: &str) -> Option<Result<civil::Date, EvalError>> {
    let mut fields = text.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || year.len() < 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    let digits = |field: &str| field.bytes().all(|b| b.is_ascii_digit()).then(|| field.parse::<u32>().ok());
    let (year, month, day) = (digits(year)??, digits(month)??, digits(day)??);
    let date = (|| {
        civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    })();
    Some(date.ok_or(EvalError::DatetimeOutOfRange))
}

fn read_clock(text: &str) -> Option<i64> {
    let mut fields = text.split(':');
    let hour: i64 = fields.next().filter(|f| !f.is_empty())?.parse().ok()?;
    let minute: i64 = fields.next()?.parse().ok()?;
    let seconds = fields.next().unwrap_or("0");
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let second: i64 = whole.parse().ok()?;
    // The seventh digit rounds; a sixtieth second is the next minute's first.
    let digits: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let micros = (digits.parse::<i64>().ok()? + 5) / 10;
    let in_day = hour < 24 && minute < 60 && second <= 60;
    let is_end = hour == 24 && minute == 0 && second == 0 && micros == 0;
    let valid = fields.next().is_none() && fraction.bytes().all(|b| b.is_ascii_digit()) && (in_day || is_end);
    valid.then(|| ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

fn read_zone(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes()[0] {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => (rest, "0"),
    };
    let number = |field: &str| {
        (!field.is_empty() && field.bytes().all(|b| b.is_ascii_digit())).then(|| field.parse::<i64>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 16 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
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
        assert_eq!(parse_timestamp("2013-02-30"), Err(EvalError::DatetimeOutOfRange));
        assert_eq!(parse_date("2013-02-30"), Err(EvalError::DatetimeOutOfRange));
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
