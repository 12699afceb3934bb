//! Encodes and decodes blocks of series keys. Each block has separate, small dictionaries.

use std::borrow::Cow;
use std::collections::HashMap;

use super::block::{self, CORRUPT, Error, first_not};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::codec::crc::append_crc;
use crate::codec::{self, front_coding, varint};
use crate::merge::key::SeriesKey;
use tidemark_model::ids::MeasurementId;

pub(super) const SERIES_MAX: usize = 2_048;
/// The size of the keys at which a block ends, in bytes. The last key may exceed this size by up to
/// twice `SERIES_KEY_BYTES_MAX`.
const KEY_BYTES: usize = 64 << 10;
/// The maximum size of a block's decoded values, in bytes. A writer remains far below this limit.
const TEXT_BYTES_MAX: usize = 1 << 20;

pub(super) fn length(keys: &[SeriesKey]) -> usize {
    let mut bytes = 0;
    let fits = |key: &&SeriesKey| {
        let before = bytes;
        bytes += key.as_bytes().len();
        before < KEY_BYTES
    };
    keys.iter().take(SERIES_MAX).take_while(fits).count()
}

pub(super) fn encode(keys: &[SeriesKey], tags: usize, out: &mut Vec<u8>) {
    // The values are ordered by series, then by tag.
    let mut values: Vec<Cow<'_, str>> = Vec::with_capacity(keys.len() * tags);
    for key in keys {
        values.extend(key.values().chain(std::iter::repeat(Cow::Borrowed(""))).take(tags));
    }
    let start = out.len();
    for tag in 0..tags {
        let mut known: HashMap<&str, u64, foldhash::fast::FixedState> = HashMap::default();
        let (mut entries, mut codes) = (Vec::new(), Vec::with_capacity(keys.len()));
        let mut last: (&str, u64) = ("", 0);
        for value in values.iter().skip(tag).step_by(tags) {
            let next = entries.len() as u64 + 1;
            let code = match &**value {
                "" => 0,
                value if value == last.0 => last.1,
                // Keys ascend, so a change in the first tag's value is a new value.
                _ if tag == 0 => next,
                value => *known.entry(value).or_insert(next),
            };
            if code == next {
                entries.push(&**value);
            }
            codes.push(code);
            last = (value, code);
        }
        varint::write_counted(out, |out| {
            varint::write(entries.len() as u64, out);
            front_coding::encode(entries.into_iter(), out);
        });
        varint::write_counted(out, |out| front_coding::encode_codes(&codes, out));
    }
    append_crc(out, start);
}

/// Returns the memory size of a decoded block, in bytes.
pub(super) fn bytes(series: &SeriesTable) -> usize {
    let of = |tag: &TagColumn| tag.dictionary.bytes() + tag.codes.len() * 4;
    series.tags.iter().map(of).sum()
}

pub(super) fn decode(bytes: &[u8], count: usize, tags: usize) -> Result<SeriesTable, Error> {
    let mut data = block::open(bytes)?;
    let mut text_bytes = 0;
    let tags = (0..tags)
        .map(|_| {
            let mut piece = varint::read_bytes(&mut data)?;
            let entries = varint::read_length(&mut piece, count)?;
            let mut tag = TagColumn::default();
            front_coding::decode(piece, entries, |value| {
                text_bytes += value.len();
                if text_bytes <= TEXT_BYTES_MAX {
                    tag.dictionary.push(value);
                }
            })?;
            for code in front_coding::decode_codes(varint::read_bytes(&mut data)?, count)? {
                let code = u32::try_from(code).map_err(|_| CORRUPT)?;
                tag.codes.push(code);
            }
            let known = tag.dictionary.len();
            match tag.codes.iter().all(|&code| code as usize <= known) {
                true => Ok(tag),
                false => Err(CORRUPT),
            }
        })
        .collect::<Result<Vec<_>, Error>>()?;
    match data.is_empty() {
        _ if text_bytes > TEXT_BYTES_MAX => Err(codec::Error::TooMany.into()),
        true => Ok(SeriesTable { tags, len: count as u32 }),
        false => Err(codec::Error::Trailing.into()),
    }
}

pub(super) fn set_key(
    series: &SeriesTable,
    measurement: MeasurementId,
    place: usize,
    key: &mut SeriesKey,
) {
    key.set(measurement, series.tags.iter().map(|tag| tag.get(place)));
}

pub(super) fn partition_point(
    series: &SeriesTable,
    measurement: MeasurementId,
    is_before: impl Fn(&SeriesKey) -> bool,
) -> u32 {
    let mut key = SeriesKey::new(measurement, []);
    first_not(series.len, |place| {
        set_key(series, measurement, place as usize, &mut key);
        is_before(&key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: MeasurementId = MeasurementId(3);

    #[test]
    fn series_block_round_trips_and_verifies() {
        let all = [&[][..], &["", "x"], &["a\0", "x"], &["b"], &["b", "y", "z"]];
        let keys: Vec<SeriesKey> =
            all.iter().map(|values| SeriesKey::new(M, values.iter().copied())).collect();
        let mut bytes = Vec::new();
        encode(&keys, 3, &mut bytes);
        let series = decode(&bytes, 5, 3).unwrap();
        for (at, key) in keys.iter().enumerate() {
            let mut found = SeriesKey::new(M, []);
            set_key(&series, M, at, &mut found);
            assert_eq!(found, *key);
            assert_eq!(partition_point(&series, M, |held| held < key), at as u32);
        }
        assert_eq!(decode(&bytes, 5, 2), Err(codec::Error::Trailing.into()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad, 5, 3), Err(Error::Checksum));
        }
    }

    #[test]
    fn series_block_limits_key_bytes() {
        let long = SeriesKey::new(M, ["x".repeat(KEY_BYTES / 2).as_str()]);
        assert_eq!(length(&vec![long; 9]), 2);
        assert_eq!(length(&vec![SeriesKey::new(M, []); 2 * SERIES_MAX]), SERIES_MAX);
        assert_eq!(length(&[SeriesKey::new(M, ["x".repeat(KEY_BYTES * 4).as_str()])]), 1);
        assert_eq!(length(&[]), 0);
    }
}
