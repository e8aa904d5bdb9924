//! [`Book`]: the rows of an allocation's queries as a market that is kept allocated.
//!
//! Invariant: what it gives is a function of the rows that it holds and of the time, whatever the order in which they came: the
//! solution of their market, from nothing. A market beyond its limits gives nothing until it is within them again.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_allocation::{
    Accepted, Allocator, Change, EdgeId, Held, MarketError, NodeId, ParticipantId, Quantity, Side, SlotId,
    SlotKey, Stamp, Tier, Time,
};
use deltaic_types::{AllocationSource, Row};

use super::source::{Columns, Saying, text_of};

/// A market with more edges is worked out beside the commits.
const EDGES_BETWEEN: usize = 2_000;

/// The problems that are told of: the first of so many participants.
const PROBLEMS: usize = 100;

/// The market of an allocation.
#[derive(Debug, Default)]
pub(super) struct Book {
    is_whole: bool,
    columns: BTreeMap<AllocationSource, Columns>,
    said: BTreeMap<ParticipantId, Said>,
    /// What two have agreed on, and what is kept, by whom it is between.
    agreed: BTreeMap<(AllocationSource, EdgeId), BTreeMap<Row, i64>>,
    /// Rows of which it is not known whose they are, with what they lack.
    nobodys: BTreeMap<(AllocationSource, Row), String>,
    /// Whose rows have changed.
    dirty: BTreeSet<ParticipantId>,
    /// Whether an agreement has.
    is_agreed_anew: bool,
    allocator: Allocator,
    participants: BTreeMap<ParticipantId, String>,
    slots: BTreeMap<(Side, SlotKey), String>,
    problems: BTreeMap<ParticipantId, String>,
    /// The same of agreements.
    disagreements: Vec<String>,
    /// Why nothing is given at all.
    failure: Option<String>,
    /// What was given and is not known to be shown.
    changed: BTreeSet<(EdgeId, Tier)>,
}

/// What a participant said last.
#[derive(Debug, Default)]
struct Said {
    rows: BTreeMap<(AllocationSource, Row), i64>,
    /// How many of them are slots: of capacity, of need.
    slots: [usize; 2],
    /// How often it said something: its commitments' numbers.
    seq: u64,
}

impl Book {
    pub(super) fn new(is_whole: bool) -> Self {
        Self { is_whole, ..Self::default() }
    }

    /// Takes in where the columns of a query stand. Its rows come again.
    pub(super) fn describe(&mut self, source: AllocationSource, columns: Columns) {
        self.columns.insert(source, columns);
    }

    /// A row is there so often.
    pub(super) fn put(&mut self, source: AllocationSource, row: Row, count: i64) {
        let Some(columns) = self.columns.get(&source) else { return };
        if let Some(lacking) = columns.lacking(source, &row) {
            let problem = format!("{} {}: \"{lacking}\" is null", source.name(), text_of(&row));
            let key = (source, row);
            if count > 0 {
                self.nobodys.insert(key, problem);
            } else {
                self.nobodys.remove(&key);
            }
            return;
        }
        if let AllocationSource::Accepted | AllocationSource::Held = source {
            let Some(edge) = columns.edge(&row) else { return };
            let rows = self.agreed.entry((source, edge)).or_default();
            if count > 0 {
                rows.insert(row, count);
            } else {
                rows.remove(&row);
            }
            if rows.is_empty() {
                self.agreed.remove(&(source, edge));
            }
            self.is_agreed_anew = true;
            return;
        }
        let Some(owner) = columns.owner(source, &row) else { return };
        let said = self.said.entry(owner).or_default();
        let was_there = if count > 0 {
            said.rows.insert((source, row), count).is_some()
        } else {
            said.rows.remove(&(source, row)).is_some()
        };
        let sides = [AllocationSource::Capacity, AllocationSource::Need];
        if let Some(side) = sides.iter().position(|side| *side == source) {
            said.slots[side] += usize::from(count > 0);
            said.slots[side] -= usize::from(was_there);
        }
        self.dirty.insert(owner);
    }

    /// Whether something has changed since it was settled.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.is_agreed_anew
    }

    /// When it must be settled though no row changes.
    pub(super) fn next_moment(&self) -> Option<Time> {
        self.allocator.next_moment()
    }

    /// Whether the market is beyond its limits.
    pub(super) fn is_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// How many edges the market has.
    pub(super) fn edge_count(&self) -> usize {
        self.allocator.edge_count()
    }

    /// Whether it may take long to settle it: by the edges that there are, those that what has changed may bring, and the agreements.
    /// Cost: the rows of those whose rows have changed, until there are too many.
    pub(super) fn is_large(&self) -> bool {
        let slots = |owner: &ParticipantId| self.said.get(owner).map_or([0, 0], |said| said.slots);
        let recognised_by = |owner| {
            let columns = self.columns.get(&AllocationSource::Recognition);
            let rows = self.said[owner].rows.keys();
            let rows = rows.filter(|(source, _)| *source == AllocationSource::Recognition);
            rows.filter_map(move |(_, row)| columns?.recognised(row))
        };
        // All are entered again.
        if self.is_failed() {
            return true;
        }
        let market = self.allocator.market();
        let mut most = self.edge_count() + self.agreed.len();
        for owner in &self.dirty {
            let [capacities, needs] = slots(owner);
            // Rows cost as well.
            most += 1;
            let mut brings = Vec::new();
            if capacities > 0 {
                brings.extend(recognised_by(owner).map(|other| capacities * slots(&other)[1]));
            }
            if needs > 0 {
                brings.extend(market.recognisers(*owner).map(|other| slots(&other)[0] * needs));
            }
            most = most.saturating_add(brings.into_iter().sum());
            if most > EDGES_BETWEEN {
                return true;
            }
        }
        most > EDGES_BETWEEN
    }

    /// Whether the solution proves itself. Cost: the edges.
    pub(super) fn is_certified(&self) -> bool {
        let solution = self.allocator.solution();
        solution.certificate().check(self.allocator.market(), &solution).is_ok()
    }

    pub(super) fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// What is wrong, the first of it.
    pub(super) fn problems(&self) -> impl Iterator<Item = &str> {
        let of_rows =
            self.problems.values().chain(&self.disagreements).chain(self.nobodys.values()).take(PROBLEMS);
        self.failure.iter().chain(of_rows).map(String::as_str)
    }

    /// Brings the solution up to date.
    pub(super) fn settle(&mut self, now: Time) {
        let dirty = std::mem::take(&mut self.dirty);
        let is_within = self.failure.is_none() && dirty.iter().all(|owner| self.enter(*owner).is_ok());
        if !is_within {
            // In what order they come decides whether they fit; from nothing, they do whenever they can.
            self.changed
                .extend(self.allocator.solution().allocations.iter().map(|given| (given.edge, given.tier)));
            self.allocator = Allocator::default();
            self.is_agreed_anew = true;
            // Those who have left take no place in it.
            self.said.retain(|_, said| !said.rows.is_empty());
            let owners: Vec<ParticipantId> = self.said.keys().copied().collect();
            let failed = owners.into_iter().find_map(|owner| self.enter(owner).err());
            self.failure = failed.map(|error| error.to_string());
            if self.failure.is_some() {
                self.allocator = Allocator::default();
            }
        }
        let has_agreed = !self.agreed.is_empty() || self.is_agreed_anew;
        if self.failure.is_none() && has_agreed && (!dirty.is_empty() || self.is_agreed_anew) {
            self.agree();
        }
        self.is_agreed_anew = false;
        self.changed.extend(self.allocator.settle(now).changed);
        // A row says the kind and the unit of its capacity, too, which may change where what is given does not.
        let renamed = dirty.iter().flat_map(|owner| self.allocator.given_by(*owner));
        self.changed.extend(renamed.map(|given| (given.edge, given.tier)));
    }

    /// Reserves what two have agreed on, as far as both slots have it, in the order of the slots; and holds what is held. Cost: all
    /// agreements.
    fn agree(&mut self) {
        self.disagreements.clear();
        let (mut wanted, mut held) = (BTreeMap::new(), BTreeMap::new());
        for ((source, edge), rows) in &self.agreed {
            let columns = &self.columns[source];
            for (row, count) in rows {
                let taken = if *source == AllocationSource::Accepted {
                    columns.quantity(row, self.is_whole).map(|quantity| {
                        let sum = wanted.entry(*edge).or_insert(0_u64);
                        *sum =
                            sum.saturating_add(quantity.0.saturating_mul(u64::try_from(*count).unwrap_or(0)));
                    })
                } else {
                    columns.held(*edge, row, self.is_whole).map(|new| {
                        // Of several the one that lasts longest.
                        let known = held.entry(*edge).or_insert(new);
                        if (new.until, new.quantity) > (known.until, known.quantity) {
                            *known = new;
                        }
                    })
                };
                if let Err(problem) = taken {
                    self.disagreements.push(format!("{} {}: {problem}", source.name(), text_of(row)));
                }
            }
        }
        self.reserve(&wanted);
        let over: Vec<Held> =
            self.allocator.market().holds().filter(|old| !held.contains_key(&old.edge)).copied().collect();
        let ended = over.into_iter().map(|old| Held { quantity: Quantity::ZERO, ..old });
        for held in ended.chain(held.into_values()) {
            if let Err(error) = self.allocator.apply(Change::Hold(held)) {
                self.disagreements.push(error.to_string());
            }
        }
    }

    fn reserve(&mut self, wanted: &BTreeMap<EdgeId, u64>) {
        let market = self.allocator.market();
        let mut left: BTreeMap<(Side, SlotKey), u64> = BTreeMap::new();
        let mut fitting: BTreeMap<EdgeId, Quantity> = BTreeMap::new();
        for (edge, wanted) in wanted {
            let ends = [(Side::Capacity, edge.capacity), (Side::Need, edge.need)];
            let room = ends.map(|(side, slot)| {
                *left
                    .entry((side, slot))
                    .or_insert_with(|| market.slot(side, slot).map_or(0, |slot| slot.quantity.0))
            });
            let fits = room.into_iter().fold(*wanted, u64::min);
            for end in ends {
                left.entry(end).and_modify(|left| *left -= fits);
            }
            if fits < *wanted {
                // They may have left: their agreement has their names.
                let source = AllocationSource::Accepted;
                let row = self.agreed.get(&(source, *edge)).and_then(|rows| rows.keys().next());
                let name =
                    |column| row.map_or_else(String::new, |row| self.columns[&source].text(row, column));
                let [from, slot, to, other] = ["provider", "capacity", "recipient", "need"].map(name);
                self.disagreements.push(format!("accepted: capacity {slot} of {from} and need {other} of {to} have not so much by now: the rest is not reserved"));
            }
            if fits > 0 {
                fitting.insert(*edge, Quantity(fits));
            }
        }
        let moved = self
            .allocator
            .market()
            .acceptances()
            .filter(|(edge, quantity)| fitting.get(edge) != Some(quantity));
        let moved: Vec<EdgeId> = moved.map(|(edge, _)| edge).collect();
        let ended = moved.into_iter().map(|edge| Accepted { edge, quantity: Quantity::ZERO });
        let begun = fitting.into_iter().map(|(edge, quantity)| Accepted { edge, quantity });
        for accepted in ended.chain(begun) {
            if let Err(error) = self.allocator.apply(Change::Reserve(accepted)) {
                self.disagreements.push(error.to_string());
            }
        }
    }

    /// Enters what a participant says by now. An error where the market has no room for it.
    fn enter(&mut self, owner: ParticipantId) -> Result<(), MarketError> {
        let Some(said) = self.said.get_mut(&owner) else { return Ok(()) };
        said.seq += 1;
        let mut saying = Saying::new(owner, said.seq);
        for ((source, row), count) in &said.rows {
            if let Some(columns) = self.columns.get(source) {
                saying.take(*source, columns, row, *count, self.is_whole);
            }
        }
        let is_gone = said.rows.is_empty();
        let names = std::mem::take(&mut saying.names);
        if self.participants.get(&owner).is_some_and(|known| *known != saying.owner) && !is_gone {
            saying.problems.push(format!("two participants have one number: {}", saying.owner));
        }
        if is_gone {
            self.participants.remove(&owner);
        } else {
            self.participants.insert(owner, std::mem::take(&mut saying.owner));
        }
        self.rename_slots(owner, &mut saying);
        let fault = saying.faults.first().map(|fault| self.told(fault, &names));
        let problem = saying.problems.first().cloned().or(fault);
        let outcome = if is_gone {
            Err(None)
        } else {
            self.allocator.apply(Change::Commit(saying.commitment())).map_err(Some)
        };
        let fault = match outcome {
            Ok(_) => None,
            Err(Some(error @ (MarketError::TooManyEdges { .. } | MarketError::TooManyParticipants))) => {
                return Err(error);
            }
            Err(error) => {
                let stamp = Stamp { incarnation: 1, seq: self.said[&owner].seq };
                self.allocator.apply(Change::Leave { owner, stamp })?;
                error.map(|error| self.told(&error, &names))
            }
        };
        match problem.or(fault) {
            Some(problem) => drop(self.problems.insert(owner, problem)),
            None => drop(self.problems.remove(&owner)),
        }
        Ok(())
    }

    /// Takes in what the slots of a participant are called.
    fn rename_slots(&mut self, owner: ParticipantId, saying: &mut Saying) {
        for (side, names) in [Side::Capacity, Side::Need].into_iter().zip(std::mem::take(&mut saying.slots)) {
            let key = |slot| (side, SlotKey { owner, slot: SlotId(slot) });
            let old: Vec<_> = self.slots.range(key(0)..=key(u64::MAX)).map(|(key, _)| *key).collect();
            for key in old {
                self.slots.remove(&key);
            }
            for (slot, name) in names {
                let known = self.slots.entry((side, SlotKey { owner, slot })).or_insert_with(|| name.clone());
                if *known != name {
                    saying.problems.push(format!("two slots have one number: {name}"));
                }
            }
        }
    }

    /// The edges that may have something else than what was taken last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<(EdgeId, Tier)> {
        std::mem::take(&mut self.changed)
    }

    /// An error in the words of the participant's rows: names for numbers, quantities in what counts. It is the same whatever else the
    /// market has.
    fn told(&self, error: &MarketError, names: &BTreeMap<u64, String>) -> String {
        // No count is as large as the numbers of ids.
        let name_of = |digits: &str| {
            let name = digits.parse().ok().and_then(|number: u64| names.get(&number));
            name.cloned().unwrap_or_else(|| digits.to_owned())
        };
        if let MarketError::GuaranteesOver { owner, slot, promised, quantity } = error {
            let parts = if self.is_whole { 1 } else { 1_000_000 };
            let [promised, has] =
                [*promised, u128::from(quantity.0)].map(|n| format!("{}", n as f64 / f64::from(parts)));
            let [owner, slot] = [owner.0, slot.0].map(|number| name_of(&number.to_string()));
            return format!(
                "participant {owner} guarantees {promised} of slot {slot}, which has {has}: guarantee less"
            );
        }
        let text = error.to_string();
        let text = text.replace("say 1 millionth for no restriction", "leave it out for no restriction");
        let is_part = |c: char| c.is_ascii_digit();
        let mut words = String::new();
        let mut rest = &text[..];
        while let Some(start) = rest.find(is_part) {
            let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |length| start + length);
            words.push_str(&rest[..start]);
            words.push_str(&name_of(&rest[start..end]));
            rest = &rest[end..];
        }
        words + rest
    }

    pub(super) fn participant_name(&self, who: ParticipantId) -> String {
        self.participants.get(&who).cloned().unwrap_or_else(|| who.0.to_string())
    }

    pub(super) fn slot_name(&self, side: Side, slot: SlotKey) -> String {
        self.slots.get(&(side, slot)).cloned().unwrap_or_else(|| slot.slot.0.to_string())
    }

    /// What is full, in the words of the rows.
    pub(super) fn node_name(&self, node: NodeId) -> String {
        let slot = |side, key: SlotKey| {
            let word = if side == Side::Capacity { "capacity" } else { "need" };
            format!("{word} {} of {}", self.slot_name(side, key), self.participant_name(key.owner))
        };
        match node {
            NodeId::Capacity(key) => format!("{} is full", slot(Side::Capacity, key)),
            NodeId::Need(key) => format!("{} is met", slot(Side::Need, key)),
            NodeId::Gives(key, to) => {
                format!("{} gives {} no more", slot(Side::Capacity, key), self.participant_name(to))
            }
            NodeId::Takes(key, from) => {
                format!("{} takes no more of {}", slot(Side::Need, key), self.participant_name(from))
            }
            NodeId::Guarantee(key, to) => {
                format!(
                    "what {} guarantees {} is given",
                    slot(Side::Capacity, key),
                    self.participant_name(to)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use deltaic_query::plan::ResultColumn;
    use deltaic_types::{DataType, Value, limits};

    use super::*;

    #[test]
    fn who_has_left_takes_nobodys_place() {
        let mut book = Book::new(true);
        let column = |name: &str, data_type| ResultColumn { name: name.to_owned(), data_type };
        let columns = [column("owner", DataType::Bigint), column("attribute", DataType::Text)];
        book.describe(AllocationSource::Attributes, Columns::new(&columns));
        let row = |owner| -> Row { [Value::Integer(owner), Value::from("x")].into_iter().collect() };
        let most = i64::try_from(limits::PARTICIPANTS).unwrap();
        for count in [1, 0] {
            (0..most).for_each(|owner| book.put(AllocationSource::Attributes, row(owner), count));
            book.settle(Time(1));
        }
        book.put(AllocationSource::Attributes, row(most), 1);
        book.settle(Time(2));
        assert_eq!(book.problems().next(), None);
    }
}
