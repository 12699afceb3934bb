//! A page to bytes and back.
//!
#![doc = include_str!("PAGE.md")]

use super::page::{BesideColumn, Group, GroupData, PartialColumn, ScanPage};
use super::request::{ResumeKey, SeriesMark};
use super::source::ReadStats;
use crate::batch::column::{Column, StringColumn};
use crate::batch::column_bytes;
use crate::codec::{self, timestamp, varint};
use crate::model::ids::ColumnId;
use crate::model::value::FieldType;

/// Values of all columns of one page. Bounds what a few bytes can make a reader allocate.
const VALUES_PER_PAGE_MAX: usize = 1 << 23;

const ROWS: u8 = 0;
const PARTIALS: u8 = 1;
const FIELD: u8 = 0;
const TAG: u8 = 1;

/// Why bytes are not a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A number, a text or a column cannot be decoded.
    #[error("malformed page: {0}")]
    Codec(#[from] codec::Error),
    /// A byte that must name one of a few things names none.
    #[error("malformed page: no such kind: {0}")]
    Kind(u8),
}

/// Appends the bytes of `page`.
pub fn encode(page: &ScanPage, out: &mut Vec<u8>) {
    let stats = &page.stats;
    let ReadStats { blocks_read, blocks_pruned, bytes_decoded, rows_scanned, rows_read } = *stats;
    for number in [blocks_read, blocks_pruned, bytes_decoded, rows_scanned, rows_read] {
        varint::write(number, out);
    }
    match &page.resume {
        None => out.push(0),
        Some(resume) => write_resume(resume, out),
    }
    varint::write(page.groups.len() as u64, out);
    for group in &page.groups {
        write_strings(&group.key, out);
        match &group.data {
            GroupData::Rows { times_ns, fields, tags } => {
                out.push(ROWS);
                write_times(times_ns, out);
                varint::write(fields.len() as u64, out);
                fields.iter().for_each(|column| write_column(column, out));
                varint::write(tags.len() as u64, out);
                tags.iter().for_each(|column| write_text(column, out));
            }
            GroupData::Partials(partials) => {
                out.push(PARTIALS);
                varint::write(partials.len() as u64, out);
                partials.iter().for_each(|partial| write_partial(partial, out));
            }
        }
    }
}

/// The page that is all of `bytes`.
///
/// # Errors
/// [`PageError`] for anything that [`encode`] does not write.
pub fn decode(bytes: &[u8]) -> Result<ScanPage, PageError> {
    let mut reader = Reader { bytes, values_left: VALUES_PER_PAGE_MAX };
    let stats = ReadStats {
        blocks_read: reader.number()?,
        blocks_pruned: reader.number()?,
        bytes_decoded: reader.number()?,
        rows_scanned: reader.number()?,
        rows_read: reader.number()?,
    };
    let resume = match reader.byte()? {
        0 => None,
        1 => Some(reader.resume()?),
        kind => return Err(PageError::Kind(kind)),
    };
    let groups = reader.list(Reader::group)?;
    if !reader.bytes.is_empty() {
        return Err(codec::Error::Trailing.into());
    }
    Ok(ScanPage { groups, resume, stats })
}

fn write_resume(resume: &ResumeKey, out: &mut Vec<u8>) {
    out.push(1);
    write_strings(&resume.group, out);
    varint::write_signed(resume.time_ns, out);
    varint::write(resume.skip, out);
    varint::write(resume.sent, out);
    match &resume.ahead {
        None => out.push(0),
        Some(mark) => {
            out.push(1);
            varint::write(mark.series.len() as u64, out);
            for (id, text) in &mark.series {
                varint::write(u64::from(id.0), out);
                write_string(text, out);
            }
            varint::write_signed(mark.time_ns, out);
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    varint::write(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_strings(texts: &[String], out: &mut Vec<u8>) {
    varint::write(texts.len() as u64, out);
    texts.iter().for_each(|text| write_string(text, out));
}

fn write_blob(bytes: &[u8], out: &mut Vec<u8>) {
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_times(times_ns: &[i64], out: &mut Vec<u8>) {
    varint::write(times_ns.len() as u64, out);
    let mut bytes = Vec::new();
    timestamp::encode(times_ns, &mut bytes);
    write_blob(&bytes, out);
}

fn write_column(column: &Column, out: &mut Vec<u8>) {
    let rows: Vec<u32> = (0..column.len() as u32).collect();
    let mut bytes = Vec::new();
    column_bytes::encode(column, &rows, &mut bytes);
    out.push(column.values.field_type().code());
    write_blob(&bytes, out);
}

fn write_text(column: &StringColumn, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    column_bytes::encode_strings(column.iter(), &mut bytes);
    write_blob(&bytes, out);
}

fn write_partial(partial: &PartialColumn, out: &mut Vec<u8>) {
    write_times(&partial.windows_ns, out);
    varint::write(partial.states.len() as u64, out);
    partial.states.iter().for_each(|column| write_column(column, out));
    varint::write(partial.beside.len() as u64, out);
    for beside in &partial.beside {
        match beside {
            BesideColumn::Field(column) => {
                out.push(FIELD);
                write_column(column, out);
            }
            BesideColumn::Tag(column) => {
                out.push(TAG);
                write_text(column, out);
            }
        }
    }
}

/// What is left of a page.
struct Reader<'a> {
    bytes: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64, PageError> {
        Ok(varint::read(&mut self.bytes)?)
    }

    fn byte(&mut self) -> Result<u8, PageError> {
        let (&byte, rest) = self.bytes.split_first().ok_or(codec::Error::Truncated)?;
        self.bytes = rest;
        Ok(byte)
    }

    fn blob(&mut self) -> Result<&'a [u8], PageError> {
        let left = self.bytes.len();
        let length = varint::read_length(&mut self.bytes, left)?;
        let (blob, rest) = self.bytes.split_at_checked(length).ok_or(codec::Error::Truncated)?;
        self.bytes = rest;
        Ok(blob)
    }

    fn string(&mut self) -> Result<String, PageError> {
        let text = std::str::from_utf8(self.blob()?).map_err(|_| codec::Error::NotUtf8)?;
        Ok(text.to_owned())
    }

    /// A count and as many items, each of which takes at least a byte.
    fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, PageError>,
    ) -> Result<Vec<T>, PageError> {
        let left = self.bytes.len();
        let count = varint::read_length(&mut self.bytes, left)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Takes the values of one column from the page's allowance.
    fn allow(&mut self, count: usize) -> Result<(), PageError> {
        self.values_left = self.values_left.checked_sub(count).ok_or(codec::Error::TooMany)?;
        Ok(())
    }

    fn times(&mut self) -> Result<Vec<i64>, PageError> {
        let count = varint::read_length(&mut self.bytes, codec::VALUES_MAX)?;
        self.allow(count)?;
        let mut times_ns = Vec::new();
        timestamp::decode(self.blob()?, count, &mut times_ns)?;
        Ok(times_ns)
    }

    fn column(&mut self, count: usize) -> Result<Column, PageError> {
        self.allow(count)?;
        let code = self.byte()?;
        let field_type = FieldType::from_code(code).ok_or(PageError::Kind(code))?;
        Ok(column_bytes::decode(self.blob()?, field_type, count)?)
    }

    fn text(&mut self, count: usize) -> Result<StringColumn, PageError> {
        self.allow(count)?;
        Ok(column_bytes::decode_strings(self.blob()?, count)?)
    }

    fn resume(&mut self) -> Result<ResumeKey, PageError> {
        let group = self.list(Self::string)?;
        let time_ns = varint::read_signed(&mut self.bytes)?;
        let (skip, sent) = (self.number()?, self.number()?);
        let ahead = match self.byte()? {
            0 => None,
            1 => {
                let series = self.list(|reader| Ok((reader.column_id()?, reader.string()?)))?;
                Some(SeriesMark { series, time_ns: varint::read_signed(&mut self.bytes)? })
            }
            kind => return Err(PageError::Kind(kind)),
        };
        Ok(ResumeKey { group, time_ns, skip, sent, ahead })
    }

    fn column_id(&mut self) -> Result<ColumnId, PageError> {
        let id = u32::try_from(self.number()?).map_err(|_| codec::Error::Corrupt)?;
        Ok(ColumnId(id))
    }

    fn group(&mut self) -> Result<Group, PageError> {
        let key = self.list(Self::string)?;
        let data = match self.byte()? {
            ROWS => {
                let times_ns = self.times()?;
                let fields = self.list(|reader| reader.column(times_ns.len()))?;
                let tags = self.list(|reader| reader.text(times_ns.len()))?;
                GroupData::Rows { times_ns, fields, tags }
            }
            PARTIALS => GroupData::Partials(self.list(Self::partial)?),
            kind => return Err(PageError::Kind(kind)),
        };
        Ok(Group { key, data })
    }

    fn partial(&mut self) -> Result<PartialColumn, PageError> {
        let windows_ns = self.times()?;
        let states = self.list(|reader| reader.column(windows_ns.len()))?;
        let beside = self.list(|reader| {
            Ok(match reader.byte()? {
                FIELD => BesideColumn::Field(reader.column(windows_ns.len())?),
                TAG => BesideColumn::Tag(reader.text(windows_ns.len())?),
                kind => return Err(PageError::Kind(kind)),
            })
        })?;
        Ok(PartialColumn { windows_ns, states, beside })
    }
}
