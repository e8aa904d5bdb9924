//! Results as text: aligned columns, numbers to the right, NULL as a sign of its own.

use deltaic_protocol::Column;
use serde_json::Value as Json;

/// What stands for NULL, which is not the empty text.
const NULL: &str = "∅";

/// A value for people: text without quotes, everything else as JSON.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => NULL.to_owned(),
        // A line break would tear the table.
        Json::String(text) => text.replace('\n', "⏎").replace(['\t', '\r'], " "),
        other => other.to_string(),
    }
}

fn is_number(column: &Column) -> bool {
    let name = column.data_type.split('(').next().unwrap_or_default();
    matches!(name, "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision")
        && !column.data_type.ends_with("[]")
}

/// The lines of a table: names, a rule, rows.
pub(crate) fn lines(columns: &[Column], rows: &[Vec<Json>]) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let width = |place: usize, column: &Column| {
        let cells = cells.iter().filter_map(|row| row.get(place)).map(|text| text.chars().count());
        cells.chain([column.name.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(place, column)| width(place, column)).collect();
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    let mut lines = vec![line(&names, &widths, columns), rule.join("┼")];
    lines.extend(cells.iter().map(|row| line(row, &widths, columns)));
    lines
}

fn line(cells: &[String], widths: &[usize], columns: &[Column]) -> String {
    let padded = cells.iter().zip(widths).zip(columns).map(|((text, width), column)| {
        let space = " ".repeat(width - text.chars().count().min(*width));
        if is_number(column) { format!(" {space}{text} ") } else { format!(" {text}{space} ") }
    });
    padded.collect::<Vec<String>>().join("│").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_null_is_distinct() {
        let column = |name: &str, data_type: &str| Column { name: name.into(), data_type: data_type.into() };
        let columns = [column("name", "text"), column("n", "numeric(4,2)")];
        let rows = [
            vec![json!("ab\nc"), json!("12.50")],
            vec![json!(null), json!("0.10")],
            vec![json!(""), json!(null)],
        ];
        let lines = lines(&columns, &rows);
        assert_eq!(
            lines,
            [" name │     n", "──────┼───────", " ab⏎c │ 12.50", " ∅    │  0.10", "      │     ∅",]
        );
    }
}
