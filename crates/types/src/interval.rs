//! [`Interval`]: a length of time in months, days and microseconds, which do not convert into each other.
//!
//! Intervals are ordered as PostgreSQL orders them, a month counting as 30 days and a day as 24 hours.
//! Where that leaves two intervals equal (`1 day`, `24 hours`) the fields decide, so that equal intervals
//! are identical; there `=` is stricter than PostgreSQL's.

use std::{
    cmp::Ordering,
    fmt::{self, Write as _},
};

use crate::{EvalError, interval_text};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Calendar months; twelve are a year.
    pub months: i32,
    /// Calendar days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

/// Microseconds in a day of 24 hours.
pub const DAY_MICROS: i64 = 86_400_000_000;

impl Interval {
    /// An interval of microseconds alone.
    pub fn from_micros(micros: i64) -> Self {
        Self { micros, ..Self::default() }
    }

    /// The difference of two instants as PostgreSQL gives it: whole days, then the rest.
    pub fn between(later: i64, earlier: i64) -> Result<Self, EvalError> {
        let micros = later.checked_sub(earlier).ok_or(EvalError::DatetimeOutOfRange)?;
        let days = i32::try_from(micros / DAY_MICROS).map_err(|_| EvalError::DatetimeOutOfRange)?;
        Ok(Self { months: 0, days, micros: micros % DAY_MICROS })
    }

    /// The sum, field by field.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    /// The interval turned round.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// Reads `1 year 2 months 3 days 04:05:06.7`, `5 minutes`, `1 day ago`, `1-2` and ISO 8601
    /// (`P1Y2M3DT4H5M6.7S`), as PostgreSQL does.
    pub fn parse(text: &str) -> Result<Self, EvalError> {
        interval_text::interval(text)
    }

    /// The length in microseconds, a month counting as 30 days and a day as 24 hours.
    pub fn total_micros(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY_MICROS)
            + i128::from(self.micros)
    }

    /// ISO 8601, as values in JSON have it.
    pub fn to_iso(self) -> String {
        let mut text = String::from("P");
        let (years, months) = (self.months / 12, self.months % 12);
        for (n, unit) in [(years, 'Y'), (months, 'M'), (self.days, 'D')] {
            if n != 0 {
                let _ = write!(text, "{n}{unit}");
            }
        }
        if self.micros != 0 {
            text.push('T');
            let (hours, rest) = (self.micros / 3_600_000_000, self.micros % 3_600_000_000);
            let (minutes, rest) = (rest / 60_000_000, rest % 60_000_000);
            for (n, unit) in [(hours, 'H'), (minutes, 'M')] {
                if n != 0 {
                    let _ = write!(text, "{n}{unit}");
                }
            }
            if rest != 0 {
                let sign = if rest < 0 { "-" } else { "" };
                let (seconds, fraction) = (rest.abs() / 1_000_000, rest.abs() % 1_000_000);
                let fraction = format!("{fraction:06}");
                let fraction = fraction.trim_end_matches('0');
                let point = if fraction.is_empty() { "" } else { "." };
                let _ = write!(text, "{sign}{seconds}{point}{fraction}S");
            }
        }
        if text.len() == 1 { String::from("PT0S") } else { text }
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Self) -> Ordering {
        self.total_micros()
            .cmp(&other.total_micros())
            .then_with(|| (self.months, self.days).cmp(&(other.months, other.days)))
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Interval {
    /// PostgreSQL's default style: `1 year 2 mons 3 days 04:05:06.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let plural = |n: i32| if n == 1 { "" } else { "s" };
        let (years, months) = (self.months / 12, self.months % 12);
        // After a negative field a positive one says so.
        let mut after_negative = false;
        for (n, unit) in [(years, "year"), (months, "mon"), (self.days, "day")] {
            if n != 0 {
                let sign = if after_negative && n > 0 { "+" } else { "" };
                parts.push(format!("{sign}{n} {unit}{}", plural(n)));
                after_negative = n < 0;
            }
        }
        if self.micros != 0 || parts.is_empty() {
            let sign = match (self.micros < 0, after_negative) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            let micros = self.micros.unsigned_abs();
            let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let mut clock =
                format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            if fraction != 0 {
                clock += format!(".{fraction:06}").trim_end_matches('0');
            }
            parts.push(clock);
        }
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, shown, iso) in [
            ("5 minutes", "00:05:00", "PT5M"),
            ("1 year 2 mons 3 days 04:05:06.7", "1 year 2 mons 3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S"),
            ("P1Y2M3DT4H5M6.7S", "1 year 2 mons 3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S"),
            ("-1 day", "-1 days", "P-1D"),
            ("-1 mons 2 days 00:00:01", "-1 mons +2 days 00:00:01", "P-1M2DT1S"),
            ("-3 days 00:00:01", "-3 days +00:00:01", "P-3DT1S"),
            ("2 weeks", "14 days", "P14D"),
            ("1.5 hours", "01:30:00", "PT1H30M"),
            ("90s", "00:01:30", "PT1M30S"),
            ("0 seconds", "00:00:00", "PT0S"),
        ] {
            let interval = Interval::parse(text).unwrap();
            assert_eq!(interval.to_string(), shown, "{text}");
            assert_eq!(interval.to_iso(), iso, "{text}");
            assert_eq!(Interval::parse(iso).unwrap(), interval, "{iso}");
        }
        for text in ["", "P", "five minutes", "1 fortnight", "1e300 years", "::"] {
            assert!(Interval::parse(text).is_err(), "{text}");
        }
    }
}
