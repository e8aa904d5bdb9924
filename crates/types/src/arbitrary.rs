//! Random values for the property tests of this crate.

use proptest::prelude::*;

use crate::{DataType, Interval, Json, Numeric, Row, Value};

fn decimal() -> impl Strategy<Value = Numeric> {
    prop_oneof![
        (any::<i64>(), 0_u32..20).prop_map(|(digits, scale)| format!("{digits}e-{scale}").parse().unwrap()),
        (-20_i64..20, 0_u32..3).prop_map(|(digits, scale)| format!("{digits}e-{scale}").parse().unwrap()),
        (any::<i32>(), 0_u32..40).prop_map(|(digits, scale)| format!("{digits}e{scale}").parse().unwrap()),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-8_i32..8).prop_map(|n| f64::from(n) / 2.0),
        (any::<i64>()).prop_map(|n| n as f64),
        Just(f64::NAN),
        Just(-0.0),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -5_i64..5, (1_i64 << 53) - 3..(1 << 53) + 3]
}

/// Numbers of all three classes, near each other often.
pub(crate) fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        integer().prop_map(Value::Integer),
        double().prop_map(Value::double),
        decimal().prop_map(Value::numeric),
        // The exact decimal of a double, so that classes meet.
        (-8_i32..8).prop_map(|n| Value::numeric((f64::from(n) / 2.0).try_into().unwrap())),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[ab\u{1}]{0,3}", ".{0,20}", "[a-z\" ,{}\\\\]{0,30}"];
    // The one character that no text may hold.
    text.prop_map(|text| text.replace('\0', "\u{1}"))
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Boolean),
        decimal().prop_map(Json::Number),
        text().prop_map(|text| Json::String(text.into())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            proptest::collection::btree_map("[a-c]{0,3}", inner, 0..3).prop_map(|members| {
                let text = serde_json::Value::Object(
                    members.into_iter().map(|(key, value)| (key, value.to_serde())).collect(),
                );
                Json::from_serde(&text).unwrap()
            }),
        ]
    })
}

fn key_value(data_type: &DataType) -> BoxedStrategy<Value> {
    let some = match data_type {
        DataType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        DataType::Smallint => any::<i16>().prop_map(|n| Value::Integer(n.into())).boxed(),
        DataType::Integer => any::<i32>().prop_map(|n| Value::Integer(n.into())).boxed(),
        DataType::Bigint => integer().prop_map(Value::Integer).boxed(),
        DataType::Double => double().prop_map(Value::double).boxed(),
        DataType::Numeric(_) => decimal().prop_map(Value::numeric).boxed(),
        DataType::Text => text().prop_map(Value::from).boxed(),
        DataType::Uuid => any::<u128>().prop_map(|n| Value::uuid(uuid::Uuid::from_u128(n))).boxed(),
        DataType::Date => (-700_000_i32..2_000_000).prop_map(Value::Date).boxed(),
        DataType::Timestamptz => {
            (-60_000_000_000_000_000_i64..200_000_000_000_000_000).prop_map(Value::Timestamp).boxed()
        }
        DataType::Interval => (-1000_i32..1000, -1000_i32..1000, -(1_i64 << 40)..1 << 40)
            .prop_map(|(months, days, micros)| Value::interval(Interval { months, days, micros }))
            .boxed(),
        DataType::Jsonb => json().prop_map(Value::json).boxed(),
        DataType::Array(item) => {
            proptest::collection::vec(key_value(item), 0..4).prop_map(Value::array).boxed()
        }
    };
    prop_oneof![9 => some, 1 => Just(Value::Null)].boxed()
}

fn data_type(keys_only: bool) -> impl Strategy<Value = DataType> {
    let mut types = vec![
        DataType::Boolean,
        DataType::Smallint,
        DataType::Integer,
        DataType::Bigint,
        DataType::Double,
        DataType::NUMERIC,
        DataType::Text,
        DataType::Uuid,
        DataType::Date,
        DataType::Timestamptz,
        DataType::Integer.array(),
        DataType::Text.array(),
    ];
    if !keys_only {
        types.extend([DataType::Interval, DataType::Jsonb]);
    }
    proptest::sample::select(types)
}

/// A type and a value of it.
pub(crate) fn typed_value() -> impl Strategy<Value = (DataType, Value)> {
    data_type(false).prop_flat_map(|data_type| {
        let values = key_value(&data_type);
        (Just(data_type), values)
    })
}

/// Two rows of the same types.
pub(crate) fn row_pair() -> impl Strategy<Value = (Row, Row)> {
    proptest::collection::vec(data_type(false), 1..4).prop_flat_map(|types| {
        let row = || types.iter().map(key_value).collect::<Vec<_>>().prop_map(Row::from);
        (row(), row())
    })
}

/// Two keys of the same types.
pub(crate) fn key_pair() -> impl Strategy<Value = (Row, Row)> {
    proptest::collection::vec(data_type(true), 1..3).prop_flat_map(|types| {
        let row = || types.iter().map(key_value).collect::<Vec<_>>().prop_map(Row::from);
        (row(), row())
    })
}
