//! Encodes signed integers as a constant, as offsets from the smallest value, or as differences.
//!
//! ```text
//! CONSTANT  0 │ value <zigzag varint>
//! OFFSET    1 │ smallest <zigzag varint> │ residuals: value − smallest
//! DELTA     2 │ first <zigzag varint>    │ residuals: zigzag(value − previous)
//! PLAIN     3 │ smallest <zigzag varint> │ width <1> │ value − smallest, `width` bytes each
//! ```
//! PLAIN (width 1, 2, 4 or 8) is for data that is decoded soon and not stored. Residuals are runs
//! of `bitpack`, or, if 0x80 is added to the method, `huffman` codes with the column's table.
//! Differences wrap around. An empty slice takes only the method byte.

use super::draft::{Draft, HUFFMAN_BIT, residuals};
use super::huffman::Decoder;
use super::varint::{self, unzigzag, zigzag};
use super::{Error, bitpack, byte, finish, start, take};

const CONSTANT: u8 = 0;
const OFFSET: u8 = 1;
const DELTA: u8 = 2;
const PLAIN: u8 = 3;
/// The maximum number of bytes by which a value in whole bytes may be larger than its packed form.
/// Whole bytes are faster to decode than packed bits.
const BYTES_MORE_MAX: usize = 2;

/// Appends the encoding of `values` to `out`.
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    let head = std::mem::take(out);
    *out = draft(values, head).finish(None);
}

/// Appends `values` as whole bytes, unless the result would be much larger than the result of
/// [`encode`].
pub(crate) fn encode_soon(values: &[i64], out: &mut Vec<u8>) {
    let bounds = Bounds::of(values);
    let width = bounds.width();
    if width <= BYTES_MORE_MAX {
        return encode_whole(values, &bounds, out);
    }
    let draft = draft(values, Vec::new());
    match width * values.len() <= draft.packed_bytes() + BYTES_MORE_MAX * values.len() {
        true => encode_whole(values, &bounds, out),
        false => out.append(&mut draft.finish(None)),
    }
}

/// Appends `values` as whole bytes. The result is larger than that of [`encode`], but is faster to
/// produce.
pub(crate) fn encode_plain(values: &[i64], out: &mut Vec<u8>) {
    encode_whole(values, &Bounds::of(values), out);
}

/// Appends `values` as whole bytes. Equal values take no bytes.
fn encode_whole(values: &[i64], bounds: &Bounds, out: &mut Vec<u8>) {
    let &Bounds { smallest, largest } = bounds;
    if smallest >= largest {
        return encode(values, out);
    }
    let width = bounds.width();
    out.push(PLAIN);
    varint::write_signed(smallest, out);
    out.push(width as u8);
    let offsets = values.iter().map(|value| value.wrapping_sub(smallest));
    match width {
        1 => out.extend(offsets.map(|offset| offset as u8)),
        2 => out.extend(offsets.flat_map(|offset| (offset as u16).to_le_bytes())),
        4 => out.extend(offsets.flat_map(|offset| (offset as u32).to_le_bytes())),
        _ => out.extend(offsets.flat_map(i64::to_le_bytes)),
    }
}

/// The smallest and the largest value. For an empty slice, `smallest` exceeds `largest`.
struct Bounds {
    smallest: i64,
    largest: i64,
}

impl Bounds {
    fn of(values: &[i64]) -> Self {
        let none = Self { smallest: i64::MAX, largest: i64::MIN };
        values.iter().fold(none, |Self { smallest, largest }, &value| Self {
            smallest: smallest.min(value),
            largest: largest.max(value),
        })
    }

    fn width(&self) -> usize {
        match self.largest.wrapping_sub(self.smallest) as u64 {
            _ if self.smallest > self.largest => 1,
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        }
    }
}

/// Returns a draft that consists of `head` and the encoded `values`.
pub fn draft(values: &[i64], mut head: Vec<u8>) -> Draft {
    let at = head.len();
    head.push(CONSTANT);
    let Some((&first, rest)) = values.split_first() else { return Draft::done(head) };
    let Bounds { smallest, largest } = Bounds::of(values);
    if smallest == largest {
        varint::write_signed(first, &mut head);
        return Draft::done(head);
    }
    let mut deltas = Vec::with_capacity(rest.len());
    deltas.extend(values.iter().zip(rest).map(|(a, b)| zigzag(b.wrapping_sub(*a))));
    let mut chosen = (DELTA, first, deltas);
    let mut bytes = bitpack::estimate(&chosen.2);
    // With differences this small, offsets could save only the bytes of the exceptions.
    let range_bits = u64::BITS - (largest.wrapping_sub(smallest) as u64).leading_zeros();
    if bytes * 16 >= values.len() * range_bits as usize {
        let mut offsets = Vec::with_capacity(values.len());
        offsets.extend(values.iter().map(|value| value.wrapping_sub(smallest) as u64));
        let offsets_bytes = bitpack::estimate(&offsets);
        if offsets_bytes <= bytes {
            (chosen, bytes) = ((OFFSET, smallest, offsets), offsets_bytes);
        }
    }
    let (method, first, residuals) = chosen;
    if let Some(byte) = head.get_mut(at) {
        *byte = method;
    }
    varint::write_signed(first, &mut head);
    Draft::open(head, at, residuals, bytes)
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
    if count == 0 {
        return if method == CONSTANT { finish(rest) } else { Err(Error::UnknownMethod(method)) };
    }
    let first = varint::read_signed(&mut rest)?;
    match method & !HUFFMAN_BIT {
        CONSTANT if method == CONSTANT => {
            out.resize(count, first);
            finish(rest)?;
        }
        OFFSET => {
            let offsets = residuals(method, rest, count, table)?;
            out.extend(offsets.iter().map(|&offset| first.wrapping_add(offset as i64)));
        }
        DELTA => {
            let deltas = residuals(method, rest, count - 1, table)?;
            let mut value = first;
            out.reserve(count);
            out.push(value);
            out.extend(deltas.iter().map(|&delta| {
                value = value.wrapping_add(unzigzag(delta));
                value
            }));
        }
        PLAIN if method == PLAIN => decode_plain(rest, count, first, out)?,
        _ => return Err(Error::UnknownMethod(method)),
    }
    Ok(())
}

fn decode_plain(
    mut bytes: &[u8],
    count: usize,
    smallest: i64,
    out: &mut Vec<i64>,
) -> Result<(), Error> {
    let width = byte(&mut bytes)?;
    let offsets = take(&mut bytes, count.saturating_mul(usize::from(width)))?;
    finish(bytes)?;
    let value = |offset: u64| smallest.wrapping_add(offset as i64);
    match width {
        1 => out.extend(offsets.iter().map(|&offset| value(u64::from(offset)))),
        2 => out.extend(whole(offsets).map(|offset| value(u64::from(u16::from_le_bytes(offset))))),
        4 => out.extend(whole(offsets).map(|offset| value(u64::from(u32::from_le_bytes(offset))))),
        8 => out.extend(whole(offsets).map(|offset| value(u64::from_le_bytes(offset)))),
        _ => return Err(Error::Corrupt),
    }
    Ok(())
}

fn whole<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}
