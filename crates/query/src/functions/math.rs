use super::{Argument, Function, mistyped};
use deltaic_types::{EvalError, Value};
pub(super) fn call(
    _function: Function,
    _args: &[Argument<'_>],
    _result: &deltaic_types::DataType,
) -> Result<Value, EvalError> {
    Err(mistyped())
}
