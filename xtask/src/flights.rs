//! The extract in `examples/flights`: one week of departures from New York, with what belongs to it.
//!
//! Invariant: the extract is a function of the source's files alone, rows in their order, so that a second run
//! changes nothing. `examples/flights/README.md` states the rule for readers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::command::Failure;
use crate::csv;

/// How the source writes a missing value; an empty field is NULL here.
const MISSING: &str = "NA";

/// The week, by the columns `year`, `month` and `day`, which are local dates.
const YEAR: &str = "2013";
const MONTH: &str = "1";
const DAYS: [&str; 7] = ["1", "2", "3", "4", "5", "6", "7"];

#[derive(Debug, PartialEq, Eq)]
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn parse(text: &str) -> Result<Self, String> {
        let mut records = csv::parse(text)?.into_iter();
        let header = records.next().ok_or("the file is empty")?;
        let rows: Vec<Vec<String>> = records.collect();
        if let Some(place) = rows.iter().position(|row| row.len() != header.len()) {
            return Err(format!(
                "record {} has {} fields, not {}",
                place + 1,
                rows[place].len(),
                header.len()
            ));
        }
        Ok(Self { header, rows })
    }

    fn column(&self, name: &str) -> Result<usize, String> {
        self.header.iter().position(|column| column == name).ok_or_else(|| format!("no column `{name}`"))
    }

    /// Only the rows of the week.
    fn week(mut self) -> Result<Self, String> {
        let (year, month, day) = (self.column("year")?, self.column("month")?, self.column("day")?);
        self.rows.retain(|row| row[year] == YEAR && row[month] == MONTH && DAYS.contains(&row[day].as_str()));
        Ok(self)
    }

    /// Only the rows whose value in this column is wanted.
    fn with(mut self, name: &str, wanted: &BTreeSet<String>) -> Result<Self, String> {
        let column = self.column(name)?;
        self.rows.retain(|row| wanted.contains(&row[column]));
        Ok(self)
    }

    fn values(&self, name: &str) -> Result<BTreeSet<String>, String> {
        let column = self.column(name)?;
        Ok(self.rows.iter().map(|row| row[column].clone()).collect())
    }

    /// A first column `id` that counts from 1.
    fn numbered(mut self) -> Self {
        self.header.insert(0, "id".to_owned());
        for (place, row) in self.rows.iter_mut().enumerate() {
            row.insert(0, (place + 1).to_string());
        }
        self
    }

    fn with_nulls(mut self) -> Self {
        for field in self.rows.iter_mut().flatten().filter(|field| *field == MISSING) {
            field.clear();
        }
        self
    }

    fn write(&self) -> String {
        csv::write(std::iter::once(&self.header).chain(&self.rows))
    }
}

/// Reads the five files of the source and writes those of the extract.
pub(crate) fn extract(source: &Path, target: &Path) -> Result<(), Failure> {
    let read = |name: &str| {
        let path = source.join(name);
        let text = fs::read_to_string(&path).map_err(|error| Failure::io(path.display(), &error))?;
        Table::parse(&text).map_err(|problem| Failure::new(format!("{}: {problem}", path.display())))
    };
    let tables = week(read("flights.csv")?, read("planes.csv")?, read("weather.csv")?)
        .map_err(|problem| Failure::new(format!("{}: {problem}", source.display())))?;
    let whole = [("airlines.csv", read("airlines.csv")?), ("airports.csv", read("airports.csv")?)];
    fs::create_dir_all(target).map_err(|error| Failure::io(target.display(), &error))?;
    for (name, table) in whole.into_iter().chain(tables) {
        let path = target.join(name);
        let table = table.with_nulls();
        fs::write(&path, table.write()).map_err(|error| Failure::io(path.display(), &error))?;
        println!("{name}: {} rows", table.rows.len());
    }
    Ok(())
}

fn week(flights: Table, planes: Table, weather: Table) -> Result<[(&'static str, Table); 3], String> {
    let flights = flights.week()?;
    let planes = planes.with("tailnum", &flights.values("tailnum")?)?;
    Ok([("flights.csv", flights.numbered()), ("planes.csv", planes), ("weather.csv", weather.week()?)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::{MISSING, Table, week};

    fn table(text: &str) -> Table {
        Table::parse(text).unwrap()
    }

    fn committed(name: &str) -> Table {
        let path = crate::root().join("examples/flights").join(name);
        table(&fs::read_to_string(path).unwrap())
    }

    #[test]
    fn the_week_takes_its_flights_their_planes_and_its_weather() {
        let flights = table("year,month,day,tailnum\n2013,1,7,A\n2013,1,8,B\n2013,10,1,C\n2013,1,1,NA\n");
        let planes = table("tailnum,year\nB,2000\nA,NA\n");
        let weather = table("origin,year,month,day\nJFK,2013,1,3\nJFK,2013,2,3\n");
        let [flights, planes, weather] = week(flights, planes, weather).unwrap();
        assert_eq!(flights.1.write(), "id,year,month,day,tailnum\n1,2013,1,7,A\n2,2013,1,1,NA\n");
        assert_eq!(planes.1.with_nulls().write(), "tailnum,year\nA,\n");
        assert_eq!(weather.1.write(), "origin,year,month,day\nJFK,2013,1,3\n");
    }

    #[test]
    fn a_source_of_another_shape_is_refused() {
        assert!(Table::parse("").is_err());
        assert!(Table::parse("a,b\n1\n").is_err());
        assert!(table("year,month\n").week().is_err());
    }

    #[test]
    fn the_committed_extract_keeps_the_keys_that_its_schema_declares() {
        let flights = committed("flights.csv");
        for (place, row) in flights.rows.iter().enumerate() {
            assert_eq!(row[0], (place + 1).to_string());
        }
        for (file, keys) in [
            ("airlines.csv", &["carrier"][..]),
            ("airports.csv", &["faa"]),
            ("planes.csv", &["tailnum"]),
            ("weather.csv", &["origin", "time_hour"]),
        ] {
            let table = committed(file);
            let columns: Vec<usize> = keys.iter().map(|key| table.column(key).unwrap()).collect();
            let mut seen = BTreeSet::new();
            for row in &table.rows {
                assert!(!row.iter().any(|field| field == MISSING), "{file}: {row:?}");
                let key: Vec<&str> = columns.iter().map(|column| row[*column].as_str()).collect();
                assert!(key.iter().all(|part| !part.is_empty()), "{file}: {row:?}");
                assert!(seen.insert(key.join(",")), "{file}: {row:?} is there twice");
            }
        }
        let carriers = committed("airlines.csv").values("carrier").unwrap();
        assert!(flights.values("carrier").unwrap().is_subset(&carriers));
    }

    #[test]
    fn the_schema_declares_the_columns_of_each_file_in_order() {
        let schema = fs::read_to_string(crate::root().join("examples/flights/schema.sql")).unwrap();
        for name in ["airlines", "airports", "planes", "weather", "flights"] {
            let (_, rest) = schema.split_once(&format!("CREATE TABLE IF NOT EXISTS {name} (")).unwrap();
            let (body, _) = rest.split_once("\n);").unwrap();
            let mut columns: Vec<&str> =
                body.lines().filter_map(|line| line.split_whitespace().next()).collect();
            columns.retain(|word| !matches!(*word, "PRIMARY" | "status" | "--"));
            assert_eq!(columns, committed(&format!("{name}.csv")).header, "{name}");
        }
    }
}
