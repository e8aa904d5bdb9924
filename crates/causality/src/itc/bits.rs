//! Single bits, the highest of a byte first.
//!
//! Invariant: what is left of the last byte is zero, so that equal bits are equal bytes.

use super::TreeError;

#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used; 0 also if there is none.
    used: u32,
}

impl BitWriter {
    pub(super) fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let (true, Some(last)) = (bit, self.bytes.last_mut()) {
            *last |= 0x80 >> self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    /// The lowest `width` bits of `n`, the highest of them first.
    pub(super) fn bits(&mut self, n: u64, width: u32) {
        for place in (0..width).rev() {
            self.bit(n >> place & 1 == 1);
        }
    }

    /// A number: small ones are short. 3 bits up to 3, then 5 up to 11, and so on, two bits more each time.
    pub(super) fn number(&mut self, mut n: u64) {
        let mut width = 2;
        while width < 64 && n >> width > 0 {
            self.bit(true);
            n -= 1 << width;
            width += 1;
        }
        self.bit(false);
        self.bits(n, width);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Result<bool, TreeError> {
        let byte = *self.bytes.get(self.at / 8).ok_or(TreeError::Truncated)?;
        let bit = byte << (self.at % 8) & 0x80 != 0;
        self.at += 1;
        Ok(bit)
    }

    pub(super) fn bits(&mut self, width: u32) -> Result<u64, TreeError> {
        let mut n = 0;
        for _ in 0..width {
            n = n << 1 | u64::from(self.bit()?);
        }
        Ok(n)
    }

    /// What [`BitWriter::number`] wrote; a number of more than 64 bits is over every limit.
    pub(super) fn number(&mut self, limit: u64) -> Result<u64, TreeError> {
        let too_great = TreeError::CounterTooGreat { limit };
        let mut width = 2;
        let mut base = 0_u64;
        while self.bit()? {
            if width == 64 {
                return Err(too_great);
            }
            base = base.checked_add(1 << width).ok_or(too_great.clone())?;
            width += 1;
        }
        let n = base.checked_add(self.bits(width)?).ok_or(too_great.clone())?;
        if n > limit { Err(too_great) } else { Ok(n) }
    }

    /// Ends the reading: fewer than eight bits may be left, and they are zero.
    pub(super) fn finish(mut self) -> Result<(), TreeError> {
        if self.bytes.len() * 8 - self.at >= 8 {
            return Err(TreeError::LeftOver);
        }
        while self.at < self.bytes.len() * 8 {
            if self.bit()? {
                return Err(TreeError::LeftOver);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits_of(n: u64) -> Vec<u8> {
        let mut writer = BitWriter::default();
        writer.number(n);
        writer.finish()
    }

    proptest! {
        #[test]
        fn a_number_comes_back(n in any::<u64>(), shift in 0_u32..64) {
            let n = n >> shift;
            let bytes = bits_of(n);
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.number(u64::MAX), Ok(n));
            prop_assert_eq!(reader.finish(), Ok(()));
            if n > 0 {
                let mut reader = BitReader::new(&bytes);
                prop_assert_eq!(reader.number(n - 1), Err(TreeError::CounterTooGreat { limit: n - 1 }));
            }
        }

        #[test]
        fn one_number_has_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut reader = BitReader::new(&bytes);
            if let Ok(n) = reader.number(u64::MAX) && reader.finish().is_ok() {
                prop_assert_eq!(bits_of(n), bytes);
            }
        }
    }

    #[test]
    fn the_last_numbers_have_a_form() {
        for n in [u64::MAX, u64::MAX - 3, u64::MAX - 4, 0, 3, 4, 11, 12] {
            assert_eq!(BitReader::new(&bits_of(n)).number(u64::MAX), Ok(n));
        }
        // Widths beyond 64 bits are refused before they are read.
        assert!(matches!(
            BitReader::new(&[0xff; 16]).number(u64::MAX),
            Err(TreeError::CounterTooGreat { .. })
        ));
    }
}
