//! Calls over windows: functions of places, and aggregates over frames of all kinds.
//!
//! What depends on the place of a row has an order by all columns at its end, so that rows that change places
//! are equal; what depends on peers alone may have any.

use super::{Columns, Generator};
use crate::naive::Kind;

const NUMBERS: [Kind; 4] = [Kind::Int, Kind::Big, Kind::Decimal, Kind::Double];
const SCALARS: [Kind; 6] = [Kind::Int, Kind::Big, Kind::Decimal, Kind::Double, Kind::Text, Kind::Bool];

impl Generator {
    /// A call over a window of rows.
    pub(super) fn window(&mut self, columns: &Columns) -> String {
        match self.random.below(5) {
            0 => self.ranking(columns),
            1 => self.place(columns),
            2 => self.value_of_frame(columns),
            3 => self.in_rows(columns),
            _ => self.among_peers(columns),
        }
    }

    /// The number of a row among those with the same key.
    pub(super) fn row_number(&mut self, key: &str, columns: &Columns) -> String {
        format!("row_number() OVER (PARTITION BY {key} ORDER BY {})", self.whole_order(columns))
    }

    /// A call over a window of groups.
    pub(super) fn window_of_groups(&mut self, keys: &[String]) -> String {
        let partition = match keys.first() {
            Some(key) if self.random.one_in(2) => format!("PARTITION BY {key} "),
            _ => String::new(),
        };
        let direction = self.direction();
        match self.random.below(3) {
            0 => format!("rank() OVER ({partition}ORDER BY count(*){direction})"),
            1 => format!("sum(count(*)) OVER ({partition})"),
            _ => format!("count(*) OVER ({partition}ORDER BY count(*){direction})"),
        }
    }

    fn partition(&mut self, columns: &Columns) -> String {
        if self.random.one_in(2) {
            return String::new();
        }
        let kind = *self.random.pick(&SCALARS);
        format!("PARTITION BY {} ", self.typed(kind, columns))
    }

    /// An order that tells all rows apart but those that are equal.
    fn whole_order(&mut self, columns: &Columns) -> String {
        let mut keys = Vec::new();
        if self.random.one_in(2) {
            let kind = *self.random.pick(&SCALARS);
            keys.push(format!("{}{}", self.typed(kind, columns), self.direction()));
        }
        keys.extend(columns.iter().map(|(name, _)| name.clone()));
        keys.join(", ")
    }

    fn any_order(&mut self, columns: &Columns) -> String {
        let kind = *self.random.pick(&SCALARS);
        format!("{}{}", self.typed(kind, columns), self.direction())
    }

    fn ranking(&mut self, columns: &Columns) -> String {
        let name = *self.random.pick(&["rank", "dense_rank", "percent_rank", "cume_dist"]);
        format!("{name}() OVER ({}ORDER BY {})", self.partition(columns), self.any_order(columns))
    }

    fn place(&mut self, columns: &Columns) -> String {
        let call = match self.random.below(4) {
            0 => "row_number()".to_owned(),
            1 => format!("ntile({})", 1 + self.random.below(4)),
            number => {
                let name = if number == 2 { "lag" } else { "lead" };
                let kind = *self.random.pick(&SCALARS);
                let value = self.typed(kind, columns);
                match self.random.below(3) {
                    0 => format!("{name}({value})"),
                    1 => format!("{name}({value}, {})", self.random.below(3)),
                    _ => format!("{name}({value}, 1, {})", self.typed(kind, columns)),
                }
            }
        };
        format!("{call} OVER ({}ORDER BY {})", self.partition(columns), self.whole_order(columns))
    }

    /// ROWS, or GROUPS, with ends of all kinds.
    fn frame(&mut self, units: &str) -> String {
        let offset = self.random.below(3);
        let start = match self.random.below(4) {
            0 => "UNBOUNDED PRECEDING".to_owned(),
            1 => format!("{} PRECEDING", offset + 1),
            2 => "CURRENT ROW".to_owned(),
            _ => return format!("{units} BETWEEN {offset} FOLLOWING AND {} FOLLOWING", self.random.below(4)),
        };
        let end = match self.random.below(4) {
            0 => "UNBOUNDED FOLLOWING".to_owned(),
            1 => format!("{offset} FOLLOWING"),
            2 if start.ends_with(" PRECEDING") => format!("{offset} PRECEDING"),
            _ => "CURRENT ROW".to_owned(),
        };
        format!("{units} BETWEEN {start} AND {end}")
    }

    fn value_of_frame(&mut self, columns: &Columns) -> String {
        let kind = *self.random.pick(&SCALARS);
        let value = self.typed(kind, columns);
        let call = match self.random.below(3) {
            0 => format!("first_value({value})"),
            1 => format!("last_value({value})"),
            _ => format!("nth_value({value}, {})", 1 + self.random.below(3)),
        };
        let units = *self.random.pick(&["ROWS", "GROUPS", "RANGE"]);
        let frame = if units == "RANGE" { String::new() } else { self.frame(units) };
        format!("{call} OVER ({}ORDER BY {} {frame})", self.partition(columns), self.whole_order(columns))
    }

    fn order_free(&mut self, columns: &Columns) -> String {
        let kind = *self.random.pick(&NUMBERS);
        let any = *self.random.pick(&[Kind::Int, Kind::Double, Kind::Text, Kind::Decimal]);
        let call = match self.random.below(6) {
            0 => "count(*)".to_owned(),
            1 => format!("count({})", self.scalar(any, columns, 1)),
            2 => format!("sum({})", self.scalar(kind, columns, 1)),
            3 => format!("avg({})", self.scalar(kind, columns, 1)),
            4 => format!("min({})", self.scalar(any, columns, 1)),
            _ => format!("max({})", self.scalar(any, columns, 1)),
        };
        if self.random.one_in(5) {
            format!("{call} FILTER (WHERE {})", self.condition(columns, 1))
        } else {
            call
        }
    }

    /// An aggregate over rows before and after.
    fn in_rows(&mut self, columns: &Columns) -> String {
        let call = match self.random.below(4) {
            0 => format!("string_agg({}, ',')", self.typed(Kind::Text, columns)),
            1 => {
                let kind = *self.random.pick(&SCALARS);
                format!("array_agg({})", self.typed(kind, columns))
            }
            _ => self.order_free(columns),
        };
        let frame = self.frame("ROWS");
        format!("{call} OVER ({}ORDER BY {} {frame})", self.partition(columns), self.whole_order(columns))
    }

    /// An aggregate over frames that peers share.
    fn among_peers(&mut self, columns: &Columns) -> String {
        let call = self.order_free(columns);
        let partition = self.partition(columns);
        match self.random.below(4) {
            0 => format!("{call} OVER ({partition})"),
            1 => format!("{call} OVER ({partition}ORDER BY {})", self.any_order(columns)),
            2 => {
                let frame = self.frame("GROUPS");
                format!("{call} OVER ({partition}ORDER BY {} {frame})", self.any_order(columns))
            }
            _ => {
                let kind = *self.random.pick(&NUMBERS);
                let order = format!("{}{}", self.typed(kind, columns), self.direction());
                let offset = match kind {
                    Kind::Decimal => "0.75",
                    Kind::Double => "1.5::double precision",
                    _ => "2",
                };
                let frame = *self.random.pick(&[
                    "? PRECEDING",
                    "BETWEEN ? PRECEDING AND ? FOLLOWING",
                    "BETWEEN ? FOLLOWING AND UNBOUNDED FOLLOWING",
                    "BETWEEN UNBOUNDED PRECEDING AND ? PRECEDING",
                    "BETWEEN CURRENT ROW AND ? FOLLOWING",
                ]);
                format!("{call} OVER ({partition}ORDER BY {order} RANGE {})", frame.replace('?', offset))
            }
        }
    }
}
