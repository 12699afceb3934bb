//! Encodes booleans as one bit each, or as run lengths if these are shorter.
//!
//! ```text
//! BITS  0 │ ⌈n ∕ 8⌉ bytes, value i is bit i % 8 of byte i ∕ 8, spare bits 0
//! RUNS  1 │ run lengths <varint>…, alternating false and true; the first may be 0
//! ```

use super::{Error, finish, start, take, varint};

const BITS: u8 = 0;
const RUNS: u8 = 1;

/// Appends the encoding of `values` to `out`.
pub fn encode(values: &[bool], out: &mut Vec<u8>) {
    let start = out.len();
    let bits_bytes = values.len().div_ceil(8);
    out.push(RUNS);
    let (mut value, mut length) = (false, 0_u64);
    for &next in values {
        if next != value {
            varint::write(length, out);
            (value, length) = (next, 0);
            if out.len() - start > bits_bytes {
                break;
            }
        }
        length += 1;
    }
    if length > 0 {
        varint::write(length, out);
    }
    if out.len() - start <= bits_bytes {
        return;
    }
    out.truncate(start);
    out.push(BITS);
    out.extend(values.chunks(8).map(|chunk| {
        (0..8).zip(chunk).fold(0_u8, |byte, (bit, &value)| byte | u8::from(value) << bit)
    }));
}

/// Replaces `out` with `count` values. An error leaves `out` unspecified.
pub fn decode(bytes: &[u8], count: usize, out: &mut Vec<bool>) -> Result<(), Error> {
    out.clear();
    let (method, mut rest) = start(bytes, count)?;
    match method {
        BITS => {
            let bits = take(&mut rest, count.div_ceil(8))?;
            out.extend(bits.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)));
            out.truncate(count);
        }
        RUNS => {
            let mut value = false;
            while out.len() < count {
                let length = varint::read_length(&mut rest, count - out.len())?;
                if length == 0 && (value || !out.is_empty()) {
                    return Err(Error::Corrupt);
                }
                out.resize(out.len() + length, value);
                value = !value;
            }
        }
        _ => return Err(Error::UnknownMethod(method)),
    }
    finish(rest)
}
