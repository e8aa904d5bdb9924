//! The bucket against the algorithm by its definition, and at the ends of the numbers.

use proptest::prelude::*;

use super::*;

/// The algorithm by its definition, in numbers that cannot overflow: what was taken and not given back, played
/// from the beginning.
struct Specification {
    burst: i128,
    span: i128,
    taken: Vec<(i128, i128)>,
}

impl Specification {
    fn new(rate: Rate, limit: u64) -> Self {
        let (burst, limit) = (i128::from(rate.burst.0), i128::from(limit));
        let all = i128::from(rate.millis.max(1)) << 20;
        let unit = (all + limit - 1) / limit;
        let span = if unit >= 1_024 { unit * burst } else { (all * burst + limit - 1) / limit };
        Self { burst, span, taken: Vec::new() }
    }

    fn arrival(&self) -> i128 {
        self.taken.iter().fold(0, |arrival, (at, cost)| arrival.max(*at) + cost)
    }

    fn cost(&self, n: u64) -> i128 {
        (i128::from(n) * self.span + self.burst - 1) / self.burst
    }

    fn fits(&self, now: u64, n: u64) -> bool {
        let at = i128::from(now) << 20;
        i128::from(n) <= self.burst && self.arrival().max(at) + self.cost(n) <= at + self.span
    }
}

fn open(rate: Rate, limit: u64) -> Bucket {
    let bucket = Bucket::new(rate, Units(limit));
    bucket.receive(0, false, 0).unwrap();
    bucket.receive(LAST, false, 0).unwrap();
    bucket
}

fn rates() -> impl Strategy<Value = (u64, u64, u64)> {
    let limit = prop_oneof![4 => 1_u64..50, 1 => 1_000_000_u64..9_000_000_000, 1 => Just(i64::MAX as u64)];
    let burst = prop_oneof![4 => 1_u64..40, 1 => 1_u64..9_000_000_000, 1 => Just(i64::MAX as u64)];
    (limit, prop_oneof![0_u64..200, Just(86_400_000_u64)], burst)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Without refunds every answer, and the moment that a refusal names, is the specification's.
    #[test]
    fn every_answer_is_that_of_the_specification(
        (limit, millis, burst) in rates(),
        steps in proptest::collection::vec((0_u64..300, any::<u64>(), 0_u8..6), 1..60),
    ) {
        let rate = Rate { millis, burst: Units(burst) };
        let (bucket, mut specification) = (open(rate, limit), Specification::new(rate, limit));
        prop_assume!(specification.span <= i128::from(LONGEST));
        let mut now: u64 = 1_000_000;
        for (millis, n, what) in steps {
            // The clock steps back now and then.
            now = if what == 0 { now - millis } else { now + millis };
            let n = if what < 5 { n % burst.saturating_add(2).min(12) } else { n };
            let fits = n == 0 || specification.fits(now, n);
            match bucket.take(Time(now), Units(n), false) {
                Ok((share, _)) => {
                    prop_assert!(fits);
                    prop_assert_eq!(i128::from(share.ticks), specification.cost(n));
                    if n > 0 {
                        specification.taken.push((i128::from(now) << 20, specification.cost(n)));
                    }
                }
                Err(Full::Until(moment)) => {
                    prop_assert!(!fits && moment > Time(now));
                    prop_assert!(specification.fits(moment.0, n), "admitted then");
                    prop_assert!(!specification.fits(moment.0 - 1, n), "and not a moment before");
                }
                Err(full) => {
                    prop_assert_eq!(full, Full::Never);
                    prop_assert!(n > burst);
                }
            }
            let available = bucket.available(Time(now)).0;
            prop_assert!(available == 0 || specification.fits(now, available));
            prop_assert!(available >= burst || !specification.fits(now, available + 1));
        }
    }

    /// With refunds: never before the specification's arrival time, in which a request that was given back was
    /// never made. So no stretch of time has more than a burst and what comes in it.
    #[test]
    fn refunds_do_not_mint(
        (limit, millis, burst) in (1_u64..50, 1_u64..200, 1_u64..40),
        steps in proptest::collection::vec((0_u64..60, 1_u64..10, 0_u8..8, any::<usize>()), 1..80),
    ) {
        let rate = Rate { millis, burst: Units(burst) };
        let (bucket, mut specification) = (open(rate, limit), Specification::new(rate, limit));
        let (mut now, mut live, mut admitted) = (1_000_000, Vec::new(), Vec::<(u64, u64)>::new());
        for (millis, n, what, place) in steps {
            now = if what == 0 { now - millis } else { now + millis };
            if what < 5 {
                if let Ok((share, _)) = bucket.take(Time(now), Units(n), false) {
                    live.push((share, admitted.len(), n));
                    admitted.push((now, n));
                    specification.taken.push((i128::from(now) << 20, i128::from(share.ticks)));
                }
            } else if !live.is_empty() {
                let (share, which, n) = live.swap_remove(place % live.len());
                let part = n.min(1 + place as u64 % n);
                bucket.put(share, Units(part), Units(n));
                admitted[which].1 -= part;
                specification.taken[which].1 -= i128::from(share.of(Units(part), Units(n)));
            }
            let arrival = i128::from(bucket.arrival.load(Ordering::SeqCst));
            prop_assert!(arrival >= specification.arrival(), "{} before {}", arrival, specification.arrival());
            for from in 0..admitted.len() {
                let (mut sum, mut latest) = (0, 0);
                for (at, n) in &admitted[from..] {
                    (sum, latest) = (sum + i128::from(*n), latest.max(*at));
                    let time = i128::from(latest - admitted[from].0);
                    let over = (sum - i128::from(burst)) * i128::from(rate.millis);
                    prop_assert!(admitted[from].1 == 0 || over <= i128::from(limit) * time);
                }
            }
        }
    }
}

#[test]
fn a_refund_at_once_gives_all_back_and_later_what_had_not_passed() {
    let bucket = open(Rate { millis: 10, burst: Units(10) }, 10);
    let (share, _) = bucket.take(Time(100), Units(10), false).unwrap();
    assert_eq!(bucket.take(Time(100), Units(1), false), Err(Full::Until(Time(101))));
    bucket.put(share, Units(10), Units(10));
    assert_eq!(bucket.available(Time(100)), Units(10));
    let (share, _) = bucket.take(Time(100), Units(6), false).unwrap();
    bucket.take(Time(104), Units(1), false).unwrap();
    bucket.put(share, Units(6), Units(6));
    assert_eq!(bucket.available(Time(104)), Units(9), "two of six had not passed");
}

#[test]
fn nothing_overflows_at_the_ends() {
    for (limit, millis, burst) in [
        (i64::MAX as u64, u64::MAX, u64::MAX),
        (i64::MAX as u64, 0, 1),
        (1, u64::MAX, u64::MAX),
        (0, 1, 1),
        (1, 1, 0),
    ] {
        let bucket = open(Rate { millis, burst: Units(burst) }, limit);
        for now in [0, 1 << 42, 1 << 43, 1 << 44, u64::MAX] {
            for n in [0, 1, i64::MAX as u64, u64::MAX] {
                let taken = bucket.take(Time(now), Units(n), true);
                assert!(now < 1 << 43 || n == 0 || taken.is_err(), "the ticks end in 2248");
                if let Ok((share, _)) = taken {
                    bucket.put(share, Units(n), Units(n));
                }
                let _ = bucket.claim(Time(now), Units(n), u64::MAX);
                let _ = (bucket.available(Time(now)), bucket.exposure());
            }
        }
    }
}

#[test]
fn what_is_beyond_the_mark_is_not_given_and_time_begins_at_the_mark() {
    let rate = Rate { millis: 10, burst: Units(10) };
    let bucket = Bucket::new(rate, Units(10));
    assert_eq!(bucket.take(Time(50), Units(1), false), Err(Full::Mark));
    assert_eq!(bucket.claim(Time(50), Units(1), 5), 0, "first it has to be held");
    bucket.receive(54 * TICKS, false, 5).unwrap();
    assert_eq!(bucket.available(Time(50)), Units::ZERO);
    let mark = bucket.claim(Time(50), Units(1), 5);
    assert_eq!(mark, 60 * TICKS);
    bucket.receive(mark, false, 5).unwrap();
    assert!(bucket.take(Time(50), Units(6), false).unwrap().1, "the mark is near");
    assert_eq!(bucket.take(Time(50), Units(1), false), Err(Full::Until(Time(51))));
    assert_eq!(bucket.take(Time(55), Units(1), false), Err(Full::Mark));
    assert_eq!(bucket.receive(mark - 1, false, 5), Err(mark), "the ledger forgot");
    let (share, _) = bucket.take(Time(55), Units(1), true).unwrap();
    assert!(!share.backed);
    assert_eq!(bucket.exposure(), (Units(0), Units(1)));
}
