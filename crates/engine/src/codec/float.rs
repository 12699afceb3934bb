//! Encodes floats as scaled decimal integers if the conversion is exact, and otherwise as integers
//! with the order of the floats.
//!
//! ```text
//! DECIMAL  0 │ exponent <1> │ exceptions <varint> │ positions as gaps <varint>… │
//!              bits of each <8> │ integers (integer codec)
//! ORDERED  1 │ integers (integer codec)
//! ```
//! DECIMAL: value = integer ∕ 10^exponent, bit for bit. An exception repeats the integer of its
//! predecessor. Every decimal of up to 15 digits is exact. ORDERED: the integers are the floats'
//! bits, with the lower bits of negative values flipped. Every bit pattern is preserved.

use super::draft::Draft;
use super::huffman::Decoder;
use super::{Error, byte, integer, start, take, varint};
use tidemark_model::bug::OrBug;

const DECIMAL: u8 = 0;
const ORDERED: u8 = 1;
/// The maximum exponent of DECIMAL. A larger exponent saves no bytes, because every float below ten
/// would be a decimal.
const EXPONENT_MAX: usize = 13;
/// The largest integer up to which floats represent all integers exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const SAMPLE: usize = 64;

const POWERS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13];

/// Returns a draft that consists of `head` and the encoded `values`.
pub fn draft(values: &[f64], mut head: Vec<u8>) -> Draft {
    let integers = integers(values, &mut head);
    integer::draft(&integers, head)
}

pub(crate) fn encode_soon(values: &[f64], out: &mut Vec<u8>) {
    let integers = integers(values, out);
    integer::encode_soon(&integers, out);
}

fn integers(values: &[f64], head: &mut Vec<u8>) -> Vec<i64> {
    let Some(exponent) = sampled_exponent(values) else { return all_ordered(values, head) };
    let power = POWERS.get(exponent).copied().or_bug();
    let mut integers = Vec::with_capacity(values.len());
    let mut exceptions: Vec<(usize, u64)> = Vec::new();
    let mut previous = 0;
    for (position, &value) in values.iter().enumerate() {
        match scaled(value, power) {
            Some(integer) => previous = integer,
            None => exceptions.push((position, value.to_bits())),
        }
        integers.push(previous);
    }
    // An exception takes at least nine bytes, and a decimal often takes less than two.
    if exceptions.len() * 8 > values.len() {
        return all_ordered(values, head);
    }
    head.push(DECIMAL);
    head.push(exponent as u8);
    varint::write(exceptions.len() as u64, head);
    let mut next = 0;
    for &(position, _) in &exceptions {
        varint::write((position - next) as u64, head);
        next = position + 1;
    }
    for &(_, bits) in &exceptions {
        head.extend_from_slice(&bits.to_le_bytes());
    }
    integers
}

/// Appends `values` in an encoding that is larger than a finished [`draft`], but faster to produce.
pub(crate) fn encode_plain(values: &[f64], out: &mut Vec<u8>) {
    let integers = all_ordered(values, out);
    integer::encode_plain(&integers, out);
}

/// Replaces `out` with `count` values. An error leaves `out` unspecified.
pub fn decode_with(
    bytes: &[u8],
    count: usize,
    table: Option<&Decoder>,
    out: &mut Vec<f64>,
) -> Result<(), Error> {
    out.clear();
    let (method, mut rest) = start(bytes, count)?;
    let mut integers = Vec::new();
    if method == ORDERED {
        integer::decode_with(rest, count, table, &mut integers)?;
        out.extend(integers.iter().map(|&integer| f64::from_bits(unordered(integer))));
        return Ok(());
    }
    if method != DECIMAL {
        return Err(Error::UnknownMethod(method));
    }
    let exponent = usize::from(byte(&mut rest)?);
    let power = *POWERS.get(exponent).ok_or(Error::Corrupt)?;
    let n_exceptions = varint::read_length(&mut rest, count)?;
    let mut positions = Vec::with_capacity(n_exceptions.min(rest.len()));
    let mut next = 0_usize;
    for _ in 0..n_exceptions {
        let position = varint::read_length(&mut rest, count)?.saturating_add(next);
        next = position + 1;
        positions.push(position);
    }
    let exact = take(&mut rest, n_exceptions.saturating_mul(8))?;
    integer::decode_with(rest, count, table, &mut integers)?;
    out.extend(integers.iter().map(|&integer| integer as f64 / power));
    for (&position, bits) in positions.iter().zip(exact.as_chunks::<8>().0) {
        *out.get_mut(position).ok_or(Error::Corrupt)? = f64::from_bits(u64::from_le_bytes(*bits));
    }
    Ok(())
}

fn all_ordered(values: &[f64], head: &mut Vec<u8>) -> Vec<i64> {
    head.push(ORDERED);
    values.iter().map(|value| ordered(value.to_bits())).collect()
}

#[inline]
fn scaled(value: f64, power: f64) -> Option<i64> {
    let product = value * power;
    // Adding and subtracting 1.5·2^52 rounds to the nearest integer without a function call.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let rounded = if product.abs() < 2_251_799_813_685_248.0 {
        product + ROUND - ROUND
    } else {
        product.round_ties_even()
    };
    let exact = (rounded / power).to_bits() == value.to_bits();
    // -0.0 would be decoded as 0.0. NaN and infinity fail the comparison.
    (exact && rounded.abs() <= EXACT_MAX && !(rounded == 0.0 && value.is_sign_negative()))
        .then_some(rounded as i64)
}

fn sampled_exponent(values: &[f64]) -> Option<usize> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let (mut exponent, mut sampled, mut failed) = (0, 0, 0);
    for &value in values.iter().step_by(stride) {
        sampled += 1;
        let needed = POWERS
            .iter()
            .enumerate()
            .skip(exponent)
            .find_map(|(at, &power)| scaled(value, power).map(|_| at));
        match needed {
            Some(needed) => exponent = needed,
            // The exponent only increases. A value that is exact only with a smaller exponent
            // counts as failed.
            None => failed += 1,
        }
    }
    (failed * 8 <= sampled).then_some(exponent)
}

/// Converts float bits to an integer with the same order.
fn ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn unordered(integer: i64) -> u64 {
    ordered(integer as u64) as u64
}
