//! A page of a scan to bytes and back: columns by their codecs, drawn in `PROTOCOL.md`, "Scan page".
//!
//! The resume key and the cost travel in the message's header; these bytes are its groups.

use crate::batch::column::Column;
use crate::batch::column::StringColumn;
use crate::batch::column_bytes;
use crate::codec::{self, VALUES_MAX, varint};
use crate::model::limits::PAGE_COLUMNS_MAX;
use crate::model::value::FieldType;
use crate::scan::page::{BesideColumn, Group, GroupData, PartialColumn};

const ROWS: u8 = 0;
const PARTIALS: u8 = 1;
const FIELD: u8 = 0;
const TAG: u8 = 1;

/// Why bytes are no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The bytes end early, or go on, or name something unknown.
    #[error("a scan page cannot be read")]
    Malformed,
    /// A column does not decode.
    #[error("a scan page's column cannot be read: {0}")]
    Column(#[from] codec::Error),
}

/// The bytes of `groups`.
pub fn encode(groups: &[Group]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut part = Vec::new();
    varint::write(groups.len() as u64, &mut out);
    for group in groups {
        varint::write(group.key.len() as u64, &mut out);
        for value in &group.key {
            part.extend_from_slice(value.as_bytes());
            finish_part(&mut part, &mut out);
        }
        match &group.data {
            GroupData::Rows { times_ns, fields, tags } => {
                out.push(ROWS);
                encode_times(times_ns, &mut part, &mut out);
                varint::write(fields.len() as u64, &mut out);
                fields.iter().for_each(|column| encode_column(column, &mut part, &mut out));
                varint::write(tags.len() as u64, &mut out);
                tags.iter().for_each(|column| encode_strings(column, &mut part, &mut out));
            }
            GroupData::Partials(calls) => {
                out.push(PARTIALS);
                varint::write(calls.len() as u64, &mut out);
                calls.iter().for_each(|call| encode_partial(call, &mut part, &mut out));
            }
        }
    }
    out
}

/// The groups that [`encode`] wrote as all of `bytes`.
///
/// # Errors
/// [`PageError`]
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Group>, PageError> {
    let from = &mut bytes;
    let count = varint::read_length(from, VALUES_MAX)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        let keys = varint::read_length(from, PAGE_COLUMNS_MAX)?;
        let mut key = Vec::new();
        for _ in 0..keys {
            let value = std::str::from_utf8(take_part(from)?);
            key.push(value.map_err(|_| PageError::Malformed)?.to_owned());
        }
        let data = match take_byte(from)? {
            ROWS => decode_rows(from)?,
            PARTIALS => {
                let calls = varint::read_length(from, PAGE_COLUMNS_MAX)?;
                let calls: Result<_, _> = (0..calls).map(|_| decode_partial(from)).collect();
                GroupData::Partials(calls?)
            }
            _ => return Err(PageError::Malformed),
        };
        groups.push(Group { key, data });
    }
    if from.is_empty() { Ok(groups) } else { Err(PageError::Malformed) }
}

fn decode_rows(from: &mut &[u8]) -> Result<GroupData, PageError> {
    let times_ns = decode_times(from)?;
    let rows = times_ns.len();
    let fields = varint::read_length(from, PAGE_COLUMNS_MAX)?;
    let fields: Result<_, _> = (0..fields).map(|_| decode_column(from, rows)).collect();
    let tags = varint::read_length(from, PAGE_COLUMNS_MAX)?;
    let tags: Result<_, _> = (0..tags).map(|_| decode_strings(from, rows)).collect();
    Ok(GroupData::Rows { times_ns, fields: fields?, tags: tags? })
}

fn encode_partial(call: &PartialColumn, part: &mut Vec<u8>, out: &mut Vec<u8>) {
    encode_times(&call.windows_ns, part, out);
    varint::write(call.states.len() as u64, out);
    call.states.iter().for_each(|column| encode_column(column, part, out));
    varint::write(call.beside.len() as u64, out);
    for beside in &call.beside {
        match beside {
            BesideColumn::Field(column) => {
                out.push(FIELD);
                encode_column(column, part, out);
            }
            BesideColumn::Tag(column) => {
                out.push(TAG);
                encode_strings(column, part, out);
            }
        }
    }
}

fn decode_partial(from: &mut &[u8]) -> Result<PartialColumn, PageError> {
    let windows_ns = decode_times(from)?;
    let windows = windows_ns.len();
    let states = varint::read_length(from, PAGE_COLUMNS_MAX)?;
    let states: Result<_, _> = (0..states).map(|_| decode_column(from, windows)).collect();
    let count = varint::read_length(from, PAGE_COLUMNS_MAX)?;
    let mut beside = Vec::new();
    for _ in 0..count {
        beside.push(match take_byte(from)? {
            FIELD => BesideColumn::Field(decode_column(from, windows)?),
            TAG => BesideColumn::Tag(decode_strings(from, windows)?),
            _ => return Err(PageError::Malformed),
        });
    }
    Ok(PartialColumn { windows_ns, states: states?, beside })
}

fn encode_times(times_ns: &[i64], part: &mut Vec<u8>, out: &mut Vec<u8>) {
    varint::write(times_ns.len() as u64, out);
    codec::timestamp::encode(times_ns, part);
    finish_part(part, out);
}

fn decode_times(from: &mut &[u8]) -> Result<Vec<i64>, PageError> {
    let count = varint::read_length(from, VALUES_MAX)?;
    let mut times_ns = Vec::new();
    codec::timestamp::decode(take_part(from)?, count, &mut times_ns)?;
    Ok(times_ns)
}

fn encode_column(column: &Column, part: &mut Vec<u8>, out: &mut Vec<u8>) {
    out.push(column.values.field_type().code());
    column_bytes::encode_plain(column, part);
    finish_part(part, out);
}

fn decode_column(from: &mut &[u8], rows: usize) -> Result<Column, PageError> {
    let field_type = FieldType::from_code(take_byte(from)?).ok_or(PageError::Malformed)?;
    Ok(column_bytes::decode(take_part(from)?, field_type, rows)?)
}

fn encode_strings(column: &StringColumn, part: &mut Vec<u8>, out: &mut Vec<u8>) {
    let (text, ends) = column.parts();
    match column.codes() {
        None => codec::string::encode(text, ends, part),
        Some(codes) if ends.len() <= codes.len() => {
            codec::string::encode_coded(text, ends, codes, part);
        }
        Some(_) => column_bytes::encode_strings(column.iter(), part),
    }
    finish_part(part, out);
}

fn decode_strings(from: &mut &[u8], rows: usize) -> Result<StringColumn, PageError> {
    Ok(column_bytes::decode_strings(take_part(from)?, rows)?)
}

/// Appends `part` behind its length, and empties it.
fn finish_part(part: &mut Vec<u8>, out: &mut Vec<u8>) {
    varint::write(part.len() as u64, out);
    out.append(part);
}

fn take_part<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], PageError> {
    let length = varint::read_length(from, from.len())?;
    let (part, rest) = from.split_at_checked(length).ok_or(PageError::Malformed)?;
    *from = rest;
    Ok(part)
}

fn take_byte(from: &mut &[u8]) -> Result<u8, PageError> {
    let (&byte, rest) = from.split_first().ok_or(PageError::Malformed)?;
    *from = rest;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::Values;

    fn groups() -> Vec<Group> {
        let mut sparse = Column::full(Values::Integer(vec![i64::MIN]));
        sparse.push_null();
        let floats = Column::full(Values::Float(vec![-0.0, f64::INFINITY]));
        let texts: StringColumn = ["", "ü\n"].into_iter().collect();
        let partial = PartialColumn {
            windows_ns: vec![i64::MIN, 7],
            states: vec![floats.clone(), sparse.clone()],
            beside: vec![BesideColumn::Tag(texts.clone()), BesideColumn::Field(sparse.clone())],
        };
        let rows = GroupData::Rows {
            times_ns: vec![9, 3],
            fields: vec![floats, sparse],
            tags: vec![texts],
        };
        vec![
            Group { key: vec!["a".into(), String::new()], data: rows },
            Group { key: vec![], data: GroupData::Partials(vec![partial]) },
            Group { key: vec![], data: GroupData::Partials(vec![]) },
        ]
    }

    #[test]
    fn pages_round_trip() {
        assert_eq!(decode(&encode(&groups())), Ok(groups()));
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let mut bytes = encode(&groups());
        for end in 0..bytes.len() {
            assert!(decode(bytes.get(..end).unwrap()).is_err(), "{end}");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(PageError::Malformed));
    }
}
