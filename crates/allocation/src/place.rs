//! [`Place`]: where a slot is, and whether two slots can meet.
//!
//! Invariant: distances are decided in integers, so that all replicas decide alike. A coordinate is a whole number of
//! millionths of a degree (11 cm); sine is its Taylor series in 60-bit fixed point; two points are within a radius if
//! the chord between them on a sphere of 6,371,009 m is no longer than that of the radius. That is exact to a metre
//! for the sphere; the Earth differs from it by up to half a percent.

use deltaic_types::limits;

use crate::Name;

const EARTH_METRES: i128 = 6_371_009;
/// The binary digits after the point.
const POINT: u32 = 60;
/// A millionth of a degree in radians, with 92 binary digits after the point: pi / 180,000,000 * 2^92.
const MILLIONTH: i128 = 86_424_518_511_191_349_038;

/// A point on the Earth, in millionths of a degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// From -90,000,000 (south) to 90,000,000 (north).
    pub latitude: i32,
    /// From -180,000,000 (west) to 180,000,000 (east).
    pub longitude: i32,
}

impl Point {
    /// Whether both are in their ranges.
    pub fn is_valid(self) -> bool {
        self.latitude.unsigned_abs() <= 90_000_000 && self.longitude.unsigned_abs() <= 180_000_000
    }

    /// Whether the other is within so many metres along the ground, [`limits::RADIUS_METRES`] at the most.
    pub fn is_within(self, other: Self, metres: u32) -> bool {
        let (a, b) = (self.vector(), other.vector());
        // Shifted, so that the squares of three differences fit: 2^-40 of the radius is 6 micrometres.
        let squared: i128 = (0..3).map(|axis| ((a[axis] - b[axis]) >> 20).pow(2)).sum();
        let half_angle = i128::from(metres.min(limits::RADIUS_METRES)) * (1 << POINT) / (2 * EARTH_METRES);
        let chord = (2 * sine_of(half_angle)) >> 20;
        squared <= chord.pow(2)
    }

    fn vector(self) -> [i128; 3] {
        let (north, ground) = (sine(self.latitude), cosine(self.latitude));
        let along = |part: i128| (ground * part) >> POINT;
        [along(cosine(self.longitude)), along(sine(self.longitude)), north]
    }
}

/// The sine of an angle between 0 and a right one, in radians with 60 binary digits.
fn sine_of(angle: i128) -> i128 {
    let square = (angle * angle) >> POINT;
    let mut term = angle;
    let mut sum = angle;
    for n in 1..12 {
        term = -((term * square) >> POINT) / (2 * n * (2 * n + 1));
        sum += term;
    }
    sum
}

fn sine(millionths: i32) -> i128 {
    const RIGHT: i64 = 90_000_000;
    let angle = i64::from(millionths);
    let within = if angle.abs() > RIGHT { 2 * RIGHT - angle.abs() } else { angle.abs() };
    let value = sine_of((i128::from(within) * MILLIONTH) >> (92 - POINT));
    if angle < 0 { -value } else { value }
}

fn cosine(millionths: i32) -> i128 {
    // cos a = sin (90 degrees - |a|), which is below zero beyond a right angle.
    sine(90_000_000 - millionths.abs())
}

/// Where a slot is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Place {
    /// Nobody said: it meets everything.
    #[default]
    Unknown,
    /// Anywhere: it meets everything.
    Remote,
    /// Somewhere. What is left out matches nothing.
    At {
        /// The country, if it is enough to be in the same one.
        country: Option<Name>,
        /// The city, if it is enough to be in the same one.
        city: Option<Name>,
        /// The point, for the radius.
        point: Option<Point>,
        /// How far it may be to the other's point, in metres. If both say one, the smaller counts.
        radius: Option<u32>,
    },
}

impl Place {
    /// Whether slots at the two can meet: one is remote or unknown, or they are in the same country or city, or within
    /// the radius that is stated.
    pub fn meets(&self, other: &Self) -> bool {
        let (
            Self::At { country, city, point, radius },
            Self::At { country: other_country, city: other_city, point: other_point, radius: other_radius },
        ) = (self, other)
        else {
            return true;
        };
        let same = |a: &Option<Name>, b: &Option<Name>| a.is_some() && a == b;
        let near = || {
            let radius = [radius, other_radius].into_iter().flatten().min();
            let points = point.zip(*other_point).zip(radius);
            points.is_some_and(|((a, b), metres)| a.is_within(b, *metres))
        };
        same(country, other_country) || same(city, other_city) || near()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn haversine(a: Point, b: Point) -> f64 {
        let radians = |millionths: i32| (f64::from(millionths) / 1e6).to_radians();
        let (north, east) = (radians(b.latitude - a.latitude), radians(b.longitude) - radians(a.longitude));
        let h = (north / 2.0).sin().powi(2)
            + radians(a.latitude).cos() * radians(b.latitude).cos() * (east / 2.0).sin().powi(2);
        2.0 * EARTH_METRES as f64 * h.sqrt().min(1.0).asin()
    }

    #[test]
    fn sines_are_those_of_the_library() {
        for millionths in (-180_000_000..=180_000_000).step_by(1_234_567) {
            let scale = (1_u64 << POINT) as f64;
            let angle = (f64::from(millionths) / 1e6).to_radians();
            assert!((sine(millionths) as f64 / scale - angle.sin()).abs() < 1e-13, "{millionths}");
            assert!((cosine(millionths) as f64 / scale - angle.cos()).abs() < 1e-13, "{millionths}");
        }
    }

    proptest! {
        #[test]
        fn a_radius_is_that_of_the_haversine_formula(
            a in (-90_000_000..=90_000_000, -180_000_000..=180_000_000),
            by in (-20_000_000..20_000_000, -20_000_000..20_000_000),
            near in any::<bool>(),
        ) {
            let point = |(latitude, longitude): (i32, i32)| Point {
                latitude: latitude.clamp(-90_000_000, 90_000_000),
                longitude: longitude.clamp(-180_000_000, 180_000_000),
            };
            let shrink = if near { 10_000 } else { 1 };
            let (a, b) = (point(a), point((a.0 + by.0 / shrink, a.1 + by.1 / shrink)));
            let metres = haversine(a, b);
            prop_assert!(a.is_within(b, metres as u32 + 2));
            prop_assert!(metres < 3.0 || !a.is_within(b, metres as u32 - 2));
        }
    }

    #[test]
    fn places_meet_as_the_rule_says() {
        let name = |text: &str| Some(Name::new(text).unwrap());
        let at = |country, city, point, radius| Place::At { country, city, point, radius };
        let berlin = Some(Point { latitude: 52_520_000, longitude: 13_405_000 });
        let potsdam = Some(Point { latitude: 52_400_000, longitude: 13_066_000 });
        let nowhere = at(None, None, None, None);
        assert!(Place::Unknown.meets(&nowhere) && nowhere.meets(&Place::Remote) && !nowhere.meets(&nowhere));
        assert!(at(name("de"), None, None, None).meets(&at(name("de"), name("Bonn"), None, None)));
        assert!(!at(name("de"), name("Bonn"), None, None).meets(&at(name("at"), name("Linz"), None, None)));
        assert!(at(name("us"), name("Paris"), None, None).meets(&at(name("fr"), name("Paris"), None, None)));
        // 26.6 km apart.
        assert!(at(None, None, berlin, Some(30_000)).meets(&at(None, None, potsdam, None)));
        assert!(!at(None, None, berlin, Some(30_000)).meets(&at(None, None, potsdam, Some(20_000))));
        assert!(!at(None, None, berlin, None).meets(&at(None, None, potsdam, None)));
        // Nearly half the way around the Earth.
        let at_latitude = |latitude| at(None, None, Some(Point { latitude, longitude: 7 }), None);
        let pole = Some(Point { latitude: 90_000_000, longitude: 0 });
        let far = at(None, None, pole, Some(20_000_000));
        assert!(far.meets(&at_latitude(-89_800_000)) && !far.meets(&at_latitude(-89_900_000)));
    }
}
