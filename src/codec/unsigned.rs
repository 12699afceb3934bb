//! Encodes unsigned integers as the signed integers with the same bits, whose differences wrap
//! alike.

use super::draft::Draft;
use super::huffman::Decoder;
use super::{Error, integer};

/// The encoding of `values` behind `head`, to be finished: [`integer::draft`] of the same bits.
pub fn draft(values: &[u64], head: Vec<u8>) -> Draft {
    let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    integer::draft(&signed, head)
}

/// Appends `values` for a reader who comes soon, as [`integer::encode_soon`] does.
pub fn encode_soon(values: &[u64], out: &mut Vec<u8>) {
    let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    integer::encode_soon(&signed, out);
}

/// Replaces the contents of `out` with exactly `count` values.
///
/// # Errors
/// Those of [`integer::decode`].
pub fn decode_with(
    bytes: &[u8],
    count: usize,
    table: Option<&Decoder>,
    out: &mut Vec<u64>,
) -> Result<(), Error> {
    let mut signed = Vec::new();
    integer::decode_with(bytes, count, table, &mut signed)?;
    out.clear();
    out.extend(signed.iter().map(|&value| value as u64));
    Ok(())
}
