//! Encodes unsigned integers as the signed integers with the same bits.

use super::draft::Draft;
use super::huffman::Decoder;
use super::{Error, integer};

/// Returns a draft that consists of `head` and the encoded `values`. [`integer::draft`] encodes the
/// bits.
pub fn draft(values: &[u64], head: Vec<u8>) -> Draft {
    let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    integer::draft(&signed, head)
}

pub(crate) fn encode_soon(values: &[u64], out: &mut Vec<u8>) {
    let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    integer::encode_soon(&signed, out);
}

/// Replaces the contents of `out` with `count` values.
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
