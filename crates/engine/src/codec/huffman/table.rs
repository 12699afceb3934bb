//! Builds optimal code tables, and encodes values.

use std::ops::RangeInclusive;

use super::{CLASSES, CODE_BITS_MAX, ENTRIES, LOAD_BITS, class, codes, raw_bits};
use crate::codec::varint;
use tidemark_model::bug::OrBug;

/// Values with fewer bits are not shifted, because their low bits may have a pattern.
const SHIFTED_BITS_MIN: u64 = 11;
const KEPT_BITS: u64 = 6;

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
    held: u32,
}

impl Bits {
    /// Each append writes eight bytes, so the last seven bytes must remain free.
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], at: 0, word: 0, held: 0 }
    }

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
        self.bytes.get(..self.at + usize::from(self.held > 0)).or_bug()
    }
}

/// The classes of a tree form a linked list from `first` to `last`.
struct Tree {
    weight: u64,
    first: u8,
    last: u8,
}

/// The lengths are limited to `CODE_BITS_MAX`. Classes outside `used` have length 0.
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

/// In return, the codes of the rarest other classes become longer.
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
