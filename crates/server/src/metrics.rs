//! [`Metrics`]: what the server counts, as text for Prometheus.
//!
//! Names are `deltaic_<noun>_<unit>`, in base units.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use deltaic_protocol::{AllocationStatus, Status, SyncCounters};

/// The upper bounds of a histogram's buckets, in microseconds: from an index probe to a slow disk.
const BOUNDS: [u64; 12] =
    [10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// The kinds of conflicts, which are there before there is one: a rate has to begin at 0.
const CONFLICTS: [&str; 5] = ["read-write", "reference", "semantic", "unique", "write-write"];

/// Durations by bucket.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        if let Some(bucket) = BOUNDS.iter().position(|bound| micros <= *bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut sum = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            sum += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {sum}", *bound as f64 / 1e6);
        }
        let count = self.count.load(Relaxed);
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        let _ =
            writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {seconds}\n{name}_count {count}");
    }
}

/// The server's counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    commits: AtomicU64,
    succeeded: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    cut_off: AtomicU64,
    queued: AtomicI64,
    clients: AtomicI64,
    /// An engine step.
    pub(crate) step: Histogram,
    /// An append with its fsync.
    pub(crate) append: Histogram,
}

impl Metrics {
    pub(crate) fn committed(&self, commits: usize) {
        self.commits.fetch_add(commits as u64, Relaxed);
    }

    /// Counts a request by the HTTP status of its outcome.
    pub(crate) fn answered(&self, status: u16) {
        let counter = match status {
            ..400 => &self.succeeded,
            400..500 => &self.refused,
            _ => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn cut_off(&self) {
        self.cut_off.fetch_add(1, Relaxed);
    }

    pub(crate) fn queued(&self, bytes: usize) {
        self.queued.fetch_add(bytes as i64, Relaxed);
    }

    pub(crate) fn dequeued(&self, bytes: usize) {
        self.queued.fetch_sub(bytes as i64, Relaxed);
    }

    pub(crate) fn set_clients(&self, clients: usize) {
        self.clients.store(clients as i64, Relaxed);
    }

    /// The text, with what the engine holds.
    pub(crate) fn text(&self, status: &Status) -> String {
        let mut out = String::new();
        let mut single = |name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let subscribers: u64 = status.views.iter().map(|view| view.subscribers).sum();
        single("deltaic_lsn", "gauge", "The last commit.", &status.lsn);
        single("deltaic_log_commits", "gauge", "Commits that the log keeps.", &status.log_commits);
        let skew = status.skew_ms as f64 / 1_000.0;
        single("deltaic_clock_skew_seconds", "gauge", "The time of commits ahead of the clock.", &skew);
        let commits = self.commits.load(Relaxed);
        single("deltaic_commits_total", "counter", "Commits since the start.", &commits);
        single("deltaic_views", "gauge", "Live queries.", &status.views.len());
        single("deltaic_subscribers", "gauge", "Subscriptions to live queries.", &subscribers);
        single("deltaic_clients", "gauge", "Clients with live queries.", &self.clients.load(Relaxed));
        let queued = self.queued.load(Relaxed);
        single("deltaic_queued_bytes", "gauge", "Bytes that wait for clients to read.", &queued);
        let cut_off = self.cut_off.load(Relaxed);
        single("deltaic_clients_cut_off_total", "counter", "Clients that did not read.", &cut_off);
        let counters = &status.counters;
        for (name, help, counts) in [
            (
                "deltaic_views_total",
                "Live queries by what became of them.",
                &[
                    ("opened", counters.opened),
                    ("shared", counters.shared),
                    ("expired", counters.expired),
                    ("evicted", counters.evicted),
                    ("refused", counters.refused),
                ][..],
            ),
            (
                "deltaic_advances_total",
                "Commits by the way they came to live queries.",
                &[("stepped", counters.stepped), ("recomputed", counters.recomputed)][..],
            ),
            (
                "deltaic_requests_beside_total",
                "Requests too large for a slice: set aside, run again since a table had changed, and those that waited for one.",
                &[("aside", counters.aside), ("repeated", counters.repeated), ("held", counters.held)][..],
            ),
        ] {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
            for (kind, count) in counts {
                let _ = writeln!(out, "{name}{{kind=\"{kind}\"}} {count}");
            }
        }
        write_conflicts(&mut out, &status.conflicts);
        write_allocations(&mut out, &status.allocations);
        write_sync(&mut out, &status.sync);
        let budgets = &status.budgets;
        let reduction = budgets.admitted as f64 / budgets.rows.max(1) as f64;
        for (name, kind, help, value) in [
            (
                "admitted_units_total",
                "counter",
                "Units admitted, as of each key's last flush.",
                budgets.admitted as f64,
            ),
            ("denied_total", "counter", "Questions that a budget refused.", budgets.denied as f64),
            ("rows_total", "counter", "Rows of the ledger written.", budgets.rows as f64),
            ("batches_total", "counter", "Batches of the ledger acknowledged.", budgets.batches as f64),
            ("write_reduction", "gauge", "Units admitted for each row written.", reduction),
            (
                "burnt_units_total",
                "counter",
                "Units spent by crashes and by reservations that expired.",
                budgets.burnt as f64,
            ),
            ("keys", "gauge", "Keys in memory, each window for itself.", budgets.keys as f64),
            ("exposure_units", "gauge", "Units that leases have unspent now.", budgets.exposure as f64),
            (
                "exposure_units_at_most",
                "gauge",
                "Units that the ledger holds reserved for this server.",
                budgets.exposure_at_most as f64,
            ),
            (
                "wrong_units_under_at_most",
                "gauge",
                "The most that would never be admitted if the server stopped now.",
                budgets.wrong_under as f64,
            ),
            (
                "wrong_units_over_at_most",
                "gauge",
                "The most that would be admitted twice if the server stopped now.",
                budgets.wrong_over as f64,
            ),
        ] {
            let _ = writeln!(
                out,
                "# HELP deltaic_budget_{name} {help}\n# TYPE deltaic_budget_{name} {kind}\ndeltaic_budget_{name} {value}"
            );
        }
        let name = "deltaic_requests_total";
        let _ = writeln!(out, "# HELP {name} Requests by outcome.\n# TYPE {name} counter");
        for (outcome, counter) in
            [("succeeded", &self.succeeded), ("refused", &self.refused), ("failed", &self.failed)]
        {
            let _ = writeln!(out, "{name}{{outcome=\"{outcome}\"}} {}", counter.load(Relaxed));
        }
        self.step.write(&mut out, "deltaic_step_seconds", "An engine step.");
        self.append.write(&mut out, "deltaic_append_seconds", "An append to the log with its fsync.");
        let name = "deltaic_table_rows";
        let _ = writeln!(out, "# HELP {name} Rows by table.\n# TYPE {name} gauge");
        for table in &status.tables {
            let _ = writeln!(out, "{name}{{table={:?}}} {}", table.name, table.rows);
        }
        let name = "deltaic_table_bytes";
        let _ = writeln!(out, "# HELP {name} Bytes by table and place.\n# TYPE {name} gauge");
        for table in &status.tables {
            for (place, bytes) in
                [("memory", table.memory_bytes), ("hot", table.hot_bytes), ("cold", table.cold_bytes)]
            {
                let _ = writeln!(out, "{name}{{table={:?},place=\"{place}\"}} {bytes}", table.name);
            }
        }
        out
    }
}

fn write_conflicts(out: &mut String, conflicts: &BTreeMap<String, u64>) {
    let mut counts: BTreeMap<&str, u64> = CONFLICTS.map(|kind| (kind, 0)).into();
    counts.extend(conflicts.iter().map(|(kind, count)| (kind.as_str(), *count)));
    let name = "deltaic_conflicts_total";
    let _ = writeln!(out, "# HELP {name} Conflicts met, by kind.\n# TYPE {name} counter");
    for (kind, count) in counts {
        let _ = writeln!(out, "{name}{{kind={kind:?}}} {count}");
    }
}

fn write_allocations(out: &mut String, allocations: &[AllocationStatus]) {
    type Figure = fn(&AllocationStatus) -> u64;
    let figures: [(&str, &str, Figure); 4] = [
        ("edges", "Pairs of a capacity and a need that could exchange something.", |of| of.edges),
        ("rows", "Rows that an allocation gives.", |of| of.rows),
        ("problems", "What is wrong with its rows and queries, of which nothing is given.", |of| {
            of.problems.len() as u64
        }),
        (
            "certified",
            "1 where the solution proves itself, otherwise 0: a fault, or a rule without a proof.",
            |of| of.is_certified.into(),
        ),
    ];
    for (figure, help, of) in figures {
        let name = format!("deltaic_allocation_{figure}");
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for allocation in allocations {
            let _ = writeln!(out, "{name}{{allocation={:?}}} {}", allocation.name, of(allocation));
        }
    }
}

fn write_sync(out: &mut String, sync: &SyncCounters) {
    for (name, help, counts) in [
        (
            "deltaic_sync_sent_total",
            "Messages with changes to other servers, by what they held.",
            &[("delta", sync.deltas), ("whole", sync.wholes)][..],
        ),
        (
            "deltaic_sync_sent_bytes_total",
            "Bytes to other servers: deltas, whole states, and questions and acknowledgements.",
            &[("delta", sync.delta_bytes), ("whole", sync.whole_bytes), ("other", sync.other_bytes)],
        ),
        (
            "deltaic_sync_received_total",
            "Messages of other servers: merged, without anything new, and not to be read.",
            &[("merged", sync.merged), ("redundant", sync.redundant), ("unreadable", sync.unreadable)],
        ),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for (kind, count) in counts {
            let _ = writeln!(out, "{name}{{kind=\"{kind}\"}} {count}");
        }
    }
    for (name, kind, help, value) in [
        ("sync_resent_total", "counter", "Deltas sent again, since nobody acknowledged them.", sync.resent),
        (
            "sync_diverged_total",
            "counter",
            "Servers with the same writes and another state: a fault.",
            sync.diverged,
        ),
        ("replica_cut_actors", "gauge", "Servers and edges whose writes are held.", sync.actors),
        (
            "replica_cut_writes",
            "gauge",
            "Writes held, of all of them: as many on servers that hold the same.",
            sync.writes,
        ),
        ("replica_rows", "gauge", "Rows that merging keeps, those that are gone among them.", sync.rows),
        ("replica_removals", "gauge", "Removals that some server may not know of.", sync.removals),
        ("replica_bytes", "gauge", "Bytes of the rows that merging keeps.", sync.bytes),
    ] {
        let _ = writeln!(
            out,
            "# HELP deltaic_{name} {help}\n# TYPE deltaic_{name} {kind}\ndeltaic_{name} {value}"
        );
    }
    let seconds = |micros: u64| micros as f64 / 1e6;
    let name = "deltaic_sync_convergence_seconds";
    let _ =
        writeln!(out, "# HELP {name} From a write here until all servers have it.\n# TYPE {name} summary");
    let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", seconds(sync.convergence_sum), sync.converged);
    for (which, help, micros) in [
        ("last", "The same: the last one.", sync.convergence_last),
        ("most", "The same: the longest.", sync.convergence_most),
    ] {
        let name = format!("deltaic_sync_convergence_{which}_seconds");
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}", seconds(micros));
    }
}

#[cfg(test)]
mod tests {
    use deltaic_protocol::{BudgetCounters, Counters};

    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        metrics.step.record(Duration::from_micros(10));
        metrics.step.record(Duration::from_micros(400));
        metrics.step.record(Duration::from_mins(1));
        metrics.answered(200);
        let counters = Counters { recomputed: 3, held: 2, ..Counters::default() };
        let status = Status {
            lsn: 7,
            log_commits: 5,
            skew_ms: 1_500,
            counters,
            budgets: BudgetCounters { admitted: 6, rows: 2, ..BudgetCounters::default() },
            ..Status::default()
        };
        let text = metrics.text(&status);
        for line in [
            "deltaic_lsn 7",
            "deltaic_log_commits 5",
            "deltaic_clock_skew_seconds 1.5",
            "deltaic_advances_total{kind=\"recomputed\"} 3",
            "deltaic_budget_admitted_units_total 6",
            "deltaic_budget_write_reduction 3",
            "deltaic_requests_beside_total{kind=\"held\"} 2",
            "deltaic_requests_total{outcome=\"succeeded\"} 1",
            "deltaic_step_seconds_bucket{le=\"0.00001\"} 1",
            "deltaic_step_seconds_bucket{le=\"0.0005\"} 2",
            "deltaic_step_seconds_bucket{le=\"+Inf\"} 3",
            "deltaic_step_seconds_sum 60.00041",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn each_allocation_has_its_figures() {
        let told = |name: &str, is_certified, problems: &[&str]| AllocationStatus {
            name: name.to_owned(),
            edges: 5,
            rows: 3,
            digest: "00000000000000ff".to_owned(),
            is_certified,
            problems: problems.iter().map(ToString::to_string).collect(),
        };
        let allocations = vec![told("gpu", true, &[]), told("a \"b\"", false, &["one", "two"])];
        let text = Metrics::default().text(&Status { allocations, ..Status::default() });
        for line in [
            "deltaic_allocation_edges{allocation=\"gpu\"} 5",
            "deltaic_allocation_rows{allocation=\"gpu\"} 3",
            "deltaic_allocation_problems{allocation=\"gpu\"} 0",
            "deltaic_allocation_certified{allocation=\"gpu\"} 1",
            "deltaic_allocation_problems{allocation=\"a \\\"b\\\"\"} 2",
            "deltaic_allocation_certified{allocation=\"a \\\"b\\\"\"} 0",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_merging_met_and_what_it_said_is_counted() {
        let sync = SyncCounters {
            deltas: 1,
            delta_bytes: 2,
            wholes: 3,
            whole_bytes: 4,
            other_bytes: 5,
            resent: 6,
            merged: 7,
            redundant: 8,
            unreadable: 9,
            diverged: 10,
            converged: 11,
            convergence_last: 12_000,
            convergence_most: 13_000_000,
            convergence_sum: 14_500_000,
            actors: 15,
            writes: 16,
            rows: 19,
            removals: 20,
            bytes: 21,
        };
        let conflicts = [("write-write".to_owned(), 17), ("new".to_owned(), 18)].into();
        let text = Metrics::default().text(&Status { conflicts, sync, ..Status::default() });
        for line in [
            "deltaic_sync_sent_total{kind=\"delta\"} 1",
            "deltaic_sync_sent_bytes_total{kind=\"delta\"} 2",
            "deltaic_sync_sent_total{kind=\"whole\"} 3",
            "deltaic_sync_sent_bytes_total{kind=\"whole\"} 4",
            "deltaic_sync_sent_bytes_total{kind=\"other\"} 5",
            "deltaic_sync_resent_total 6",
            "deltaic_sync_received_total{kind=\"merged\"} 7",
            "deltaic_sync_received_total{kind=\"redundant\"} 8",
            "deltaic_sync_received_total{kind=\"unreadable\"} 9",
            "deltaic_sync_diverged_total 10",
            "deltaic_sync_convergence_seconds_count 11",
            "deltaic_sync_convergence_last_seconds 0.012",
            "deltaic_sync_convergence_most_seconds 13",
            "deltaic_sync_convergence_seconds_sum 14.5",
            "deltaic_replica_cut_actors 15",
            "deltaic_replica_cut_writes 16",
            "deltaic_replica_rows 19",
            "deltaic_replica_removals 20",
            "deltaic_replica_bytes 21",
            "deltaic_conflicts_total{kind=\"write-write\"} 17",
            "deltaic_conflicts_total{kind=\"new\"} 18",
            "deltaic_conflicts_total{kind=\"unique\"} 0",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} is not in\n{text}");
        }
    }
}
