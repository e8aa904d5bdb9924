//! [`Unknown`]: the batches whose outcome is not known.
//!
//! Invariant: *refused* is said of a batch only if no attempt to write it may have succeeded.

use std::collections::BTreeSet;

use deltaic_quota::{Epoch, Key, LedgerError, NodeId, Seq};

/// Of which batches it is not known whether they were written, by node, and aggregate if they are of one.
#[derive(Debug, Default)]
pub(crate) struct Unknown(BTreeSet<(Option<Key>, NodeId, Epoch, Seq)>);

impl Unknown {
    /// A batch of the dead epoch is refused from now on, whether it was written or not.
    pub(crate) fn forget(&mut self, aggregate: Option<&Key>, node: NodeId) {
        self.0.retain(|(of, whose, ..)| (of.as_ref(), *whose) != (aggregate, node));
    }

    /// The outcome of a batch, with what is known of the attempts before this one.
    pub(crate) fn settle<T>(
        &mut self,
        aggregate: Option<&Key>,
        (node, epoch, seq): (NodeId, Epoch, Seq),
        outcome: Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let batch = (aggregate.cloned(), node, epoch, seq);
        match &outcome {
            Err(LedgerError::Away) => {
                self.0.insert(batch);
            }
            // This attempt wrote nothing; the one before may have.
            Err(LedgerError::Refused { .. }) if self.0.contains(&batch) => return Err(LedgerError::Away),
            Err(LedgerError::Refused { .. }) => {}
            _ => {
                self.0.remove(&batch);
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_is_said_only_where_no_attempt_is_open() {
        let mut unknown = Unknown::default();
        let batch = |seq| (NodeId(1), Epoch(1), Seq(seq));
        let refused = || Err::<(), _>(LedgerError::Refused { why: "full" });
        assert_eq!(unknown.settle(None, batch(1), refused()), refused());
        for seq in [1, 2] {
            assert_eq!(
                unknown.settle::<()>(None, batch(seq), Err(LedgerError::Away)),
                Err(LedgerError::Away)
            );
            assert_eq!(unknown.settle(None, batch(seq), refused()), Err(LedgerError::Away));
        }
        assert_eq!(unknown.settle(None, batch(1), Ok(())), Ok(()));
        assert_eq!(unknown.settle(None, batch(1), refused()), refused(), "it was answered");
        assert_eq!(unknown.settle(None, batch(2), refused()), Err(LedgerError::Away), "this one was not");
        let aggregate = Key::new(b"sums");
        assert_eq!(unknown.settle(aggregate.as_ref(), batch(2), refused()), refused(), "another's numbers");
        unknown.forget(None, NodeId(1));
        assert_eq!(unknown.settle(None, batch(2), refused()), refused());
    }
}
