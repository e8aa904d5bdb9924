//! The atomics and the lock that the rest is made of, by one name whether the machine runs them or loom does.
//!
//! Invariant: nothing in this crate that threads share uses another atomic or lock than these, except cells that
//! are written once ([`std::sync::OnceLock`]).

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use std::sync::PoisonError;

/// Takes a lock. One that was held while a thread panicked is taken all the same: what these locks guard is whole
/// after every single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
