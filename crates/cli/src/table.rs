//! Rows as an aligned table: numbers to the right, NULL told from the empty text.

use deltaic_protocol::Column;
use serde_json::Value as Json;

/// How NULL looks: not like any text.
const NULL: &str = "∅";

/// A value in a cell.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => NULL.to_owned(),
        Json::String(text) => text.replace(['\n', '\r', '\t'], " "),
        other => other.to_string(),
    }
}

/// The widths of the columns, at most `limit` each.
pub(crate) fn widths<'a>(
    columns: &[Column],
    rows: impl Iterator<Item = &'a Vec<Json>>,
    limit: usize,
) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.name.chars().count()).collect();
    for row in rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell(value).chars().count());
        }
    }
    widths.into_iter().map(|width| width.clamp(1, limit)).collect()
}

/// The line of column names, and the line under it.
pub(crate) fn header(columns: &[Column], widths: &[usize]) -> [String; 2] {
    let names = columns.iter().zip(widths).map(|(column, width)| fit(&column.name, *width, false));
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

fn fit(text: &str, width: usize, right: bool) -> String {
    let length = text.chars().count();
    if length > width {
        let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
        cut.push('…');
        return cut;
    }
    let space = " ".repeat(width - length);
    if right { space + text } else { text.to_owned() + &space }
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
}
