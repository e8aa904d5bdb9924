//! [`Function`]: the scalar functions and operators.

/// A scalar function or operator, resolved for its argument types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `-x`
    Negate,
}
