//! Processes that are killed over a ledger in a database, wherever their statement is.

use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::Guarantee;

use crate::server::shared;

#[path = "../../../../crates/storage/tests/killed/mod.rs"]
mod orders;

/// The steps of a batch, and those of the ones that close the node. What is inside is the server's.
const POINTS: [&str; 6] =
    ["before", "after", "installed", "closing before", "closing after", "closing installed"];

fn connect(place: &str) -> PostgresLedger {
    let (schema, address) = place.split_once(' ').unwrap();
    PostgresLedger::connect(Settings::parse(address).unwrap().schema(schema).unwrap()).unwrap()
}

#[test]
fn process() {
    orders::obey(connect);
}

#[test]
fn what_a_killed_process_has_told_is_never_over_and_under_by_its_bound() {
    let Some(server) = shared() else { return };
    for (guarantee, schema) in [
        (Guarantee::Escrow, "escrow"),
        (Guarantee::GroupCommit, "group_commit"),
        (Guarantee::Volatile, "volatile"),
    ] {
        let place = format!("{schema} {}", server.address("owner"));
        drop(connect(&place));
        orders::kill_everywhere("killed::process", guarantee, &POINTS, &place, || connect(&place));
    }
}
