//! A growable bitmap, and the validity of a column's rows.

/// A list of bits, packed 64 to a word. The bits after the length are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// Creates a bitmap of `len` bits with the same `value`.
    pub fn filled(len: usize, value: bool) -> Self {
        let mut bits = Self::default();
        bits.extend_filled(len, value);
        bits
    }

    /// Creates a bitmap from its words. Returns `None` if words are missing or if a bit after `len`
    /// is set.
    pub(crate) fn from_words(words: Vec<u64>, len: usize) -> Option<Self> {
        let spare = len % 64;
        let clean = spare == 0 || words.last().is_some_and(|last| last >> spare == 0);
        (words.len() == len.div_ceil(64) && clean).then_some(Self { words, len })
    }

    /// Returns the number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the bitmap has no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bit at `index`, or `false` if `index` is after the end.
    pub fn get(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets the bit at `index`. An `index` after the end has no effect.
    pub fn set(&mut self, index: usize, value: bool) {
        if index >= self.len {
            return;
        }
        if let Some(word) = self.words.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *word = if value { *word | bit } else { *word & !bit };
        }
    }

    /// Appends a bit.
    pub fn push(&mut self, value: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.len += 1;
        self.set(self.len - 1, value);
    }

    pub(crate) fn extend_filled(&mut self, count: usize, value: bool) {
        let start = self.len;
        self.len += count;
        self.words.resize(self.len.div_ceil(64), 0);
        if value {
            for index in start / 64..self.words.len() {
                let low = start.saturating_sub(index * 64).min(64);
                let high = (self.len - index * 64).min(64);
                let below = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
                if let Some(word) = self.words.get_mut(index) {
                    *word |= below(high) & !below(low);
                }
            }
        }
    }

    /// Appends the bits of `other`.
    pub fn extend_from(&mut self, other: &Self) {
        let shift = self.len % 64;
        self.len += other.len;
        if shift == 0 {
            self.words.extend(&other.words);
            return;
        }
        for &word in &other.words {
            if let Some(last) = self.words.last_mut() {
                *last |= word << shift;
            }
            self.words.push(word >> (64 - shift));
        }
        self.words.truncate(self.len.div_ceil(64));
    }

    /// Drops all bits from index `len` onwards.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.words.truncate(len.div_ceil(64));
        if let Some(last) = self.words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last &= (1 << (len % 64)) - 1;
        }
    }

    /// Returns the number of set bits.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the words, each starting with its lowest bit. The bits after the length are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Iterates over the bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|index| self.get(index))
    }
}

/// Whether each row of a column has a value. A column without nulls has no bitmap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Validity {
    /// Every row has a value.
    #[default]
    All,
    /// Each set bit marks a row with a value. The bitmap is as long as the column.
    Some(Bitmap),
}

impl Validity {
    /// Whether row `index` has a value.
    pub fn is_valid(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.get(index),
        }
    }

    /// Returns the number of nulls among the first `rows` rows.
    pub fn nulls(&self, rows: usize) -> usize {
        match self {
            Self::All => 0,
            Self::Some(bits) => rows - bits.count_ones().min(rows),
        }
    }

    /// Appends the validity of row `row`, which must be the next row.
    pub fn push(&mut self, row: usize, valid: bool) {
        match self {
            Self::All if valid => {}
            Self::All => {
                let mut bits = Bitmap::filled(row, true);
                bits.push(false);
                *self = Self::Some(bits);
            }
            Self::Some(bits) => bits.push(valid),
        }
    }

    /// Appends the validity of `other_rows` rows after the existing `rows` rows.
    pub fn extend_from(&mut self, rows: usize, other: &Self, other_rows: usize) {
        match (&mut *self, other) {
            (Self::All, Self::All) => {}
            (Self::All, Self::Some(more)) => {
                let mut bits = Bitmap::filled(rows, true);
                bits.extend_from(more);
                *self = Self::Some(bits);
            }
            (Self::Some(bits), Self::All) => bits.extend_filled(other_rows, true),
            (Self::Some(bits), Self::Some(more)) => bits.extend_from(more),
        }
    }

    /// Appends `count` nulls after the existing `rows` rows.
    pub fn extend_nulls(&mut self, rows: usize, count: usize) {
        if count > 0 {
            if let Self::All = self {
                *self = Self::Some(Bitmap::filled(rows, true));
            }
            if let Self::Some(bits) = self {
                bits.extend_filled(count, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmap_bits_survive_word_borders() {
        let mut bits = Bitmap::filled(64, true);
        bits.push(false);
        bits.push(true);
        assert_eq!((bits.len(), bits.count_ones()), (66, 65));
        assert!(!bits.get(64) && bits.get(65) && !bits.get(66));
        bits.truncate(65);
        bits.push(false);
        assert_eq!(bits.count_ones(), 64);
        assert_eq!(Bitmap::filled(3, true).words(), [0b111]);
    }

    #[test]
    fn bulk_append_equals_repeated_pushes() {
        for start in [0, 1, 63, 64, 65] {
            for count in [0, 1, 63, 64, 65, 200] {
                let mut other = Bitmap::default();
                (0..count).for_each(|i| other.push(i % 3 == 0));
                let mut pushed = Bitmap::filled(start, true);
                let mut bulk = pushed.clone();
                other.iter().for_each(|bit| pushed.push(bit));
                bulk.extend_from(&other);
                assert_eq!(bulk, pushed, "{start} + {count}");
                for value in [true, false] {
                    (0..count).for_each(|_| pushed.push(value));
                    bulk.extend_filled(count, value);
                    assert_eq!(bulk, pushed, "{start} + {count} of {value}");
                }
            }
        }
    }

    #[test]
    fn validity_extends_by_other_validity() {
        let mut validity = Validity::All;
        validity.extend_from(2, &Validity::All, 3);
        validity.extend_nulls(5, 0);
        assert_eq!(validity, Validity::All);
        validity.extend_nulls(5, 1);
        validity.extend_from(6, &Validity::All, 1);
        let mut more = Validity::default();
        more.push(0, false);
        validity.extend_from(7, &more, 1);
        let rows: Vec<bool> = (0..8).map(|row| validity.is_valid(row)).collect();
        assert_eq!(rows, [true, true, true, true, true, false, true, false]);
    }

    #[test]
    fn validity_stores_no_bits_without_nulls() {
        let mut validity = Validity::All;
        validity.push(0, true);
        assert_eq!(validity, Validity::All);
        validity.push(1, false);
        validity.push(2, true);
        assert!(validity.is_valid(0) && !validity.is_valid(1) && validity.is_valid(2));
        assert_eq!(validity.nulls(3), 1);
    }
}
