//! Encodes and decodes a column: the validity, and then the values without nulls.
//!
//! ```text
//! │ bytes <varint> │ validity (codec) │ values (codec), only those that exist │
//! ```
//! An empty validity means that every row has a value.

use std::borrow::Cow;
use std::ops::Range;

use super::bitmap::{Bitmap, Validity};
use super::column::{Column, StringColumn, Values};
use crate::codec::draft::Draft;
use crate::codec::huffman::Decoder;
use crate::codec::{self, Error, varint};
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// Appends the rows `rows` of `column` in the given order. A row after the end counts as null.
pub fn encode(column: &Column, rows: &[u32], out: &mut Vec<u8>) {
    let valid = encode_validity(column, Picked::new(rows), out);
    match &column.values {
        Values::Float(values) => codec::float::encode_soon(&valid.of(values), out),
        Values::Integer(values) => codec::integer::encode_soon(&valid.of(values), out),
        Values::Unsigned(values) => codec::unsigned::encode_soon(&valid.of(values), out),
        Values::Boolean(values) => codec::boolean::encode(&valid.of(values), out),
        Values::String(values) => encode_picked(values, &valid, out),
    }
}

/// Appends all rows of `column` in an encoding for data that is not stored. This encoding takes
/// less time to produce than the encoding of [`encode`].
pub(crate) fn encode_plain(column: &Column, out: &mut Vec<u8>) {
    match (&column.values, &column.validity) {
        (Values::Integer(values), Validity::All) => {
            out.push(0);
            codec::integer::encode_plain(values, out);
        }
        (Values::Float(values), Validity::All) => {
            out.push(0);
            codec::float::encode_plain(values, out);
        }
        _ => {
            let rows: Vec<u32> = (0..column.len() as u32).collect();
            encode(column, &rows, out);
        }
    }
}

enum Picked<'a> {
    These(Cow<'a, [u32]>),
    Consecutive(u32, u32),
}

impl<'a> Picked<'a> {
    fn new(rows: &'a [u32]) -> Self {
        match *rows {
            [first, ..] if rows.iter().copied().eq((first..).take(rows.len())) => {
                Self::Consecutive(first, first + rows.len() as u32)
            }
            _ => Self::These(rows.into()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let (these, range) = match self {
            Self::These(rows) => (&**rows, 0..0),
            Self::Consecutive(start, end) => (&[][..], *start..*end),
        };
        these.iter().copied().chain(range)
    }

    fn of<'v, T: Copy + Default>(&self, values: &'v [T]) -> Cow<'v, [T]> {
        if let Self::Consecutive(start, end) = *self
            && let Some(values) = values.get(start as usize..end as usize)
        {
            return Cow::Borrowed(values);
        }
        let value = |row: u32| values.get(row as usize).copied().or_bug();
        Cow::Owned(self.iter().map(value).collect())
    }
}

pub(crate) fn draft_rows(column: &Column, rows: Range<usize>) -> Draft {
    let rows = Picked::Consecutive(rows.start as u32, rows.end as u32);
    let mut head = Vec::new();
    let valid = encode_validity(column, rows, &mut head);
    match &column.values {
        Values::Float(values) => return codec::float::draft(&valid.of(values), head),
        Values::Integer(values) => return codec::integer::draft(&valid.of(values), head),
        Values::Unsigned(values) => return codec::unsigned::draft(&valid.of(values), head),
        Values::Boolean(values) => codec::boolean::encode(&valid.of(values), &mut head),
        Values::String(values) => encode_picked(values, &valid, &mut head),
    }
    Draft::done(head)
}

fn encode_validity<'a>(column: &Column, rows: Picked<'a>, out: &mut Vec<u8>) -> Picked<'a> {
    match &column.validity {
        Validity::Some(bits) if rows.iter().any(|row| !bits.get(row as usize)) => {
            let mut picked = Bitmap::default();
            rows.iter().for_each(|row| picked.push(bits.get(row as usize)));
            let mut validity = Vec::new();
            codec::validity::encode(picked.words(), picked.len(), &mut validity);
            varint::write(validity.len() as u64, out);
            out.append(&mut validity);
            Picked::These(rows.iter().filter(|&row| bits.get(row as usize)).collect())
        }
        _ => {
            out.push(0);
            rows
        }
    }
}

fn encode_picked(values: &StringColumn, rows: &Picked<'_>, out: &mut Vec<u8>) {
    encode_strings(rows.iter().map(|row| values.get(row as usize)), out);
}

/// Decodes a column with `count` rows. The column must take all of `bytes`.
pub fn decode(bytes: &[u8], field_type: FieldType, count: usize) -> Result<Column, Error> {
    decode_with(bytes, field_type, count, None)
}

/// Decodes like [`decode`]. The encoding may use `table`.
pub fn decode_with(
    bytes: &[u8],
    field_type: FieldType,
    count: usize,
    table: Option<&Decoder>,
) -> Result<Column, Error> {
    let mut rest = bytes;
    let length = varint::read_length(&mut rest, bytes.len())?;
    let (validity, values) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    let bits = if validity.is_empty() {
        None
    } else {
        let mut words = Vec::new();
        codec::validity::decode(validity, count, &mut words)?;
        Some(Bitmap::from_words(words, count).ok_or(Error::Corrupt)?)
    };
    let n_valid = bits.as_ref().map_or(count, Bitmap::count_ones);
    let values = match field_type {
        FieldType::Float => {
            let mut dense = Vec::new();
            codec::float::decode_with(values, n_valid, table, &mut dense)?;
            Values::Float(scatter(dense, bits.as_ref()))
        }
        FieldType::Integer => {
            let mut dense = Vec::new();
            codec::integer::decode_with(values, n_valid, table, &mut dense)?;
            Values::Integer(scatter(dense, bits.as_ref()))
        }
        FieldType::Unsigned => {
            let mut dense = Vec::new();
            codec::unsigned::decode_with(values, n_valid, table, &mut dense)?;
            Values::Unsigned(scatter(dense, bits.as_ref()))
        }
        FieldType::Boolean => {
            let mut dense = Vec::new();
            codec::boolean::decode(values, n_valid, &mut dense)?;
            Values::Boolean(scatter(dense, bits.as_ref()))
        }
        FieldType::String => {
            Values::String(scatter_strings(decode_strings(values, n_valid)?, bits.as_ref()))
        }
    };
    let validity = bits.filter(|_| n_valid < count).map_or(Validity::All, Validity::Some);
    Ok(Column { values, validity })
}

pub(crate) fn encode_strings<'a>(strings: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    encode_whole(&strings.collect(), out);
}

/// Appends all strings of a column without codes.
pub(crate) fn encode_whole(strings: &StringColumn, out: &mut Vec<u8>) {
    let (text, ends) = strings.parts();
    codec::string::encode(text, ends, out);
}

/// Decodes the `count` strings that [`encode_strings`] wrote. The strings must take all of `bytes`.
pub(crate) fn decode_strings(bytes: &[u8], count: usize) -> Result<StringColumn, Error> {
    let (mut text, mut ends) = (String::new(), Vec::new());
    let codes = codec::string::decode(bytes, count, &mut text, &mut ends)?;
    let strings = StringColumn::from_parts(text, ends).ok_or(Error::Corrupt)?;
    match codes {
        None => Ok(strings),
        Some(codes) => StringColumn::coded(strings, codes).ok_or(Error::Corrupt),
    }
}

fn scatter<T: Copy + Default>(dense: Vec<T>, bits: Option<&Bitmap>) -> Vec<T> {
    let Some(bits) = bits else { return dense };
    let mut next = dense.into_iter();
    bits.iter()
        .map(|valid| if valid { next.next().unwrap_or_default() } else { T::default() })
        .collect()
}

fn scatter_strings(dense: StringColumn, bits: Option<&Bitmap>) -> StringColumn {
    let Some(bits) = bits else { return dense };
    let mut next = 0;
    let picks: Vec<Option<usize>> = bits
        .iter()
        .map(|valid| {
            next += usize::from(valid);
            valid.then(|| next - 1)
        })
        .collect();
    dense.spread(&picks)
}
