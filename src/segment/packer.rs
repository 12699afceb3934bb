//! Blocks into a few large values: SQLite bills per row, whatever its size.

/// A value is closed at the first block that would take it past this: what a row may hold
/// (`Store::VALUE_BYTES_MAX`). Half of it would cost full-precision floats 24 rows more per million
/// points, and reads half of what is read of a page's value when it is cold.
const VALUE_BYTES_TARGET: usize = 1_900_000;

/// Where a block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Which value, counted from the first of the run.
    pub value: u32,
    /// Where in the value.
    pub offset: u32,
    /// Its length; 0 for a block that is not there.
    pub bytes: u32,
}

/// Values being filled.
#[derive(Clone, Debug, Default)]
pub struct Packer {
    values: Vec<Vec<u8>>,
}

impl Packer {
    /// Adds a block. It must be smaller than a row may be (`Store::VALUE_BYTES_MAX`).
    pub fn add(&mut self, block: &[u8]) -> Address {
        let fits = |value: &&mut Vec<u8>| value.len() + block.len() <= VALUE_BYTES_TARGET;
        match self.values.last_mut().filter(fits) {
            Some(value) => value.extend_from_slice(block),
            None => self.values.push(block.to_vec()),
        }
        let end = self.values.last().map_or(0, Vec::len);
        // A value is below 1.9 MB.
        Address {
            value: self.values.len().saturating_sub(1) as u32,
            offset: (end - block.len()) as u32,
            bytes: block.len() as u32,
        }
    }

    /// The values.
    pub fn into_values(self) -> Vec<Vec<u8>> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_what_fits_and_a_large_block_is_alone() {
        let mut packer = Packer::default();
        let at = |value, offset, bytes| Address { value, offset, bytes };
        assert_eq!(packer.add(&[0; 400_000]), at(0, 0, 400_000));
        assert_eq!(packer.add(&[0; 1_500_000]), at(0, 400_000, 1_500_000));
        assert_eq!(packer.add(&[0; 1]), at(1, 0, 1));
        assert_eq!(packer.add(&[0; 1_899_999]), at(1, 1, 1_899_999));
        assert_eq!(packer.add(&[0; 2]), at(2, 0, 2));
        assert_eq!(packer.add(&[0; 1_899_999]), at(3, 0, 1_899_999));
        let lengths: Vec<_> = packer.into_values().iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_900_000, 1_900_000, 2, 1_899_999]);
    }
}
