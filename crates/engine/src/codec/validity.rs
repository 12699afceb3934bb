//! Encodes whether each row has a value, as gaps between nulls, run lengths, or a bitmap.
//!
//! ```text
//! ALL    0 │ nothing
//! GAPS   1 │ nulls <varint> │ number of valid rows before each null <varint>…
//! RUNS   2 │ run lengths <varint>…, alternating valid and null; the first may be 0
//! BITS   3 │ ⌈n ∕ 8⌉ bytes, row i is bit i % 8 of byte i ∕ 8, spare bits 0
//! ```

use super::{Error, finish, start, take, varint};

const ALL: u8 = 0;
const GAPS: u8 = 1;
const RUNS: u8 = 2;
const BITS: u8 = 3;

/// Appends the first `count` bits of `words`, from the lowest bit of each word. A set bit means
/// that the row has a value. The bits after `count` must be zero.
pub fn encode(words: &[u64], count: usize, out: &mut Vec<u8>) {
    let n_valid: usize = words.iter().map(|word| word.count_ones() as usize).sum();
    let n_nulls = count.saturating_sub(n_valid);
    if n_nulls == 0 {
        return out.push(ALL);
    }
    let start = out.len();
    let bits_bytes = 1 + count.div_ceil(8);
    let is_valid = |row: usize| words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
    let runs = runs(count, is_valid);
    // RUNS takes two lengths per run of nulls, and GAPS takes one gap per null.
    if runs.len() < n_nulls {
        out.push(RUNS);
        for &run in &runs {
            varint::write(run, out);
        }
    } else if n_nulls < bits_bytes {
        out.push(GAPS);
        varint::write(n_nulls as u64, out);
        let mut next = 0;
        for row in (0..count).filter(|&row| !is_valid(row)) {
            varint::write((row - next) as u64, out);
            next = row + 1;
        }
    }
    if out.len() == start || out.len() - start > bits_bytes {
        out.truncate(start);
        out.push(BITS);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        out.extend(bytes.take(count.div_ceil(8)));
    }
}

/// Replaces `words` with `count` bits. An error leaves `words` unspecified.
pub fn decode(bytes: &[u8], count: usize, words: &mut Vec<u64>) -> Result<(), Error> {
    words.clear();
    let (method, mut rest) = start(bytes, count)?;
    words.resize(count.div_ceil(64), 0);
    match method {
        ALL => fill(words, 0, count),
        GAPS => {
            let n_nulls = varint::read_length(&mut rest, count)?;
            let mut row = 0;
            for _ in 0..n_nulls {
                let gap = varint::read_length(&mut rest, count.saturating_sub(row + 1))?;
                fill(words, row, row + gap);
                row += gap + 1;
            }
            if row > count {
                return Err(Error::Corrupt);
            }
            fill(words, row, count);
        }
        RUNS => {
            let (mut row, mut valid) = (0, true);
            while row < count {
                let length = varint::read_length(&mut rest, count - row)?;
                if length == 0 && row > 0 {
                    return Err(Error::Corrupt);
                }
                if valid {
                    fill(words, row, row + length);
                } else if length == 0 {
                    return Err(Error::Corrupt);
                }
                row += length;
                valid = !valid;
            }
        }
        BITS => {
            let packed = take(&mut rest, count.div_ceil(8))?;
            for (row, &byte) in packed.iter().enumerate() {
                if let Some(word) = words.get_mut(row / 8) {
                    *word |= u64::from(byte) << (row % 8 * 8);
                }
            }
            let spare = count % 64;
            if spare > 0 && words.last().is_some_and(|last| last >> spare != 0) {
                return Err(Error::Corrupt);
            }
        }
        _ => return Err(Error::UnknownMethod(method)),
    }
    finish(rest)
}

/// Returns the lengths of the runs of valid rows and of nulls, alternating. The first run is of
/// valid rows and may be empty.
fn runs(count: usize, is_valid: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut runs = Vec::new();
    let (mut valid, mut length) = (true, 0);
    for row in 0..count {
        if is_valid(row) != valid {
            runs.push(length);
            (valid, length) = (!valid, 0);
        }
        length += 1;
    }
    runs.push(length);
    runs
}

fn fill(words: &mut [u64], start: usize, end: usize) {
    let mut at = start;
    while at < end {
        let in_word = (64 - at % 64).min(end - at);
        if let Some(word) = words.get_mut(at / 64) {
            *word |= (u64::MAX >> (64 - in_word)) << (at % 64);
        }
        at += in_word;
    }
}
