//! [`Place`]: where a slot is, and whether two slots can meet.
//!
//! Invariant: whether two meet is decided by the first of these rules that applies, which is the same for both sides:
//!
//! 1. one is remote, or nobody said where it is: they meet;
//! 2. one states a radius: the distance alone decides, by the smaller radius, and without two points they do not meet;
//! 3. both state a country: they meet if it is the same, whatever the cities;
//! 4. they meet if they state the same city.
//!
//! Who states a radius means it: that both are in one country must not pass it. And a country tells cities of one name
//! apart.
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
        /// The country, if it is enough to be in the same one. For the same city alone leave it out.
        country: Option<Name>,
        /// The city, if it is enough to be in the same one. It counts where not both state a country.
        city: Option<Name>,
        /// The point: from here to the other's, distances are measured.
        point: Option<Point>,
        /// How far it may be to the other's point, in metres. If both say one, the smaller counts. If one says one,
        /// countries and cities do not count.
        radius: Option<u32>,
    },
}

impl Place {
    /// Whether slots at the two can meet, by the rules of this module. Symmetric.
    pub fn meets(&self, other: &Self) -> bool {
        let (
            Self::At { country, city, point, radius },
            Self::At { country: other_country, city: other_city, point: other_point, radius: other_radius },
        ) = (self, other)
        else {
            return true;
        };
        if let Some(metres) = [radius, other_radius].into_iter().flatten().min() {
            return point.zip(*other_point).is_some_and(|(a, b)| a.is_within(b, *metres));
        }
        match (country, other_country) {
            (Some(a), Some(b)) => a == b,
            _ => city.is_some() && city == other_city,
        }
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

    fn at(country: &str, city: &str, point: Option<Point>, radius: Option<u32>) -> Place {
        let name = |text: &str| (!text.is_empty()).then(|| Name::new(text).unwrap());
        Place::At { country: name(country), city: name(city), point, radius }
    }

    const BERLIN: Option<Point> = Some(Point { latitude: 52_520_000, longitude: 13_405_000 });
    /// 26.6 km from there.
    const POTSDAM: Option<Point> = Some(Point { latitude: 52_400_000, longitude: 13_066_000 });

    #[test]
    fn where_a_radius_is_stated_the_distance_alone_decides() {
        // The same country and city do not pass a radius, on whichever side it is.
        assert!(!at("de", "x", BERLIN, Some(20_000)).meets(&at("de", "x", POTSDAM, None)));
        assert!(at("de", "", BERLIN, Some(30_000)).meets(&at("de", "", POTSDAM, None)));
        // Nor do different ones keep apart.
        assert!(at("de", "x", BERLIN, Some(30_000)).meets(&at("pl", "y", POTSDAM, None)));
        // The smaller of two counts; who has no point is not near.
        assert!(!at("", "", BERLIN, Some(30_000)).meets(&at("", "", POTSDAM, Some(20_000))));
        assert!(!at("de", "x", BERLIN, Some(30_000)).meets(&at("de", "x", None, None)));
        assert!(!at("de", "x", None, Some(30_000)).meets(&at("de", "x", POTSDAM, None)));
        // Nearly half the way around the Earth.
        let at_latitude = |latitude| at("", "", Some(Point { latitude, longitude: 7 }), None);
        let pole = Some(Point { latitude: 90_000_000, longitude: 0 });
        let far = at("", "", pole, Some(20_000_000));
        assert!(far.meets(&at_latitude(-89_800_000)) && !far.meets(&at_latitude(-89_900_000)));
    }

    #[test]
    fn where_no_radius_is_stated_the_country_decides_and_then_the_city() {
        assert!(at("de", "", None, None).meets(&at("de", "Bonn", None, None)));
        assert!(at("de", "Berlin", BERLIN, None).meets(&at("de", "Bonn", POTSDAM, None)));
        assert!(!at("de", "Bonn", None, None).meets(&at("at", "Linz", None, None)));
        assert!(!at("us", "Paris", None, None).meets(&at("fr", "Paris", None, None)));
        assert!(at("", "Paris", None, None).meets(&at("fr", "Paris", None, None)));
        assert!(!at("", "Paris", None, None).meets(&at("fr", "Lille", None, None)));
        // A point without a radius says nothing.
        assert!(!at("", "", BERLIN, None).meets(&at("", "", BERLIN, None)));
    }

    #[test]
    fn remote_and_unknown_places_meet_everything_and_a_rule_is_the_same_for_both() {
        let mut all = vec![Place::Unknown, Place::Remote];
        for (country, city) in [("", ""), ("de", ""), ("", "x"), ("de", "x"), ("fr", "x"), ("de", "y")] {
            for point in [None, BERLIN, POTSDAM] {
                all.extend([None, Some(20_000), Some(30_000)].map(|radius| at(country, city, point, radius)));
            }
        }
        for a in &all {
            assert!(Place::Unknown.meets(a) && Place::Remote.meets(a));
            for b in &all {
                assert_eq!(a.meets(b), b.meets(a), "{a:?} {b:?}");
            }
        }
    }
}
