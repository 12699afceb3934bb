//! Directory rows to bytes and back: which segments a run has, and whether to read them.

use super::block::{Error, VERSION};
use super::index::{array, number};
use crate::codec::crc::crc32c;
use crate::codec::{self, varint};
use crate::model::ids::MeasurementId;
use crate::model::time::TimeRange;

/// One segment as its directory row's head tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whose rows.
    pub measurement: MeasurementId,
    /// ⌊time ∕ window width⌋ of every row.
    pub window: i64,
    /// The lowest write sequence that may be in it.
    pub first_sequence: u64,
    /// The highest write sequence that may be in it.
    pub last_sequence: u64,
    /// The earliest time.
    pub min_time_ns: i64,
    /// The latest time.
    pub max_time_ns: i64,
    /// Rows.
    pub rows: u32,
    /// Series.
    pub series: u32,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// About how much memory its rows take, bytes.
    pub decoded_bytes: u64,
    /// The first value that holds a block of it, counted from the row's first.
    pub value: u32,
    /// Values from there on that may hold blocks of it.
    pub value_count: u32,
    /// Where its index is in the row's body.
    pub index_offset: u32,
    /// Length of its index.
    pub index_bytes: u32,
}

impl Summary {
    /// Every row lies inside.
    pub fn time(&self) -> TimeRange {
        TimeRange::new(self.min_time_ns, self.max_time_ns.saturating_add(1))
    }
}

/// The head of a directory row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Key of the run's first value in table `segment`.
    pub first_value: u64,
    /// Values that the run had when it was written: keys from `first_value` on.
    pub values: u32,
    /// The segments.
    pub segments: Vec<Summary>,
}

impl Directory {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.first_value.to_le_bytes());
        varint::write(u64::from(self.values), &mut out);
        varint::write(self.segments.len() as u64, &mut out);
        for segment in &self.segments {
            varint::write(u64::from(segment.measurement.0), &mut out);
            varint::write_signed(segment.window, &mut out);
            varint::write(segment.first_sequence, &mut out);
            varint::write(segment.last_sequence, &mut out);
            out.extend(segment.min_time_ns.to_le_bytes());
            out.extend(segment.max_time_ns.to_le_bytes());
            varint::write(u64::from(segment.rows), &mut out);
            varint::write(u64::from(segment.series), &mut out);
            varint::write(segment.bytes, &mut out);
            varint::write(segment.decoded_bytes, &mut out);
            for number in
                [segment.value, segment.value_count, segment.index_offset, segment.index_bytes]
            {
                varint::write(u64::from(number), &mut out);
            }
        }
        out.extend(crc32c(&out).to_le_bytes());
        out
    }

    /// The head that is all of `bytes`.
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
        let first_value = u64::from_le_bytes(array(&mut rest)?);
        let values = number(&mut rest)?;
        let most = rest.len();
        let count = varint::read_length(&mut rest, most)?;
        let segments =
            (0..count).map(|_| read_summary(&mut rest)).collect::<Result<Vec<_>, _>>()?;
        let directory = Self { first_value, values, segments };
        if rest.is_empty() { Ok(directory) } else { Err(codec::Error::Trailing.into()) }
    }
}

fn read_summary(bytes: &mut &[u8]) -> Result<Summary, Error> {
    Ok(Summary {
        measurement: MeasurementId(number(bytes)?),
        window: varint::read_signed(bytes)?,
        first_sequence: varint::read(bytes)?,
        last_sequence: varint::read(bytes)?,
        min_time_ns: i64::from_le_bytes(array(bytes)?),
        max_time_ns: i64::from_le_bytes(array(bytes)?),
        rows: number(bytes)?,
        series: number(bytes)?,
        bytes: varint::read(bytes)?,
        decoded_bytes: varint::read(bytes)?,
        value: number(bytes)?,
        value_count: number(bytes)?,
        index_offset: number(bytes)?,
        index_bytes: number(bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_round_trips_and_no_flipped_bit_passes() {
        let segment = Summary {
            measurement: MeasurementId(4),
            window: -3,
            first_sequence: 1 << 60,
            last_sequence: u64::MAX,
            min_time_ns: i64::MIN + 2,
            max_time_ns: i64::MAX - 1,
            rows: 5,
            series: 6,
            bytes: 7,
            decoded_bytes: 8,
            value: 9,
            value_count: 10,
            index_offset: 11,
            index_bytes: u32::MAX,
        };
        let directory = Directory {
            first_value: 1 << 52,
            values: 3,
            segments: vec![segment.clone(), Summary { window: 2, ..segment }],
        };
        let bytes = directory.encode();
        assert_eq!(Directory::decode(&bytes), Ok(directory));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Directory::decode(&bad), Err(Error::Checksum));
        }
    }
}
