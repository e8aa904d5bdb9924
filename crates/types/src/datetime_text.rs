//! Texts of dates and timestamps, read as PostgreSQL reads them with `DateStyle` ISO, MDY in UTC.
//!
//! The fields come in almost any order: each says by its form, and by what is known already, which part of
//! the date it is. Invariant: no part is given twice, and what is read is a day of the years 1 to 9999 or
//! an error. Time zones are offsets or UTC's names; there is no table of zones here, and no clock.

use jiff::civil;

use crate::{
    EvalError,
    datetime::{days_of, in_years},
    datetime_fields::{Clock, Fault, Field, Kind, fields, micros, small},
    interval::DAY_MICROS,
};

/// The longest text that is read: PostgreSQL's.
const LONGEST: usize = 128;

/// The day number that a text says.
pub(crate) fn date(text: &str) -> Result<i32, EvalError> {
    let (days, _) = read(text).map_err(|fault| fault.of("date", text))?;
    let days = i32::try_from(days).map_err(|_| EvalError::DatetimeOutOfRange)?;
    in_years(i64::from(days) * DAY_MICROS)?;
    Ok(days)
}

/// The instant that a text says.
pub(crate) fn instant(text: &str) -> Result<i64, EvalError> {
    let (days, micros) = read(text).map_err(|fault| fault.of("timestamptz", text))?;
    let instant = days.checked_mul(DAY_MICROS).and_then(|start| start.checked_add(micros));
    in_years(instant.ok_or(EvalError::DatetimeOutOfRange)?)
}

// The parts that a text has given.
const YEAR: u16 = 1;
const MONTH: u16 = 1 << 1;
const DAY: u16 = 1 << 2;
const DATE: u16 = YEAR | MONTH | DAY;
const TIME: u16 = 1 << 3;
const ZONE: u16 = 1 << 4;
const DAY_OF_YEAR: u16 = 1 << 5;
const WEEKDAY: u16 = 1 << 6;
const HALF: u16 = 1 << 7;
const ERA: u16 = 1 << 8;
const RESERVED: u16 = 1 << 9;

/// What is known so far.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that the text said or not")]
struct Reading {
    seen: u16,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    /// The year has one or two digits: it lies between 1970 and 2069.
    short_year: bool,
    named_month: bool,
    clock: Clock,
    /// AM is false.
    afternoon: Option<bool>,
    /// Seconds east of UTC.
    offset: i64,
    /// A `T` came before this field.
    after_t: bool,
    epoch: bool,
    before_christ: bool,
}

/// Days since the epoch, and microseconds beyond them.
fn read(text: &str) -> Result<(i64, i64), Fault> {
    let mut reading = Reading::default();
    let fields = fields(text, LONGEST)?;
    for (place, field) in fields.iter().enumerate() {
        let found = match field.kind {
            Kind::Date => reading.date_field(&field.text)?,
            Kind::Clock => reading.clock_field(&field.text)?,
            Kind::Signed => {
                reading.offset = offset(&field.text)?;
                ZONE
            }
            Kind::Number => reading.number_field(&field.text)?,
            Kind::Word => reading.word(&field.text, fields.get(place + 1))?,
        };
        if reading.seen & found != 0 {
            return Err(Fault::Format);
        }
        reading.seen |= found;
    }
    reading.finish()
}

impl Reading {
    fn has(&self, parts: u16) -> bool {
        self.seen & parts == parts
    }

    fn date_field(&mut self, text: &str) -> Result<u16, Fault> {
        if !self.after_t && !self.has(MONTH | DAY) {
            return self.date(text);
        }
        if !self.after_t && !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Fault::Unsupported(ZONE_NAMES));
        }
        // A time without colons, and its offset.
        self.after_t = false;
        let at = text.find('-').filter(|_| !self.has(TIME)).ok_or(Fault::Format)?;
        self.offset = offset(&text[at..])?;
        Ok(self.run_together(&text[..at], self.seen)? | ZONE)
    }

    fn clock_field(&mut self, text: &str) -> Result<u16, Fault> {
        self.after_t = false;
        self.clock = Clock::read(text)?;
        let in_day = self.clock.total().is_some_and(|micros| micros <= DAY_MICROS);
        if in_day { Ok(TIME) } else { Err(Fault::Range) }
    }

    fn number_field(&mut self, text: &str) -> Result<u16, Fault> {
        if self.after_t {
            self.after_t = false;
            let found = self.run_together(text, self.seen | DATE)?;
            return if found == TIME { Ok(found) } else { Err(Fault::Format) };
        }
        match text.find('.') {
            Some(_) if self.seen & DATE == 0 => self.date(text),
            Some(at) if at > 2 => self.run_together(text, self.seen),
            _ if text.len() >= 6 && (self.seen & DATE == 0 || !self.has(TIME)) => {
                self.run_together(text, self.seen)
            }
            _ => self.number(text, self.named_month, self.seen),
        }
    }

    /// A date with marks between its parts.
    fn date(&mut self, text: &str) -> Result<u16, Fault> {
        let parts = date_parts(text)?;
        let mut found = 0;
        let mut named_month = false;
        // A name is a month wherever it stands; the numbers follow from it.
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())) {
            match Word::of(part) {
                Some(Word::Ignored) => {}
                Some(Word::Month(month)) if (self.seen | found) & MONTH == 0 => {
                    self.month = month;
                    named_month = true;
                    found |= MONTH;
                }
                _ => return Err(Fault::Format),
            }
        }
        for part in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            let one = self.number(part, named_month, self.seen | found)?;
            if (self.seen | found) & one != 0 {
                return Err(Fault::Format);
            }
            found |= one;
        }
        if (self.seen | found) & !(DAY_OF_YEAR | ZONE) == DATE { Ok(found) } else { Err(Fault::Format) }
    }

    /// A number by itself: the next part of the date that is missing.
    fn number(&mut self, text: &str, named_month: bool, seen: u16) -> Result<u16, Fault> {
        let (n, rest) = small(text)?;
        if rest.len() == text.len() {
            return Err(Fault::Format);
        }
        if rest.starts_with('.') {
            if text.len() - rest.len() > 2 {
                return self.run_together(text, seen | DATE);
            }
            self.clock.micros = micros(rest)?;
        } else if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let length = text.len();
        if length == 3 && seen & DATE == YEAR && (1..=366).contains(&n) {
            self.day_of_year = n;
            return Ok(DAY_OF_YEAR | MONTH | DAY);
        }
        let part = match seen & DATE {
            0 if length >= 3 => YEAR,
            0 => MONTH,
            YEAR => MONTH,
            MONTH if named_month && length >= 3 => YEAR,
            MONTH => DAY,
            part if part == YEAR | MONTH => {
                if named_month && length >= 3 && self.short_year {
                    // What was taken for the year was the day.
                    self.day = self.year;
                    self.year = n;
                    self.short_year = false;
                    return Ok(DAY);
                }
                DAY
            }
            DAY => MONTH,
            part if part == MONTH | DAY => YEAR,
            DATE => return self.run_together(text, seen),
            _ => return Err(Fault::Format),
        };
        match part {
            YEAR => (self.year, self.short_year) = (n, length <= 2),
            MONTH => self.month = n,
            _ => self.day = n,
        }
        Ok(part)
    }

    /// `20240131`, `240131`, `101530`, `1015`: a date where one is missing, else a time.
    fn run_together(&mut self, text: &str, seen: u16) -> Result<u16, Fault> {
        let (digits, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let number = |part: &str| part.parse::<i32>().map(i64::from).map_err(|_| Fault::Range);
        let length = digits.len();
        if !rest.is_empty() {
            self.clock.micros = micros(rest)?;
        } else if seen & DATE != DATE && length >= 6 {
            self.day = number(&digits[length - 2..])?;
            self.month = number(&digits[length - 4..length - 2])?;
            self.year = number(&digits[..length - 4])?;
            self.short_year |= length == 6;
            return Ok(DATE);
        }
        if seen & TIME == 0 && (length == 6 || length == 4) {
            self.clock.hour = number(&digits[..2])?;
            self.clock.minute = number(&digits[2..4])?;
            self.clock.second = if length == 6 { number(&digits[4..])? } else { 0 };
            return Ok(TIME);
        }
        Err(Fault::Format)
    }

    fn word(&mut self, text: &str, next: Option<&Field>) -> Result<u16, Fault> {
        Ok(match Word::of(text).ok_or(Fault::Format)? {
            Word::Ignored => 0,
            Word::Utc => {
                self.offset = 0;
                ZONE
            }
            Word::Month(month) => {
                let number_was_day =
                    self.has(MONTH) && !self.named_month && !self.has(DAY) && (1..=31).contains(&self.month);
                let part = if number_was_day {
                    self.day = self.month;
                    DAY
                } else {
                    MONTH
                };
                self.named_month = true;
                self.month = month;
                part
            }
            Word::Weekday => WEEKDAY,
            Word::Half(afternoon) => {
                self.afternoon = Some(afternoon);
                HALF
            }
            Word::Era(before_christ) => {
                self.before_christ = before_christ;
                ERA
            }
            Word::Epoch => {
                self.epoch = true;
                RESERVED
            }
            Word::Midnight => {
                self.clock = Clock::default();
                self.offset = 0;
                self.epoch = false;
                TIME | ZONE
            }
            Word::T => {
                let is_time =
                    next.is_some_and(|next| matches!(next.kind, Kind::Number | Kind::Clock | Kind::Date));
                if !self.has(DATE) || !is_time {
                    return Err(Fault::Format);
                }
                self.after_t = true;
                0
            }
            Word::Unsupported(what) => return Err(Fault::Unsupported(what)),
        })
    }

    fn finish(mut self) -> Result<(i64, i64), Fault> {
        if self.seen & YEAR != 0 {
            match self.year {
                0..70 if self.short_year => self.year += 2000,
                70..100 if self.short_year => self.year += 1900,
                1.. => {}
                _ => return Err(Fault::Range),
            }
        }
        let counted = self.has(DAY_OF_YEAR);
        let month_fits = counted || !self.has(MONTH) || (1..=12).contains(&self.month);
        let day_fits = counted || !self.has(DAY) || (1..=31).contains(&self.day);
        if !month_fits || !day_fits {
            return Err(Fault::Range);
        }
        let beyond = self.has(YEAR) && (self.before_christ || self.year > 9_999);
        let day = if self.has(DATE) && !beyond { self.civil_day()? } else { 0 };
        if let Some(afternoon) = self.afternoon {
            match self.clock.hour {
                13.. => return Err(Fault::Range),
                12 if !afternoon => self.clock.hour = 0,
                0..12 if afternoon => self.clock.hour += 12,
                _ => {}
            }
        }
        if self.epoch {
            return Ok((0, 0));
        }
        if !self.has(DATE) {
            return Err(Fault::Format);
        }
        if beyond {
            return Err(Fault::Year);
        }
        let micros = self.clock.total().ok_or(Fault::Range)?;
        Ok((day, micros - self.offset * 1_000_000))
    }

    fn civil_day(&self) -> Result<i64, Fault> {
        let (month, day) = if self.has(DAY_OF_YEAR) { (1, 1) } else { (self.month, self.day) };
        let small = |n: i64| i8::try_from(n).map_err(|_| Fault::Range);
        let year = i16::try_from(self.year).map_err(|_| Fault::Range)?;
        let date = civil::Date::new(year, small(month)?, small(day)?).map_err(|_| Fault::Range)?;
        let further = if self.has(DAY_OF_YEAR) { self.day_of_year - 1 } else { 0 };
        Ok(i64::from(days_of(date)) + further)
    }
}

/// The runs of digits and of letters in a date; one mark stands after each but the last.
fn date_parts(text: &str) -> Result<Vec<&str>, Fault> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next().ok_or(Fault::Format)?;
        let digits = first.is_ascii_digit();
        let end = rest
            .find(|c: char| if digits { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() })
            .unwrap_or(rest.len());
        parts.push(&rest[..end]);
        // The byte after a part is dropped, whatever it is: `1a2024` has the parts 1 and 2024.
        rest = rest.get(end + 1..).unwrap_or("");
    }
    Ok(parts)
}

/// Seconds east of UTC: `+02`, `-0530`, `+05:30`, `+05:30:15`.
fn offset(text: &str) -> Result<i64, Fault> {
    let zone = |fault| if fault == Fault::Range { Fault::Zone } else { fault };
    let digits = text.strip_prefix(['+', '-']).ok_or(Fault::Format)?;
    let (mut hour, mut rest) = small(digits).map_err(zone)?;
    let (mut minute, mut second) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minute, rest) = small(after).map_err(zone)?;
        if let Some(after) = rest.strip_prefix(':') {
            (second, rest) = small(after).map_err(zone)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        (hour, minute) = (hour / 100, hour % 100);
    }
    let fits = (0..16).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    if !fits {
        return Err(Fault::Zone);
    }
    if !rest.is_empty() {
        return Err(Fault::Format);
    }
    let offset = (hour * 60 + minute) * 60 + second;
    Ok(if text.starts_with('-') { -offset } else { offset })
}

const ZONE_NAMES: &str = "names of time zones: write an offset, as +02:00";

/// Whether a word has a meaning in dates, other than that of a time zone.
pub(crate) fn is_date_word(text: &str) -> bool {
    !matches!(Word::of(text), None | Some(Word::Utc | Word::Unsupported(ZONE_NAMES)))
}

/// What a word means.
enum Word {
    Ignored,
    Utc,
    Month(i64),
    Weekday,
    /// AM and PM; PM is true.
    Half(bool),
    /// AD and BC; BC is true.
    Era(bool),
    Epoch,
    /// 00:00:00 UTC.
    Midnight,
    T,
    Unsupported(&'static str),
}

impl Word {
    /// PostgreSQL compares ten characters.
    fn of(text: &str) -> Option<Self> {
        Some(match &text[..text.len().min(10)] {
            "at" | "on" => Self::Ignored,
            "utc" | "z" | "zulu" | "gmt" | "ut" | "uct" => Self::Utc,
            "jan" | "january" => Self::Month(1),
            "feb" | "february" => Self::Month(2),
            "mar" | "march" => Self::Month(3),
            "apr" | "april" => Self::Month(4),
            "may" => Self::Month(5),
            "jun" | "june" => Self::Month(6),
            "jul" | "july" => Self::Month(7),
            "aug" | "august" => Self::Month(8),
            "sep" | "sept" | "september" => Self::Month(9),
            "oct" | "october" => Self::Month(10),
            "nov" | "november" => Self::Month(11),
            "dec" | "december" => Self::Month(12),
            "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds"
            | "wednesday" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => {
                Self::Weekday
            }
            "am" => Self::Half(false),
            "pm" => Self::Half(true),
            "ad" => Self::Era(false),
            "bc" => Self::Era(true),
            "epoch" => Self::Epoch,
            "allballs" => Self::Midnight,
            "t" => Self::T,
            "infinity" | "-infinity" => Self::Unsupported("infinity"),
            "now" | "today" | "tomorrow" | "yesterday" => {
                Self::Unsupported("words that the clock decides: write now() or current_date")
            }
            "j" | "jd" | "julian" | "y" | "m" | "d" | "h" | "mm" | "s" | "dow" | "doy" | "isodow"
            | "isoyear" => Self::Unsupported(
                "fields with a letter before them, and daylight saving: write 2024-01-31 10:00+02",
            ),
            "est" | "edt" | "cst" | "cdt" | "mst" | "mdt" | "pst" | "pdt" | "bst" | "cet" | "cest"
            | "eet" | "eest" | "wet" | "west" | "met" | "mest" | "msk" | "jst" | "ist" | "sgt" | "hkt"
            | "akst" | "akdt" | "hst" | "aest" | "aedt" | "acst" | "awst" | "nzst" | "nzdt" => {
                Self::Unsupported(ZONE_NAMES)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Interval;

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[0-9 :.,/+TPamYMDzfeb\\-]{0,24}|\\PC{0,16}") {
            // Reading bounds what it takes: a day or an error, and never a panic.
            if let Ok(days) = date(&text) {
                prop_assert!((-719_162..=2_932_896).contains(&days), "{text}: {days}");
            }
            let _ = instant(&text);
            let _ = Interval::parse(&text);
        }
    }
}
