//! [`Collection`]: the state of aggregates that take their rows in an order: arrays, texts, JSON.
//!
//! A row of it holds a call's arguments and behind them what only its order uses. Invariant: the rows stand
//! in the order asked for, which their whole contents complete, so the value is a function of the multiset. A
//! change costs O(log n), a reading what is read: a collection that changes is written anew as a whole.

use deltaic_types::{EvalError, Json, Row, Text, Value, limits};

use crate::{
    index::{Index, KeyColumn},
    zset::Weight,
};

/// What is made of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gathering {
    /// An array of the values, NULLs included.
    Array,
    /// The texts, each but the first behind its delimiter. A NULL delimiter is none.
    Text,
    /// A JSON array; the values are JSON already, and NULL is null.
    JsonArray,
    /// A JSON object of keys and values; the last of equal keys stays.
    JsonObject,
}

impl Gathering {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Array => "array_agg",
            Self::Text => "string_agg",
            Self::JsonArray => "jsonb_agg",
            Self::JsonObject => "jsonb_object_agg",
        }
    }

    /// Whether rows whose first argument is NULL are among the rows; an error where they must not be.
    pub(crate) fn keeps_null(self) -> Result<bool, EvalError> {
        match self {
            Self::Text => Ok(false),
            Self::Array | Self::JsonArray => Ok(true),
            Self::JsonObject => Err(EvalError::InvalidArgument {
                function: "jsonb_object_agg",
                reason: "field name must not be null",
            }),
        }
    }
}

/// The rows of a group, ordered.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    rows: Index,
    /// Whether equal rows count once.
    distinct: bool,
}

impl Collection {
    pub(crate) fn new(order: &[KeyColumn], distinct: bool) -> Self {
        Self { rows: Index::new(order), distinct }
    }

    pub(crate) fn add(&mut self, row: &Row, weight: Weight) {
        self.rows.add(row, weight);
    }

    /// Each row as often as it counts.
    fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flat_map(|(row, weight)| {
            let times = if self.distinct { 1 } else { usize::try_from(weight).unwrap_or(0) };
            std::iter::repeat_n(row, times)
        })
    }

    /// The value; NULL of no rows.
    pub(crate) fn value(&self, gathering: Gathering) -> Result<Value, EvalError> {
        if self.rows.is_empty() {
            return Ok(Value::Null);
        }
        self.check_length()?;
        Ok(match gathering {
            Gathering::Array => Value::array(self.iter().map(|row| row[0].clone()).collect()),
            Gathering::Text => {
                let mut text = String::new();
                for (place, row) in self.iter().enumerate() {
                    if place > 0 {
                        text += row[1].as_str().unwrap_or("");
                    }
                    text += row[0].as_str().unwrap_or("");
                }
                Value::from(text)
            }
            Gathering::JsonArray => {
                Value::json(Json::Array(self.iter().map(|row| json(&row[0])).collect()).nested()?)
            }
            Gathering::JsonObject => {
                let key = |row: &Row| Text::from(row[0].as_str().unwrap_or(""));
                let members = self.iter().map(|row| (key(row), json(&row[1]))).collect();
                Value::json(Json::object(members).nested()?)
            }
        })
    }

    /// Refuses a value that would be too long before it is built.
    fn check_length(&self) -> Result<(), EvalError> {
        let limit = limits::VALUE_BYTES;
        let mut bytes = 0;
        for row in self.iter() {
            bytes += row.iter().take(2).map(|value| 1 + value.heap_bytes()).sum::<usize>();
            if bytes > limit {
                return Err(EvalError::ValueTooLong { limit });
            }
        }
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.iter().map(|(row, _)| size_of::<(Row, Weight)>() + row.heap_bytes()).sum()
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Json(json) => (**json).clone(),
        Value::Null => Json::Null,
        other => unreachable!("invariant: arguments have the function's type: {other:?}"),
    }
}
