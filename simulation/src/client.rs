//! [`LiveResult`]: a client's copy of a live result, made of nothing but the messages it got.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_engine::{News, RequestError};
use deltaic_types::{DataType, Row};

use crate::naive::V;

/// What a client knows of a result.
#[derive(Debug, Clone, Default)]
pub struct LiveResult {
    /// The rows with their multiplicities; None before the first snapshot.
    pub rows: Option<BTreeMap<Row, i64>>,
    /// Why the result is in state error, if it is.
    pub error: Option<Arc<RequestError>>,
    /// The types of the columns.
    pub types: Vec<DataType>,
}

impl LiveResult {
    /// Takes a message. An error says what no client should ever have to bear.
    pub fn take(&mut self, news: &News) -> Result<(), String> {
        match news {
            News::Snapshot(snapshot) => {
                let mut rows = BTreeMap::new();
                for row in &snapshot.rows {
                    *rows.entry(row.clone()).or_insert(0) += 1;
                }
                self.rows = Some(rows);
                self.error = None;
                self.types = snapshot.columns.iter().map(|column| column.data_type.clone()).collect();
            }
            News::Change(change) => {
                let rows = self.rows.as_mut().ok_or("a change before any snapshot")?;
                let mut insertions = false;
                for (row, weight) in &change.changes {
                    if *weight > 0 {
                        insertions = true;
                    } else if insertions {
                        return Err("a retraction behind an insertion".to_owned());
                    }
                    let now = rows.entry(row.clone()).or_insert(0);
                    *now += weight;
                    if *now < 0 {
                        return Err(format!("{row:?} was retracted more often than it came"));
                    }
                    if *now == 0 {
                        rows.remove(row);
                    }
                }
                self.error = None;
            }
            News::Current(_) => {}
            News::Error { error, .. } => self.error = Some(Arc::clone(error)),
        }
        Ok(())
    }

    /// The rows as the oracles write them, hidden columns cut off, in the canonical order.
    pub fn values(&self) -> Vec<Vec<V>> {
        let mut rows = Vec::new();
        for (row, weight) in self.rows.iter().flatten() {
            let values: Vec<V> = row
                .iter()
                .zip(&self.types)
                .map(|(value, data_type)| V::from_engine(value, data_type))
                .collect();
            rows.extend(std::iter::repeat_n(values, *weight as usize));
        }
        sorted(rows)
    }
}

/// Rows in an order that does not depend on how a number is written.
pub fn sorted(mut rows: Vec<Vec<V>>) -> Vec<Vec<V>> {
    rows.sort_by(|a, b| {
        for (a, b) in a.iter().zip(b) {
            let order = V::order_nulls_last(a, b);
            if order != std::cmp::Ordering::Equal {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    });
    rows
}

/// Whether two sorted results are the same.
pub fn same(a: &[Vec<V>], b: &[Vec<V>]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_close(b)))
}
