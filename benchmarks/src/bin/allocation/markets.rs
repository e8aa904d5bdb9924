//! Markets of providers and recipients with one slot each, from a seed.

use deltaic_allocation::{Commitment, Market, Name, ParticipantId, Quantity, Slot};

/// Numbers from a seed (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

pub(crate) fn slot(units: u64) -> Vec<Slot> {
    let name = |text| Name::new(text).expect("invariant: a short text");
    vec![Slot::new(1, Quantity::units(units), &name("gpu"), &name("hour"))]
}

fn weights(weights: &[(u64, u64)]) -> Vec<(ParticipantId, u64)> {
    weights.iter().map(|(who, weight)| (ParticipantId(*who), *weight)).collect()
}

/// How large a market is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) providers: u64,
    pub(crate) recipients: u64,
    /// The providers of each recipient.
    pub(crate) degree: u64,
    /// Need over capacity, in percent.
    pub(crate) load: u64,
    /// The least need, in units, and the least part of the capacity; the most are 100.
    pub(crate) least: u64,
    /// The heaviest weight of recognition; the least is 1.
    pub(crate) heaviest: u64,
}

/// What the participants of a market say, the providers first. All recognise each other by random weights. Ids begin
/// at `first`.
pub(crate) fn said(dice: &mut Dice, size: Size, first: u64) -> Vec<Commitment> {
    let mut recognised: Vec<Vec<(u64, u64)>> = vec![Vec::new(); size.providers as usize];
    let mut recipients = Vec::new();
    let quantity = |dice: &mut Dice| size.least + dice.below(101 - size.least);
    for number in 0..size.recipients {
        let owner = first + size.providers + number;
        let mut providers: Vec<u64> = (0..size.providers).collect();
        let mut own = Vec::new();
        for place in 0..size.degree {
            let other = place + dice.below(size.providers - place);
            providers.swap(place as usize, other as usize);
            let provider = providers[place as usize];
            own.push((first + provider, 1 + dice.below(size.heaviest)));
            recognised[provider as usize].push((owner, 1 + dice.below(size.heaviest)));
        }
        let needs = slot(quantity(dice) * size.load / 100);
        recipients.push(Commitment { needs, recognition: weights(&own), ..Commitment::new(owner, 1) });
    }
    let need: u64 = recipients.iter().map(|said| said.needs[0].quantity.0 / Quantity::UNIT.0).sum();
    let capacity = need * 100 / size.load;
    let parts: Vec<u64> = (0..size.providers).map(|_| quantity(dice)).collect();
    let sum: u64 = parts.iter().sum();
    let providers = parts.iter().zip(recognised).zip(first..).map(|((part, recognised), owner)| {
        let capacities = slot(part * capacity / sum);
        Commitment { capacities, recognition: weights(&recognised), ..Commitment::new(owner, 1) }
    });
    providers.chain(recipients).collect()
}

pub(crate) fn market(said: impl IntoIterator<Item = Commitment>) -> Market {
    let mut market = Market::default();
    for said in said {
        market.commit(said).expect("invariant: within the limits");
    }
    market
}
