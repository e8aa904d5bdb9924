//! [`Element`]: what registers, sets, maps and aggregates are made of.
//!
//! Invariant: elements that are equal have equal bytes, and those that differ have not, so that two that agree have the same
//! bytes, and what is read is written as it was. A number in SQL's order does not hold that (`1 = 1.0`).

use std::cmp::Reverse;
use std::fmt;

use crate::codec::{DecodeError, Reader, write_bytes, write_i64, write_u64};
use crate::limits;

/// What has a total order and canonical bytes.
pub trait Element: Ord + Clone + fmt::Debug {
    /// Appends the element.
    fn write(&self, bytes: &mut Vec<u8>);
    /// Reads what [`Element::write`] wrote, and no other bytes.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Which of the kinds of things that are held together it belongs to, such as the table of a row's key: sums of what
    /// replicas hold are told by it.
    fn kind(&self) -> u64 {
        0
    }
}

impl Element for u64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, *self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u64()
    }
}

impl Element for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_i64(bytes, *self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.i64()
    }
}

impl Element for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(bytes, self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.str(limits::VALUE_BYTES).map(str::to_owned)
    }
}

impl Element for Vec<u8> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(bytes, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.bytes(limits::VALUE_BYTES).map(<[u8]>::to_vec)
    }
}

impl<T: Element> Element for Reverse<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::read(reader).map(Reverse)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn comes_back<T: Element>(element: &T) {
        let mut bytes = Vec::new();
        element.write(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(&T::read(&mut reader).unwrap(), element);
        reader.finish().unwrap();
    }

    proptest! {
        #[test]
        fn an_element_comes_back(n in any::<i64>(), u in any::<u64>(), text in ".{0,8}") {
            comes_back(&n);
            comes_back(&u);
            comes_back(&Reverse(u));
            comes_back(&text);
            comes_back(&text.into_bytes());
        }
    }

    #[test]
    fn text_that_is_none_is_refused() {
        assert_eq!(String::read(&mut Reader::new(&[1, 0xff])), Err(DecodeError::Invalid("text")));
    }
}
