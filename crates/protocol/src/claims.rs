//! [`Claims`]: what is known of the session that asks.
//!
//! Nothing verifies them: until sessions are authenticated they are what the client says.

use std::collections::BTreeMap;

use deltaic_types::limits;

use crate::error::DecodeError;

/// Claims by name, for `claim('name')` in SQL.
pub type Claims = BTreeMap<String, String>;

/// Refuses more claims than are kept with a connection, and what no text may hold.
pub(crate) fn check_claims(claims: &Claims) -> Result<(), DecodeError> {
    let bytes: usize = claims.iter().map(|(name, value)| name.len() + value.len()).sum();
    if claims.len() > limits::CLAIMS || bytes > limits::CLAIMS_BYTES {
        return Err(DecodeError::TooManyClaims { count: claims.len(), bytes });
    }
    if claims.values().any(|value| value.contains('\0')) {
        return Err(DecodeError::Malformed { message: "the character U+0000 in a claim".to_owned() });
    }
    Ok(())
}
