//! [`Window`]: when a limit begins anew.
//!
//! Invariant: windows are numbered, the number never falls as time rises, and a moment belongs to one window. A
//! node goes from window to window forwards only and a ledger grants from no window before the latest, so a clock
//! that steps back finds nothing to spend, and one that steps far ahead finds one window's limit, however many it
//! passed over.
//!
//! A sliding window of length L is cut into parts of L/k. What may be spent in a part is the limit less all that
//! the k parts before it hold, spent or leased, whole. At any moment t the parts that touch `(t - L, t]` are
//! among t's own and the k before it, so no window of length L, wherever it begins, has more than the limit: the
//! estimate is from above, by at most what was spent in one part. The usual weighting of the part that is leaving
//! assumes that it was spent evenly and admits more than the limit when it was not.

use crate::bucket::Rate;
use crate::{Time, Units, WindowId};

const DAY: u64 = 86_400_000;

/// When a limit begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Window {
    /// Never: the budget is a stock.
    #[default]
    None,
    /// Every so many milliseconds since 1970, moved by an offset: hours, days in a time zone, weeks.
    Fixed {
        /// The length, in milliseconds; 0 counts as 1.
        millis: u64,
        /// How much after 1970-01-01T00:00:00Z a window begins, in milliseconds.
        offset: u64,
    },
    /// With the first of each month, in UTC.
    Month,
    /// In no stretch of this length more than the limit.
    Sliding {
        /// The length, in milliseconds.
        millis: u64,
        /// Into how many parts it is cut: more parts, a better estimate and more rows. 0 counts as 1.
        parts: u32,
    },
    /// Evenly: the limit comes anew in so many milliseconds, bit by bit, and is saved up to a burst. One node at a
    /// time admits from a bucket.
    Bucket {
        /// In how long the limit comes, in milliseconds; 0 counts as 1.
        millis: u64,
        /// The most at once.
        burst: Units,
    },
}

/// A window with its place in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub id: WindowId,
    /// How many windows before it count against its limit.
    pub span: u64,
    /// The first moment that belongs to it.
    pub begins: Time,
    /// The first moment that does not belong to it.
    pub ends: Time,
}

impl Window {
    /// How a bucket fills; none if it is not one.
    pub(crate) fn rate(self) -> Option<Rate> {
        match self {
            Self::Bucket { millis, burst } => Some(Rate { millis, burst }),
            _ => None,
        }
    }

    /// When a window begins, by its number.
    pub(crate) fn begins(self, window: WindowId) -> Time {
        match self {
            Self::None | Self::Bucket { .. } => Time(0),
            Self::Month => Time(first_day(window.0).saturating_mul(DAY)),
            Self::Fixed { millis, offset } => {
                let (millis, id) = (millis.max(1), window.0);
                Time(if id == 0 { 0 } else { id.saturating_mul(millis).saturating_add(offset % millis) })
            }
            Self::Sliding { millis, parts } => {
                Time(window.0.saturating_mul(millis.div_ceil(u64::from(parts.max(1))).max(1)))
            }
        }
    }

    /// The window of a moment.
    pub fn at(self, now: Time) -> Place {
        let even = |millis: u64, offset: u64, span: u64| {
            let millis = millis.max(1);
            // The time before the first whole window belongs to it.
            let id = now.0.saturating_sub(offset) / millis;
            let ends = id.saturating_add(1).saturating_mul(millis).saturating_add(offset);
            let begins = if id == 0 { 0 } else { id.saturating_mul(millis).saturating_add(offset) };
            Place {
                id: WindowId(id.min(WindowId::EVERY.0 - 1)),
                span,
                begins: Time(begins),
                ends: Time(ends),
            }
        };
        match self {
            Self::None | Self::Bucket { .. } => {
                Place { id: WindowId(0), span: 0, begins: Time(0), ends: Time::NEVER }
            }
            Self::Fixed { millis, offset } => even(millis, offset % millis.max(1), 0),
            Self::Sliding { millis, parts } => {
                let parts = u64::from(parts.max(1));
                even(millis.div_ceil(parts), 0, parts)
            }
            Self::Month => {
                let month = month_of(now.0 / DAY);
                let first = |month: u64| Time(first_day(month).saturating_mul(DAY));
                Place { id: WindowId(month), span: 0, begins: first(month), ends: first(month + 1) }
            }
        }
    }
}

/// The first day, since 1970, of a month, since January 1970.
fn first_day(month: u64) -> u64 {
    let (years, month) = (month / 12, month % 12);
    // Leap days before a year: 477 passed before 1970.
    let before = |year: u64| year / 4 - year / 100 + year / 400;
    let year = 1970 + years;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize];
    365 * years + before(year - 1) - 477 + days + u64::from(leap && month > 1)
}

fn month_of(day: u64) -> u64 {
    // No month is longer than 31 days, none shorter than 28.
    let mut month = day / 31;
    let mut step = 1 << month.checked_ilog2().unwrap_or(0);
    while step > 0 {
        if first_day(month + step) <= day {
            month += step;
        } else {
            step /= 2;
        }
    }
    month
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows() -> impl Strategy<Value = Window> {
        prop_oneof![
            Just(Window::None),
            Just(Window::Month),
            (0_u64..5_000, 0_u64..9_000).prop_map(|(millis, offset)| Window::Fixed { millis, offset }),
            (1_u64..5_000, 0_u32..20).prop_map(|(millis, parts)| Window::Sliding { millis, parts }),
        ]
    }

    proptest! {
        #[test]
        fn windows_follow_each_other_without_gaps(window in windows(), now in 0_u64..1 << 42) {
            let place = window.at(Time(now));
            prop_assert!(place.begins <= Time(now) && place.ends > Time(now));
            prop_assert_eq!(place.begins, window.begins(place.id));
            if place.ends != Time::NEVER {
                prop_assert_eq!(window.at(Time(place.ends.0 - 1)), place);
                prop_assert!(window.at(place.ends).id > place.id);
                prop_assert_eq!(window.at(place.ends).begins, place.ends);
            }
        }

        #[test]
        fn the_last_moments_have_a_window(window in windows(), before in 0_u64..10) {
            if window != Window::Month {
                prop_assert!(window.at(Time(u64::MAX - before)).id < WindowId::EVERY);
            }
        }
    }

    #[test]
    fn a_window_of_a_millisecond_has_a_last_moment() {
        let place = Window::Sliding { millis: 1, parts: 0 }.at(Time(u64::MAX));
        assert_eq!((place.id, place.ends), (WindowId(u64::MAX - 1), Time::NEVER));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let ends = |millis: u64| Window::Month.at(Time(millis)).ends.0;
        // 2024-02-29T12:00Z, 2026-11-21T00:00Z, 2100-02-28T23:59:59.999Z, 1970-01-01.
        assert_eq!(ends(1_709_208_000_000), 1_709_251_200_000);
        assert_eq!(ends(1_795_219_200_000), 1_796_083_200_000);
        assert_eq!(ends(4_107_542_399_999), 4_107_542_400_000);
        assert_eq!(ends(0), 31 * DAY);
        assert_eq!(Window::Month.at(Time(1_709_208_000_000)).id, WindowId(54 * 12 + 1));
    }
}
