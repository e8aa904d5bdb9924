//! [`Handle`]: the way of a thread to a key, through its windows; [`consume_all`]: several limits at once.
//!
//! Invariant: a handle goes forwards only. It admits in the window it stands in until a moment is past that window,
//! then in the next that the node has opened; a moment before its window is counted in its window.

use std::sync::Arc;

use crate::permit::{Denied, Permit, Reason};
use crate::{Accumulator, Time, Units};

/// A key's admission, for one thread. Cloning costs one reference count.
#[derive(Debug, Clone)]
pub struct Handle {
    current: Option<Arc<Accumulator>>,
}

impl Handle {
    pub(crate) fn new(accumulator: Arc<Accumulator>) -> Self {
        Self { current: Some(accumulator) }
    }

    pub(crate) fn unlimited() -> Self {
        Self { current: None }
    }

    /// Admits all of `n` at this moment, or nothing. As [`Accumulator::try_consume_at`], and one comparison more.
    #[inline]
    pub fn try_consume(&mut self, now: Time, n: Units) -> Result<Permit<'_>, Denied> {
        match self.window(now)? {
            Some(accumulator) => accumulator.try_consume_at(now, n),
            None => Ok(Permit::unlimited(n)),
        }
    }

    /// The same, with a permit that outlives the handle.
    #[inline]
    pub fn try_consume_shared(&mut self, now: Time, n: Units) -> Result<Permit<'static>, Denied> {
        match self.window(now)? {
            Some(accumulator) => accumulator.try_consume_shared_at(now, n),
            None => Ok(Permit::unlimited(n)),
        }
    }

    /// The accumulator of the window that it stands in; none of an unlimited budget.
    pub fn accumulator(&self) -> Option<&Arc<Accumulator>> {
        self.current.as_ref()
    }

    #[inline]
    fn window(&mut self, now: Time) -> Result<Option<&Arc<Accumulator>>, Denied> {
        if self.current.as_ref().is_some_and(|current| is_over(current, now)) {
            self.advance(now)?;
        }
        Ok(self.current.as_ref())
    }

    /// Goes to the window of a moment, or stays where it is.
    #[cold]
    fn advance(&mut self, now: Time) -> Result<(), Denied> {
        let Some(mut current) = self.current.as_ref() else { return Ok(()) };
        while is_over(current, now) {
            let over = Denied { available: Units::ZERO, retry_after: None, reason: Reason::WindowOver };
            current = current.next().ok_or(over)?;
        }
        self.current = Some(Arc::clone(current));
        Ok(())
    }
}

#[inline]
fn is_over(window: &Accumulator, now: Time) -> bool {
    now >= window.ends() && window.ends() != Time::NEVER
}

/// Admits `n` under every one of several limits, or under none: in the order of the slice, which has to be the same
/// everywhere, and what was taken is given back when a later one refuses. So a refusal may be seen by others for a
/// moment as less than there is, never as more. The error says which limit refused.
pub fn consume_all(
    limits: &mut [Handle],
    now: Time,
    n: Units,
) -> Result<Vec<Permit<'static>>, (usize, Denied)> {
    let mut permits = Vec::with_capacity(limits.len());
    for (place, limit) in limits.iter_mut().enumerate() {
        match limit.try_consume_shared(now, n) {
            Ok(permit) => permits.push(permit),
            Err(denied) => {
                permits.into_iter().rev().for_each(Permit::refund);
                return Err((place, denied));
            }
        }
    }
    Ok(permits)
}
