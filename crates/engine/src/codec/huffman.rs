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

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::{Error, byte, finish, take, varint};
use tidemark_model::bug::OrBug;

/// The minimum number of values for which the decoder builds a lookup table. For fewer values,
/// building the table takes longer than it saves.
pub const LOOKUP_VALUES_MIN: usize = 64;
/// The maximum length of a code, in bits. The lookup table then has 1,024 entries, and decodes up
/// to three codes at a time.
const CODE_BITS_MAX: u32 = 10;
const ENTRIES: usize = 1 << CODE_BITS_MAX;
/// The number of bits that one unaligned load returns for any start bit.
const LOAD_BITS: u32 = 56;
const DIRECT: u64 = 16;
/// The number of classes: 16 for the numbers below 16, and four for each number of bits from 5 to
/// 64.
const CLASSES: usize = 256;
/// Values are shifted only if their mean length is at least this number of bits. The low bits of
/// shorter values may have a pattern.
const SHIFTED_BITS_MIN: u64 = 11;
const KEPT_BITS: u64 = 6;
/// The number of bytes that five lookups may write: at most 15 classes, and one unused byte.
const ROOM: usize = 16;

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

fn shift(values: &[u64]) -> u32 {
    let all = values.iter().fold(0, |all, value| all | value);
    if all >> SHIFTED_BITS_MIN == 0 {
        return 0;
    }
    let bits: u64 = values.iter().map(|value| u64::from(u64::BITS - value.leading_zeros())).sum();
    let mean = bits / (values.len() as u64).max(1);
    if mean < SHIFTED_BITS_MIN { 0 } else { (mean - KEPT_BITS) as u32 }
}

/// The number of values in each class.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; CLASSES],
    shifted_bits: usize,
}

impl Histogram {
    /// Counts the classes of `values`.
    pub fn count(values: &[u64]) -> Self {
        let shift = shift(values);
        let mut counts = [0; CLASSES];
        for &value in values {
            if let Some(count) = counts.get_mut(class(value >> shift)) {
                *count += 1;
            }
        }
        Self { counts, shifted_bits: values.len() * shift as usize }
    }

    /// Adds the counts in `other`.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.shifted_bits += other.shifted_bits;
    }

    /// Returns the approximate encoded size of the counted values with `table`, in bytes.
    pub fn bytes(&self, table: &CodeTable) -> usize {
        let bits = |(class, (&count, &(_, length))): (u32, (&u32, &(u16, u8)))| {
            count as usize * (raw_bits(class) as usize + usize::from(length))
        };
        let coded: usize = (0..).zip(self.counts.iter().zip(&table.codes)).map(bits).sum();
        (coded + self.shifted_bits) / 8 + 3
    }
}

/// The code of each class: the reversed bits, and the number of bits.
#[derive(Clone, Debug)]
pub struct CodeTable {
    first: usize,
    codes: [(u16, u8); CLASSES],
    end: usize,
}

impl CodeTable {
    pub(crate) fn for_counts(histogram: &Histogram) -> Self {
        let counts = &histogram.counts;
        let first = counts.iter().position(|&count| count > 0).unwrap_or_default();
        let last = counts.iter().rposition(|&count| count > 0).unwrap_or(first);
        let used = first as u8..=last as u8;
        let mut of_class = [(0, 0); CLASSES];
        for (class, code, length) in codes(&lengths(counts, used.clone()), used) {
            of_class[usize::from(class)] = (code, length);
        }
        Self { first, codes: of_class, end: last + 1 }
    }

    /// Appends the table to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.first as u8);
        out.push((self.end - self.first - 1) as u8);
        let codes = self.codes.get(self.first..self.end).or_bug();
        if codes.len() > 1 {
            let nibbles = |pair: &[(u16, u8)]| {
                pair.iter().rev().fold(0, |byte, &(_, length)| byte << 4 | length)
            };
            out.extend(codes.chunks(2).map(nibbles));
        }
    }

    /// Appends the encoding of `values`. Each of their classes must have a code.
    pub fn encode(&self, values: &[u64], out: &mut Vec<u8>) {
        let shift = shift(values);
        let mut raw = Bits::new(values.len() * 8 + 16);
        let (first, others) = values.split_at(values.len().div_ceil(2));
        let first = self.encode_classes(first, shift, &mut raw);
        let others = self.encode_classes(others, shift, &mut raw);
        out.push(shift as u8);
        varint::write(first.bytes().len() as u64, out);
        for part in [first, others, raw] {
            out.extend_from_slice(part.bytes());
        }
    }

    fn encode_classes(&self, values: &[u64], shift: u32, raw: &mut Bits) -> Bits {
        let mut classes = Bits::new(values.len() * 2 + 16);
        for some in values.chunks(4) {
            // Four codes have at most 40 bits.
            let (mut codes, mut codes_bits) = (0, 0);
            for &value in some {
                let class = class(value >> shift);
                let (code, length) = self.codes.get(class).copied().or_bug();
                codes |= u64::from(code) << codes_bits;
                codes_bits += u32::from(length);
                let bits = raw_bits(class as u32) + shift;
                if bits > 0 {
                    let low = value & ((1 << bits) - 1);
                    if bits > LOAD_BITS {
                        raw.push(low & 0xffff_ffff, 32);
                        raw.push(low >> 32, bits - 32);
                    } else {
                        raw.push(low, bits);
                    }
                }
            }
            classes.push(codes, codes_bits);
        }
        classes
    }
}

struct Bits {
    bytes: Vec<u8>,
    at: usize,
    word: u64,
    /// The number of bits in `word`.
    n_bits: u32,
}

impl Bits {
    /// Creates a buffer of `bytes` bytes. Each append writes eight bytes, so the last seven bytes
    /// must remain free.
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], at: 0, word: 0, n_bits: 0 }
    }

    #[inline(always)]
    fn push(&mut self, bits: u64, count: u32) {
        self.word |= bits << self.n_bits;
        self.n_bits += count;
        if let Some(slot) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *slot = self.word.to_le_bytes();
        }
        self.at += (self.n_bits / 8) as usize;
        self.word >>= self.n_bits & !7;
        self.n_bits %= 8;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.at + usize::from(self.n_bits > 0)).or_bug()
    }
}

/// The classes of a tree form a linked list from `first` to `last`.
struct Tree {
    weight: u64,
    first: u8,
    last: u8,
}

/// Returns the length of each class's Huffman code, at most `CODE_BITS_MAX`. Classes outside `used`
/// have length 0.
fn lengths(counts: &[u32; CLASSES], used: RangeInclusive<u8>) -> [u8; CLASSES] {
    let mut lengths = [0_u8; CLASSES];
    let mut following = [0_u8; CLASSES];
    let weight = |class: u8| u64::from(counts[usize::from(class)]);
    let mut trees: Vec<Tree> = (used.clone())
        .map(|class| Tree { weight: weight(class), first: class, last: class })
        .filter(|tree| tree.weight > 0)
        .collect();
    let lightest = |trees: &mut Vec<Tree>| {
        let at = (0..trees.len()).min_by_key(|&at| trees.get(at).map(|tree| tree.weight))?;
        Some(trees.swap_remove(at))
    };
    while trees.len() > 1 {
        let (Some(a), Some(b)) = (lightest(&mut trees), lightest(&mut trees)) else { break };
        following[usize::from(a.last)] = b.first;
        let tree = Tree { weight: a.weight + b.weight, first: a.first, last: b.last };
        let mut class = tree.first;
        lengths[usize::from(class)] += 1;
        while class != tree.last {
            class = following[usize::from(class)];
            lengths[usize::from(class)] += 1;
        }
        trees.push(tree);
    }
    let used = usize::from(*used.start())..=usize::from(*used.end());
    if let (Some(counts), Some(used)) = (counts.get(used.clone()), lengths.get_mut(used)) {
        limit(counts, used);
    }
    lengths
}

/// Shortens codes that are longer than `CODE_BITS_MAX`. In return, the codes of the rarest other
/// classes become longer.
fn limit(counts: &[u32], lengths: &mut [u8]) {
    let most = CODE_BITS_MAX as u8;
    lengths.iter_mut().for_each(|length| *length = (*length).min(most));
    let room = |length: u8| if length == 0 { 0 } else { ENTRIES >> length };
    let mut taken: usize = lengths.iter().map(|&length| room(length)).sum();
    while taken > ENTRIES {
        let all = lengths.iter_mut().zip(counts);
        let open = all.filter(|(length, _)| (1..most).contains(&**length));
        let Some((length, _)) = open.min_by_key(|(_, count)| **count) else { return };
        *length += 1;
        taken -= room(*length);
    }
}

/// A code table that is ready for decoding.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The lookup table, indexed by ten bits. An entry contains up to three classes (a byte each),
    /// their number (two bits from bit 24), and the total length of their codes (four bits from bit
    /// 26).
    entries: OnceCell<Box<[u32; ENTRIES]>>,
    lengths: [u8; CLASSES],
    /// The first and the last class with a code. If only one class has a code, this code has no
    /// bits.
    used: RangeInclusive<u8>,
    has_raw: bool,
}

impl Decoder {
    /// The memory of a decoder with a lookup table, in bytes.
    pub const BYTES: usize = ENTRIES * 4 + size_of::<Self>();

    /// Removes a table from the front of `bytes`.
    pub fn read(bytes: &mut &[u8]) -> Result<Self, Error> {
        let &[first, classes] = take(bytes, 2)? else { return Err(Error::Truncated) };
        let (first, classes) = (usize::from(first), usize::from(classes) + 1);
        let mut lengths = [0; CLASSES];
        let used = lengths.get_mut(first..first + classes).ok_or(Error::Corrupt)?;
        if used.len() > 1 {
            let packed = take(bytes, classes.div_ceil(2))?;
            let nibbles = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]);
            used.iter_mut().zip(nibbles).for_each(|(length, nibble)| *length = nibble);
        }
        let room = |&length: &u8| if length == 0 { 0 } else { ENTRIES << 4 >> length };
        let too_long = used.iter().any(|&length| u32::from(length) > CODE_BITS_MAX);
        if too_long || used.iter().map(room).sum::<usize>() > ENTRIES << 4 {
            return Err(Error::Corrupt);
        }
        let used = first as u8..=(first + classes - 1) as u8;
        let has_raw = first + classes > 16;
        Ok(Self { entries: OnceCell::new(), lengths, used, has_raw })
    }

    /// Decodes `count` values, which take all of `bytes`, and appends them to `out`.
    pub fn decode(&self, mut bytes: &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Error> {
        let shift = u32::from(byte(&mut bytes)?);
        let most = bytes.len();
        let first_bytes = varint::read_length(&mut bytes, most)?;
        // Loads are eight bytes wide.
        let mut padded = Vec::with_capacity(bytes.len() + 8);
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; 8]);
        let mut classes = vec![0_u8; count + ROOM];
        let raw = if count < LOOKUP_VALUES_MIN && self.entries.get().is_none() {
            self.decode_few(&padded, first_bytes, classes.get_mut(..count).or_bug())?
        } else {
            self.classes(&padded, first_bytes, count, &mut classes)?
        };
        let classes = classes.get(..count).ok_or(Error::Corrupt)?;
        let mut bit = raw * 8;
        out.reserve(count);
        if self.has_raw || shift > 0 {
            // The check below detects a read after the end of the stream.
            let shift = shift.min(u64::BITS);
            out.extend(classes.iter().map(|&class| {
                let class = u32::from(class);
                let bits = raw_bits(class) + shift;
                let high = if class < 16 { class } else { class & 3 | 4 };
                let mut word = load(&padded, bit);
                if bits > LOAD_BITS {
                    word = word & 0xffff_ffff | load(&padded, bit + 32) << 32;
                }
                bit += bits as usize;
                u64::from(high).wrapping_shl(bits) | word & (1_u64.wrapping_shl(bits) - 1)
            }));
        } else {
            out.extend(classes.iter().map(|&class| u64::from(class)));
        }
        match bit.div_ceil(8).cmp(&bytes.len()) {
            Ordering::Less => Err(Error::Trailing),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(Error::Truncated),
        }
    }

    /// Decodes classes without the lookup table. Returns the position after the codes in `padded`,
    /// whose first stream is `first_bytes` long.
    fn decode_few(
        &self,
        padded: &[u8],
        first_bytes: usize,
        classes: &mut [u8],
    ) -> Result<usize, Error> {
        let mut known = Vec::new();
        if self.used.start() == self.used.end() {
            known.push((*self.used.start(), 0, 0));
        } else {
            let codes = codes(&self.lengths, self.used.clone());
            known.extend(codes.map(|(class, code, length)| (class, u64::from(code), length)));
        }
        let fill = |classes: &mut [u8], mut bit: usize| -> Result<usize, Error> {
            for slot in classes {
                let word = load(padded, bit);
                let is_next =
                    |(_, code, length): &&(u8, u64, u8)| word & ((1 << length) - 1) == *code;
                let &(class, _, length) = known.iter().find(is_next).ok_or(Error::Corrupt)?;
                *slot = class;
                bit += usize::from(length);
            }
            Ok(bit.div_ceil(8))
        };
        let (first, others) = classes.split_at_mut(classes.len().div_ceil(2));
        let is_first_whole = fill(first, 0)? == first_bytes;
        if is_first_whole { fill(others, first_bytes * 8) } else { Err(Error::Corrupt) }
    }

    /// Decodes like [`Decoder::decode_few`], but does not fill the spare bytes at the end of
    /// `classes`.
    fn classes(
        &self,
        padded: &[u8],
        first_bytes: usize,
        count: usize,
        classes: &mut [u8],
    ) -> Result<usize, Error> {
        let entries = self.entries.get_or_init(|| entries(&self.lengths, self.used.clone()));
        let half = count.div_ceil(2);
        let mut a = Stream { bit: 0, at: 0, end: half };
        let mut b = Stream { bit: first_bytes * 8, at: half, end: count };
        while a.at + ROOM <= a.end && b.at + ROOM <= b.end {
            step(entries, padded, &mut a, classes)?;
            step(entries, padded, &mut b, classes)?;
        }
        self.finish(entries, padded, &mut a, classes)?;
        self.finish(entries, padded, &mut b, classes)?;
        let is_first_whole = a.bit.div_ceil(8) == first_bytes;
        if is_first_whole { Ok(b.bit.div_ceil(8)) } else { Err(Error::Corrupt) }
    }

    fn finish(
        &self,
        entries: &[u32; ENTRIES],
        padded: &[u8],
        stream: &mut Stream,
        classes: &mut [u8],
    ) -> Result<(), Error> {
        while stream.at + ROOM <= stream.end {
            step(entries, padded, stream, classes)?;
        }
        for slot in classes.iter_mut().take(stream.end).skip(stream.at) {
            let entry = entries[(load(padded, stream.bit) & (ENTRIES as u64 - 1)) as usize];
            if entry >> 24 & 3 == 0 {
                return Err(Error::Corrupt);
            }
            *slot = entry as u8;
            let length = self.lengths.get(usize::from(entry as u8)).copied().or_bug();
            stream.bit += usize::from(length);
        }
        Ok(())
    }
}

/// Performs five lookups, which consume at most 50 bits and yield at most 15 classes.
#[inline(always)]
fn step(
    entries: &[u32; ENTRIES],
    padded: &[u8],
    stream: &mut Stream,
    classes: &mut [u8],
) -> Result<(), Error> {
    let mut word = load(padded, stream.bit);
    let room = classes.get_mut(stream.at..).and_then(|rest| rest.first_chunk_mut::<ROOM>());
    let room = room.ok_or(Error::Corrupt)?;
    let (mut given, mut taken) = (0_usize, 0_usize);
    for _ in 0..5 {
        let entry = entries[(word & (ENTRIES as u64 - 1)) as usize];
        if let Some(slot) = room.get_mut(given..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *slot = entry.to_le_bytes();
        }
        given += (entry >> 24 & 3) as usize;
        taken += (entry >> 26) as usize;
        word >>= entry >> 26;
    }
    stream.at += given;
    stream.bit += taken;
    if given < 5 { Err(Error::Corrupt) } else { Ok(()) }
}

/// A stored table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored(Vec<u8>);

impl Stored {
    /// Wraps the output of [`CodeTable::write`]. No bytes means no table.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the stored bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn decoder(&self) -> Result<Option<Decoder>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut rest = self.0.as_slice();
        let decoder = Decoder::read(&mut rest)?;
        finish(rest)?;
        Ok(Some(decoder))
    }
}

struct Stream {
    bit: usize,
    at: usize,
    end: usize,
}

/// Returns at least [`LOAD_BITS`] bits from position `bit`. Bits after the end are zero.
#[inline(always)]
fn load(padded: &[u8], bit: usize) -> u64 {
    let word = padded.get(bit / 8..).and_then(|tail| tail.first_chunk::<8>());
    word.map_or(0, |word| u64::from_le_bytes(*word) >> (bit % 8))
}

fn entries(lengths: &[u8; CLASSES], used: RangeInclusive<u8>) -> Box<[u32; ENTRIES]> {
    if used.start() == used.end() {
        let class = *used.start();
        return Box::new([u32::from_le_bytes([class, class, class, 3]); ENTRIES]);
    }
    let mut single = vec![(0_u8, 0_u8); ENTRIES];
    for (class, code, length) in codes(lengths, used) {
        let same = single.iter_mut().skip(usize::from(code)).step_by(1 << length);
        same.for_each(|entry| *entry = (class, length));
    }
    let mut entries = Box::new([0; ENTRIES]);
    for (index, slot) in entries.iter_mut().enumerate() {
        let (mut entry, mut bits) = (0_u32, 0_u32);
        for n in 0..3 {
            let (class, length) = single.get(index >> bits).copied().or_bug();
            if length == 0 || bits + u32::from(length) > CODE_BITS_MAX {
                break;
            }
            bits += u32::from(length);
            entry = entry & 0xff_ffff | u32::from(class) << (8 * n) | (n + 1) << 24;
        }
        *slot = entry | bits << 26;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::damaged;

    fn residuals(random: &mut fastrand::Rng) -> Vec<u64> {
        let (shape, bits) = (random.u8(0..4), random.u32(1..=64));
        (0..random.usize(0..700))
            .map(|_| match shape {
                0 => u64::from(bits),
                1 => random.u64(..) >> (64 - bits),
                2 => u64::from(random.u64(..).leading_zeros()),
                _ => random.u64(..) >> random.u32(0..64),
            })
            .collect()
    }

    #[test]
    fn huffman_classes_round_trip() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..3_000 {
            let blocks: Vec<Vec<u64>> = (0..3).map(|_| residuals(&mut random)).collect();
            let mut histogram = Histogram::count(&blocks[0]);
            blocks.iter().skip(1).for_each(|block| histogram.add(&Histogram::count(block)));
            let table = CodeTable::for_counts(&histogram);
            let mut stored = Vec::new();
            table.write(&mut stored);
            let decoder = Decoder::read(&mut stored.as_slice()).unwrap();
            let mut back = Vec::new();
            for block in &blocks {
                let mut bytes = Vec::new();
                table.encode(block, &mut bytes);
                let estimate = Histogram::count(block).bytes(&table);
                assert!(bytes.len().abs_diff(estimate) <= 4, "{} {estimate}", bytes.len());
                back.clear();
                decoder.decode(&bytes, block.len(), &mut back).unwrap();
                assert_eq!(&back, block);
                assert_eq!(
                    decoder.decode(&[&bytes[..], &[0]].concat(), block.len(), &mut back),
                    Err(Error::Trailing)
                );
                for _ in 0..4 {
                    back.clear();
                    let hostile = damaged(&bytes, &mut random);
                    let is_sound = decoder.decode(&hostile, block.len(), &mut back).is_ok();
                    if is_sound {
                        assert_eq!(back.len(), block.len());
                    }
                    let fresh = Decoder::read(&mut stored.as_slice()).unwrap();
                    let mut few = Vec::new();
                    assert_eq!(fresh.decode(&hostile, block.len(), &mut few).is_ok(), is_sound);
                    assert!(!is_sound || few == back);
                    let _ = decoder.decode(&hostile, random.usize(0..2_000), &mut back);
                }
            }
            for _ in 0..4 {
                let hostile = damaged(&stored, &mut random);
                if let Ok(decoder) = Decoder::read(&mut hostile.as_slice()) {
                    let _ = decoder.decode(&damaged(&stored, &mut random), 50, &mut back);
                }
            }
        }
    }

    #[test]
    fn huffman_size_approaches_entropy() {
        let mut random = fastrand::Rng::with_seed(9);
        // The distribution is geometric, with two bits of entropy per value.
        let values: Vec<u64> =
            (0..10_000).map(|_| u64::from(random.u64(..).leading_zeros())).collect();
        let table = CodeTable::for_counts(&Histogram::count(&values));
        let mut bytes = Vec::new();
        table.encode(&values, &mut bytes);
        assert!(bytes.len() < 10_000 * 2 / 8 * 102 / 100, "{}", bytes.len());
        let values = [7; 10_000];
        let table = CodeTable::for_counts(&Histogram::count(&values));
        bytes.clear();
        table.encode(&values, &mut bytes);
        assert_eq!(bytes, [0, 0]);
    }
}
