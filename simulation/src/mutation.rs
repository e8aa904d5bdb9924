//! The fuzzer of everything that reads foreign bytes: valid inputs, a few places changed.
//!
//! Invariant of a case: nothing panics; what is read can be written and read again as the same; an engine that was
//! given damaged SQL still answers, and a live result beside it equals the fresh one. Of what replicas and ledgers send and
//! keep, [`decoders`] says more. Damaged store files are the storage crate's own test.

mod causality;
mod crdt;
mod damage;
mod decoders;
mod quota;

use deltaic_causality::{ActorId, Dot};
use deltaic_engine::{Cookie, News};
use deltaic_protocol::{ClientMessage, Cut, EventReader, Keep, SqlRequest, Subscribe, event_text};
use deltaic_storage::MemoryStore;
use deltaic_types::{DataType, Interval, Numeric, Text, Value, codec, json_format, key, text_format};
use serde_json::{Value as Json, json};

pub use decoders::Measure;
use decoders::Trials;

use crate::{
    client::LiveResult,
    driver::Driver,
    fuzz::{Tally, identity},
    generator::Generator,
    random::Random,
};

/// Definitions with clauses that the library of the parser does not know.
const DEFINITIONS: [&str; 6] = [
    "CREATE TABLE u0 (id int PRIMARY KEY, a int CONFLICT PRIORITY (b), b int, c text CONFLICT MANUAL, GROUP (a, b)) REMOVE WINS",
    "CREATE TABLE u1 (a text CONFLICT CUSTOM (least(ours, theirs) || '/' || greatest(ours, theirs)), b counter, c rich_text)",
    "ALTER TABLE t0 ADD COLUMN IF NOT EXISTS x0 int CONFLICT CUSTOM (CASE WHEN ours > 0 THEN ours ELSE theirs END) DEFAULT 1",
    "CREATE LIVE VIEW u2 (a) MUST BE EMPTY AS SELECT id FROM t0 WHERE id < 0",
    "CREATE BUDGET u3 (KEY who text, LIMIT 5 PER '1 day' SLIDING, LIMIT (SELECT 7)) GUARANTEE ESCROW WITH EVENTS",
    "CREATE ALLOCATION u4 CAPACITY (SELECT 1 AS owner, 2 AS slot, 3 AS quantity, 'k' AS kind) NEED (SELECT 2 AS owner, 2 AS slot, 3 AS quantity, 'k' AS kind) \
     RECOGNITION (SELECT 1 AS \"from\", 2 AS \"to\", 1 AS weight) OFFERS WITHIN '1 day' POLICY max_min SHADOW damped_v2 COALESCE '1 second'",
];

/// Texts that a parser of values may stumble over.
const PIECES: [&str; 30] = [
    "",
    "-",
    "+",
    ".",
    "0",
    "9",
    "99999999999999999999",
    "e",
    "E400",
    "NaN",
    "Infinity",
    "'",
    "\"",
    "\\",
    "{",
    "}",
    ",",
    "null",
    "T",
    "Z",
    "+15:59:59",
    "-0001-01-01",
    " BC",
    ":",
    "\u{0}",
    "\u{1F600}",
    "é",
    "$1",
    "--",
    "/*",
];

/// Words that statements are made of.
const WORDS: [&str; 49] = [
    "CONFLICT",
    "CUSTOM (",
    "GROUP (",
    "REMOVE WINS",
    "MUST BE EMPTY",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "HAVING",
    "DISTINCT",
    "UNION ALL",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IN",
    "BETWEEN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE FROM",
    "RETURNING",
    "CREATE TABLE",
    "(",
    ")",
    ",",
    ";",
    "*",
    "::",
    "count(*)",
    "t0",
    "t1",
    "id",
    "c0",
    "$1",
];

/// Runs the case of a seed. `measure` says what the decoders allocate.
pub fn case(seed: u64, tell: bool, measure: Measure<'_>) -> Result<Tally, String> {
    let mut case = Case { random: Random::new(seed), tell, tally: Tally::default() };
    for _ in 0..8 {
        case.values()?;
        case.texts()?;
    }
    case.messages()?;
    // About half of the time of a case.
    for _ in 0..ROUNDS {
        let mut trials = Trials { random: &mut case.random, tell, measure, tried: 0 };
        trials.causality()?;
        trials.crdt()?;
        trials.quota()?;
        case.tally.comparisons += trials.tried;
    }
    case.statements(seed)?;
    Ok(case.tally)
}

/// How often a case asks the decoders of replicas and ledgers.
const ROUNDS: usize = 4;

struct Case {
    random: Random,
    tell: bool,
    tally: Tally,
}

impl Case {
    fn tell(&self, what: &str, input: &dyn std::fmt::Debug) {
        if self.tell {
            println!("{what}: {input:?}");
        }
    }

    fn data_type(&mut self) -> DataType {
        let scalars = [
            DataType::Boolean,
            DataType::Smallint,
            DataType::Integer,
            DataType::Bigint,
            DataType::Double,
            DataType::Numeric(None),
            DataType::Text,
            DataType::Uuid,
            DataType::Date,
            DataType::Timestamptz,
            DataType::Interval,
            DataType::Jsonb,
        ];
        let scalar = self.random.pick(&scalars).clone();
        if self.random.one_in(4) { DataType::Array(Box::new(scalar)) } else { scalar }
    }

    /// A value of a type.
    fn value(&mut self, data_type: &DataType) -> Value {
        let random = &mut self.random;
        let number = random.number() as i64 >> random.below(64);
        match data_type {
            _ if random.one_in(12) => Value::Null,
            DataType::Boolean => Value::Boolean(number % 2 == 0),
            DataType::Smallint => Value::Integer(i64::from(number as i16)),
            DataType::Integer => Value::Integer(i64::from(number as i32)),
            DataType::Bigint => Value::Integer(number),
            DataType::Double => Value::from(f64::from_bits(random.number())),
            DataType::Numeric(_) => {
                let text = format!("{number}e{}", random.below(60) as i64 - 30);
                text.parse::<Numeric>().map_or(Value::Null, Value::from)
            }
            DataType::Text => Value::Text(Text::from(self.text().replace('\0', "").as_str())),
            DataType::Uuid => {
                text_format::parse_text(&format!("{:032x}", u128::from(number as u64)), data_type)
                    .unwrap_or(Value::Null)
            }
            DataType::Date => Value::Date((number as i32) % 700_000),
            DataType::Timestamptz => Value::Timestamp(number % 60_000_000_000_000_000),
            DataType::Interval => {
                let (months, days) = (number as i32 % 5_000, (number >> 7) as i32 % 5_000);
                Value::Interval(Interval { months, days, micros: number % 1_000_000_000_000 }.into())
            }
            DataType::Jsonb => {
                let text =
                    json!({"a": [number, self.text().replace('\0', ""), null], "b": {"c": 1.5}}).to_string();
                text_format::parse_text(&text, data_type).unwrap_or(Value::Null)
            }
            DataType::Array(of) => {
                let items: Vec<Value> = (0..random.below(4)).map(|_| self.value(of)).collect();
                Value::Array(items.into())
            }
        }
    }

    fn text(&mut self) -> String {
        (0..self.random.below(4)).map(|_| *self.random.pick(&PIECES)).collect()
    }

    /// Damage of text: pieces of `pieces` go in, stretches go out.
    fn garbled(&mut self, text: &str, pieces: &[&str]) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=self.random.below(3) {
            let place = self.random.below(characters.len() + 1);
            let end = (place + self.random.below(12)).min(characters.len());
            match self.random.below(3) {
                0 => drop(characters.drain(place..end)),
                1 => drop(characters.splice(place..place, self.random.pick(pieces).chars())),
                _ => {
                    let part: Vec<char> = characters[place..end].to_vec();
                    let to = self.random.below(characters.len() + 1);
                    characters.splice(to..to, part);
                }
            }
        }
        characters.into_iter().collect()
    }

    /// Keys and records.
    fn values(&mut self) -> Result<(), String> {
        let types: Vec<DataType> = (0..=self.random.below(4)).map(|_| self.data_type()).collect();
        let row: Vec<Value> = types.iter().map(|data_type| self.value(data_type)).collect();
        let mut encoded = Vec::new();
        codec::write_row(&mut encoded, &row);
        let damaged = damage::damaged(&mut self.random, &encoded, &encoded);
        self.tell("row", &damaged);
        if let Ok(read) = codec::Reader::new(&damaged).row() {
            let mut again = Vec::new();
            codec::write_row(&mut again, &read);
            let back = codec::Reader::new(&again).row().map_err(|error| format!("{read:?}: {error}"))?;
            check(back == read, "a row is not read as it was written", &read)?;
        }
        let keys = types.iter().zip(row).filter(|(data_type, _)| data_type.is_key());
        let keys: Vec<Value> = keys.map(|(_, value)| value).collect();
        let mut encoded = Vec::new();
        key::encode_into(&mut encoded, &keys);
        let damaged = damage::damaged(&mut self.random, &encoded, &encoded);
        self.tell("key", &damaged);
        if let Ok(read) = key::decode(&damaged) {
            let mut again = Vec::new();
            key::encode_into(&mut again, &read);
            let back = key::decode(&again).map_err(|error| format!("{read:?}: {error}"))?;
            check(back == read, "a key is not read as it was written", &read)?;
        }
        self.tally.comparisons += 2;
        Ok(())
    }

    /// Values as text and as JSON.
    fn texts(&mut self) -> Result<(), String> {
        let data_type = self.data_type();
        let value = self.value(&data_type);
        let text = text_format::to_text(&value);
        let damaged = self.garbled(&text, &PIECES);
        self.tell(&data_type.to_string(), &damaged);
        if let Ok(read) = text_format::parse_text(&damaged, &data_type) {
            let again = text_format::to_text(&read);
            let back = text_format::parse_text(&again, &data_type);
            check(
                back.as_ref() == Ok(&read),
                "a text is not read as it was written",
                &(&damaged, &read, back),
            )?;
        }
        let wire = json_format::to_json(&value, &data_type);
        let back = json_format::from_json(&wire, &data_type);
        check(back.as_ref() == Ok(&value), "a value does not come back from JSON", &(&value, &wire, back))?;
        let damaged = self.garbled(&wire.to_string(), &PIECES);
        self.tell(&data_type.to_string(), &damaged);
        if let Ok(wire) = serde_json::from_str::<Json>(&damaged) {
            if let Ok(read) = json_format::from_json(&wire, &data_type) {
                let again = json_format::to_json(&read, &data_type);
                let back = json_format::from_json(&again, &data_type);
                check(
                    back.as_ref() == Ok(&read),
                    "JSON is not read as it was written",
                    &(&wire, &read, back),
                )?;
            }
        }
        self.tally.comparisons += 3;
        Ok(())
    }

    /// What clients and servers send each other.
    fn messages(&mut self) -> Result<(), String> {
        let sql = self.text();
        let dots = (0..self.random.below(4)).map(|actor| Dot {
            actor: ActorId(actor as u64 * 7),
            seq: (self.random.number() >> self.random.below(64)).max(1),
        });
        let cut = Cut(dots.collect());
        let damaged = self.garbled(&cut.to_string(), &PIECES);
        self.tell("cut", &damaged);
        if let Ok(read) = damaged.parse::<Cut>() {
            check(read.to_string() == damaged, "a cut has two texts", &damaged)?;
        }
        let request = SqlRequest {
            sql: sql.clone(),
            params: vec![json!(1), json!(null)],
            basis: Some(cut),
            ..SqlRequest::default()
        };
        let request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        let damaged = damage::damaged(&mut self.random, &request, &request);
        if let Ok(read) = SqlRequest::decode(&damaged) {
            let again = serde_json::to_vec(&read).map_err(|error| error.to_string())?;
            check(
                SqlRequest::decode(&again).as_ref() == Ok(&read),
                "a request is not read as it was written",
                &read,
            )?;
        }
        let cookie = format!("{:016x}-{}-{:016x}", self.random.number(), self.random.below(1 << 20), 7);
        let damaged = self.garbled(&cookie, &PIECES);
        if let Ok(read) = damaged.parse::<Cookie>() {
            let back = read.to_string().parse::<Cookie>();
            check(back.as_ref() == Ok(&read), "a cookie is not read as it was written", &damaged)?;
        }
        let subscribe = Subscribe {
            id: 7,
            sql,
            params: vec![json!("x")],
            cookie: Some(cookie.clone()),
            keep: Keep::Permanent,
        };
        let message = serde_json::to_string(&ClientMessage::Subscribe(subscribe));
        let message = message.map_err(|error| error.to_string())?;
        let damaged = self.garbled(&message, &PIECES);
        self.tell("message", &damaged);
        let _ = ClientMessage::decode(&damaged);
        let mut reader = EventReader::default();
        let stream = event_text("change", Some(&cookie), &message);
        for line in self.garbled(&stream, &["\n", "\r", ":", "data", "event", "id", " "]).split('\n') {
            reader.line(line);
        }
        self.tally.comparisons += 1;
        Ok(())
    }

    /// Damaged statements and queries beside a live query.
    fn statements(&mut self, seed: u64) -> Result<(), String> {
        const LIVE: &str = "SELECT count(*), min(id), max(c0) FROM t0";
        let mut generator = Generator::new(seed);
        let store = MemoryStore::new(identity());
        let mut driver = Driver::open(store, 1_700_000_000_000_000).map_err(|error| error.to_string())?;
        for statement in generator.schema() {
            driver.run(&statement).map_err(|error| format!("{statement}: {error}"))?;
        }
        driver.subscribe(0, LIVE, &[], None);
        let mut live = LiveResult::default();
        for number in 1..24 {
            let query = generator.query();
            let text = match self.random.below(5) {
                0 => (*self.random.pick(&DEFINITIONS)).to_owned(),
                1 | 2 => generator.statement(),
                _ => query.sql,
            };
            let pieces: &[&str] = if self.random.one_in(2) { &PIECES } else { &WORDS };
            let damaged = self.garbled(&text, pieces);
            self.tell("sql", &damaged);
            match driver.run(&damaged) {
                Ok(_) => self.tally.commits += 1,
                Err(error) => {
                    check(error.sqlstate().len() == 5, "an error without a code", &error)?;
                    check(error.sqlstate() != "XX000", "an internal error", &error)?;
                }
            }
            driver.subscribe(number, &damaged, &query.parameters, None);
            driver.unsubscribe(number);
            self.tally.queries += 1;
        }
        for message in driver.messages.drain(..).filter(|message| message.subscription.0 == 0) {
            if let News::Error { error, cookie: None } = &message.news {
                // The damage may have made a DROP TABLE of something else.
                return check(error.to_string().contains("dropped"), "the live query ended", error);
            }
            live.take(&message.news)?;
        }
        let fresh = driver.run(LIVE).map_err(|error| format!("{LIVE}: {error}"))?;
        let known = live.rows.ok_or("the live query has no result")?;
        self.tally.comparisons += 1;
        check(known.keys().eq(&fresh.rows), "the live result is wrong", &(&known, &fresh.rows))
    }
}

fn check(holds: bool, message: &str, about: &dyn std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{message}: {about:?}")) }
}
