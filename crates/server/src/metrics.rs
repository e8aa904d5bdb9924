//! [`Metrics`]: what the server counts, as text for Prometheus.
//!
//! Names are `deltaic_<noun>_<unit>`, in base units.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use deltaic_protocol::Status;

/// The upper bounds of a histogram's buckets, in microseconds: from an index probe to a slow disk.
const BOUNDS: [u64; 12] =
    [10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

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
            skew_ms: 1_500,
            counters,
            budgets: BudgetCounters { admitted: 6, rows: 2, ..BudgetCounters::default() },
            ..Status::default()
        };
        let text = metrics.text(&status);
        for line in [
            "deltaic_lsn 7",
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
}
