//! Decodes Huffman codes to values.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::{CLASSES, CODE_BITS_MAX, ENTRIES, LOAD_BITS, codes, raw_bits};
use crate::codec::{Error, finish, take, varint};
use tidemark_model::bug::OrBug;

/// The number of values below which building a lookup table takes longer than it saves.
pub const FEW: usize = 64;

/// A code table that is ready for decoding.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The lookup table, indexed by ten bits. An entry contains up to three classes (a byte each),
    /// their number (two bits from bit 24), and the total length of their codes (four bits from bit
    /// 26).
    entries: OnceCell<Box<[u32; ENTRIES]>>,
    lengths: [u8; CLASSES],
    /// A single class has a code without bits.
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
        let shift = u32::from(*take(&mut bytes, 1)?.first().ok_or(Error::Truncated)?);
        let most = bytes.len();
        let first_bytes = varint::read_length(&mut bytes, most)?;
        // Loads are eight bytes wide.
        let mut padded = Vec::with_capacity(bytes.len() + 8);
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; 8]);
        let mut classes = vec![0_u8; count + ROOM];
        let raw = if count < FEW && self.entries.get().is_none() {
            self.few(&padded, first_bytes, classes.get_mut(..count).or_bug())?
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

    /// Returns the position after the codes in `padded`, whose first stream is `first_bytes` long.
    fn few(&self, padded: &[u8], first_bytes: usize, classes: &mut [u8]) -> Result<usize, Error> {
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

    /// Like [`Decoder::few`], but does not fill the spare bytes at the end of `classes`.
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
    /// Wraps the output of [`CodeTable::write`](super::CodeTable::write). No bytes means no table.
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

/// The number of bytes that five lookups may write: at most 15 classes, and one unused byte.
const ROOM: usize = 16;

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
