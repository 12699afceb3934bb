//! Encodes timestamps as deviations from a regular step, in a common unit.
//!
//! ```text
//! STEP 0 │ unit <varint> │ first <zigzag varint> │ step <zigzag varint> │ residuals:
//!  zigzag((time − previous) ∕ unit − step)
//! GRID 1 │ as STEP, but residuals: zigzag((time − first) ∕ unit − index · step)
//! ```
//! Residuals are runs of `bitpack`, or, if 0x80 is added to the method, `huffman` codes with the
//! table that the pages of a group share.
//!
//! `unit` divides every difference, so jitter in milliseconds needs fewer bits than jitter in
//! nanoseconds. STEP suits gaps and changes of series. GRID is smaller for one series with jitter.
//! If a difference overflows, the unit is 1 and arithmetic wraps around. An empty slice takes only
//! the method byte.

use super::draft::{Draft, HUFFMAN_BIT, residuals};
use super::huffman::Decoder;
use super::varint::{self, unzigzag, zigzag};
use super::{Error, bitpack, finish, start};

const STEP: u8 = 0;
const GRID: u8 = 1;
const SAMPLE: usize = 63;

/// Appends the encoding of `timestamps_ns` to `out`.
pub fn encode(timestamps_ns: &[i64], out: &mut Vec<u8>) {
    let head = std::mem::take(out);
    *out = draft(timestamps_ns, head).finish(None);
}

/// Returns a draft that consists of `head` and the encoded `timestamps_ns`.
pub fn draft(timestamps_ns: &[i64], mut head: Vec<u8>) -> Draft {
    let at = head.len();
    let Some((&first, rest)) = timestamps_ns.split_first() else {
        head.push(STEP);
        return Draft::done(head);
    };
    let mut deltas: Vec<i64> = Vec::with_capacity(rest.len());
    let unit = match checked_deltas(timestamps_ns, &mut deltas) {
        true => common_divisor(&deltas),
        false => {
            deltas.clear();
            deltas.extend(timestamps_ns.iter().zip(rest).map(|(a, b)| b.wrapping_sub(*a)));
            1
        }
    };
    divide(&mut deltas, unit);
    let step = typical(&deltas);
    let mut packed: Vec<u64> = Vec::with_capacity(deltas.len());
    packed.extend(deltas.iter().map(|delta| zigzag(delta.wrapping_sub(step))));
    let mut bytes = bitpack::estimate(&packed);
    let mut header = (STEP, step);
    // If the values take fewer than two bits each, the times have no jitter that GRID could reduce.
    if bytes * 4 > deltas.len() {
        let total = deltas.iter().fold(0_i64, |sum, delta| sum.wrapping_add(*delta));
        let n = deltas.len().max(1) as i64;
        // The step is rounded, because a step that is one too small would drift away from the grid.
        let grid_step = total.wrapping_add(n / 2).div_euclid(n);
        let mut residual = 0_i64;
        let grid: Vec<u64> = deltas
            .iter()
            .map(|delta| {
                residual = residual.wrapping_add(delta.wrapping_sub(grid_step));
                zigzag(residual)
            })
            .collect();
        let grid_bytes = bitpack::estimate(&grid);
        if grid_bytes < bytes {
            (packed, bytes) = (grid, grid_bytes);
            header = (GRID, grid_step);
        }
    }
    head.push(header.0);
    varint::write(unit, &mut head);
    varint::write_signed(first, &mut head);
    varint::write_signed(header.1, &mut head);
    Draft::open(head, at, packed, bytes)
}

/// Replaces `out` with `count` values. An error leaves `out` unspecified.
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
    decode_with(bytes, count, None, out)
}

/// Decodes like [`decode`]. The encoding may use `table`.
pub fn decode_with(
    bytes: &[u8],
    count: usize,
    table: Option<&Decoder>,
    out: &mut Vec<i64>,
) -> Result<(), Error> {
    out.clear();
    let (method, mut rest) = start(bytes, count)?;
    if method & !HUFFMAN_BIT > GRID {
        return Err(Error::UnknownMethod(method));
    }
    if count == 0 {
        return finish(rest);
    }
    let unit = varint::read(&mut rest)? as i64;
    let first = varint::read_signed(&mut rest)?;
    let step = varint::read_signed(&mut rest)?;
    let packed = residuals(method, rest, count - 1, table)?;
    out.reserve(count);
    out.push(first);
    if packed.iter().all(|&residual| residual == 0) {
        let step_ns = step.wrapping_mul(unit);
        out.extend((1..count as i64).map(|at| first.wrapping_add(at.wrapping_mul(step_ns))));
    } else if method & !HUFFMAN_BIT == STEP {
        let mut time = first;
        out.extend(packed.iter().map(|&residual| {
            let delta = unzigzag(residual).wrapping_add(step);
            time = time.wrapping_add(delta.wrapping_mul(unit));
            time
        }));
    } else {
        let mut grid = 0_i64;
        out.extend(packed.iter().map(|&residual| {
            grid = grid.wrapping_add(step);
            first.wrapping_add(grid.wrapping_add(unzigzag(residual)).wrapping_mul(unit))
        }));
    }
    Ok(())
}

fn checked_deltas(times_ns: &[i64], deltas: &mut Vec<i64>) -> bool {
    for pair in times_ns.windows(2) {
        let &[before, after] = pair else { return false };
        match after.checked_sub(before) {
            Some(delta) if delta != i64::MIN => deltas.push(delta),
            _ => return false,
        }
    }
    true
}

fn common_divisor(deltas: &[i64]) -> u64 {
    let mut divisor = 0_u64;
    let mut previous = 0;
    for &delta in deltas {
        // Regular input repeats one difference, so no division is needed.
        if delta == previous {
            continue;
        }
        previous = delta;
        let (mut a, mut b) = (delta.unsigned_abs(), divisor);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1)
}

fn divide(deltas: &mut [i64], unit: u64) {
    if unit == 1 {
        return;
    }
    // The common divisor fits into an i64, unless each difference is i64::MIN or 0. In this case,
    // the cast results in i64::MIN, and the quotients are 1 and 0.
    let unit = unit as i64;
    let mut previous = (0, 0);
    for delta in deltas {
        if *delta != previous.0 {
            previous = (*delta, *delta / unit);
        }
        *delta = previous.1;
    }
}

/// Returns the median of a sample of the differences. For regular input with gaps, the median is
/// the step.
fn typical(deltas: &[i64]) -> i64 {
    let stride = deltas.len().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<i64> = deltas.iter().step_by(stride).copied().collect();
    let middle = sample.len() / 2;
    if sample.is_empty() { 0 } else { *sample.select_nth_unstable(middle).1 }
}
