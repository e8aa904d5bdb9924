//! [`Idempotency`]: the answers that were given under an `Idempotency-Key`.
//!
//! A request that comes again under its key has the first answer again, if that admitted. It is state for each request, which a
//! budget itself never has; who sends no key pays nothing. Invariant: under one key one request is in work at a time, and one
//! with another content is refused. The memory ends with the process: a request that is repeated after that is admitted anew,
//! so that more is spent than was used and never less.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use deltaic_protocol::ConsumeResponse;
use deltaic_quota::Time;
use sha2::{Digest as _, Sha256};

/// How long an answer is remembered.
const DAY_MILLIS: u64 = 86_400_000;

/// The most answers that are remembered: the oldest go first.
const ANSWERS: usize = 100_000;

/// The longest key.
pub(crate) const KEY_BYTES: usize = 256;

/// A request: the digest of budget, key and the client's key, so that long ones take no more.
pub(crate) type Name = [u8; 32];

/// What it asks: how much, and for how long.
pub(crate) type Content = (i64, Option<u64>);

/// The name of a request.
pub(crate) fn name_of(parts: &[&str]) -> Name {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[derive(Debug)]
enum Slot {
    InWork,
    Done { content: Content, answer: Box<ConsumeResponse>, at: Time },
}

/// What is known under a key.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing: the request is in work from now on.
    New,
    /// The first answer.
    Answer(Box<ConsumeResponse>),
    /// A request under this key is in work.
    InWork,
    /// The key was used for something else.
    Another,
}

#[derive(Debug, Default)]
struct Answers {
    slots: BTreeMap<Name, Slot>,
    /// Those that are done, in their order.
    order: VecDeque<(Time, Name)>,
}

/// Answers by name.
#[derive(Debug, Default)]
pub(crate) struct Idempotency {
    answers: Mutex<Answers>,
}

impl Idempotency {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request, if it is new.
    pub(crate) fn begin(&self, now: Time, name: &Name, content: Content) -> Known {
        let mut guard = self.lock();
        let Answers { slots, order } = &mut *guard;
        while order.front().is_some_and(|(at, _)| now.since(*at) > DAY_MILLIS || order.len() > ANSWERS) {
            if let Some((at, name)) = order.pop_front() {
                if matches!(slots.get(&name), Some(Slot::Done { at: then, .. }) if *then == at) {
                    slots.remove(&name);
                }
            }
        }
        match slots.get(name) {
            Some(Slot::InWork) => Known::InWork,
            Some(Slot::Done { content: first, answer, .. }) if *first == content => {
                Known::Answer(answer.clone())
            }
            Some(Slot::Done { .. }) => Known::Another,
            None => {
                slots.insert(*name, Slot::InWork);
                Known::New
            }
        }
    }

    /// Ends one: an answer that admitted is remembered.
    pub(crate) fn end(&self, now: Time, name: Name, content: Content, answer: Option<&ConsumeResponse>) {
        let mut guard = self.lock();
        let Answers { slots, order } = &mut *guard;
        match answer.filter(|answer| answer.admitted) {
            Some(answer) => {
                let answer = Box::new(answer.clone());
                order.push_back((now, name));
                slots.insert(name, Slot::Done { content, answer, at: now });
            }
            None => {
                slots.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_comes_again_for_a_day() {
        let known = Idempotency::default();
        let name = |key: &str| name_of(&["consume", key]);
        let answer = ConsumeResponse { admitted: true, available: 7, ..ConsumeResponse::default() };
        assert!(matches!(known.begin(Time(0), &name("a"), (5, None)), Known::New));
        assert!(matches!(known.begin(Time(0), &name("a"), (5, None)), Known::InWork));
        known.end(Time(1), name("a"), (5, None), Some(&answer));
        assert!(
            matches!(known.begin(Time(2), &name("a"), (5, None)), Known::Answer(first) if *first == answer)
        );
        assert!(matches!(known.begin(Time(2), &name("a"), (6, None)), Known::Another));
        // A refusal is not remembered.
        assert!(matches!(known.begin(Time(2), &name("b"), (5, None)), Known::New));
        known.end(Time(2), name("b"), (5, None), Some(&ConsumeResponse::default()));
        assert!(matches!(known.begin(Time(2), &name("b"), (5, None)), Known::New));
        assert!(matches!(known.begin(Time(2 + DAY_MILLIS), &name("a"), (6, None)), Known::New));
    }
}
