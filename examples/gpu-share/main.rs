//! Three teams share the hours of a cluster: by weights, above a floor that one of them was promised, until one of them agrees upon
//! what it has. Run it with
//! `cargo run --example gpu-share`; with the address of a running server, `… -- http://localhost:7400`, the console draws what it does.

#[path = "../door.rs"]
mod door;

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use door::{Door, Row, text, whole};

const SCHEMA: &str = include_str!("schema.sql");

/// The cluster's week, and what everybody would like of it: three times as much.
const WEEK: &str = "INSERT INTO cluster VALUES ('platform', 'a100', 120);
    INSERT INTO job VALUES ('research', 'pretraining', 200), ('product', 'ranking', 100), ('interns', 'thesis', 60);
    INSERT INTO weight VALUES ('platform', 'research', 3), ('platform', 'product', 2), ('platform', 'interns', 1);
    INSERT INTO promise VALUES ('platform', 'a100', 'interns', 30)";

/// What everybody has by now, as offers.
const OFFERS: &str = r#"INSERT INTO "gpu.offers" (id, provider, capacity, recipient, need, quantity)
    SELECT 'week of ' || recipient, provider, capacity, recipient, need, quantity FROM gpu"#;

const GIVEN: &str = "SELECT recipient, need, tier, quantity, reason FROM gpu ORDER BY recipient, need, tier";

/// The hours of each team.
fn hours(rows: &[Row]) -> BTreeMap<String, i64> {
    let mut hours = BTreeMap::new();
    for row in rows {
        *hours.entry(text(&row[0])).or_default() += whole(&row[3]);
    }
    hours
}

/// Changes rows, waits for what comes of it, prints that, and compares it with what is expected.
fn step(door: &Door, title: &str, sql: &str, expected: &[(&str, i64)]) -> Result<()> {
    let expected: BTreeMap<String, i64> =
        expected.iter().map(|(team, hours)| ((*team).to_owned(), *hours)).collect();
    door.sql(sql)?;
    let mut watch = door.watch(GIVEN)?;
    // What is not so in the end is never so: then this ends with an error that says what there is.
    watch.until(|rows| hours(rows) == expected)?;
    println!("\n{title}");
    let mut rows = watch.rows().to_vec();
    rows.sort_by_key(|row| (text(&row[0]), text(&row[2])));
    for row in &rows {
        let [team, job, tier, quantity, reason] = &row[..] else { continue };
        let (team, job, tier, reason) = (text(team), text(job), text(tier), text(reason));
        println!("  {team:<9} {job:<12} {:>4} hours  {tier:<11} {reason}", whole(quantity));
    }
    let said = door.allocation("gpu")?;
    println!(
        "  digest {}, certificate {}",
        said.digest,
        if said.is_certified { "holds" } else { "does not hold" }
    );
    ensure!(said.is_certified && said.problems.is_empty(), "{said:?}");
    Ok(())
}

fn main() -> Result<()> {
    let door = Door::open(std::env::args().nth(1).as_deref())?;
    println!("the console: {}/", door.url());
    door.sql(SCHEMA)?;
    step(
        &door,
        "120 hours by 3 : 2 : 1, after the 30 that the interns were promised:",
        WEEK,
        &[("interns", 45), ("product", 30), ("research", 45)],
    )?;
    step(
        &door,
        "Research is done with all but 10 hours; the others have the rest by 2 : 1:",
        "UPDATE job SET hours = 10 WHERE team = 'research'",
        &[("interns", 57), ("product", 53), ("research", 10)],
    )?;
    step(
        &door,
        "Half of the cluster fails; the promise stands:",
        "UPDATE cluster SET hours = 60",
        &[("interns", 37), ("product", 13), ("research", 10)],
    )?;
    // More is promised than there is: that is told, and nothing is given of it.
    door.sql("UPDATE cluster SET hours = 20")?;
    door.watch(GIVEN)?.until(<[Row]>::is_empty)?;
    let said = door.allocation("gpu")?;
    println!("\n20 hours are left, of which 30 are promised:\n  {}", said.problems.join("\n  "));
    ensure!(said.rows == 0 && said.problems.len() == 1, "{said:?}");
    step(
        &door,
        "The promise is taken back:",
        "DELETE FROM promise",
        &[("interns", 3), ("product", 7), ("research", 10)],
    )?;
    // What is agreed upon holds, whatever changes afterwards; and nothing is offered twice.
    door.sql(OFFERS)?;
    step(
        &door,
        "All are offered what they have. Product accepts, the others decline, and the weights change:",
        r#"UPDATE "gpu.offers" SET state = 'accepted' WHERE recipient = 'product';
        UPDATE "gpu.offers" SET state = 'declined' WHERE state = 'offered';
        UPDATE weight SET weight = 0 WHERE team = 'product';
        UPDATE weight SET weight = 3 WHERE team = 'interns'"#,
        &[("interns", 7), ("product", 7), ("research", 6)],
    )?;
    let twice = OFFERS.replace("week of", "again").replace("quantity FROM", "14 FROM");
    let Err(refused) = door.sql(&format!("{twice} WHERE recipient = 'research'")) else {
        bail!("7 hours of 20 were promised, and 14 more")
    };
    println!("\n14 hours more are offered, of 20:\n  {refused}");
    door.close()
}
