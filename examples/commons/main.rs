//! A hundred participants whose needs and capacities change every moment, by a seed. Run it with `cargo run --example commons`; `--url`
//! names a running server, whose console then draws the flows.
#![expect(
    clippy::disallowed_methods,
    reason = "what has changed is printed once a second; no result depends on it"
)]

#[path = "../door.rs"]
mod door;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;
use door::{Door, Row, Watch, text, whole};

const SCHEMA: &str = include_str!("schema.sql");

/// The same queries under another name: from nothing, beside what was kept.
const AFRESH: &str = "CREATE ALLOCATION afresh
    CAPACITY (SELECT who AS owner, kind AS slot, n AS quantity, kind FROM offer)
    NEED (SELECT who AS owner, kind AS slot, n AS quantity, kind FROM need)
    RECOGNITION (SELECT who AS \"from\", whom AS \"to\", points AS weight FROM recognition)";

const PEOPLE: u64 = 100;
const KINDS: [&str; 4] = ["bread", "care", "tools", "rooms"];

/// The clock gives the dial as much as moments have passed: by that, what is shown says of which moment it is.
const CLOCK: &str =
    "INSERT INTO offer VALUES ('clock', 'moment', 1000000); INSERT INTO need VALUES ('dial', 'moment', 0);
    INSERT INTO recognition VALUES ('clock', 'dial', 1)";

#[derive(Debug, Parser)]
struct Arguments {
    /// How many moments, each a commit with a few changes
    #[arg(long, default_value_t = 100)]
    moments: u32,
    /// What decides them all
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A running server without these tables; otherwise one of its own
    #[arg(long)]
    url: Option<String>,
}

/// Numbers by a seed (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn who(&mut self) -> String {
        format!("p{:02}", self.below(PEOPLE))
    }

    /// A change of one row: what is offered or needed, or what one thinks of another. 0 is nothing.
    fn change(&mut self) -> String {
        match self.below(5) {
            0 | 1 => self.goods("offer", 40),
            2 | 3 => self.goods("need", 60),
            _ => self.recognition(),
        }
    }

    fn goods(&mut self, table: &str, most: u64) -> String {
        let kind = KINDS[self.below(KINDS.len() as u64) as usize];
        let (who, n) = (self.who(), self.below(most));
        format!(
            "INSERT INTO {table} VALUES ('{who}', '{kind}', {n}) ON CONFLICT (who, kind) DO UPDATE SET n = excluded.n"
        )
    }

    fn recognition(&mut self) -> String {
        let (who, whom, points) = (self.who(), self.who(), self.below(10));
        format!(
            "INSERT INTO recognition VALUES ('{who}', '{whom}', {points}) ON CONFLICT (who, whom) DO UPDATE SET points = excluded.points"
        )
    }
}

/// Rows of a name, another and a number.
fn numbers(rows: &[Row]) -> BTreeMap<(String, String), i64> {
    rows.iter().map(|row| ((text(&row[0]), text(&row[1])), whole(&row[2]))).collect()
}

/// What is left of the rows of a table, once what is given is taken off. An error where more was given than there was.
fn left(door: &Door, table: &str, end: &str, slot: &str) -> Result<BTreeMap<(String, String), i64>> {
    let mut left = numbers(&door.sql(&format!("SELECT who, kind, n FROM {table}"))?);
    for ((who, kind), n) in
        numbers(&door.sql(&format!(
            "SELECT {end}, {slot}, sum(quantity)::bigint FROM commons GROUP BY {end}, {slot}"
        ))?)
    {
        let rest = left.entry((who.clone(), kind.clone())).or_default();
        *rest -= n;
        ensure!(*rest >= 0, "{who} gives or takes {} {kind} more than it has or needs", -*rest);
    }
    Ok(left)
}

/// Nothing is given twice, and nothing idles beside a need that it could meet; how much idles.
fn check(door: &Door) -> Result<i64> {
    let offers = left(door, "offer", "provider", "capacity")?;
    let needs = left(door, "need", "recipient", "need")?;
    let recognised = door.sql("SELECT who, whom FROM recognition WHERE points > 0 AND who <> whom")?;
    let recognised: BTreeSet<(String, String)> =
        recognised.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
    for ((who, kind), rest) in offers.iter().filter(|(_, rest)| **rest > 0) {
        let could = needs.iter().find(|((whom, wanted), unmet)| {
            **unmet > 0 && wanted == kind && recognised.contains(&(who.clone(), whom.clone()))
        });
        ensure!(could.is_none(), "{rest} {kind} of {who} idle beside {could:?}");
    }
    Ok(offers.iter().filter(|((who, _), _)| who != "clock").map(|(_, rest)| rest).sum())
}

/// Waits until what is shown is of a moment.
fn until(watch: &mut Watch, moment: u32) -> Result<(usize, usize)> {
    watch.until(|rows| rows.iter().any(|row| text(&row[2]) == "dial" && whole(&row[5]) == i64::from(moment)))
}

fn main() -> Result<()> {
    let Arguments { moments, seed, url } = Arguments::parse();
    ensure!(moments > 0, "it takes a moment at least");
    let door = Door::open(url.as_deref())?;
    println!("the console: {}/", door.url());
    door.sql(SCHEMA)?;
    door.sql(CLOCK)?;
    let mut dice = Dice(seed);
    let known = (0..10 * PEOPLE).map(|_| dice.recognition()).collect::<Vec<_>>();
    door.sql(&known.join(";"))?;
    let first: Vec<String> = (0..5 * PEOPLE).map(|_| dice.change()).collect();
    door.sql(&first.join(";"))?;
    let mut watch = door.watch("SELECT provider, capacity, recipient, need, tier, quantity FROM commons")?;
    let (mut said_at, mut said_of, mut came, mut went) = (Instant::now(), 0, 0, 0);
    for moment in 1..=moments {
        let mut changes: Vec<String> = (0..=dice.below(5)).map(|_| dice.change()).collect();
        changes.push(format!("UPDATE need SET n = {moment} WHERE who = 'dial'"));
        door.sql(&changes.join(";"))?;
        let changed = until(&mut watch, moment)?;
        came += changed.0;
        went += changed.1;
        if moment == moments || said_at.elapsed() > Duration::from_secs(1) {
            let idle = check(&door)?;
            let said = door.allocation("commons")?;
            println!(
                "moments {:>4} to {moment:>4}: {came:>5} rows came, {went:>5} went, {} of {} edges; {idle} idle; digest {}, certificate {}",
                said_of + 1,
                said.rows,
                said.edges,
                said.digest,
                if said.is_certified { "holds" } else { "does not hold" },
            );
            ensure!(said.is_certified && said.problems.is_empty(), "{said:?}");
            ensure!(said.rows == watch.rows().len() as u64, "{} rows are seen", watch.rows().len());
            (said_at, said_of, came, went) = (Instant::now(), moment, 0, 0);
        }
    }
    // What was kept through all changes is what the rows give from nothing.
    let all = |name: &str| {
        format!(
            "SELECT provider, capacity, recipient, need, tier, quantity, level, reason FROM {name} ORDER BY provider, capacity, recipient, need, tier"
        )
    };
    let kept = door.sql(&all("commons"))?;
    door.sql(AFRESH)?;
    until(
        &mut door.watch("SELECT provider, capacity, recipient, need, tier, quantity FROM afresh")?,
        moments,
    )?;
    ensure!(kept == door.sql(&all("afresh"))?, "what is kept differs from what the rows give");
    println!(
        "{} rows, kept through {moments} moments, are those that an allocation from nothing has",
        kept.len()
    );
    door.sql("DROP ALLOCATION afresh")?;
    door.close()
}
