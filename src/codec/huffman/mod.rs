//! Encodes unsigned integers by Huffman codes of their magnitude. Many blocks share one table.
//!
//! ```text
//! Values
//! ┌───────────┬────────────────┬─────────────────────┬──────────────────────┬──────────────────┐
//! │ shift <1> │ bytes <varint> │ codes of the first  │ codes of the others, │ low bits of each │
//! │           │ of the first   │ ⌈n ∕ 2⌉ <bits>      │ ⌊n ∕ 2⌋ <bits>       │ value <bits>     │
//! └───────────┴────────────────┴─────────────────────┴──────────────────────┴──────────────────┘
//! Table
//! ┌─────────────────┬─────────────────┬───────────────────────────────────────────────────┐
//! │ first class <1> │ classes − 1 <1> │ length of each one's code, 4 bits each, 0 if it   │
//! │                 │                 │ has none; of a single class nothing, and 0 bits   │
//! └─────────────────┴─────────────────┴───────────────────────────────────────────────────┘
//! ```
//! The class is that of value >> shift; the bits shifted out are raw, so blocks whose values
//! differ in magnitude only share a table. Below 16 the class is the number itself; from there on
//! it is how many bits the number has and the two under the highest, and the others are raw too.
//! Each run of bits ends on a whole byte, the lowest bit of a byte first. Codes are canonical:
//! ascending by length, then by class, their bits in reverse. Two streams, because what limits
//! decoding is that a code must be known to find the next.

mod decoder;
mod table;

use std::ops::RangeInclusive;

pub use self::decoder::{Decoder, FEW, Stored};
pub use self::table::{CodeTable, Histogram};

/// Codes have at most this many bits: a table of 1,024 entries answers up to three of them at once.
const CODE_BITS_MAX: u32 = 10;
const ENTRIES: usize = 1 << CODE_BITS_MAX;
/// Bits that one unaligned load gives wherever they start.
const LOAD_BITS: u32 = 56;
/// Values below it are their own class.
const DIRECT: u64 = 16;
/// Sixteen, and four for each number of bits from 5 to 64.
const CLASSES: usize = 256;

#[inline(always)]
fn class(value: u64) -> usize {
    if value < DIRECT {
        return value as usize;
    }
    let bits = u64::BITS - value.leading_zeros();
    (16 + (bits - 5) * 4 + (value >> (bits - 3) & 3) as u32) as usize
}

/// Raw bits of a class.
#[inline(always)]
const fn raw_bits(class: u32) -> u32 {
    if class < 16 { 0 } else { (class >> 2) - 2 }
}

/// The classes of `used` that have a length, all of which are there, with their canonical codes and
/// the lengths: shorter codes are less, of equal lengths by class.
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
    // The first code of each length, counted up as codes are given.
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
