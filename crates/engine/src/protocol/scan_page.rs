//! Encodes and decodes the groups of a scan page (`PROTOCOL.md`, "Scan page").

use crate::batch::column::Column;
use crate::batch::column::StringColumn;
use crate::batch::column_bytes;
use crate::codec::{self, VALUES_MAX, varint};
use crate::scan::page::{AuxValues, Group, GroupData, PartialColumn};
use tidemark_model::limits::PAGE_COLUMNS_MAX;
use tidemark_model::value::FieldType;

const ROWS: u8 = 0;
const PARTIALS: u8 = 1;
const FIELD: u8 = 0;
const TAG: u8 = 1;

/// The reason why bytes are not a valid page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The bytes are truncated, have trailing data or contain an unknown code.
    #[error("a scan page cannot be read")]
    Malformed,
    /// A column cannot be decoded.
    #[error("a scan page's column cannot be read: {0}")]
    Column(#[from] codec::Error),
}

/// Encodes `groups`.
pub fn encode(groups: &[Group]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.count(groups.len());
    groups.iter().for_each(|group| writer.group(group));
    writer.out
}

/// Decodes the result of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Group>, PageError> {
    let mut reader = PageReader { from: bytes, times: &[], times_ns: Vec::new() };
    let count = reader.count(VALUES_MAX)?;
    let groups = (0..count).map(|_| reader.group()).collect::<Result<_, _>>()?;
    if reader.from.is_empty() { Ok(groups) } else { Err(PageError::Malformed) }
}

#[derive(Default)]
struct Writer<'a> {
    out: Vec<u8>,
    part: Vec<u8>,
    /// The times of the previous column. If the next column has the same times, the writer copies
    /// the encoded `times`.
    times_ns: &'a [i64],
    times: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn count(&mut self, count: usize) {
        varint::write(count as u64, &mut self.out);
    }

    fn group(&mut self, group: &'a Group) {
        self.count(group.key.len());
        for value in &group.key {
            self.part.extend_from_slice(value.as_bytes());
            self.finish_part();
        }
        match &group.data {
            GroupData::Rows { times_ns, fields, tags } => {
                self.out.push(ROWS);
                self.times(times_ns);
                self.count(fields.len());
                fields.iter().for_each(|column| self.column(column));
                self.count(tags.len());
                tags.iter().for_each(|column| self.strings(column));
            }
            GroupData::Partials(calls) => {
                self.out.push(PARTIALS);
                self.count(calls.len());
                calls.iter().for_each(|call| self.partial(call));
            }
        }
    }

    fn partial(&mut self, call: &'a PartialColumn) {
        self.times(&call.windows_ns);
        self.count(call.states.len());
        call.states.iter().for_each(|column| self.column(column));
        self.count(call.aux.len());
        for aux in &call.aux {
            match aux {
                AuxValues::Field(column) => {
                    self.out.push(FIELD);
                    self.column(column);
                }
                AuxValues::Tag(column) => {
                    self.out.push(TAG);
                    self.strings(column);
                }
            }
        }
    }

    fn times(&mut self, times_ns: &'a [i64]) {
        self.count(times_ns.len());
        if self.times.is_empty() || times_ns != self.times_ns {
            self.times_ns = times_ns;
            self.times.clear();
            codec::timestamp::encode(times_ns, &mut self.times);
        }
        self.part.extend_from_slice(&self.times);
        self.finish_part();
    }

    fn column(&mut self, column: &Column) {
        self.out.push(column.values.field_type().code());
        column_bytes::encode_plain(column, &mut self.part);
        self.finish_part();
    }

    fn strings(&mut self, column: &StringColumn) {
        let (text, ends) = column.parts();
        match column.codes() {
            None => codec::string::encode(text, ends, &mut self.part),
            Some(codes) if ends.len() <= codes.len() => {
                codec::string::encode_coded(text, ends, codes, &mut self.part);
            }
            Some(_) => column_bytes::encode_strings(column.iter(), &mut self.part),
        }
        self.finish_part();
    }

    fn finish_part(&mut self) {
        varint::write(self.part.len() as u64, &mut self.out);
        self.out.append(&mut self.part);
    }
}

struct PageReader<'a> {
    from: &'a [u8],
    times: &'a [u8],
    times_ns: Vec<i64>,
}

impl<'a> PageReader<'a> {
    fn count(&mut self, max: usize) -> Result<usize, PageError> {
        Ok(varint::read_length(&mut self.from, max)?)
    }

    fn group(&mut self) -> Result<Group, PageError> {
        let keys = self.count(PAGE_COLUMNS_MAX)?;
        let key = (0..keys).map(|_| self.text()).collect::<Result<_, _>>()?;
        let data = match self.byte()? {
            ROWS => self.rows()?,
            PARTIALS => {
                let calls = self.count(PAGE_COLUMNS_MAX)?;
                let calls: Result<_, _> = (0..calls).map(|_| self.partial()).collect();
                GroupData::Partials(calls?)
            }
            _ => return Err(PageError::Malformed),
        };
        Ok(Group { key, data })
    }

    fn text(&mut self) -> Result<String, PageError> {
        String::from_utf8(self.part()?.to_vec()).map_err(|_| PageError::Malformed)
    }

    fn rows(&mut self) -> Result<GroupData, PageError> {
        let times_ns = self.times()?;
        let rows = times_ns.len();
        let fields = self.count(PAGE_COLUMNS_MAX)?;
        let fields: Result<_, _> = (0..fields).map(|_| self.column(rows)).collect();
        let tags = self.count(PAGE_COLUMNS_MAX)?;
        let tags: Result<_, _> = (0..tags).map(|_| self.strings(rows)).collect();
        Ok(GroupData::Rows { times_ns, fields: fields?, tags: tags? })
    }

    fn partial(&mut self) -> Result<PartialColumn, PageError> {
        let windows_ns = self.times()?;
        let windows = windows_ns.len();
        let states = self.count(PAGE_COLUMNS_MAX)?;
        let states: Result<_, _> = (0..states).map(|_| self.column(windows)).collect();
        let count = self.count(PAGE_COLUMNS_MAX)?;
        let aux: Result<_, _> = (0..count)
            .map(|_| match self.byte()? {
                FIELD => self.column(windows).map(AuxValues::Field),
                TAG => self.strings(windows).map(AuxValues::Tag),
                _ => Err(PageError::Malformed),
            })
            .collect();
        Ok(PartialColumn { windows_ns, states: states?, aux: aux? })
    }

    fn times(&mut self) -> Result<Vec<i64>, PageError> {
        let count = self.count(VALUES_MAX)?;
        let part = self.part()?;
        if part != self.times || count != self.times_ns.len() {
            codec::timestamp::decode(part, count, &mut self.times_ns)?;
            self.times = part;
        }
        Ok(self.times_ns.clone())
    }

    fn column(&mut self, rows: usize) -> Result<Column, PageError> {
        let field_type = FieldType::from_code(self.byte()?).ok_or(PageError::Malformed)?;
        Ok(column_bytes::decode(self.part()?, field_type, rows)?)
    }

    fn strings(&mut self, rows: usize) -> Result<StringColumn, PageError> {
        Ok(column_bytes::decode_strings(self.part()?, rows)?)
    }

    fn part(&mut self) -> Result<&'a [u8], PageError> {
        let length = self.count(self.from.len())?;
        self.from.split_off(..length).ok_or(PageError::Malformed)
    }

    fn byte(&mut self) -> Result<u8, PageError> {
        self.from.split_off_first().copied().ok_or(PageError::Malformed)
    }
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
            aux: vec![AuxValues::Tag(texts.clone()), AuxValues::Field(sparse.clone())],
        };
        let empty = PartialColumn { windows_ns: vec![], states: vec![], aux: vec![] };
        let rows = GroupData::Rows {
            times_ns: vec![9, 3],
            fields: vec![floats, sparse],
            tags: vec![texts],
        };
        vec![
            Group { key: vec!["a".into(), String::new()], data: rows },
            Group { key: vec![], data: GroupData::Partials(vec![partial.clone()]) },
            Group { key: vec![], data: GroupData::Partials(vec![partial, empty.clone(), empty]) },
            Group { key: vec![], data: GroupData::Partials(vec![]) },
        ]
    }

    #[test]
    fn scan_pages_round_trip() {
        assert_eq!(decode(&encode(&groups())), Ok(groups()));
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
    }

    #[test]
    fn partial_columns_keep_window_times() {
        let partial = |windows_ns: &[i64]| PartialColumn {
            windows_ns: windows_ns.to_vec(),
            states: vec![],
            aux: vec![],
        };
        let lists: [&[i64]; 8] = [&[], &[], &[1, 2], &[1, 2], &[1, 2, 3], &[2, 3], &[], &[2, 3]];
        let calls = lists.map(partial).to_vec();
        let groups = vec![Group { key: vec![], data: GroupData::Partials(calls) }];
        assert_eq!(decode(&encode(&groups)), Ok(groups));
    }

    #[test]
    fn scan_page_rejects_wrong_length() {
        let mut bytes = encode(&groups());
        for end in 0..bytes.len() {
            assert!(decode(bytes.get(..end).unwrap()).is_err(), "{end}");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(PageError::Malformed));
    }
}
