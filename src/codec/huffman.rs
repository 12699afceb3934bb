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

use std::cell::OnceCell;
use std::cmp::Ordering;

use super::{Error, finish, take, varint};

/// Codes have at most this many bits: a table of 1,024 entries answers up to three of them at once.
const CODE_BITS_MAX: u32 = 10;
const ENTRIES: usize = 1 << CODE_BITS_MAX;
/// Values below it are their own class.
const DIRECT: u64 = 16;
/// Sixteen, and four for each number of bits from 5 to 64.
const CLASSES: usize = 256;
/// Bits that one unaligned load gives wherever they start.
const LOAD_BITS: u32 = 56;

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

/// Values of fewer bits on average are not shifted: their low bits may mean something.
const SHIFTED_BITS_MIN: u64 = 11;
/// About how many bits are left of the others.
const KEPT_BITS: u64 = 6;

/// The shift that leaves about [`KEPT_BITS`] of most values.
fn shift(values: &[u64]) -> u32 {
    let all = values.iter().fold(0, |all, value| all | value);
    if all >> SHIFTED_BITS_MIN == 0 {
        return 0;
    }
    let bits: u64 = values.iter().map(|value| u64::from(u64::BITS - value.leading_zeros())).sum();
    let mean = bits / (values.len() as u64).max(1);
    if mean < SHIFTED_BITS_MIN { 0 } else { (mean - KEPT_BITS) as u32 }
}

/// How often each class occurs.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; CLASSES],
    /// Bits that the shifts leave raw, of all values.
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

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.shifted_bits += other.shifted_bits;
    }

    /// Bytes of the values under `table`, about.
    pub fn bytes(&self, table: &CodeTable) -> usize {
        let bits = |(class, (&count, &(_, length))): (u32, (&u32, &(u16, u8)))| {
            count as usize * (raw_bits(class) as usize + usize::from(length))
        };
        let coded: usize = (0..).zip(self.counts.iter().zip(&table.codes)).map(bits).sum();
        (coded + self.shifted_bits) / 8 + 3
    }
}

/// The code of each class: its bits, reversed, and their number.
#[derive(Clone, Debug)]
pub struct CodeTable {
    first: usize,
    codes: [(u16, u8); CLASSES],
    end: usize,
}

impl CodeTable {
    /// The best table for values with these counts.
    pub fn for_counts(histogram: &Histogram) -> Self {
        let counts = &histogram.counts;
        let first = counts.iter().position(|&count| count > 0).unwrap_or_default();
        let end = counts.iter().rposition(|&count| count > 0).map_or(first, |last| last);
        Self { first, codes: codes(&lengths(counts)), end: end + 1 }
    }

    /// Appends the table.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.first as u8);
        out.push((self.end - self.first - 1) as u8);
        let codes = self.codes.get(self.first..self.end).unwrap_or_default();
        if codes.len() > 1 {
            let nibbles = |pair: &[(u16, u8)]| {
                pair.iter().rev().fold(0, |byte, &(_, length)| byte << 4 | length)
            };
            out.extend(codes.chunks(2).map(nibbles));
        }
    }

    /// Appends `values`, of which every class has a code.
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
                let &(code, length) = self.codes.get(class).unwrap_or(&(0, 0));
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

/// Bits appended, lowest first.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
    word: u64,
    held: u32,
}

impl Bits {
    /// Room for so many bytes and seven.
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], at: 0, word: 0, held: 0 }
    }

    /// Appends at most [`LOAD_BITS`] bits.
    #[inline(always)]
    fn push(&mut self, bits: u64, count: u32) {
        self.word |= bits << self.held;
        self.held += count;
        if let Some(slot) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *slot = self.word.to_le_bytes();
        }
        self.at += (self.held / 8) as usize;
        self.word >>= self.held & !7;
        self.held %= 8;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.at + usize::from(self.held > 0)).unwrap_or_default()
    }
}

/// Lengths of Huffman codes for these counts, limited.
fn lengths(counts: &[u32; CLASSES]) -> [u8; CLASSES] {
    let mut lengths = [0_u8; CLASSES];
    // The weight and the classes of each tree that is left.
    let mut trees: Vec<(u64, Vec<u8>)> = (0..=u8::MAX)
        .zip(counts)
        .filter(|&(_, &count)| count > 0)
        .map(|(class, &count)| (u64::from(count), vec![class]))
        .collect();
    let lightest = |trees: &mut Vec<(u64, Vec<u8>)>| {
        let at = (0..trees.len()).min_by_key(|&at| trees.get(at).map(|tree| tree.0))?;
        Some(trees.swap_remove(at))
    };
    while trees.len() > 1 {
        let (Some(mut a), Some(b)) = (lightest(&mut trees), lightest(&mut trees)) else { break };
        a.0 += b.0;
        a.1.extend(b.1);
        for &class in &a.1 {
            if let Some(length) = lengths.get_mut(usize::from(class)) {
                *length += 1;
            }
        }
        trees.push(a);
    }
    limit(counts, &mut lengths);
    lengths
}

/// Shortens codes that are too long at the cost of the rarest of the others.
fn limit(counts: &[u32; CLASSES], lengths: &mut [u8; CLASSES]) {
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

/// The canonical code of each length.
fn codes(lengths: &[u8; CLASSES]) -> [(u16, u8); CLASSES] {
    let mut codes = [(0, 0); CLASSES];
    let mut next = 0_u32;
    for length in 1..=CODE_BITS_MAX {
        for (code, &of) in codes.iter_mut().zip(lengths) {
            if u32::from(of) == length {
                let reversed = next.reverse_bits() >> (u32::BITS - length);
                *code = (reversed as u16, of);
                next += 1;
            }
        }
        next <<= 1;
    }
    codes
}

/// A table made ready to decode.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// For each ten bits: three classes, a byte each; how many of them are whole, two bits from bit
    /// 24 on; and their bits, four from bit 26 on.
    entries: Box<[u32; ENTRIES]>,
    lengths: [u8; CLASSES],
    /// Some class has raw bits.
    has_raw: bool,
}

impl Decoder {
    /// Takes a table off the front of `bytes`.
    ///
    /// # Errors
    /// [`Error::Truncated`] and [`Error::Corrupt`].
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
        let too_long = lengths.iter().any(|&length| u32::from(length) > CODE_BITS_MAX);
        if too_long || lengths.iter().map(room).sum::<usize>() > ENTRIES << 4 {
            return Err(Error::Corrupt);
        }
        let only = (classes == 1).then_some(first as u8);
        let has_raw = first + classes > 16;
        Ok(Self { entries: entries(&lengths, only), lengths, has_raw })
    }

    /// Appends `count` values, which are all of `bytes`.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Trailing`] and [`Error::Corrupt`].
    pub fn decode(&self, mut bytes: &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Error> {
        let shift = u32::from(*take(&mut bytes, 1)?.first().ok_or(Error::Truncated)?);
        let most = bytes.len();
        let first_bytes = varint::read_length(&mut bytes, most)?;
        // Loads are eight bytes wide.
        let mut padded = Vec::with_capacity(bytes.len() + 8);
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; 8]);
        let mut classes = vec![0_u8; count + ROOM];
        let raw = self.classes(&padded, first_bytes, count, &mut classes)?;
        let classes = classes.get(..count).ok_or(Error::Corrupt)?;
        let mut bit = raw * 8;
        out.reserve(count);
        if self.has_raw || shift > 0 {
            // Too many bits are bits past the end, and found below.
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

    /// Fills `classes` but for the room at its end; where the codes end in `padded`, whose first
    /// stream has `first_bytes`.
    fn classes(
        &self,
        padded: &[u8],
        first_bytes: usize,
        count: usize,
        classes: &mut [u8],
    ) -> Result<usize, Error> {
        let half = count.div_ceil(2);
        let mut a = Stream { bit: 0, at: 0, end: half };
        let mut b = Stream { bit: first_bytes * 8, at: half, end: count };
        while a.at + ROOM <= a.end && b.at + ROOM <= b.end {
            self.step(padded, &mut a, classes)?;
            self.step(padded, &mut b, classes)?;
        }
        self.finish(padded, &mut a, classes)?;
        self.finish(padded, &mut b, classes)?;
        let is_first_whole = a.bit.div_ceil(8) == first_bytes;
        if is_first_whole { Ok(b.bit.div_ceil(8)) } else { Err(Error::Corrupt) }
    }

    /// Five lookups: at most 50 bits and 15 classes.
    #[inline(always)]
    fn step(&self, padded: &[u8], stream: &mut Stream, classes: &mut [u8]) -> Result<(), Error> {
        let mut word = load(padded, stream.bit);
        let room = classes.get_mut(stream.at..).and_then(|rest| rest.first_chunk_mut::<ROOM>());
        let room = room.ok_or(Error::Corrupt)?;
        let (mut given, mut taken) = (0_usize, 0_usize);
        for _ in 0..5 {
            let entry = self.entries[(word & (ENTRIES as u64 - 1)) as usize];
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

    /// What is left of a stream, code by code.
    fn finish(&self, padded: &[u8], stream: &mut Stream, classes: &mut [u8]) -> Result<(), Error> {
        while stream.at + ROOM <= stream.end {
            self.step(padded, stream, classes)?;
        }
        for slot in classes.iter_mut().take(stream.end).skip(stream.at) {
            let entry = self.entries[(load(padded, stream.bit) & (ENTRIES as u64 - 1)) as usize];
            if entry >> 24 & 3 == 0 {
                return Err(Error::Corrupt);
            }
            *slot = entry as u8;
            let length = self.lengths.get(usize::from(entry as u8)).copied().unwrap_or_default();
            stream.bit += usize::from(length);
        }
        Ok(())
    }
}

/// A table as it is stored; made ready when it is first used.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    bytes: Vec<u8>,
    decoder: OnceCell<Decoder>,
}

impl Stored {
    /// Memory of a decoder, bytes.
    pub const DECODER_BYTES: usize = ENTRIES * 4 + CLASSES;

    /// What [`CodeTable::write`] wrote; no bytes for no table.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, decoder: OnceCell::new() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The table; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`Decoder::read`], and [`Error::Trailing`].
    pub fn decoder(&self) -> Result<Option<&Decoder>, Error> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        if self.decoder.get().is_none() {
            let mut rest = self.bytes.as_slice();
            let decoder = Decoder::read(&mut rest)?;
            finish(rest)?;
            // It was empty, so it is set.
            let _ = self.decoder.set(decoder);
        }
        Ok(self.decoder.get())
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Stored {}

/// Where a stream of codes is, and where its next class goes.
struct Stream {
    bit: usize,
    at: usize,
    end: usize,
}

/// What five lookups write: at most 15 classes, and what is not one.
const ROOM: usize = 16;

/// The bits from `bit` on, at least [`LOAD_BITS`]; zeros past the end, which is found by where the
/// bits end.
#[inline(always)]
fn load(padded: &[u8], bit: usize) -> u64 {
    let word = padded.get(bit / 8..).and_then(|tail| tail.first_chunk::<8>());
    word.map_or(0, |word| u64::from_le_bytes(*word) >> (bit % 8))
}

/// What each ten bits stand for.
fn entries(lengths: &[u8; CLASSES], only: Option<u8>) -> Box<[u32; ENTRIES]> {
    if let Some(class) = only {
        return Box::new([u32::from_le_bytes([class, class, class, 3]); ENTRIES]);
    }
    let mut single = vec![(0_u8, 0_u8); ENTRIES];
    for (class, &(code, length)) in (0..=u8::MAX).zip(&codes(lengths)) {
        if length > 0 {
            let same = single.iter_mut().skip(usize::from(code)).step_by(1 << length);
            same.for_each(|entry| *entry = (class, length));
        }
    }
    let mut entries = Box::new([0; ENTRIES]);
    for (index, slot) in entries.iter_mut().enumerate() {
        let (mut entry, mut bits) = (0_u32, 0_u32);
        for n in 0..3 {
            let (class, length) = single.get(index >> bits).copied().unwrap_or_default();
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
