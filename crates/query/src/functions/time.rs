//! Functions of dates, instants and intervals. Instants are read in UTC.

use deltaic_types::{DAY_MICROS, EvalError, Interval, Numeric, Value, datetime};

use super::{Argument, Function, argument, double_argument, integer_argument, mistyped, text_argument};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const MINUTE: i64 = 60 * SECOND;

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    match function {
        Function::DateTrunc => {
            let unit = Unit::read(text_argument(args, 0)?).ok_or(unknown_unit("date_trunc"))?;
            match argument(args, 1)? {
                Value::Timestamp(micros) => truncate_instant(unit, *micros).map(Value::Timestamp),
                Value::Interval(interval) => truncate_interval(unit, **interval).map(Value::interval),
                _ => Err(mistyped()),
            }
        }
        Function::Extract | Function::DatePart => {
            let name = if function == Function::Extract { "extract" } else { "date_part" };
            let unit = Unit::read(text_argument(args, 0)?).ok_or(unknown_unit(name))?;
            let part = match argument(args, 1)? {
                Value::Timestamp(micros) => part_of_instant(unit, *micros, false),
                Value::Date(days) => part_of_instant(unit, i64::from(*days) * DAY_MICROS, true),
                Value::Interval(interval) => part_of_interval(unit, **interval),
                _ => return Err(mistyped()),
            }?
            .ok_or(EvalError::InvalidArgument { function: name, reason: "the type has no such field" })?;
            if function == Function::Extract {
                part.numeric().map(Value::numeric)
            } else {
                Ok(Value::double(part.double()))
            }
        }
        Function::MakeDate => {
            let [year, month, day] =
                [integer_argument(args, 0)?, integer_argument(args, 1)?, integer_argument(args, 2)?];
            days_of(year, month, day).map(Value::Date)
        }
        Function::MakeTimestamptz => {
            let [year, month, day] =
                [integer_argument(args, 0)?, integer_argument(args, 1)?, integer_argument(args, 2)?];
            let [hour, minute] = [integer_argument(args, 3)?, integer_argument(args, 4)?];
            let seconds = double_argument(args, 5)?;
            let days = days_of(year, month, day)?;
            let fits =
                (0..24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60.0).contains(&seconds);
            if !fits {
                return Err(EvalError::DatetimeOutOfRange);
            }
            let of_day = hour * HOUR + minute * MINUTE + (seconds * 1e6).round_ties_even() as i64;
            let micros = i64::from(days) * DAY_MICROS + of_day;
            datetime::in_years(micros).map(Value::Timestamp)
        }
        Function::Age => match (argument(args, 0)?, argument(args, 1)?) {
            (Value::Timestamp(later), Value::Timestamp(earlier)) => {
                age(*later, *earlier).map(Value::interval)
            }
            _ => Err(mistyped()),
        },
        Function::ToTimestamp => {
            let micros = (double_argument(args, 0)? * 1e6).round_ties_even();
            if micros.is_nan() || micros.abs() >= 9.2e18 {
                return Err(EvalError::DatetimeOutOfRange);
            }
            datetime::in_years(micros as i64).map(Value::Timestamp)
        }
        _ => Err(mistyped()),
    }
}

fn unknown_unit(function: &'static str) -> EvalError {
    EvalError::InvalidArgument { function, reason: "unknown unit" }
}

/// What `date_trunc` and `extract` name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Epoch,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Julian,
    Zone,
}

impl Unit {
    fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        Some(match lower.as_str() {
            "microseconds" | "microsecond" | "us" | "usec" => Self::Microsecond,
            "milliseconds" | "millisecond" | "ms" | "msec" => Self::Millisecond,
            "second" | "seconds" | "sec" | "s" => Self::Second,
            "minute" | "minutes" | "min" | "m" => Self::Minute,
            "hour" | "hours" | "hr" | "h" => Self::Hour,
            "day" | "days" | "d" => Self::Day,
            "week" | "weeks" | "w" => Self::Week,
            "month" | "months" | "mon" => Self::Month,
            "quarter" | "qtr" => Self::Quarter,
            "year" | "years" | "yr" | "y" => Self::Year,
            "decade" | "decades" => Self::Decade,
            "century" | "centuries" | "c" => Self::Century,
            "millennium" | "millennia" | "mil" => Self::Millennium,
            "epoch" => Self::Epoch,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "isoyear" => Self::IsoYear,
            "julian" => Self::Julian,
            "timezone" | "timezone_hour" | "timezone_minute" => Self::Zone,
            _ => return None,
        })
    }
}

/// A part as a whole number of a fraction: exact for `extract`, a double for `date_part`.
struct Part {
    amount: i128,
    per_unit: i64,
}

impl Part {
    fn whole(amount: i64) -> Self {
        Self { amount: i128::from(amount), per_unit: 1 }
    }

    fn numeric(&self) -> Result<Numeric, EvalError> {
        Numeric::from(self.amount).div(&Numeric::from(self.per_unit))
    }

    fn double(&self) -> f64 {
        self.amount as f64 / self.per_unit as f64
    }
}

fn days_of(year: i64, month: i64, day: i64) -> Result<i32, EvalError> {
    let out = |_| EvalError::DatetimeOutOfRange;
    let in_range = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range {
        return Err(EvalError::DatetimeOutOfRange);
    }
    let text = format!("{year:04}-{month:02}-{day:02}");
    datetime::parse_date(&text).map_err(out)
}

/// The instant of midnight of a day.
fn midnight(year: i64, month: i64, day: i64) -> Result<i64, EvalError> {
    Ok(i64::from(days_of(year, month, day)?) * DAY_MICROS)
}

fn truncate_instant(unit: Unit, micros: i64) -> Result<i64, EvalError> {
    let (date, of_day) = datetime::civil_instant(micros)?;
    let (year, month) = (i64::from(date.year()), i64::from(date.month()));
    let start = micros - of_day;
    let step = |size: i64| Ok(micros - micros.rem_euclid(size));
    match unit {
        Unit::Microsecond => Ok(micros),
        Unit::Millisecond => step(1_000),
        Unit::Second => step(SECOND),
        Unit::Minute => step(MINUTE),
        Unit::Hour => step(HOUR),
        Unit::Day => Ok(start),
        Unit::Week => Ok(start - i64::from(date.weekday().to_monday_zero_offset()) * DAY_MICROS),
        Unit::Month => midnight(year, month, 1),
        Unit::Quarter => midnight(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Year => midnight(year, 1, 1),
        Unit::Decade => midnight(year.div_euclid(10) * 10, 1, 1),
        Unit::Century => midnight((year - 1).div_euclid(100) * 100 + 1, 1, 1),
        Unit::Millennium => midnight((year - 1).div_euclid(1_000) * 1_000 + 1, 1, 1),
        _ => Err(unknown_unit("date_trunc")),
    }
}

fn truncate_interval(unit: Unit, interval: Interval) -> Result<Interval, EvalError> {
    let Interval { months, days, micros } = interval;
    let whole_months = |size: i32| Ok(Interval { months: months - months % size, days: 0, micros: 0 });
    let step = |size: i64| Ok(Interval { months, days, micros: micros - micros % size });
    match unit {
        Unit::Microsecond => Ok(interval),
        Unit::Millisecond => step(1_000),
        Unit::Second => step(SECOND),
        Unit::Minute => step(MINUTE),
        Unit::Hour => step(HOUR),
        Unit::Day => Ok(Interval { months, days, micros: 0 }),
        Unit::Month => whole_months(1),
        Unit::Quarter => whole_months(3),
        Unit::Year => whole_months(12),
        Unit::Decade => whole_months(120),
        Unit::Century => whole_months(1_200),
        Unit::Millennium => whole_months(12_000),
        _ => Err(unknown_unit("date_trunc")),
    }
}

/// The part of an instant, or of a date, which has no time of day; None where there is no such field.
fn part_of_instant(unit: Unit, micros: i64, is_date: bool) -> Result<Option<Part>, EvalError> {
    let (date, of_day) = datetime::civil_instant(micros)?;
    let (year, month) = (i64::from(date.year()), i64::from(date.month()));
    let week = date.iso_week_date();
    let fraction = |amount: i64, per_unit| Part { amount: i128::from(amount), per_unit };
    let clock = matches!(
        unit,
        Unit::Microsecond | Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour | Unit::Zone
    );
    if is_date && clock {
        return Ok(None);
    }
    Ok(Some(match unit {
        Unit::Microsecond => Part::whole(of_day % MINUTE),
        Unit::Millisecond => fraction(of_day % MINUTE, 1_000),
        Unit::Second => fraction(of_day % MINUTE, SECOND),
        Unit::Minute => Part::whole(of_day / MINUTE % 60),
        Unit::Hour => Part::whole(of_day / HOUR),
        Unit::Day => Part::whole(i64::from(date.day())),
        Unit::Week => Part::whole(i64::from(week.week())),
        Unit::Month => Part::whole(month),
        Unit::Quarter => Part::whole((month - 1) / 3 + 1),
        Unit::Year => Part::whole(year),
        Unit::Decade => Part::whole(year.div_euclid(10)),
        Unit::Century => Part::whole((year - 1).div_euclid(100) + 1),
        Unit::Millennium => Part::whole((year - 1).div_euclid(1_000) + 1),
        Unit::Epoch => fraction(micros, SECOND),
        Unit::DayOfWeek => Part::whole(i64::from(date.weekday().to_sunday_zero_offset())),
        Unit::IsoDayOfWeek => Part::whole(i64::from(date.weekday().to_monday_one_offset())),
        Unit::DayOfYear => Part::whole(i64::from(date.day_of_year())),
        Unit::IsoYear => Part::whole(i64::from(week.year())),
        Unit::Julian => {
            const EPOCH: i64 = 2_440_588;
            fraction(EPOCH * DAY_MICROS + micros, DAY_MICROS)
        }
        Unit::Zone => Part::whole(0),
    }))
}

fn part_of_interval(unit: Unit, interval: Interval) -> Result<Option<Part>, EvalError> {
    let Interval { months, days, micros } = interval;
    let (years, rest) = (i64::from(months / 12), i64::from(months % 12));
    let fraction = |amount: i64, per_unit| Part { amount: i128::from(amount), per_unit };
    Ok(Some(match unit {
        Unit::Microsecond => Part::whole(micros % MINUTE),
        Unit::Millisecond => fraction(micros % MINUTE, 1_000),
        Unit::Second => fraction(micros % MINUTE, SECOND),
        Unit::Minute => Part::whole(micros / MINUTE % 60),
        Unit::Hour => Part::whole(micros / HOUR),
        Unit::Day => Part::whole(i64::from(days)),
        Unit::Month => Part::whole(rest),
        Unit::Quarter => Part::whole(rest / 3 + 1),
        Unit::Year => Part::whole(years),
        Unit::Decade => Part::whole(years / 10),
        Unit::Century => Part::whole(years / 100),
        Unit::Millennium => Part::whole(years / 1_000),
        Unit::Epoch => {
            // A year counts as 365.25 days, a month beyond whole years as 30.
            let quarter_days = i128::from(years) * 1_461 + i128::from(rest) * 120 + i128::from(days) * 4;
            Part { amount: quarter_days * i128::from(DAY_MICROS / 4) + i128::from(micros), per_unit: SECOND }
        }
        _ => return Ok(None),
    }))
}

/// The difference in years, months, days and the rest, counted on the calendar.
fn age(later: i64, earlier: i64) -> Result<Interval, EvalError> {
    let negative = later < earlier;
    let (later, earlier) = if negative { (earlier, later) } else { (later, earlier) };
    let (to, to_clock) = datetime::civil_instant(later)?;
    let (from, from_clock) = datetime::civil_instant(earlier)?;
    let mut months = (i32::from(to.year()) - i32::from(from.year())) * 12 + i32::from(to.month())
        - i32::from(from.month());
    let mut days = i32::from(to.day()) - i32::from(from.day());
    let mut micros = to_clock - from_clock;
    if micros < 0 {
        micros += DAY_MICROS;
        days -= 1;
    }
    while days < 0 {
        // Days are borrowed from the earlier date's month, which may be too short for one loan.
        days += i32::from(from.days_in_month());
        months -= 1;
    }
    let interval = Interval { months, days, micros };
    if negative { interval.checked_neg().ok_or(EvalError::DatetimeOutOfRange) } else { Ok(interval) }
}
