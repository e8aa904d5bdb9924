//! Recognition: how much of a participant's regard each other one has.
//!
//! Invariant: the shares of a recogniser sum to exactly one, or it recognises nobody; only ratios of weights count, so
//! large numbers gain nothing. What fixed point cannot divide goes by largest remainder, ties to the smaller id.

use crate::{ParticipantId, Share};

/// The shares by the weights, ascending by participant; entries of no share are left out. The recogniser's own weight
/// is dropped first. `weights` ascend by participant and name none twice.
///
/// `O(n log n)` in the weights.
pub(crate) fn normalise(
    owner: ParticipantId,
    weights: &[(ParticipantId, u64)],
) -> Vec<(ParticipantId, Share)> {
    let others = || weights.iter().filter(move |(who, _)| *who != owner);
    let total: u128 = others().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return Vec::new();
    }
    let one = u128::from(Share::ONE.0);
    let mut parts: Vec<(ParticipantId, u128, u128)> = others()
        .map(|(who, weight)| {
            let scaled = u128::from(*weight) * one;
            (*who, scaled / total, scaled % total)
        })
        .collect();
    let given: u128 = parts.iter().map(|(_, floor, _)| floor).sum();
    // The remainders sum to `missing` times the total and each is below it, so more entries than that have one.
    let missing = (one - given) as usize;
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| parts[*b].2.cmp(&parts[*a].2).then(a.cmp(b)));
    for place in order.into_iter().take(missing) {
        parts[place].1 += 1;
    }
    let shares = parts.into_iter().map(|(who, share, _)| (who, Share(share as u32)));
    shares.filter(|(_, share)| *share != Share::ZERO).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(owner: u64, weights: &[(u64, u64)]) -> Vec<(u64, u32)> {
        let weights: Vec<_> = weights.iter().map(|(who, weight)| (ParticipantId(*who), *weight)).collect();
        normalise(ParticipantId(owner), &weights).into_iter().map(|(who, share)| (who.0, share.0)).collect()
    }

    #[test]
    fn large_numbers_gain_nothing_and_nobody_recognises_themselves() {
        let one = Share::ONE.0;
        assert_eq!(normalised(9, &[(1, 1), (2, 1)]), [(1, one / 2), (2, one / 2)]);
        let most = u64::MAX;
        assert_eq!(normalised(9, &[(1, most), (2, most), (9, most)]), [(1, one / 2), (2, one / 2)]);
        assert_eq!(normalised(9, &[(9, 5)]), []);
        assert_eq!(normalised(9, &[(1, 0), (2, 0)]), []);
        // A third each: the one that is left goes to the smallest id.
        assert_eq!(normalised(9, &[(1, 7), (2, 7), (3, 7)]), [(1, 349_526), (2, 349_525), (3, 349_525)]);
    }

    proptest! {
        #[test]
        fn shares_sum_to_one_and_are_within_one_of_their_part(weights in prop::collection::vec(any::<u64>(), 1..40)) {
            let entries: Vec<(u64, u64)> = (1..).zip(weights).collect();
            let total: u128 = entries.iter().map(|(_, weight)| u128::from(*weight)).sum();
            let shares = normalised(0, &entries);
            let sum: u32 = shares.iter().map(|(_, share)| share).sum();
            prop_assert_eq!(sum, if total == 0 { 0 } else { Share::ONE.0 });
            for (who, weight) in entries {
                let share = shares.iter().find(|(other, _)| *other == who).map_or(0, |(_, share)| *share);
                let scaled = u128::from(weight) << 20;
                prop_assert!(u128::from(share) * total < scaled + total.max(1));
                prop_assert!((u128::from(share) + 1) * total >= scaled);
            }
        }
    }
}
