//! What the console shows, from what engine and store say.

use std::collections::BTreeMap;

use deltaic_engine::{Engine, Life, Now, ViewId};
use deltaic_protocol::{
    AllocationStatus, BudgetCounters, CircuitNode, CircuitStatus, ColumnStatus, Counters, Keep, Status,
    SyncCounters, TableStatus, ViewStatus, encode_row,
};
use deltaic_storage::{StorageError, Store};
use deltaic_types::DataType;

use crate::latency::Latency;

pub(crate) fn status(
    engine: &Engine,
    store: &dyn Store,
    latencies: &BTreeMap<ViewId, Latency>,
    now: Now,
) -> Result<Status, StorageError> {
    let sizes = store.sizes()?;
    let status = engine.status();
    let tables = status.tables.into_iter().map(|table| {
        let size = sizes.get(&table.id).copied().unwrap_or_default();
        let columns = table.columns.into_iter();
        TableStatus {
            key: table.key,
            name: table.name,
            rows: table.rows as u64,
            memory_bytes: table.memory_bytes as u64,
            hot_bytes: size.hot_bytes,
            cold_bytes: size.cold_bytes,
            columns: columns
                .map(|(name, data_type, in_memory)| ColumnStatus { name, data_type, in_memory })
                .collect(),
        }
    });
    let (lives, advances) = (status.lives, status.advances);
    let counters = Counters {
        opened: lives.opened,
        shared: lives.shared,
        expired: lives.expired,
        evicted: lives.evicted,
        refused: lives.refused,
        stepped: advances.stepped,
        recomputed: advances.recomputed,
        aside: status.aside_counts.begun,
        repeated: status.aside_counts.repeated,
        held: status.aside_counts.held,
    };
    let views = status.views.into_iter().map(|view| {
        let latency = latencies.get(&view.id);
        // A parameter's type is not kept; its value says enough for people.
        let types = vec![DataType::Text; view.parameters.len()];
        ViewStatus {
            id: view.id.0,
            sql: view.sql,
            parameters: encode_row(&view.parameters, &types),
            names: view.names,
            subscribers: view.subscribers as u64,
            rows: view.rows as u64,
            bytes: view.bytes as u64,
            updates: view.updates,
            keep: keep_of(view.life),
            last_ms: latency.and_then(Latency::last_ms),
            p99_ms: latency.and_then(Latency::p99_ms),
            error: view.error,
        }
    });
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lsn: status.lsn.0,
        log_commits: (status.lsn.0 + 1).saturating_sub(store.first().0),
        skew_ms: skew_millis(engine.time_millis(), now),
        tables: tables.collect(),
        views: views.collect(),
        counters,
        budgets: budgets(engine),
        conflicts: engine.conflict_counts().clone(),
        allocations: allocations(engine),
        sync: sync(engine),
        demo: None,
    })
}

/// By how much a time is ahead of the clock.
fn skew_millis(time_millis: u64, now: Now) -> u64 {
    let now = u64::try_from(now.0 / 1_000).unwrap_or(0);
    time_millis.saturating_sub(now)
}

fn budgets(engine: &Engine) -> BudgetCounters {
    let metrics = engine.budget_metrics();
    BudgetCounters {
        admitted: metrics.admitted.0,
        denied: metrics.denied,
        rows: metrics.rows,
        batches: metrics.batches,
        burnt: metrics.burnt.0,
        keys: metrics.keys,
        exposure: metrics.exposure.0,
        exposure_at_most: metrics.exposure_at_most.0,
        wrong_under: metrics.wrong_at_most.under.0,
        wrong_over: metrics.wrong_at_most.over.0,
    }
}

fn allocations(engine: &Engine) -> Vec<AllocationStatus> {
    let told = engine.allocation_status().into_iter().map(|allocation| AllocationStatus {
        name: allocation.name,
        edges: allocation.edges as u64,
        rows: allocation.rows as u64,
        digest: digest_text(allocation.digest),
        is_certified: allocation.is_certified,
        problems: allocation.problems,
    });
    told.collect()
}

/// 16 hexadecimal digits: a number of 64 bits is not exact everywhere in JSON.
fn digest_text(digest: u64) -> String {
    format!("{digest:016x}")
}

fn sync(engine: &Engine) -> SyncCounters {
    let metrics = engine.sync_metrics();
    let cut = engine.cut().unwrap_or_default();
    let size = engine.replica_size().unwrap_or_default();
    SyncCounters {
        deltas: metrics.deltas,
        delta_bytes: metrics.delta_bytes,
        wholes: metrics.wholes,
        whole_bytes: metrics.whole_bytes,
        other_bytes: metrics.other_bytes,
        resent: metrics.resent,
        merged: metrics.merged,
        redundant: metrics.redundant,
        unreadable: metrics.unreadable,
        diverged: metrics.diverged,
        converged: metrics.converged,
        convergence_last: metrics.convergence_last,
        convergence_most: metrics.convergence_most,
        convergence_sum: metrics.convergence_sum,
        actors: cut.len() as u64,
        writes: cut.iter().fold(0, |sum, (_, last)| sum.saturating_add(last)),
        rows: size.rows as u64,
        removals: size.removals as u64,
        bytes: size.bytes as u64,
    }
}

/// The engine's word for what a client asks.
pub(crate) fn life_of(keep: Keep) -> Life {
    match keep {
        Keep::Ephemeral => Life::Ephemeral,
        Keep::Navigation => Life::Navigation,
        Keep::Preload => Life::Preload,
        Keep::Permanent => Life::Permanent,
    }
}

fn keep_of(life: Life) -> Keep {
    match life {
        Life::Ephemeral => Keep::Ephemeral,
        Life::Navigation => Keep::Navigation,
        Life::Preload => Keep::Preload,
        Life::Permanent => Keep::Permanent,
    }
}

pub(crate) fn circuit(engine: &Engine, view: ViewId) -> Option<CircuitStatus> {
    let nodes = engine.circuit(view)?.into_iter().map(|entry| {
        let node = entry.node;
        let mut inputs: Vec<u32> = node.operator.inputs().into_iter().map(|input| input.0).collect();
        inputs.sort_unstable();
        inputs.dedup();
        CircuitNode {
            id: node.id.0,
            operator: node.operator.name().to_owned(),
            label: entry.label,
            inputs,
            rows: node.rows as u64,
            bytes: node.bytes as u64,
            references: node.references as u64,
            steps: node.work.steps,
            rows_in: node.work.rows_in,
            rows_out: node.work.rows_out,
            probes: node.work.probes,
        }
    });
    Some(CircuitStatus { nodes: nodes.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_as_long_as_each_other() {
        assert_eq!([digest_text(0xff), digest_text(u64::MAX)], ["00000000000000ff", "ffffffffffffffff"]);
    }

    #[test]
    fn skew_is_what_the_commits_are_ahead_of_the_clock() {
        assert_eq!(skew_millis(5_000, Now(3_500_000)), 1_500);
        assert_eq!(skew_millis(5_000, Now(6_000_000)), 0);
        assert_eq!(skew_millis(5_000, Now(-1)), 5_000);
    }
}
