//! Texts of intervals, read as PostgreSQL reads them: `1 year 2 mons -3 days +04:05:06.7`, `1-2`,
//! `1 day ago`, and ISO 8601 with and without its letters (`P1Y2M3DT4H5M6.7S`, `P0001-02-03T04:05:06`).
//!
//! Words are read from the right, so that a unit is known before its number. Invariant: no unit is given
//! twice; a fraction of months spills into days and one of days into microseconds, never upwards; and what
//! overflows a field is an error.

use crate::{
    EvalError, Interval,
    datetime_fields::{Clock, Fault, Kind, fields, fraction, small, whole},
    interval::DAY_MICROS,
};

/// The longest text that is read: PostgreSQL's.
const LONGEST: usize = 256;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The interval that a text says.
pub(crate) fn interval(text: &str) -> Result<Interval, EvalError> {
    let sum = match read_words(text) {
        Err(Fault::Format) if text.len() <= LONGEST => read_iso(text),
        result => result,
    };
    sum.map_err(|fault| fault.of("interval", text))?.finish()
}

/// The fields that are added to.
#[derive(Default)]
struct Sum {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

/// A number as text says it: its whole part and the rest, both with its sign.
#[derive(Clone, Copy)]
struct Amount {
    whole: i64,
    fraction: f64,
}

impl Sum {
    /// Months in place of years.
    fn finish(self) -> Result<Interval, EvalError> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| EvalError::DatetimeOutOfRange)?;
        Ok(Interval { months, days: self.days, micros: self.micros })
    }

    fn negated(self) -> Option<Self> {
        Some(Self {
            years: self.years.checked_neg()?,
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// Adds a number of a unit.
    fn add(&mut self, amount: Amount, unit: Unit) -> Result<(), Fault> {
        let added = match unit {
            Unit::Micros(size) => self.add_micros(amount, size),
            Unit::Days(size) => self.add_days(amount, size),
            Unit::Month => self.add_months(amount),
            Unit::Years(size) => self.add_years(amount, size),
        };
        added.ok_or(Fault::Range)
    }

    fn add_micros(&mut self, amount: Amount, size: i64) -> Option<()> {
        self.micros = self.micros.checked_add(amount.whole.checked_mul(size)?)?;
        self.add_fraction(amount.fraction, size)
    }

    /// A fraction of so many microseconds, rounded half towards zero.
    fn add_fraction(&mut self, fraction: f64, size: i64) -> Option<()> {
        let scaled = fraction * size as f64;
        let whole = scaled.trunc();
        let rest = scaled - whole;
        let up = i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(whole as i64 + up)?;
        Some(())
    }

    fn add_days(&mut self, amount: Amount, size: i32) -> Option<()> {
        let days = i32::try_from(amount.whole).ok()?.checked_mul(size)?;
        self.days = self.days.checked_add(days)?;
        self.add_fraction_of_days(amount.fraction, size)
    }

    fn add_fraction_of_days(&mut self, fraction: f64, size: i32) -> Option<()> {
        let scaled = fraction * f64::from(size);
        self.days = self.days.checked_add(scaled.trunc() as i32)?;
        self.add_fraction(scaled - scaled.trunc(), DAY_MICROS)
    }

    fn add_months(&mut self, amount: Amount) -> Option<()> {
        self.months = self.months.checked_add(i32::try_from(amount.whole).ok()?)?;
        self.add_fraction_of_days(amount.fraction, 30)
    }

    fn add_years(&mut self, amount: Amount, size: i32) -> Option<()> {
        let years = i32::try_from(amount.whole).ok()?.checked_mul(size)?;
        self.years = self.years.checked_add(years)?;
        // A fraction of a year gives whole months alone.
        let months = (amount.fraction * f64::from(size) * 12.0).round_ties_even();
        self.months = self.months.checked_add(months as i32)?;
        Some(())
    }
}

/// What a number is of.
#[derive(Clone, Copy)]
enum Unit {
    /// So many microseconds.
    Micros(i64),
    /// So many days.
    Days(i32),
    Month,
    /// So many years.
    Years(i32),
}

impl Unit {
    /// PostgreSQL compares ten characters.
    fn of(text: &str) -> Option<Self> {
        Some(match &text[..text.len().min(10)] {
            "us" | "usec" | "usecs" | "useconds" | "usecond" | "microsecon" => Self::Micros(1),
            "ms" | "msec" | "msecs" | "mseconds" | "msecond" | "millisecon" => Self::Micros(1_000),
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Micros(SECOND),
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Micros(MINUTE),
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Micros(HOUR),
            "d" | "day" | "days" => Self::Days(1),
            "w" | "week" | "weeks" => Self::Days(7),
            "mon" | "mons" | "month" | "months" => Self::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Years(1),
            "dec" | "decs" | "decade" | "decades" => Self::Years(10),
            "c" | "cent" | "century" | "centuries" => Self::Years(100),
            "mil" | "mils" | "millennium" | "millennia" => Self::Years(1_000),
            _ => return None,
        })
    }

    /// The parts of an interval that the unit takes, so that none is given twice. Seconds with a fraction
    /// take those below them.
    fn parts(self, has_fraction: bool) -> u16 {
        match self {
            Self::Micros(1) => 1,
            Self::Micros(1_000) => 1 << 1,
            Self::Micros(SECOND) if has_fraction => 0b111,
            Self::Micros(SECOND) => 1 << 2,
            Self::Micros(MINUTE) => 1 << 3,
            Self::Micros(_) => 1 << 4,
            Self::Days(1) => 1 << 5,
            Self::Days(_) => 1 << 6,
            Self::Month => 1 << 7,
            Self::Years(1) => 1 << 8,
            Self::Years(10) => 1 << 9,
            Self::Years(100) => 1 << 10,
            Self::Years(_) => 1 << 11,
        }
    }
}

/// The parts of a time with colons.
const CLOCK: u16 = 0b1_1111;

/// What the number to the left of a field is of.
#[derive(Clone, Copy)]
enum Next {
    /// The last number without a unit is of seconds.
    Last,
    Of(Unit),
    /// `ago` has no number.
    Nothing,
}

fn read_words(text: &str) -> Result<Sum, Fault> {
    let mut sum = Sum::default();
    let mut next = Next::Last;
    let (mut seen, mut ago) = (0, false);
    for field in fields(text, LONGEST)?.iter().rev() {
        let text = field.text.as_str();
        let clock = match field.kind {
            Kind::Clock => Some(clock(text)?),
            Kind::Signed if text.contains(':') => {
                let micros = clock(&text[1..]).map_err(|_| Fault::Format)?;
                Some(if text.starts_with('-') { -micros } else { micros })
            }
            _ => None,
        };
        let found = match (clock, field.kind) {
            (Some(micros), _) => {
                // A fraction of days to its right is lost, as in PostgreSQL.
                sum.micros = micros;
                next = Next::Of(Unit::Days(1));
                CLOCK
            }
            (None, Kind::Word) if text == "ago" => {
                (ago, next) = (true, Next::Nothing);
                0
            }
            (None, Kind::Word) => {
                next = Next::Of(Unit::of(text).ok_or(Fault::Format)?);
                0
            }
            _ => {
                let (amount, is_months) = amount(text)?;
                let unit = match next {
                    _ if is_months => Unit::Month,
                    Next::Last => Unit::Micros(SECOND),
                    Next::Of(unit) => unit,
                    Next::Nothing => return Err(Fault::Format),
                };
                sum.add(amount, unit)?;
                // Without a unit, what stands before hours is days.
                let before = if matches!(unit, Unit::Micros(HOUR)) { Unit::Days(1) } else { unit };
                next = Next::Of(before);
                unit.parts(amount.fraction != 0.0)
            }
        };
        if seen & found != 0 {
            return Err(Fault::Format);
        }
        seen |= found;
    }
    match (seen, ago) {
        (0, _) => Err(Fault::Format),
        (_, true) => sum.negated().ok_or(Fault::Range),
        (_, false) => Ok(sum),
    }
}

fn clock(text: &str) -> Result<i64, Fault> {
    Clock::read(text)?.total().ok_or(Fault::Range)
}

/// A number, or `years-months`, which says true.
fn amount(text: &str) -> Result<(Amount, bool), Fault> {
    let negative = text.starts_with('-');
    let (n, rest) = whole(text)?;
    if let Some(rest) = rest.strip_prefix('-') {
        let (months, rest) = small(rest)?;
        if !(0..12).contains(&months) {
            return Err(Fault::Range);
        }
        if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let months = if negative { -months } else { months };
        let whole = n.checked_mul(12).and_then(|n| n.checked_add(months)).ok_or(Fault::Range)?;
        return Ok((Amount { whole, fraction: 0.0 }, true));
    }
    let fraction = if rest.is_empty() { 0.0 } else { fraction(rest)? };
    Ok((Amount { whole: n, fraction: if negative { -fraction } else { fraction } }, false))
}

/// ISO 8601, after a `P`.
fn read_iso(text: &str) -> Result<Sum, Fault> {
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Fault::Format)?;
    let mut sum = Sum::default();
    let (mut in_date, mut has_field) = (true, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            (rest, in_date, has_field) = (time, false, false);
            continue;
        }
        let (amount, digits, after) = iso_number(rest)?;
        let letter = after.chars().next();
        let unit = match (in_date, letter) {
            (true, Some('Y')) => Unit::Years(1),
            (true, Some('M')) => Unit::Month,
            (true, Some('W')) => Unit::Days(7),
            (true, Some('D')) => Unit::Days(1),
            (false, Some('H')) => Unit::Micros(HOUR),
            (false, Some('M')) => Unit::Micros(MINUTE),
            (false, Some('S')) => Unit::Micros(SECOND),
            (true, Some('T' | '-') | None) if !has_field => {
                rest = iso_date(&mut sum, amount, digits, after)?;
                continue;
            }
            (false, Some(':') | None) if !has_field => {
                iso_clock(&mut sum, amount, digits, after)?;
                return Ok(sum);
            }
            _ => return Err(Fault::Format),
        };
        sum.add(amount, unit)?;
        has_field = true;
        rest = &after[1..];
    }
    Ok(sum)
}

/// `0001-02-03` or `00010203`, from its first number on; what is left begins with a `T` or is nothing.
fn iso_date<'a>(sum: &mut Sum, first: Amount, digits: usize, after: &'a str) -> Result<&'a str, Fault> {
    if digits == 8 && !after.starts_with('-') {
        let part = |whole| Amount { whole, fraction: 0.0 };
        sum.add(part(first.whole / 10_000), Unit::Years(1))?;
        sum.add(part(first.whole / 100 % 100), Unit::Month)?;
        sum.add(Amount { whole: first.whole % 100, ..first }, Unit::Days(1))?;
        return Ok(after);
    }
    sum.add(first, Unit::Years(1))?;
    let mut rest = after;
    for unit in [Unit::Month, Unit::Days(1)] {
        let Some(number) = rest.strip_prefix('-') else { break };
        let (amount, _, after) = iso_number(number)?;
        sum.add(amount, unit)?;
        rest = after;
    }
    if rest.is_empty() || rest.starts_with('T') { Ok(rest) } else { Err(Fault::Format) }
}

/// `04:05:06` or `040506`, from its first number to the end.
fn iso_clock(sum: &mut Sum, first: Amount, digits: usize, after: &str) -> Result<(), Fault> {
    if digits == 6 && after.is_empty() {
        let part = |whole| Amount { whole, fraction: 0.0 };
        sum.add(part(first.whole / 10_000), Unit::Micros(HOUR))?;
        sum.add(part(first.whole / 100 % 100), Unit::Micros(MINUTE))?;
        sum.add(part(first.whole % 100), Unit::Micros(SECOND))?;
        // PostgreSQL takes the fraction for one of a microsecond.
        return sum.add_fraction(first.fraction, 1).ok_or(Fault::Range);
    }
    sum.add(first, Unit::Micros(HOUR))?;
    let mut rest = after;
    for unit in [Unit::Micros(MINUTE), Unit::Micros(SECOND)] {
        let Some(number) = rest.strip_prefix(':') else { break };
        let (amount, _, after) = iso_number(number)?;
        sum.add(amount, unit)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::Format) }
}

/// A number with a sign, a fraction and an exponent perhaps; the digits of its whole part; what follows.
fn iso_number(text: &str) -> Result<(Amount, usize, &str), Fault> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let run = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = run(unsigned);
    let mut end = digits;
    if unsigned[end..].starts_with('.') {
        let decimals = run(&unsigned[end + 1..]);
        if digits + decimals == 0 {
            return Err(Fault::Format);
        }
        end += 1 + decimals;
    }
    if end == 0 {
        return Err(Fault::Format);
    }
    if let Some(exponent) = unsigned[end..].strip_prefix(['e', 'E']) {
        let signed = usize::from(exponent.starts_with(['+', '-']));
        let length = run(&exponent[signed..]);
        if length > 0 {
            end += 1 + signed + length;
        }
    }
    let end = text.len() - unsigned.len() + end;
    let value: f64 = text[..end].parse().map_err(|_| Fault::Format)?;
    if value.is_infinite() {
        return Err(Fault::Format);
    }
    if value.abs() > 1e15 {
        return Err(Fault::Range);
    }
    let amount = Amount { whole: value.trunc() as i64, fraction: value - value.trunc() };
    Ok((amount, digits, &text[end..]))
}
