//! Encodes unsigned integers with Huffman codes for their magnitude. Many blocks share one table.
//!
//! ```text
//! Values
//! ┌───────────┬────────────────┬─────────────────────┬──────────────────────┬──────────────────┐
//! │ shift <1> │ bytes <varint> │ codes of the first  │ codes of the others, │ low bits of each │
//! │           │ of the first   │ ⌈n ∕ 2⌉ <bits>      │ ⌊n ∕ 2⌋ <bits>       │ value <bits>     │
//! └───────────┴────────────────┴─────────────────────┴──────────────────────┴──────────────────┘
//! Table
//! ┌─────────────────┬─────────────────┬───────────────────────────────────────────────────┐
//! │ first class <1> │ classes − 1 <1> │ length of each class's code, 4 bits each, 0 for   │
//! │                 │                 │ no code; nothing for a single class (0-bit code)  │
//! └─────────────────┴─────────────────┴───────────────────────────────────────────────────┘
//! ```
//! The class of a value is the class of the number value >> shift. The bits that are shifted out
//! are stored raw. Blocks whose values differ only in magnitude can therefore share a table. A
//! number below 16 is its own class. For a larger number, the class consists of the bit length and
//! the two bits below the highest bit. The number's other bits are also stored raw.
//!
//! Each section of bits starts with the lowest bit of a byte and is padded to a whole byte. Codes
//! are canonical: they ascend by length and then by class, and their bits are reversed. Two streams
//! let a decoder process two codes at a time.

mod decoder;
mod table;

use std::ops::RangeInclusive;

pub use self::decoder::{Decoder, FEW, Stored};
pub use self::table::{CodeTable, Histogram};

/// A lookup table of 1,024 entries decodes up to three codes at a time.
const CODE_BITS_MAX: u32 = 10;
const ENTRIES: usize = 1 << CODE_BITS_MAX;
/// One unaligned load returns this number of bits for any start bit.
const LOAD_BITS: u32 = 56;
const DIRECT: u64 = 16;
/// There are 16 direct classes, and four classes for each number of bits from 5 to 64.
const CLASSES: usize = 256;

#[inline(always)]
fn class(value: u64) -> usize {
    if value < DIRECT {
        return value as usize;
    }
    let bits = u64::BITS - value.leading_zeros();
    (16 + (bits - 5) * 4 + (value >> (bits - 3) & 3) as u32) as usize
}

#[inline(always)]
const fn raw_bits(class: u32) -> u32 {
    if class < 16 { 0 } else { (class >> 2) - 2 }
}

/// Returns the classes with their canonical codes and code lengths, ascending by length and class.
fn codes(lengths: &[u8; CLASSES], used: RangeInclusive<u8>) -> impl Iterator<Item = (u8, u16, u8)> {
    const LENGTHS: usize = CODE_BITS_MAX as usize + 1;
    let all = lengths.get(usize::from(*used.start())..=usize::from(*used.end()));
    let all = all.unwrap_or_default();
    let mut of_length = [0_u32; LENGTHS];
    for &length in all {
        if let Some(count) = of_length.get_mut(usize::from(length)).filter(|_| length > 0) {
            *count += 1;
        }
    }
    let mut next = [0_u32; LENGTHS];
    for length in 1..LENGTHS {
        next[length] = (next[length - 1] + of_length[length - 1]) << 1;
    }
    used.zip(all).filter_map(move |(class, &length)| {
        let code = next.get_mut(usize::from(length)).filter(|_| length > 0)?;
        let reversed = code.reverse_bits() >> (u32::BITS - u32::from(length));
        *code += 1;
        Some((class, reversed as u16, length))
    })
}

#[cfg(test)]
mod tests;
