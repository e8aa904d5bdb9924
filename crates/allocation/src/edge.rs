//! [`Edge`]: a capacity and a need that fit, with the tier and the weight that recognition gives them.
//!
//! Invariant: the weights of a capacity's edges to one recipient sum to no more than their recognition, and so do those
//! of a need's edges from one provider: to divide a slot gains nothing.

use crate::market::Member;
use crate::slot::{End, fit};
use crate::{EdgeId, Share, SlotKey, Tier};

/// A capacity that may give to a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Between which slots.
    pub id: EdgeId,
    /// [`Tier::Mutual`] or [`Tier::Generous`].
    pub tier: Tier,
    /// The recognition in units of 2^-40, divided by how many of the recipient's needs fit the capacity and by how
    /// many of the provider's capacities fit the need. At least 1.
    pub weight: u64,
    /// What it carries is a multiple of this, in millionths.
    pub lot: u64,
}

/// What one unit of [`Share`] weighs.
const SCALE: u64 = Share::ONE.0 as u64;

/// Adds the edges from a provider to a recipient, until there are `most`.
pub(crate) fn edges_between(provider: &Member, recipient: &Member, edges: &mut Vec<Edge>, most: usize) {
    let (from, to) = (&provider.said, &recipient.said);
    let recognised = provider.share(to.owner);
    if recognised == Share::ZERO || from.owner == to.owner {
        return;
    }
    let mutual = recognised.min(recipient.share(from.owner));
    let (tier, share) =
        if mutual > Share::ZERO { (Tier::Mutual, mutual) } else { (Tier::Generous, recognised) };
    let first = edges.len();
    let mut capacities = vec![0_u64; from.capacities.len()];
    let mut needs = vec![0_u64; to.needs.len()];
    let mut places = Vec::new();
    for (kind, offers) in &provider.capacities {
        let Some(wishes) = recipient.needs.get(kind) else { continue };
        for offer in offers {
            let slot = &from.capacities[*offer];
            let capacity = End { owner: from.owner, attributes: &from.attributes, slot };
            for wish in wishes {
                let slot = &to.needs[*wish];
                let need = End { owner: to.owner, attributes: &to.attributes, slot };
                let Ok(lot) = fit(capacity, need, mutual) else { continue };
                if edges.len() >= most {
                    return;
                }
                capacities[*offer] += 1;
                needs[*wish] += 1;
                places.push((*offer, *wish));
                let key = |owner, slot| SlotKey { owner, slot };
                let id =
                    EdgeId { capacity: key(from.owner, capacity.slot.id), need: key(to.owner, need.slot.id) };
                edges.push(Edge { id, tier, weight: 0, lot });
            }
        }
    }
    for (edge, (offer, wish)) in edges[first..].iter_mut().zip(places) {
        // At least 1: a thousand slots on each side are less than SCALE pairs.
        edge.weight = u64::from(share.0) * SCALE / (capacities[offer] * needs[wish]);
    }
}
