//! Markets for tests: by hand, and from seeds.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use deltaic_allocation::{
    Change, Commitment, EdgeId, Filter, Guarantee, Held, Market, Name, ParticipantId, Place, Quantity, Share,
    Slot, SlotId, Stamp, Time, Window,
};

/// Numbers from a seed (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A slot of hours of computing.
pub fn slot(id: u64, units: u64) -> Slot {
    Slot::new(id, Quantity::units(units), &name("gpu"), &name("hour"))
}

/// A participant of one capacity or need and its recognition.
pub fn provider(owner: u64, units: u64, recognition: &[(u64, u64)]) -> Commitment {
    Commitment {
        capacities: vec![slot(1, units)],
        recognition: weights(recognition),
        ..Commitment::new(owner, 1)
    }
}

pub fn recipient(owner: u64, units: u64, recognition: &[(u64, u64)]) -> Commitment {
    Commitment { needs: vec![slot(1, units)], recognition: weights(recognition), ..Commitment::new(owner, 1) }
}

pub fn weights(recognition: &[(u64, u64)]) -> Vec<(ParticipantId, u64)> {
    recognition.iter().map(|(who, weight)| (ParticipantId(*who), *weight)).collect()
}

pub fn market(commitments: impl IntoIterator<Item = Commitment>) -> Market {
    let mut market = Market::default();
    for commitment in commitments {
        market.commit(commitment).unwrap();
    }
    market
}

/// What a random market may have.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub participants: u64,
    pub slots: u64,
    pub lots: bool,
    pub extras: bool,
}

/// A participant of a random market; the same dice give the same.
pub fn commitment(dice: &mut Dice, owner: u64, seq: u64, shape: Shape) -> Commitment {
    let mut said = Commitment::new(owner, seq);
    said.stamp = Stamp { incarnation: 1, seq };
    for slots in [&mut said.capacities, &mut said.needs] {
        for id in 0..dice.below(shape.slots + 1) {
            slots.push(random_slot(dice, id, shape));
        }
    }
    for who in 0..shape.participants {
        if !dice.one_in(3) {
            said.recognition.push((ParticipantId(who), dice.below(100)));
        }
    }
    if dice.one_in(3) {
        said.attributes.insert(name("green"));
    }
    if shape.extras {
        for capacity in &said.capacities {
            if dice.one_in(3) {
                let to = ParticipantId(dice.below(shape.participants));
                let quantity = Quantity(dice.below(capacity.quantity.0 + 1));
                said.guarantees.push(Guarantee { capacity: capacity.id, to, quantity });
            }
        }
    }
    said
}

fn random_slot(dice: &mut Dice, id: u64, shape: Shape) -> Slot {
    let kinds = [name("gpu"), name("bread")];
    let kind = &kinds[usize::from(dice.one_in(4))];
    let units = if dice.one_in(10) { 0 } else { dice.below(1000) };
    let mut slot = Slot::new(id, Quantity(units * 1_000_000 + dice.below(3)), kind, &name("hour"));
    if dice.one_in(4) {
        let from = dice.below(50);
        slot.window = Window { from: Some(Time(from)), until: Some(Time(from + 1 + dice.below(50))) };
    }
    if shape.lots && dice.one_in(2) {
        slot.lot = Quantity::units([1, 2, 3, 10][dice.below(4) as usize]);
    }
    if !shape.extras {
        return slot;
    }
    if dice.one_in(4) {
        slot.most_each = Some(Quantity::units(dice.below(200)));
    }
    if dice.one_in(6) {
        let city = Some(name(["bonn", "linz"][dice.below(2) as usize]));
        slot.place = Place::At { country: None, city, point: None, radius: None };
    }
    if dice.one_in(4) {
        let who = ParticipantId(dice.below(shape.participants));
        slot.filters.push(match dice.below(6) {
            0 => Filter::MutualOnly,
            1 => Filter::MinimumMutual(Share(dice.below(1 << 18) as u32)),
            2 => Filter::Allowed((0..who.0 + 2).map(ParticipantId).collect()),
            3 => Filter::Denied([who].into()),
            4 => Filter::Required(name("green")),
            _ => Filter::Forbidden(name("green")),
        });
    }
    slot
}

pub fn random_market(dice: &mut Dice, shape: Shape) -> Market {
    market((0..shape.participants).map(|owner| commitment(dice, owner, 1, shape)).collect::<Vec<_>>())
}

/// Any change; some are refused.
pub fn random_change(dice: &mut Dice, seq: u64, shape: Shape, market: &Market) -> Change {
    let owner = dice.below(shape.participants);
    let mut slot = || (dice.below(shape.participants), dice.below(shape.slots));
    let ((from, capacity), (to, need)) = (slot(), slot());
    let mut edge = EdgeId::new(from, capacity, to, need);
    let edges = market.edges();
    if !edges.is_empty() && !dice.one_in(4) {
        edge = edges[dice.below(edges.len() as u64) as usize].id;
    }
    let quantity = Quantity::units(dice.below(60));
    match dice.below(10) {
        0..=3 => Change::Commit(commitment(dice, owner, seq, shape)),
        4 => Change::Leave { owner: ParticipantId(owner), stamp: Stamp { incarnation: 1, seq } },
        5..=7 => Change::Accept(deltaic_allocation::Accepted { edge, quantity }),
        8 => Change::Release(deltaic_allocation::Accepted { edge, quantity }),
        _ => Change::Hold(Held { edge, quantity, until: Time(dice.below(120)) }),
    }
}

/// Slot 1 of a participant.
pub fn first(owner: u64) -> deltaic_allocation::SlotKey {
    deltaic_allocation::SlotKey { owner: ParticipantId(owner), slot: SlotId(1) }
}
