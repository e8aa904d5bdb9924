use super::{Argument, Function, mistyped};
use deltaic_types::{EvalError, Value};
pub(super) fn call(_function: Function, _args: &[Argument<'_>]) -> Result<Value, EvalError> {
    Err(mistyped())
}
