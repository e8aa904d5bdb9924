//! Rows as an aligned table: numbers to the right, NULL told from the empty text.
//!
//! Invariant: no data reach a terminal as anything but visible characters, so that a value can neither move the
//! cursor nor hide what stands beside it.

use deltaic_protocol::Column;
use serde_json::Value as Json;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How NULL looks: not like any text.
const NULL: &str = "∅";

/// A value in a cell.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => NULL.to_owned(),
        Json::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

/// A text with a visible character in place of each that a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\t' => ' ',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        // The second set of controls, and what turns the direction of writing.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(show).collect()
}

/// The widths of the columns, at most `limit` each.
pub(crate) fn widths<'a>(
    columns: &[Column],
    rows: impl Iterator<Item = &'a Vec<Json>>,
    limit: usize,
) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| visible(&column.name).width()).collect();
    for row in rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell(value).width());
        }
    }
    widths.into_iter().map(|width| width.clamp(1, limit)).collect()
}

/// The line of column names, and the line under it.
pub(crate) fn header(columns: &[Column], widths: &[usize]) -> [String; 2] {
    let names = columns.iter().zip(widths).map(|(column, width)| fit(&visible(&column.name), *width, false));
    let rules = widths.iter().map(|width| "─".repeat(*width));
    [names.collect::<Vec<_>>().join(" │ "), rules.collect::<Vec<_>>().join("─┼─")]
}

/// A row.
pub(crate) fn line(row: &[Json], columns: &[Column], widths: &[usize]) -> String {
    let cells = row.iter().zip(columns).zip(widths).map(|((value, column), width)| {
        fit(&cell(value), *width, is_number(&column.data_type) && !value.is_null())
    });
    cells.collect::<Vec<_>>().join(" │ ")
}

fn is_number(data_type: &str) -> bool {
    data_type.starts_with("numeric")
        || matches!(data_type, "smallint" | "integer" | "bigint" | "double precision")
}

/// A text in so many places, cut or filled up.
fn fit(text: &str, width: usize, right: bool) -> String {
    let text = cut(text, width);
    let space = " ".repeat(width.saturating_sub(text.width()));
    if right { space + &text } else { text + &space }
}

/// A text in so many places at most; an ellipsis stands for what is cut off.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let places = c.width().unwrap_or(0);
        let fits = places <= left;
        left = left.saturating_sub(places);
        fits
    };
    let mut text: String = text.chars().take_while(fits).collect();
    text.push('…');
    text
}

/// How many rows, in words.
pub(crate) fn rows(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_right_and_null_is_told_from_nothing() {
        let column =
            |name: &str, data_type: &str| Column { name: name.to_owned(), data_type: data_type.to_owned() };
        let columns = [column("n", "integer"), column("text", "text")];
        let rows =
            [vec![json!(7), json!("")], vec![json!(1234), Json::Null], vec![Json::Null, json!("long text")]];
        let widths = widths(&columns, rows.iter(), 6);
        assert_eq!(header(&columns, &widths), ["n    │ text  ", "─────┼───────"]);
        let lines: Vec<String> = rows.iter().map(|row| line(row, &columns, &widths)).collect();
        assert_eq!(lines, ["   7 │       ", "1234 │ ∅     ", "∅    │ long …"]);
    }

    #[test]
    fn wide_characters_take_two_places_and_controls_are_seen() {
        assert_eq!(fit("日本語", 5, false), "日本…");
        assert_eq!(fit("日本", 5, true), " 日本");
        assert_eq!(visible("a\u{1b}]0;x\u{7}\n\u{9b}2J\u{202e}\u{7f}\tb"), "a␛]0;x␇␊�2J�␡ b");
    }
}
