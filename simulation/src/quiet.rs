//! [`caught`]: runs what may panic, quietly: a panic of the engine under test is a finding and not the end.
//!
//! Invariant: panics elsewhere, of this thread or of others, are told as ever.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    sync::Once,
};

/// A panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// The file and line of it.
    pub place: String,
    /// What it says.
    pub message: String,
}

thread_local! {
    /// The panics inside of the calls of `caught` that this thread is in; None outside of any.
    static CAUGHT: RefCell<Option<Vec<Panic>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

fn told(hook: &PanicHookInfo<'_>) -> Panic {
    let text = hook.payload_as_str().unwrap_or("a panic that says nothing");
    let place = hook.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
    Panic { place, message: text.to_owned() }
}

/// What `run` gives, or its panic. What it changed is to be thrown away after a panic.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |hook| {
            let quiet =
                CAUGHT.with_borrow_mut(|caught| caught.as_mut().map(|list| list.push(told(hook))).is_some());
            if !quiet {
                loud(hook);
            }
        }));
    });
    let around = CAUGHT.replace(Some(Vec::new()));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let panics = CAUGHT.replace(around).unwrap_or_default();
    outcome.map_err(|_| {
        let silent = || Panic { place: String::new(), message: "a panic that no hook saw".to_owned() };
        // A destructor may panic too, later: the first is the cause.
        panics.into_iter().next().unwrap_or_else(silent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_place() {
        let panic = caught(|| -> () { panic!("seven {}", 7) }).unwrap_err();
        assert_eq!(panic.message, "seven 7");
        assert!(panic.place.contains("quiet.rs:"), "{panic:?}");
        assert_eq!(caught(|| caught(|| panic!("inner")).is_err()), Ok(true));
        assert_eq!(caught(|| 5), Ok(5));
    }
}
