//! Encodes strings as a dictionary with codes if they repeat, and otherwise as lengths and text.
//!
//! ```text
//! PLAIN       0 │ lengths <counted integers> │ text
//! DICTIONARY  1 │ n <varint> │ lengths of the n distinct strings <counted integers>
//!               │ codes <counted integers> │ text of the n strings
//! counted integers: bytes <varint> │ the integer codec's bytes
//! ```
//! A code is the position of a string in the dictionary. The dictionary has the order of first
//! appearance.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{Error, TEXT_BYTES_MAX, integer, start, varint};
use tidemark_model::bug::OrBug;

const PLAIN: u8 = 0;
const DICTIONARY: u8 = 1;

/// The number of strings whose lengths need no allocation.
const FEW_STRINGS: usize = 8;

/// Appends the encoding of the strings in `text`. String i ends at `ends[i]`.
pub fn encode(text: &str, ends: &[u32], out: &mut Vec<u8>) {
    match dictionary(text, ends) {
        Some((entries, codes)) => {
            out.push(DICTIONARY);
            varint::write(entries.len() as u64, out);
            let lengths: Vec<i64> = entries.iter().map(|entry| entry.len() as i64).collect();
            encode_counted(&lengths, out);
            encode_counted(&codes, out);
            for entry in &entries {
                out.extend_from_slice(entry.as_bytes());
            }
        }
        None => {
            out.push(PLAIN);
            encode_counted(&lengths_of(ends), out);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn lengths_of(ends: &[u32]) -> SmallVec<[i64; FEW_STRINGS]> {
    let mut before = 0;
    let length = |&end| i64::from(end) - i64::from(std::mem::replace(&mut before, end));
    ends.iter().map(length).collect()
}

/// Appends the encoding of strings that are already a dictionary and codes. Code c selects the
/// string that ends at `ends[c]`.
pub(crate) fn encode_coded(text: &str, ends: &[u32], codes: &[u32], out: &mut Vec<u8>) {
    out.push(DICTIONARY);
    varint::write(ends.len() as u64, out);
    encode_counted(&lengths_of(ends), out);
    let codes: Vec<i64> = codes.iter().map(|&code| i64::from(code)).collect();
    varint::write_counted(out, |out| integer::encode_plain(&codes, out));
    out.extend_from_slice(text.as_bytes());
}

/// Replaces `text` and `ends` with `count` strings, or with a dictionary and `count` codes. An
/// error leaves them unspecified.
pub fn decode(
    bytes: &[u8],
    count: usize,
    text: &mut String,
    ends: &mut Vec<u32>,
) -> Result<Option<Vec<u32>>, Error> {
    text.clear();
    ends.clear();
    let (method, mut rest) = start(bytes, count)?;
    let mut codes = None;
    let lengths = match method {
        PLAIN => decode_counted(&mut rest, count)?,
        DICTIONARY => {
            let n_entries = varint::read_length(&mut rest, count)?;
            let lengths = decode_counted(&mut rest, n_entries)?;
            codes = Some(checked_codes(&decode_counted(&mut rest, count)?, &lengths)?);
            lengths
        }
        _ => return Err(Error::UnknownMethod(method)),
    };
    ends_of(&lengths, ends)?;
    text.push_str(checked_text(rest, ends)?);
    Ok(codes)
}

/// Returns the distinct strings and the code of each string, or `None` unless codes save at least
/// half of the text.
fn dictionary<'a>(text: &'a str, ends: &[u32]) -> Option<(Vec<&'a str>, Vec<i64>)> {
    if ends.len() < 4 || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    // A client that constructs hash collisions only slows down its own request.
    let mut codes_by_string: HashMap<&str, i64, foldhash::fast::FixedState> = HashMap::default();
    let mut entries: Vec<&str> = Vec::new();
    let mut codes = Vec::with_capacity(ends.len());
    let (mut before, mut entry_bytes) = (0, 0);
    for &end in ends {
        let string = text.get(before..end as usize).or_bug();
        before = end as usize;
        let next = entries.len() as i64;
        let code = *codes_by_string.entry(string).or_insert(next);
        if code == next {
            entries.push(string);
            entry_bytes += string.len() + 1;
            // Text that does not repeat among the first strings seldom repeats after them.
            if entries.len() > 1_000 && entries.len() * 2 > codes.len() {
                return None;
            }
        }
        codes.push(code);
    }
    (entry_bytes * 2 <= text.len() + ends.len()).then_some((entries, codes))
}

fn encode_counted(integers: &[i64], out: &mut Vec<u8>) {
    varint::write_counted(out, |out| integer::encode(integers, out));
}

fn decode_counted(bytes: &mut &[u8], count: usize) -> Result<Vec<i64>, Error> {
    let mut integers = Vec::new();
    integer::decode(varint::read_bytes(bytes)?, count, &mut integers)?;
    Ok(integers)
}

fn ends_of(lengths: &[i64], ends: &mut Vec<u32>) -> Result<(), Error> {
    let mut end = 0_u32;
    ends.reserve(lengths.len());
    for &length in lengths {
        let length = u32::try_from(length).map_err(|_| Error::Corrupt)?;
        end = end.checked_add(length).ok_or(Error::TooMany)?;
        ends.push(end);
    }
    Ok(())
}

/// Checks that `bytes` are UTF-8, that each of `ends` is a character boundary, and that the last of
/// `ends` is the end of `bytes`.
fn checked_text<'a>(bytes: &'a [u8], ends: &[u32]) -> Result<&'a str, Error> {
    let length = ends.last().map_or(0, |&end| end as usize);
    match bytes.len() {
        have if have < length => return Err(Error::Truncated),
        have if have > length => return Err(Error::Trailing),
        _ => {}
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
    let cut = ends.iter().all(|&end| text.is_char_boundary(end as usize));
    if cut { Ok(text) } else { Err(Error::NotUtf8) }
}

/// Checks that each code has an entry, and that the expanded text does not exceed `TEXT_BYTES_MAX`.
fn checked_codes(codes: &[i64], lengths: &[i64]) -> Result<Vec<u32>, Error> {
    let mut text_bytes = 0_u64;
    let mut checked = Vec::with_capacity(codes.len());
    for &code in codes {
        let entry = usize::try_from(code).map_err(|_| Error::Corrupt)?;
        text_bytes = text_bytes.saturating_add(*lengths.get(entry).ok_or(Error::Corrupt)? as u64);
        checked.push(code as u32);
    }
    if text_bytes > TEXT_BYTES_MAX as u64 { Err(Error::TooMany) } else { Ok(checked) }
}
