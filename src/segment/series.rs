//! Series to blocks and back. A block has its own dictionaries, so that none grows without bound.

use std::collections::HashMap;

use super::block::{self, Error, KIND_SERIES};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::codec::{self, front_coding, varint};

/// Series of one block.
pub const SERIES_PER_BLOCK: usize = 65_536;
/// Tag text from which on a block is closed, bytes. One series adds at most 65,535.
pub const TEXT_BYTES_PER_BLOCK: usize = 512 << 10;

/// How many of `series` from the front go into one block (at least one, unless there is none).
pub fn block_length(table: &SeriesTable, tags: &[usize], series: &[u32]) -> usize {
    let mut text_bytes = 0;
    let full = series.iter().position(|&number| {
        let of = |&tag: &usize| table.tags.get(tag).map_or(0, |tag| tag.get(number as usize).len());
        text_bytes += tags.iter().map(of).sum::<usize>();
        text_bytes > TEXT_BYTES_PER_BLOCK
    });
    full.unwrap_or(series.len()).max(1).min(series.len()).min(SERIES_PER_BLOCK)
}

/// Appends a block of the tags at positions `tags` of `series`.
pub fn encode(table: &SeriesTable, tags: &[usize], series: &[u32], out: &mut Vec<u8>) {
    block::seal(KIND_SERIES, series.len() as u32, out, |out| {
        let mut part = Vec::new();
        for tag in tags.iter().filter_map(|&tag| table.tags.get(tag)) {
            let (entries, codes) = used_entries(tag, series);
            varint::write(entries.len() as u64, &mut part);
            front_coding::encode(
                entries.iter().map(|&entry| tag.dictionary.get(entry as usize)),
                &mut part,
            );
            append_part(&mut part, out);
            front_coding::encode_codes(&codes, &mut part);
            append_part(&mut part, out);
        }
    });
}

/// Dictionary entries that `series` use, in order of appearance, and codes into them.
fn used_entries(tag: &TagColumn, series: &[u32]) -> (Vec<u32>, Vec<u64>) {
    let mut new_codes = vec![0_u64; tag.dictionary.len() + 1];
    let mut entries = Vec::new();
    let codes = series
        .iter()
        .map(|&number| {
            let old = tag.codes.get(number as usize).copied().unwrap_or_default();
            match (old, new_codes.get_mut(old as usize)) {
                (1.., Some(new)) => {
                    if *new == 0 {
                        entries.push(old - 1);
                        *new = entries.len() as u64;
                    }
                    *new
                }
                _ => 0,
            }
        })
        .collect();
    (entries, codes)
}

fn append_part(part: &mut Vec<u8>, out: &mut Vec<u8>) {
    varint::write(part.len() as u64, out);
    out.append(part);
}

/// Puts blocks of series back together.
#[derive(Default)]
pub struct Joiner {
    table: SeriesTable,
    /// Per tag, the code of each value; only needed from the second block on.
    codes: Vec<HashMap<Box<str>, u32, foldhash::fast::FixedState>>,
}

impl Joiner {
    /// An empty table of `tags` tags.
    pub fn new(tags: usize) -> Self {
        Self {
            table: SeriesTable { tags: vec![TagColumn::default(); tags], len: 0 },
            codes: vec![HashMap::default(); tags],
        }
    }

    /// Appends the block of `count` series that is all of `bytes`.
    ///
    /// # Errors
    /// Any [`Error`]; the table is then unusable.
    pub fn add(&mut self, bytes: &[u8], count: u32) -> Result<(), Error> {
        let mut data = block::open(bytes, KIND_SERIES, count)?;
        let is_first = self.table.len == 0;
        for (tag, known) in self.table.tags.iter_mut().zip(&mut self.codes) {
            let mut part = take_part(&mut data)?;
            let n_entries = varint::read_length(&mut part, count as usize)?;
            if known.is_empty() {
                known.extend(tag.dictionary.iter().map(Into::into).zip(1..));
            }
            let mut map = vec![0];
            front_coding::decode(part, n_entries, |value| {
                let next = tag.dictionary.len() as u32 + 1;
                if is_first {
                    tag.dictionary.push(value);
                    return map.push(next);
                }
                let code = *known.entry(value.into()).or_insert(next);
                if code == next {
                    tag.dictionary.push(value);
                }
                map.push(code);
            })?;
            for code in front_coding::decode_codes(take_part(&mut data)?, count as usize)? {
                let code = usize::try_from(code).ok().and_then(|code| map.get(code));
                tag.codes.push(*code.ok_or(codec::Error::Corrupt)?);
            }
        }
        self.table.len += count;
        if data.is_empty() { Ok(()) } else { Err(codec::Error::Trailing.into()) }
    }

    /// The table.
    pub fn finish(self) -> SeriesTable {
        self.table
    }
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = varint::read_length(bytes, bytes.len())?;
    let (part, tail) = bytes.split_at_checked(length).ok_or(codec::Error::Truncated)?;
    *bytes = tail;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SeriesTable {
        let tag = |values: &[&str], codes: &[u32]| TagColumn {
            dictionary: values.iter().copied().collect(),
            codes: codes.to_vec(),
        };
        SeriesTable {
            tags: vec![
                tag(&["b", "a", "unused"], &[1, 2, 1, 0]),
                tag(&[], &[0, 0, 0, 0]),
                tag(&["x", "y"], &[1, 1, 2, 2]),
            ],
            len: 4,
        }
    }

    #[test]
    fn blocks_join_to_one_table_in_the_order_that_was_asked() {
        let table = table();
        let mut joiner = Joiner::new(2);
        for series in [&[3, 1][..], &[0, 2][..]] {
            let mut bytes = Vec::new();
            encode(&table, &[0, 2], series, &mut bytes);
            joiner.add(&bytes, series.len() as u32).unwrap();
            assert_eq!(Joiner::new(3).add(&bytes, 2), Err(codec::Error::Truncated.into()));
        }
        let joined = joiner.finish();
        let values: Vec<_> =
            (0..4).map(|s| (joined.tags[0].get(s), joined.tags[1].get(s))).collect();
        assert_eq!(values, [("", "y"), ("a", "x"), ("b", "x"), ("b", "y")]);
        assert_eq!((joined.len, joined.tags[0].dictionary.len()), (4, 2));
    }

    #[test]
    fn a_block_ends_before_its_text_grows_too_long() {
        let long = "x".repeat(TEXT_BYTES_PER_BLOCK / 2);
        let table = SeriesTable {
            tags: vec![TagColumn {
                dictionary: [long.as_str()].into_iter().collect(),
                codes: vec![1; 5],
            }],
            len: 5,
        };
        assert_eq!(block_length(&table, &[0], &[0, 1, 2, 3, 4]), 2);
        assert_eq!(block_length(&table, &[], &[0, 1, 2, 3, 4]), 5);
        assert_eq!(block_length(&table, &[0], &[]), 0);
    }
}
