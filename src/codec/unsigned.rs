//! Unsigned integers, as the signed integers with the same bits (differences wrap alike).

use super::{Error, integer};

/// Appends the encoding of `values` to `out`: [`integer::encode`] of the same bits.
pub fn encode(values: &[u64], out: &mut Vec<u8>) {
    let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    integer::encode(&signed, out);
}

/// Replaces the contents of `out` with exactly `count` values.
///
/// # Errors
/// Those of [`integer::decode`].
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<u64>) -> Result<(), Error> {
    let mut signed = Vec::new();
    integer::decode(bytes, count, &mut signed)?;
    out.clear();
    out.extend(signed.iter().map(|&value| value as u64));
    Ok(())
}
