//! Uses front coding to encode dictionaries whose neighbouring strings are similar, and encodes the
//! codes that refer to dictionary entries. For each string, front coding stores the length of the
//! prefix that it shares with the previous string, and the remaining bytes.
//!
//! ```text
//! Dictionary │ shared bytes of each │ other bytes of each │ n <varint> │
//!            │ list of the n bytes that occur, most frequent first │
//!            │ the other bytes end to end, each as its position in the list │
//! Codes      │ 0 │ codes │   or   │ 1 │ zigzag(code − previous) of each │
//! ```
//! A part without a width is a list of numbers: a table for this list, the number of the following
//! bytes as a varint, and the values (see `huffman`). An empty list takes no bytes.

use super::huffman::{CodeTable, Decoder, Histogram};
use super::varint::{self, unzigzag, zigzag};
use super::{Error, TEXT_BYTES_MAX, finish, start, take};
use tidemark_model::bug::OrBug;

/// The maximum size, in bytes, of a dictionary's strings without their shared prefixes.
const OTHERS_BYTES_MAX: usize = 1 << 20;

/// Appends the encoding of `strings` to `out`.
pub fn encode<'a>(strings: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    let (mut shared, mut others, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut previous: &[u8] = &[];
    for string in strings {
        let string = string.as_bytes();
        let alike = string.iter().zip(previous).take_while(|(a, b)| a == b).count();
        shared.push(alike as u64);
        others.push((string.len() - alike) as u64);
        text.extend_from_slice(string.get(alike..).or_bug());
        previous = string;
    }
    write(&shared, out);
    write(&others, out);
    let mut counts = [0_u32; 256];
    for &byte in &text {
        counts[usize::from(byte)] += 1;
    }
    varint::write(counts.iter().filter(|&&count| count > 0).count() as u64, out);
    let mut places = [0_u64; 256];
    for place in 0.. {
        let most = (0..=u8::MAX).max_by_key(|&byte| counts[usize::from(byte)]).unwrap_or_default();
        if std::mem::take(&mut counts[usize::from(most)]) == 0 {
            break;
        }
        out.push(most);
        places[usize::from(most)] = place;
    }
    let places: Vec<u64> = text.iter().map(|&byte| places[usize::from(byte)]).collect();
    write(&places, out);
}

/// Decodes `count` strings, which take all of `bytes`, and passes them to `sink` in order.
pub fn decode(bytes: &[u8], count: usize, mut sink: impl FnMut(&str)) -> Result<(), Error> {
    let mut rest = bytes;
    let shared = read(&mut rest, count)?;
    let others = read(&mut rest, count)?;
    let length = others.iter().try_fold(0_u64, |sum, &more| sum.checked_add(more));
    let length = usize::try_from(length.ok_or(Error::TooMany)?).map_err(|_| Error::TooMany)?;
    let n = varint::read_length(&mut rest, 256)?;
    let alphabet = take(&mut rest, n)?;
    let text: Vec<u8> = read(&mut rest, length)?
        .iter()
        .map(|&place| usize::try_from(place).ok().and_then(|place| alphabet.get(place)).copied())
        .collect::<Option<_>>()
        .ok_or(Error::Corrupt)?;
    finish(rest)?;
    let (mut text, mut string, mut expanded) = (text.as_slice(), Vec::new(), 0);
    for (&shared, &others) in shared.iter().zip(&others) {
        let shared = usize::try_from(shared).map_err(|_| Error::Corrupt)?;
        if shared > string.len() {
            return Err(Error::Corrupt);
        }
        string.truncate(shared);
        string.extend_from_slice(take(&mut text, others as usize)?);
        expanded += string.len();
        if expanded > TEXT_BYTES_MAX {
            return Err(Error::TooMany);
        }
        sink(std::str::from_utf8(&string).map_err(|_| Error::NotUtf8)?);
    }
    Ok(())
}

pub(crate) fn encode_codes(codes: &[u64], out: &mut Vec<u8>) {
    let before = std::iter::once(&0).chain(codes);
    let deltas: Vec<u64> = codes
        .iter()
        .zip(before)
        .map(|(code, before)| zigzag(code.wrapping_sub(*before) as i64))
        .collect();
    let bytes = |values: &[u64]| {
        let histogram = Histogram::count(values);
        histogram.bytes(&CodeTable::for_counts(&histogram))
    };
    let by_deltas = bytes(&deltas) < bytes(codes);
    out.push(u8::from(by_deltas));
    write(if by_deltas { &deltas } else { codes }, out);
}

pub(crate) fn decode_codes(bytes: &[u8], count: usize) -> Result<Vec<u64>, Error> {
    let (method, mut rest) = start(bytes, count)?;
    let mut codes = read(&mut rest, count)?;
    let mut before = 0_u64;
    match method {
        0 => {}
        1 => codes.iter_mut().for_each(|code| {
            *code = before.wrapping_add(unzigzag(*code) as u64);
            before = *code;
        }),
        _ => return Err(Error::UnknownMethod(method)),
    }
    finish(rest)?;
    Ok(codes)
}

fn write(values: &[u64], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let table = CodeTable::for_counts(&Histogram::count(values));
    table.write(out);
    varint::write_counted(out, |out| table.encode(values, out));
}

fn read(bytes: &mut &[u8], count: usize) -> Result<Vec<u64>, Error> {
    let mut values = Vec::new();
    if count > OTHERS_BYTES_MAX {
        return Err(Error::TooMany);
    }
    if count > 0 {
        let decoder = Decoder::read(bytes)?;
        decoder.decode(varint::read_bytes(bytes)?, count, &mut values)?;
    }
    Ok(values)
}
