//! A column to bytes and back: its validity, then the values that exist, by their type's codec.
//!
//! ```text
//! │ bytes <varint> │ validity (codec) │ values (codec), only those that exist │
//! ```

use super::bitmap::{Bitmap, Validity};
use super::column::{Column, StringColumn, Values};
use crate::codec::{self, Error, varint};
use crate::model::value::FieldType;

/// Appends rows `rows` of `column`, in that order. A row number past the end counts as null.
pub fn encode(column: &Column, rows: &[u32], out: &mut Vec<u8>) {
    let mut validity = Vec::new();
    let some_rows: Vec<u32>;
    let valid = match &column.validity {
        Validity::All => {
            codec::validity::encode(
                Bitmap::filled(rows.len(), true).words(),
                rows.len(),
                &mut validity,
            );
            rows
        }
        Validity::Some(bits) => {
            let mut picked = Bitmap::default();
            rows.iter().for_each(|&row| picked.push(bits.get(row as usize)));
            codec::validity::encode(picked.words(), rows.len(), &mut validity);
            some_rows = rows.iter().copied().filter(|&row| bits.get(row as usize)).collect();
            &some_rows
        }
    };
    varint::write(validity.len() as u64, out);
    out.append(&mut validity);
    match &column.values {
        Values::Float(values) => codec::float::encode(&gather(values, valid), out),
        Values::Integer(values) => codec::integer::encode(&gather(values, valid), out),
        Values::Unsigned(values) => codec::unsigned::encode(&gather(values, valid), out),
        Values::Boolean(values) => codec::boolean::encode(&gather(values, valid), out),
        Values::String(values) => {
            encode_strings(valid.iter().map(|&r| values.get(r as usize)), out)
        }
    }
}

/// The column of `count` rows and type `field_type` that [`encode`] wrote as all of `bytes`.
///
/// # Errors
/// Any [`Error`] of the codecs.
pub fn decode(bytes: &[u8], field_type: FieldType, count: usize) -> Result<Column, Error> {
    let mut rest = bytes;
    let length = varint::read_length(&mut rest, bytes.len())?;
    let (validity, values) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    let mut words = Vec::new();
    codec::validity::decode(validity, count, &mut words)?;
    let bits = Bitmap::from_words(words, count).ok_or(Error::Corrupt)?;
    let n_valid = bits.count_ones();
    let values = match field_type {
        FieldType::Float => {
            let mut dense = Vec::new();
            codec::float::decode(values, n_valid, &mut dense)?;
            Values::Float(scatter(dense, &bits))
        }
        FieldType::Integer => {
            let mut dense = Vec::new();
            codec::integer::decode(values, n_valid, &mut dense)?;
            Values::Integer(scatter(dense, &bits))
        }
        FieldType::Unsigned => {
            let mut dense = Vec::new();
            codec::unsigned::decode(values, n_valid, &mut dense)?;
            Values::Unsigned(scatter(dense, &bits))
        }
        FieldType::Boolean => {
            let mut dense = Vec::new();
            codec::boolean::decode(values, n_valid, &mut dense)?;
            Values::Boolean(scatter(dense, &bits))
        }
        FieldType::String => {
            Values::String(scatter_strings(decode_strings(values, n_valid)?, &bits))
        }
    };
    let validity = if n_valid == count { Validity::All } else { Validity::Some(bits) };
    Ok(Column { values, validity })
}

/// Appends `strings` by the string codec.
pub fn encode_strings<'a>(strings: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    let joined: StringColumn = strings.collect();
    let (text, ends) = joined.parts();
    codec::string::encode(text, ends, out);
}

/// The `count` strings that [`encode_strings`] wrote as all of `bytes`.
///
/// # Errors
/// Any [`Error`] of the string codec.
pub fn decode_strings(bytes: &[u8], count: usize) -> Result<StringColumn, Error> {
    let (mut text, mut ends) = (String::new(), Vec::new());
    codec::string::decode(bytes, count, &mut text, &mut ends)?;
    StringColumn::from_parts(text, ends).ok_or(Error::Corrupt)
}

fn gather<T: Copy + Default>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values.get(row as usize).copied().unwrap_or_default()).collect()
}

/// Puts one value at each set bit and padding between.
fn scatter<T: Copy + Default>(dense: Vec<T>, bits: &Bitmap) -> Vec<T> {
    if dense.len() == bits.len() {
        return dense;
    }
    let mut next = dense.into_iter();
    bits.iter()
        .map(|valid| if valid { next.next().unwrap_or_default() } else { T::default() })
        .collect()
}

fn scatter_strings(dense: StringColumn, bits: &Bitmap) -> StringColumn {
    if dense.len() == bits.len() {
        return dense;
    }
    let mut next = 0;
    bits.iter()
        .map(|valid| {
            let index = next;
            next += usize::from(valid);
            if valid { dense.get(index) } else { "" }
        })
        .collect()
}
