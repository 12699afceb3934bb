//! Encodes unsigned integers as varints: one to ten bytes with seven bits each, lowest bits first.
//! Signed integers are first mapped to unsigned integers ([`zigzag`]).

use super::{Error, take};
use tidemark_model::bug::OrBug;

/// Appends `value`.
pub fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Removes one integer from the front of `bytes`.
pub fn read(bytes: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        if index == 9 && byte > 1 {
            return Err(Error::Corrupt);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = bytes.get(index + 1..).or_bug();
            return Ok(value);
        }
    }
    Err(Error::Truncated)
}

/// Reads a length or count, which must not exceed `max`.
pub(crate) fn read_length(bytes: &mut &[u8], max: usize) -> Result<usize, Error> {
    usize::try_from(read(bytes)?).ok().filter(|&length| length <= max).ok_or(Error::TooMany)
}

/// Appends the number of bytes, and then the bytes.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the number of bytes that `append` appends, and then these bytes, like [`write_bytes`].
pub(crate) fn write_counted(out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    append(out);
    let end = out.len();
    write((end - start) as u64, out);
    let length_bytes = out.len() - end;
    out.get_mut(start..).or_bug().rotate_right(length_bytes);
}

/// Removes bytes that [`write_bytes`] wrote.
pub(crate) fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = read_length(bytes, bytes.len())?;
    take(bytes, length)
}

pub(crate) fn write_signed(value: i64, out: &mut Vec<u8>) {
    write(zigzag(value), out);
}

pub(crate) fn read_signed(bytes: &mut &[u8]) -> Result<i64, Error> {
    read(bytes).map(unzigzag)
}

/// Maps 0, -1, 1, -2, … to 0, 1, 2, 3, …
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
