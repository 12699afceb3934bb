//! A segment's index to bytes and back: its columns, and where its series and pages are.

use super::block::{Error, VERSION};
use super::packer::Address;
use crate::codec::crc::crc32c;
use crate::codec::huffman::{Decoder, Stored};
use crate::codec::{self, varint};
use crate::model::ids::ColumnId;
use crate::model::value::FieldType;

/// Where the blocks of a segment are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Tags that some series has, ascending by id.
    pub tag_ids: Vec<ColumnId>,
    /// Fields that some row has, ascending by id.
    pub fields: Vec<(ColumnId, FieldType)>,
    /// The table of each field's blocks, and last that of the keys.
    pub tables: Vec<Stored>,
    /// Blocks of series, in order: how many series, and where.
    pub chunks: Vec<(u32, Address)>,
    /// Pages in order of series and time.
    pub pages: Vec<Page>,
}

/// About a thousand rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The series of the first row.
    pub first_series: u32,
    /// Series with rows in the page: consecutive ones from the first.
    pub series: u32,
    /// Rows.
    pub rows: u32,
    /// The earliest time.
    pub min_time_ns: i64,
    /// The latest time.
    pub max_time_ns: i64,
    /// The block of keys.
    pub keys: Address,
    /// The block of each field of the index; 0 bytes where the page has no value.
    pub fields: Vec<Address>,
}

impl Page {
    /// The series of the last row.
    pub fn last_series(&self) -> u32 {
        self.first_series.saturating_add(self.series.saturating_sub(1))
    }
}

impl Index {
    /// Appends the index.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(VERSION);
        varint::write(self.tag_ids.len() as u64, out);
        for id in &self.tag_ids {
            varint::write(u64::from(id.0), out);
        }
        varint::write(self.fields.len() as u64, out);
        for (id, field_type) in &self.fields {
            varint::write(u64::from(id.0), out);
            out.push(field_type.code());
        }
        for table in &self.tables {
            varint::write(table.bytes().len() as u64, out);
            out.extend_from_slice(table.bytes());
        }
        let mut next = Address::default();
        varint::write(self.chunks.len() as u64, out);
        for (series, address) in &self.chunks {
            varint::write(u64::from(*series), out);
            write_address(address, &mut next, out);
        }
        varint::write(self.pages.len() as u64, out);
        for page in &self.pages {
            varint::write(u64::from(page.first_series), out);
            varint::write(u64::from(page.series.saturating_sub(1)), out);
            varint::write(u64::from(page.rows), out);
            out.extend(page.min_time_ns.to_le_bytes());
            varint::write(page.max_time_ns.wrapping_sub(page.min_time_ns) as u64, out);
            write_address(&page.keys, &mut next, out);
            for address in &page.fields {
                write_address(address, &mut next, out);
            }
        }
        let crc = crc32c(out.get(start..).unwrap_or_default());
        out.extend(crc.to_le_bytes());
    }

    /// The index that is all of `bytes`.
    ///
    /// # Errors
    /// Any [`Error`] but [`Error::Other`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(Error::Checksum)?;
        if crc32c(covered) != u32::from_le_bytes(*crc) {
            return Err(Error::Checksum);
        }
        let (&version, mut rest) = covered.split_first().ok_or(Error::Checksum)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let bytes = &mut rest;
        let mut index = Self::default();
        for _ in 0..count(bytes)? {
            index.tag_ids.push(ColumnId(number(bytes)?));
        }
        for _ in 0..count(bytes)? {
            let id = ColumnId(number(bytes)?);
            let [code] = array(bytes)?;
            index.fields.push((id, FieldType::from_code(code).ok_or(codec::Error::Corrupt)?));
        }
        for _ in 0..=index.fields.len() {
            let length = count(bytes)?;
            let (table, rest) = bytes.split_at_checked(length).ok_or(codec::Error::Truncated)?;
            *bytes = rest;
            index.tables.push(Stored::new(table.to_vec()));
        }
        let mut next = Address::default();
        for _ in 0..count(bytes)? {
            index.chunks.push((number(bytes)?, read_address(bytes, &mut next)?));
        }
        for _ in 0..count(bytes)? {
            index.pages.push(read_page(bytes, index.fields.len(), &mut next)?);
        }
        if rest.is_empty() { Ok(index) } else { Err(codec::Error::Trailing.into()) }
    }

    /// Number of series.
    pub fn series(&self) -> u32 {
        self.chunks.iter().fold(0, |sum, (series, _)| sum.saturating_add(*series))
    }

    /// Every block.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        let pages = self
            .pages
            .iter()
            .flat_map(|page| std::iter::once(page.keys).chain(page.fields.iter().copied()));
        let chunks = self.chunks.iter().map(|(_, address)| *address);
        chunks.chain(pages).filter(|address| address.bytes > 0)
    }

    /// The table of the blocks of field number `field`; of the keys past the last field.
    ///
    /// # Errors
    /// [`Error::Codec`].
    pub fn table(&self, field: usize) -> Result<Option<&Decoder>, Error> {
        Ok(self.tables.get(field).map_or(Ok(None), Stored::decoder)?)
    }

    /// The pages that hold rows of `series`.
    pub fn pages_of(&self, series: u32) -> std::ops::Range<usize> {
        let start = self.pages.partition_point(|page| page.last_series() < series);
        let end = self.pages.partition_point(|page| page.first_series <= series);
        start..end.max(start)
    }

    /// Memory held once every table is in use, bytes.
    pub fn bytes(&self) -> usize {
        let page = size_of::<Page>() + self.fields.len() * size_of::<Address>();
        let decoders = self.tables.iter().filter(|table| !table.bytes().is_empty()).count();
        self.pages.len() * page
            + self.chunks.len() * size_of::<(u32, Address)>()
            + decoders * Stored::DECODER_BYTES
    }
}

fn read_page(bytes: &mut &[u8], fields: usize, next: &mut Address) -> Result<Page, Error> {
    let (first_series, more, rows) = (number(bytes)?, number(bytes)?, number(bytes)?);
    let min_time_ns = i64::from_le_bytes(array(bytes)?);
    let span = varint::read(bytes)?;
    Ok(Page {
        first_series,
        series: more.checked_add(1).ok_or(codec::Error::Corrupt)?,
        rows,
        min_time_ns,
        max_time_ns: min_time_ns.wrapping_add(span as i64),
        keys: read_address(bytes, next)?,
        fields: (0..fields).map(|_| read_address(bytes, next)).collect::<Result<_, _>>()?,
    })
}

fn write_address(address: &Address, next: &mut Address, out: &mut Vec<u8>) {
    if address.bytes == 0 {
        return varint::write(0, out);
    }
    let jump = (address.value, address.offset) != (next.value, next.offset);
    varint::write(u64::from(address.bytes) << 1 | u64::from(jump), out);
    if jump {
        varint::write(u64::from(address.value), out);
        varint::write(u64::from(address.offset), out);
    }
    *next = Address { offset: address.offset + address.bytes, ..*address };
}

fn read_address(bytes: &mut &[u8], next: &mut Address) -> Result<Address, Error> {
    let head = varint::read(bytes)?;
    if head == 0 {
        return Ok(Address::default());
    }
    let length = u32::try_from(head >> 1).map_err(|_| codec::Error::Corrupt)?;
    let (value, offset) =
        if head & 1 == 1 { (number(bytes)?, number(bytes)?) } else { (next.value, next.offset) };
    let end = offset.checked_add(length).ok_or(codec::Error::Corrupt)?;
    *next = Address { value, offset: end, bytes: 0 };
    Ok(Address { value, offset, bytes: length })
}

/// A number of things of at least one byte each.
fn count(bytes: &mut &[u8]) -> Result<usize, Error> {
    Ok(varint::read_length(bytes, bytes.len())?)
}

pub(super) fn number(bytes: &mut &[u8]) -> Result<u32, Error> {
    Ok(u32::try_from(varint::read(bytes)?).map_err(|_| codec::Error::Corrupt)?)
}

pub(super) fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or(codec::Error::Truncated)?;
    *bytes = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let at = |value, offset, bytes| Address { value, offset, bytes };
        let page = |first_series, series, keys, field| Page {
            first_series,
            series,
            rows: 1_000,
            min_time_ns: i64::MIN + 2,
            max_time_ns: i64::MAX - 1,
            keys,
            fields: vec![field, Address::default()],
        };
        Index {
            tag_ids: vec![ColumnId(1), ColumnId(7)],
            fields: vec![(ColumnId(2), FieldType::Float), (ColumnId(9), FieldType::String)],
            tables: vec![Stored::new(vec![7, 0]), Stored::default(), Stored::new(vec![8, 0])],
            chunks: vec![(3, at(0, 500, 20))],
            pages: vec![
                page(0, 1, at(0, 520, 30), at(0, 550, 9)),
                page(0, 2, at(1, 0, 7), at(1, 7, 8)),
                page(2, 1, at(1, 15, 7), at(1, 22, 8)),
            ],
        }
    }

    #[test]
    fn an_index_round_trips_and_no_flipped_bit_passes() {
        let mut bytes = Vec::new();
        index().encode(&mut bytes);
        assert_eq!(Index::decode(&bytes), Ok(index()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Index::decode(&bad), Err(Error::Checksum));
        }
    }

    #[test]
    fn pages_of_a_series_may_be_several_and_shared() {
        let index = index();
        assert_eq!([0, 1, 2, 3].map(|series| index.pages_of(series)), [0..2, 1..2, 2..3, 3..3]);
        assert_eq!((index.series(), index.addresses().count()), (3, 7));
    }
}
