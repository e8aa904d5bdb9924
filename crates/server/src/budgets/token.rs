//! [`Token`]: a permit as a text that a client keeps.
//!
//! Invariant: a text that is accepted was made by this process: it carries an authentication code (HMAC-SHA-256, RFC 2104, cut
//! to 128 bits) under a key that was drawn at the start and never leaves. So permits end with the process, as the
//! leases behind them do.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deltaic_quota::{Note, Time, Units};
use deltaic_types::codec::{Reader, write_u64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The bytes of the code.
const CODE: usize = 16;

/// The longest token, in characters: of a budget with all the limits that one may have.
pub(super) const LONGEST: usize = 1_024;

/// The most limits of a budget.
const LIMITS: usize = 8;

/// What signs.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signer").finish_non_exhaustive()
    }
}

/// A permit, written down.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// The number of the entry that it belongs to.
    pub(super) entry: u64,
    /// Its own number there.
    pub(super) permit: u64,
    /// Until when it can be ended.
    pub(super) deadline: Time,
    /// How much was admitted.
    pub(super) units: Units,
    /// What each limit's permit was.
    pub(super) notes: Vec<Option<Note>>,
}

impl Signer {
    /// One with a key from the system.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self(Hmac::new_from_slice(&key).expect("invariant: a key may have any length")))
    }

    fn code(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac
    }

    pub(super) fn sign(&self, token: &Token) -> String {
        let mut bytes = Vec::with_capacity(64);
        for word in [token.entry, token.permit, token.deadline.0, token.units.0, token.notes.len() as u64] {
            write_u64(&mut bytes, word);
        }
        for note in &token.notes {
            write_u64(&mut bytes, u64::from(note.is_some()));
            if let Some(note) = note {
                note.encode_into(&mut bytes);
            }
        }
        let code = self.code(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code[..CODE]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The token of a text, if it was made here.
    pub(super) fn verify(&self, text: &str) -> Option<Token> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (payload, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE)?)?;
        self.code(payload).verify_truncated_left(code).ok()?;
        let mut reader = Reader::new(payload);
        let (entry, permit) = (reader.u64().ok()?, reader.u64().ok()?);
        let (deadline, units) = (Time(reader.u64().ok()?), Units(reader.u64().ok()?));
        let count = reader.length(LIMITS).ok()?;
        let mut notes = Vec::with_capacity(count);
        for _ in 0..count {
            let is_there = reader.u64().ok()? == 1;
            notes.push(if is_there { Some(Note::decode(&mut reader).ok()?) } else { None });
        }
        reader.finish().ok()?;
        Some(Token { entry, permit, deadline, units, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_ours_or_nothing() {
        let (signer, other) = (Signer::new().unwrap(), Signer::new().unwrap());
        let token =
            Token { entry: 3, permit: u64::MAX, deadline: Time(9), units: Units(5), notes: vec![None, None] };
        let text = signer.sign(&token);
        let read = signer.verify(&text).unwrap();
        assert_eq!((read.entry, read.permit, read.deadline, read.units), (3, u64::MAX, Time(9), Units(5)));
        assert_eq!(read.notes.len(), 2);
        assert!(other.verify(&text).is_none(), "another server's");
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(
                signer.verify(&forged).is_none_or(|read| read.units == Units(5) && read.permit == u64::MAX)
            );
            assert!(signer.verify(&text[..at]).is_none());
        }
        assert!(signer.verify(&"A".repeat(LONGEST + 1)).is_none());
        assert!(signer.verify("ü").is_none());
    }
}
