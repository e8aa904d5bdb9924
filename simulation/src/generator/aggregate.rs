//! Aggregate calls: every function, with DISTINCT, FILTER and orders.
//!
//! What depends on an order has one that its arguments complete, so that equal databases give equal values.

use super::{Columns, Generator};
use crate::naive::Kind;

const NUMBERS: [Kind; 4] = [Kind::Int, Kind::Big, Kind::Decimal, Kind::Double];
const SCALARS: [Kind; 6] = [Kind::Int, Kind::Big, Kind::Decimal, Kind::Double, Kind::Text, Kind::Bool];

impl Generator {
    /// An aggregate over the columns.
    pub(super) fn aggregate(&mut self, columns: &Columns) -> String {
        let call = self.aggregate_call(columns);
        if self.random.one_in(6) {
            // The arguments of PostgreSQL's aggregates are not evaluated for rows that the filter refuses.
            return format!("{call} FILTER (WHERE {})", self.condition(columns, 1));
        }
        call
    }

    fn aggregate_call(&mut self, columns: &Columns) -> String {
        let distinct = if self.random.one_in(5) { "DISTINCT " } else { "" };
        let kind = *self.random.pick(&NUMBERS);
        let any = *self.random.pick(&[Kind::Int, Kind::Double, Kind::Text, Kind::Decimal]);
        match self.random.below(13) {
            0 => "count(*)".to_owned(),
            1 => format!("count({distinct}{})", self.scalar(any, columns, 1)),
            2 => format!("sum({distinct}{})", self.scalar(kind, columns, 1)),
            3 => format!("avg({distinct}{})", self.scalar(kind, columns, 1)),
            4 => format!("min({})", self.scalar(any, columns, 1)),
            5 => format!("max({})", self.scalar(any, columns, 1)),
            6 => {
                let name = *self.random.pick(&["bool_and", "bool_or", "every"]);
                format!("{name}({})", self.scalar(Kind::Bool, columns, 1))
            }
            7 => {
                let name = *self.random.pick(&["bit_and", "bit_or", "bit_xor"]);
                let kind = *self.random.pick(&[Kind::Int, Kind::Big]);
                format!("{name}({distinct}{})", self.scalar(kind, columns, 1))
            }
            8 => {
                let name = *self.random.pick(&["variance", "var_samp", "var_pop"]);
                format!("{name}({distinct}{})", self.scalar(kind, columns, 1))
            }
            9 => {
                // The digits of the root of a large variance are PostgreSQL's choice: the numbers are small.
                let name = *self.random.pick(&["stddev", "stddev_samp", "stddev_pop"]);
                let kind = *self.random.pick(&[Kind::Decimal, Kind::Double]);
                format!("{name}({distinct}{})", self.scalar(kind, columns, 1))
            }
            10 => self.ordered_set(columns),
            _ => self.collection(columns),
        }
    }

    /// A value whose type PostgreSQL knows: a bare text would be of any type.
    pub(super) fn typed(&mut self, kind: Kind, columns: &Columns) -> String {
        let value = self.scalar(kind, columns, 1);
        if value.starts_with('\'') { format!("{value}::text") } else { value }
    }

    pub(super) fn direction(&mut self) -> String {
        let direction = if self.random.one_in(2) { " DESC" } else { "" };
        let nulls = *self.random.pick(&["", "", " NULLS FIRST", " NULLS LAST"]);
        format!("{direction}{nulls}")
    }

    fn ordered_set(&mut self, columns: &Columns) -> String {
        let any = *self.random.pick(&SCALARS);
        let kind = *self.random.pick(&NUMBERS);
        let fraction = *self.random.pick(&["0", "0.25", "0.5", "0.9", "1", "NULL::double precision", "1.5"]);
        let (call, kind) = match self.random.below(3) {
            0 => ("mode()".to_owned(), any),
            1 => (format!("percentile_disc({fraction})"), any),
            _ => (format!("percentile_cont({fraction})"), kind),
        };
        let value = self.typed(kind, columns);
        format!("{call} WITHIN GROUP (ORDER BY {value}{})", self.direction())
    }

    fn collection(&mut self, columns: &Columns) -> String {
        let any = *self.random.pick(&SCALARS);
        // Only what is written is generated: a parameter that is not would be one too many.
        let (name, list) = match self.random.below(4) {
            0 => {
                let delimiter = *self.random.pick(&["','", "''", "NULL"]);
                ("string_agg", vec![self.typed(Kind::Text, columns), delimiter.to_owned()])
            }
            1 => ("array_agg", vec![self.typed(any, columns)]),
            2 => ("jsonb_agg", vec![self.typed(any, columns)]),
            _ => {
                let key = format!("coalesce({}, '?')", self.typed(Kind::Text, columns));
                ("jsonb_object_agg", vec![key, self.typed(any, columns)])
            }
        };
        let arguments = list.join(", ");
        // A constant as a delimiter orders nothing.
        let complete = if name == "string_agg" { &list[..1] } else { &list[..] };
        let mut order: Vec<String> =
            complete.iter().map(|value| format!("{value}{}", self.direction())).collect();
        if self.random.one_in(4) {
            return match self.random.below(2) {
                0 => format!("{name}(DISTINCT {arguments})"),
                _ => format!("{name}(DISTINCT {arguments} ORDER BY {})", order.join(", ")),
            };
        }
        if self.random.one_in(2) {
            let kind = *self.random.pick(&SCALARS);
            let first = self.typed(kind, columns);
            order.insert(0, format!("{first}{}", self.direction()));
        }
        format!("{name}({arguments} ORDER BY {})", order.join(", "))
    }
}
