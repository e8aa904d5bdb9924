//! What Deltaic holds beyond the tables, counted by the allocator and, beside it, as the engine itself reports it.
//!
//! The count is of the bytes asked for; what an allocator adds by rounding is not in it.
#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts and passes on")]

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed},
};

use mimalloc::MiMalloc;

use crate::{
    circuit::Database,
    request::Session,
    workload::{Task, Workload},
};

/// The allocator of the program that is measured, with a count.
pub struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    if COUNTS.load(Relaxed) {
        BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

/// The bytes that are held after the work and were not before.
fn held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    BYTES.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let result = work();
    COUNTS.store(false, Relaxed);
    (result, usize::try_from(BYTES.load(Relaxed)).unwrap_or(0))
}

/// A line of the table.
#[derive(Debug)]
pub struct Held {
    pub label: &'static str,
    /// The most that it is to be, in bytes.
    pub aim: usize,
    pub counted: usize,
    /// What the engine says.
    pub reported: Option<usize>,
}

/// All lines of the table.
pub fn measure(seed: u32) -> Vec<Held> {
    let workload = |projects| Workload {
        label: "",
        task: Task::Keyed,
        issues: 10_000,
        projects,
        queries: 0,
        steps: 0,
        aim: None,
        seed,
    };
    let mut lines = Vec::new();
    let (database, counted) = held(|| Database::load(&workload(1)));
    let reported = Some(database.heap_bytes() / 10_000);
    drop(database);
    lines.push(Held {
        label: "a row of 5 columns, its key and one more index",
        aim: 120,
        counted: counted / 10_000,
        reported,
    });
    lines.push(view(&workload(100)));
    let mut session = Session::load(&workload(1_000));
    let ask = |session: &mut Session, numbers: std::ops::Range<u64>, shift: u64| {
        for number in numbers {
            let sql = "SELECT id, prio, title FROM issue WHERE project = $1".to_owned();
            session.subscribe(number, sql, vec![(number + shift).into()]);
        }
    };
    // The first makes the template and brings its columns into memory.
    ask(&mut session, 0..1, 0);
    let ((), counted) = held(|| ask(&mut session, 1..1_000, 0));
    let reported = session.engine.status().views.iter().map(|view| view.bytes).sum::<usize>() / 1_000;
    let reported = Some(reported);
    lines.push(Held { label: "a subscription with 10 rows", aim: 1_024, counted: counted / 999, reported });
    let ((), counted) = held(|| ask(&mut session, 1_000..2_000, 1_000_000));
    let counted = counted / 1_000;
    lines.push(Held { label: "a subscription without rows", aim: 1_024, counted, reported: None });
    lines
}

/// A view of 1,000 rows, the columns of which are in memory already.
fn view(workload: &Workload) -> Held {
    let mut session = Session::load(workload);
    session.subscribe(1, "SELECT id, prio, title FROM issue WHERE prio > 1000".to_owned(), Vec::new());
    let sql = "SELECT id, prio, title FROM issue WHERE project < 10";
    let (messages, counted) = held(|| {
        let messages = session.subscribe(2, sql.to_owned(), Vec::new());
        messages.len()
    });
    assert_eq!(messages, 1);
    let views = session.engine.status().views;
    let view = views.iter().find(|view| view.sql == sql).expect("it is live");
    assert_eq!(view.rows, 1_000);
    Held { label: "a view of 1,000 rows", aim: 64 << 10, counted, reported: Some(view.bytes) }
}
