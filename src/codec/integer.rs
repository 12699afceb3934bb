//! Signed integers: constant, offset from the smallest, or delta; then patched bit-packing.
//!
//! ```text
//! CONSTANT  0 │ value <zigzag varint>
//! OFFSET    1 │ smallest <zigzag varint> │ runs of value − smallest (bitpack)
//! DELTA     2 │ first <zigzag varint>    │ runs of zigzag(value − previous) (bitpack)
//! ```
//! Differences wrap, so any `i64` sequence round-trips. No values are the method byte alone.

use super::varint::{self, unzigzag, zigzag};
use super::{Error, bitpack, finish, start};

const CONSTANT: u8 = 0;
const OFFSET: u8 = 1;
const DELTA: u8 = 2;

/// Appends the encoding of `values` to `out`.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else { return out.push(CONSTANT) };
    let (mut smallest, mut largest) = (first, first);
    for &value in rest {
        smallest = smallest.min(value);
        largest = largest.max(value);
    }
    if smallest == largest {
        out.push(CONSTANT);
        return varint::write_signed(first, out);
    }
    let mut deltas = Vec::with_capacity(rest.len());
    deltas.extend(values.iter().zip(rest).map(|(a, b)| zigzag(b.wrapping_sub(*a))));
    let delta_plan = bitpack::plan(&deltas);
    // A bound that needs no second pass: deltas this small cannot lose by more than the patches.
    let range_bits = u64::BITS - (largest.wrapping_sub(smallest) as u64).leading_zeros();
    if delta_plan.bytes * 16 >= values.len() * range_bits as usize {
        let offset = |value: &i64| value.wrapping_sub(smallest) as u64;
        let mut offsets = Vec::with_capacity(values.len());
        offsets.extend(values.iter().map(offset));
        let plan = bitpack::plan(&offsets);
        if plan.bytes <= delta_plan.bytes {
            out.push(OFFSET);
            varint::write_signed(smallest, out);
            return bitpack::encode(&offsets, &plan, out);
        }
    }
    out.push(DELTA);
    varint::write_signed(first, out);
    bitpack::encode(&deltas, &delta_plan, out);
}

/// Replaces the contents of `out` with exactly `count` values.
///
/// # Errors
/// Any [`Error`] but [`Error::NotUtf8`]; `out` is then unspecified.
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
    out.clear();
    let (method, mut rest) = start(bytes, count)?;
    if count == 0 {
        return if method == CONSTANT { finish(rest) } else { Err(Error::UnknownMethod(method)) };
    }
    if method > DELTA {
        return Err(Error::UnknownMethod(method));
    }
    let first = varint::read_signed(&mut rest)?;
    if method == CONSTANT {
        out.resize(count, first);
        return finish(rest);
    }
    let mut packed = Vec::new();
    if method == OFFSET {
        bitpack::decode(&mut rest, count, &mut packed)?;
        out.extend(packed.iter().map(|&offset| first.wrapping_add(offset as i64)));
    } else {
        bitpack::decode(&mut rest, count - 1, &mut packed)?;
        let mut value = first;
        out.reserve(count);
        out.push(value);
        out.extend(packed.iter().map(|&delta| {
            value = value.wrapping_add(unzigzag(delta));
            value
        }));
    }
    finish(rest)
}
