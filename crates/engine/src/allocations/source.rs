//! From rows to commitments: what a participant says in the queries of an allocation.
//!
//! Invariant: a commitment is a function of its participant's rows, whatever their order. A row that cannot be one, and a
//! participant whose rows do not go together, give nothing and are told of; nobody else is touched by them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive};
use deltaic_allocation::{
    Commitment, EdgeId, Filter, Guarantee, Held, MarketError, Name, ParticipantId, Place, Point, Quantity,
    QuantityError, Share, Side, Slot, SlotId, Stamp, Time, Window,
};
use deltaic_query::plan::ResultColumn;
use deltaic_types::{AllocationSource, Row, Value, text_format};
use siphasher::sip::SipHasher24;

/// Where the columns of a query stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns(Vec<ResultColumn>);

impl Columns {
    pub(super) fn new(columns: &[ResultColumn]) -> Self {
        Self(columns.to_vec())
    }

    fn get<'r>(&self, row: &'r Row, name: &str) -> Option<&'r Value> {
        let place = self.0.iter().position(|column| column.name == name)?;
        row.get(place).filter(|value| !value.is_null())
    }

    /// A column of a row as text, and nothing where it is null.
    pub(super) fn text(&self, row: &Row, name: &str) -> String {
        self.get(row, name).map_or_else(String::new, text_format::to_text)
    }

    /// Which column is null that says whose a row is, or between whom.
    pub(super) fn lacking(&self, source: AllocationSource, row: &Row) -> Option<&'static str> {
        let columns: &[&'static str] = match source {
            AllocationSource::Accepted | AllocationSource::Held => {
                &["provider", "capacity", "recipient", "need"]
            }
            AllocationSource::Recognition => &["from"],
            _ => &["owner"],
        };
        columns.iter().copied().find(|name| self.get(row, name).is_none())
    }

    /// Between whom a row of an agreement is.
    pub(super) fn edge(&self, row: &Row) -> Option<EdgeId> {
        let number = |name: &str| self.get(row, name).map(number);
        Some(EdgeId::new(number("provider")?, number("capacity")?, number("recipient")?, number("need")?))
    }

    /// How much of it.
    pub(super) fn quantity(&self, row: &Row, is_whole: bool) -> Result<Quantity, String> {
        let reading = Reading { columns: self, row, is_whole };
        reading.quantity("quantity")?.ok_or_else(|| "\"quantity\" is null".to_owned())
    }

    /// What is kept of it, and until when.
    pub(super) fn held(&self, edge: EdgeId, row: &Row, is_whole: bool) -> Result<Held, String> {
        let quantity = self.quantity(row, is_whole)?;
        let until = Reading { columns: self, row, is_whole }.time("until")?.ok_or("\"until\" is null")?;
        Ok(Held { edge, quantity, until })
    }

    /// Whom a row of recognition is about.
    pub(super) fn recognised(&self, row: &Row) -> Option<ParticipantId> {
        self.get(row, "to").map(participant)
    }

    /// Whose row it is.
    pub(super) fn owner(&self, source: AllocationSource, row: &Row) -> Option<ParticipantId> {
        let name = if source == AllocationSource::Recognition { "from" } else { "owner" };
        self.get(row, name).map(participant)
    }
}

/// The number of an id: of a whole number its order, of anything else a hash.
fn number(value: &Value) -> u64 {
    match value {
        Value::Integer(n) => (*n as u64) ^ (1 << 63),
        other => {
            let mut hasher = SipHasher24::new();
            hasher.write(text_format::to_text(other).as_bytes());
            hasher.finish()
        }
    }
}

pub(super) fn participant(value: &Value) -> ParticipantId {
    ParticipantId(number(value))
}

/// A commitment in the making, with what its numbers stand for.
#[derive(Debug)]
pub(super) struct Saying {
    commitment: Commitment,
    /// Whom it recognises, and how much.
    recognition: BTreeMap<ParticipantId, u64>,
    /// What the owner is called.
    pub(super) owner: String,
    /// What its slots are called: of capacity, of need.
    pub(super) slots: [Vec<(SlotId, String)>; 2],
    /// What the numbers stand for that an error may speak of.
    pub(super) names: BTreeMap<u64, String>,
    /// What is wrong with rows, which are left out.
    pub(super) problems: Vec<String>,
    /// The same of slots that are beyond the limits by themselves.
    pub(super) faults: Vec<MarketError>,
}

/// What is wrong with a row.
type Read<T> = Result<T, String>;

impl Saying {
    pub(super) fn new(owner: ParticipantId, seq: u64) -> Self {
        let mut commitment = Commitment::new(owner.0, seq);
        commitment.stamp = Stamp { incarnation: 1, seq };
        Self {
            commitment,
            recognition: BTreeMap::new(),
            owner: String::new(),
            slots: Default::default(),
            names: BTreeMap::new(),
            problems: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// What was said.
    pub(super) fn commitment(self) -> Commitment {
        Commitment { recognition: self.recognition.into_iter().collect(), ..self.commitment }
    }

    /// Takes a row of the owner in, which is there so often.
    pub(super) fn take(
        &mut self,
        source: AllocationSource,
        columns: &Columns,
        row: &Row,
        count: i64,
        is_whole: bool,
    ) {
        let reading = Reading { columns, row, is_whole };
        let taken = match source {
            AllocationSource::Capacity | AllocationSource::Need => reading.slot().map(|(slot, name)| {
                let is_need = source == AllocationSource::Need;
                self.slots[usize::from(is_need)].push((slot.id, name));
                let (side, slots) = if is_need {
                    (Side::Need, &mut self.commitment.needs)
                } else {
                    (Side::Capacity, &mut self.commitment.capacities)
                };
                match slot.check(self.commitment.owner, side) {
                    // The same one twice is refused with the commitment.
                    Ok(()) => slots.extend((0..count.min(2)).map(|_| slot.clone())),
                    Err(fault) => self.faults.push(fault),
                }
            }),
            AllocationSource::Recognition => reading.weight().map(|(to, weight)| {
                let weight = weight.saturating_mul(u64::try_from(count).unwrap_or(0));
                let sum = self.recognition.entry(to).or_default();
                *sum = sum.saturating_add(weight);
            }),
            AllocationSource::Floors => reading
                .floor()
                .map(|floor| self.commitment.guarantees.extend((0..count.min(2)).map(|_| floor))),
            AllocationSource::Attributes => {
                reading.name("attribute").map(|name| self.commitment.attributes.extend(name))
            }
            // They are nobody's alone.
            AllocationSource::Accepted | AllocationSource::Held => Ok(()),
        };
        if self.owner.is_empty()
            && let Some(owner) =
                columns.get(row, if source == AllocationSource::Recognition { "from" } else { "owner" })
        {
            self.owner = text_format::to_text(owner);
            self.names.insert(number(owner), self.owner.clone());
        }
        let is_of_slots = !matches!(source, AllocationSource::Recognition | AllocationSource::Attributes);
        for named in ["slot", "to"].into_iter().filter(|_| is_of_slots) {
            if let Some(id) = columns.get(row, named) {
                self.names.insert(number(id), text_format::to_text(id));
            }
        }
        if let Err(problem) = taken {
            self.problems.push(format!("{} {}: {problem}", source.name(), text_of(row)));
        }
    }
}

/// A row as text.
pub(super) fn text_of(row: &Row) -> String {
    let values = row.iter().filter(|value| !value.is_null()).map(text_format::to_text);
    format!("({})", values.collect::<Vec<_>>().join(", "))
}

/// A row that is being read.
struct Reading<'r> {
    columns: &'r Columns,
    row: &'r Row,
    is_whole: bool,
}

impl Reading<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.columns.get(self.row, name)
    }

    fn needed(&self, name: &str) -> Read<&Value> {
        self.get(name).ok_or_else(|| format!("\"{name}\" is null"))
    }

    fn slot(&self) -> Read<(Slot, String)> {
        let id = self.needed("slot")?;
        let quantity = self.quantity("quantity")?.ok_or("\"quantity\" is null")?;
        let kind = self.name("kind")?.ok_or("\"kind\" is null")?;
        let unit = self.name("unit")?;
        let unit = unit.map_or_else(|| Name::new("unit"), Ok).map_err(|error| error.to_string())?;
        let mut slot = Slot::new(number(id), quantity, &kind, &unit);
        slot.window = Window { from: self.time("starts")?, until: self.time("ends")? };
        slot.place = self.place()?;
        slot.filters = self.filters()?;
        if let Some(lot) = self.quantity("lot")? {
            slot.lot = lot;
        }
        slot.most_each = self.quantity("most_each")?;
        Ok((slot, text_format::to_text(id)))
    }

    fn weight(&self) -> Read<(ParticipantId, u64)> {
        let to = participant(self.needed("to")?);
        let weight = match self.needed("weight")? {
            Value::Integer(n) => {
                u64::try_from(*n).map_err(|_| format!("a weight of {n}: it must be 0 or more"))?
            }
            other => {
                let parts = scaled(other, 1 << 20, RoundingMode::Down)?;
                u64::try_from(parts).map_err(|_| "a weight below 0".to_owned())?
            }
        };
        Ok((to, weight))
    }

    fn floor(&self) -> Read<Guarantee> {
        let capacity = SlotId(number(self.needed("slot")?));
        let to = participant(self.needed("to")?);
        let quantity = self.quantity("quantity")?.ok_or("\"quantity\" is null")?;
        Ok(Guarantee { capacity, to, quantity })
    }

    /// A quantity in the units that count: whole ones, or millionths rounded down.
    fn quantity(&self, name: &str) -> Read<Option<Quantity>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let n = if self.is_whole {
            value.as_i64().ok_or("no whole number")?
        } else {
            scaled(value, 1_000_000, RoundingMode::Floor)?
        };
        let wrong = |QuantityError(n): QuantityError| {
            let shown = if self.is_whole { n as f64 } else { n as f64 / 1e6 };
            format!(
                "\"{name}\" of {shown}: it must be 0 to {}",
                if self.is_whole { Quantity::MAX.0 } else { Quantity::MAX.0 / 1_000_000 }
            )
        };
        Quantity::try_from(n).map(Some).map_err(wrong)
    }

    fn name(&self, name: &str) -> Read<Option<Name>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        Name::new(value.as_str().unwrap_or_default())
            .map(Some)
            .map_err(|error| format!("\"{name}\": {error}"))
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A moment in milliseconds; none before 1970 is later than that.
    fn time(&self, name: &str) -> Read<Option<Time>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Timestamp(micros)) => {
                Ok(Some(Time(u64::try_from(micros.div_euclid(1_000)).unwrap_or(0))))
            }
            Some(_) => Err(format!("\"{name}\" is no moment")),
        }
    }

    fn place(&self) -> Read<Place> {
        if self.is("remote") {
            return Ok(Place::Remote);
        }
        let degrees = |name: &str| {
            self.get(name).map(|value| scaled(value, 1_000_000, RoundingMode::HalfEven)).transpose()
        };
        let (latitude, longitude) = (degrees("latitude")?, degrees("longitude")?);
        let narrow = |n: i64| i32::try_from(n).map_err(|_| "a place that is not on the Earth".to_owned());
        let point = match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => {
                Some(Point { latitude: narrow(latitude)?, longitude: narrow(longitude)? })
            }
            (None, None) => None,
            _ => return Err("a latitude without a longitude, or the other way round".to_owned()),
        };
        let radius = self.get("radius").and_then(Value::as_i64);
        let radius =
            radius.map(u32::try_from).transpose().map_err(|_| "a radius below 0, or beyond the Earth")?;
        let (country, city) = (self.name("country")?, self.name("city")?);
        if country.is_none() && city.is_none() && point.is_none() && radius.is_none() {
            return Ok(Place::Unknown);
        }
        Ok(Place::At { country, city, point, radius })
    }

    fn filters(&self) -> Read<Vec<Filter>> {
        let mut filters = Vec::new();
        if self.is("mutual_only") {
            filters.push(Filter::MutualOnly);
        }
        if let Some(least) = self.get("least_mutual") {
            let share = scaled(least, i64::from(Share::ONE.0), RoundingMode::Ceiling)?;
            let share =
                u32::try_from(share).map_err(|_| "a least mutual recognition that is no share".to_owned())?;
            filters.push(Filter::MinimumMutual(Share(share)));
        }
        let all = |name: &str| match self.get(name) {
            Some(Value::Array(items)) => {
                Some(items.iter().filter(|item| !item.is_null()).cloned().collect::<Vec<_>>())
            }
            _ => None,
        };
        let ids = |items: Vec<Value>| items.iter().map(participant).collect::<BTreeSet<_>>();
        filters.extend(all("allowed").map(|items| Filter::Allowed(ids(items))));
        filters.extend(all("denied").map(|items| Filter::Denied(ids(items))));
        for (name, filter) in
            [("required", Filter::Required as fn(Name) -> Filter), ("forbidden", Filter::Forbidden)]
        {
            for item in all(name).unwrap_or_default() {
                let attribute = Name::new(item.as_str().unwrap_or_default())
                    .map_err(|error| format!("\"{name}\": {error}"))?;
                filters.push(filter(attribute));
            }
        }
        Ok(filters)
    }
}

/// So many parts of a number, as a whole number of them.
pub(crate) fn scaled(value: &Value, parts: i64, rounding: RoundingMode) -> Read<i64> {
    let decimal = match value {
        Value::Integer(n) => BigDecimal::from(*n),
        Value::Numeric(n) => n.as_decimal().clone(),
        Value::Double(x) => BigDecimal::try_from(x.get()).map_err(|_| format!("{} is no number", x.get()))?,
        _ => return Err("no number".to_owned()),
    };
    let whole = (decimal * BigDecimal::from(parts)).with_scale_round(0, rounding);
    whole.to_i64().ok_or_else(|| "a number that is too large".to_owned())
}
