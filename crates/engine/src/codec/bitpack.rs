//! Packs unsigned integers with a common bit width per run of 256 values. Larger values are stored
//! as exceptions.
//!
//! ```text
//! Run of n <= 256 values
//! ┌───────────┬────────────────┬──────────────────────┬──────────────────┬─────────────────────┐
//! │ width <1> │ exceptions <1> │ low bits <⌈n·w ∕ 8⌉> │ positions <1>... │ high bits <varint>… │
//! └───────────┴────────────────┴──────────────────────┴──────────────────┴─────────────────────┘
//! ```
//! `width` w is 0..=56 or 64. The low w bits of value i start at bit i·w. A value with more than w
//! bits is an exception. Exceptions store their positions in the run, ascending, and their
//! remaining high bits.

use smallvec::SmallVec;

use super::{Error, take, varint};
use tidemark_model::bug::OrBug;

const RUN: usize = 256;
/// The largest bit width whose values can be read with one unaligned load.
const WIDTH_MAX: u32 = 56;

const SAMPLED: usize = 4;

/// Returns the approximate encoded size of `values`, in bytes, from a sample of runs.
pub fn estimate(values: &[u64]) -> usize {
    let (mut bytes, mut sampled) = (0, 0);
    for run in values.chunks(RUN).step_by(SAMPLED) {
        bytes += plan_run(run).1;
        sampled += run.len();
    }
    (bytes * values.len()).checked_div(sampled).unwrap_or_default()
}

/// Appends the encoding of `values` without their number.
pub fn encode(values: &[u64], out: &mut Vec<u8>) {
    for run in values.chunks(RUN) {
        encode_run(run, plan_run(run).0, out);
    }
}

/// Removes `count` values from the front of `bytes` and appends them to `out`.
pub fn decode(bytes: &mut &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Error> {
    if count.div_ceil(RUN) * 2 > bytes.len() {
        return Err(Error::Truncated);
    }
    out.reserve(count);
    let mut left = count;
    while left > 0 {
        decode_run(bytes, left.min(RUN), out)?;
        left -= left.min(RUN);
    }
    Ok(())
}

fn bits(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

fn plan_run(run: &[u64]) -> (u32, usize) {
    let mut histogram = [0_u16; 65];
    for &value in run {
        if let Some(slot) = histogram.get_mut(bits(value) as usize) {
            *slot += 1;
        }
    }
    // Only bit widths of existing values can be optimal.
    let used = (0_u32..).zip(histogram).filter(|&(width, count)| count > 0 || width == 0);
    let used: SmallVec<[(u32, usize); 64]> =
        used.map(|(width, count)| (width, usize::from(count))).collect();
    let mut best = (64, 2 + run.len() * 8);
    for (index, &(width, _)) in used.iter().enumerate().rev() {
        if width > WIDTH_MAX {
            continue;
        }
        let exceptions = used.get(index + 1..).or_bug();
        let n_exceptions: usize = exceptions.iter().map(|&(_, count)| count).sum();
        if n_exceptions > usize::from(u8::MAX) {
            break;
        }
        let patches: usize =
            exceptions.iter().map(|&(b, n)| n * (1 + (b - width).div_ceil(7) as usize)).sum();
        let bytes = 2 + (run.len() * width as usize).div_ceil(8) + patches;
        if bytes < best.1 {
            best = (width, bytes);
        }
    }
    best
}

fn encode_run(run: &[u64], width: u32, out: &mut Vec<u8>) {
    let mut exceptions = [0_u8; RUN];
    let mut n_exceptions = 0;
    if width < 64 {
        for (position, &value) in (0_u8..=u8::MAX).zip(run) {
            if let Some(slot) = exceptions.get_mut(n_exceptions) {
                *slot = position;
            }
            n_exceptions += usize::from(value >> width != 0);
        }
    }
    // The plan allows at most 255 exceptions.
    out.push(width as u8);
    out.push(n_exceptions as u8);
    pack(run, width, out);
    let exceptions = exceptions.get(..n_exceptions).or_bug();
    out.extend_from_slice(exceptions);
    for &position in exceptions {
        varint::write(run.get(usize::from(position)).map_or(0, |value| value >> width), out);
    }
}

fn pack(run: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    if width == 64 {
        for value in run {
            out.extend_from_slice(&value.to_le_bytes());
        }
        return;
    }
    let start = out.len();
    let length = (run.len() * width as usize).div_ceil(8);
    // With eight spare bytes, every value can be written by one eight-byte store.
    out.resize(start + length + 8, 0);
    let packed = out.get_mut(start..).or_bug();
    let mask = (1_u64 << width) - 1;
    let (mut word, mut n_bits, mut at) = (0_u64, 0_u32, 0_usize);
    for &value in run {
        // `n_bits` < 8 and `width` <= 56, so the shift loses no bits.
        word |= (value & mask) << n_bits;
        n_bits += width;
        if let Some(slot) = packed.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *slot = word.to_le_bytes();
        }
        at += (n_bits / 8) as usize;
        // `n_bits` / 8 equals 8 only if all 64 bits were written, so no bits remain.
        word = word.checked_shr(n_bits & !7).unwrap_or(0);
        n_bits %= 8;
    }
    out.truncate(start + length);
}

fn decode_run(bytes: &mut &[u8], n: usize, out: &mut Vec<u64>) -> Result<(), Error> {
    let &[width, n_exceptions] = take(bytes, 2)? else { return Err(Error::Truncated) };
    let width = u32::from(width);
    if width > WIDTH_MAX && (width != 64 || n_exceptions != 0) {
        return Err(Error::Corrupt);
    }
    let start = out.len();
    unpack(bytes, n, width, out)?;
    let run = out.get_mut(start..).or_bug();
    let positions = take(bytes, usize::from(n_exceptions))?;
    for &position in positions {
        let high = varint::read(bytes)?;
        let value = run.get_mut(usize::from(position)).ok_or(Error::Corrupt)?;
        if bits(high) + width > 64 {
            return Err(Error::Corrupt);
        }
        *value |= high << width;
    }
    Ok(())
}

fn unpack(bytes: &mut &[u8], n: usize, width: u32, out: &mut Vec<u64>) -> Result<(), Error> {
    let length = (n * width as usize).div_ceil(8);
    let all = *bytes;
    let packed = take(bytes, length)?;
    if width == 0 {
        out.resize(out.len() + n, 0);
        return Ok(());
    }
    if width == 64 {
        out.extend(packed.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        return Ok(());
    }
    // Loads are eight bytes wide. Near the end of the input, loads read from a padded copy.
    let mut padded = [0_u8; RUN * 7 + 8];
    let loads = match all.get(..length + 8) {
        Some(loads) => loads,
        None => {
            padded.get_mut(..length).ok_or(Error::Corrupt)?.copy_from_slice(packed);
            padded.get(..length + 8).ok_or(Error::Corrupt)?
        }
    };
    let mask = (1_u64 << width) - 1;
    // The number of values that one load contains, for any start bit within the first byte.
    let per_load = (56 / width).max(1) as usize;
    let start = out.len();
    out.resize(start + n, 0);
    let mut bit = 0;
    for values in out.get_mut(start..).or_bug().chunks_mut(per_load) {
        let word = loads.get(bit / 8..).and_then(|tail| tail.first_chunk::<8>());
        let mut word = u64::from_le_bytes(word.copied().unwrap_or_default()) >> (bit % 8);
        bit += values.len() * width as usize;
        for value in values {
            *value = word & mask;
            word >>= width;
        }
    }
    Ok(())
}
