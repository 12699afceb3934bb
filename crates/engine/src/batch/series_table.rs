//! Lists the series of a block, with a dictionary per tag key and one code per series.

use super::column::StringColumn;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::series::{id_hash, tag_hash};

/// The values of a tag key for the series of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagColumn {
    /// The distinct, non-empty values, in order of their codes.
    pub dictionary: StringColumn,
    /// The code of each series: 0 without the tag, or the value's position in `dictionary` plus 1.
    pub codes: Vec<u32>,
}

impl TagColumn {
    /// Returns the value of series `series`, or "" if the series lacks the tag.
    pub fn get(&self, series: usize) -> &str {
        match self.codes.get(series) {
            Some(&code) if code > 0 => self.dictionary.get(code as usize - 1),
            _ => "",
        }
    }

    /// Returns the memory in use, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.dictionary.bytes() + self.codes.capacity() * 4
    }

    fn gather(&self, series: &[u32]) -> Self {
        Self::gather_codes(&self.dictionary, &self.codes, series)
    }

    pub(super) fn gather_codes(dictionary: &StringColumn, codes: &[u32], series: &[u32]) -> Self {
        let code = |&number: &u32| codes.get(number as usize).copied().or_bug();
        let codes: Vec<u32> = series.iter().map(code).collect();
        let mut used = codes.clone();
        used.sort();
        used.dedup();
        used.retain(|&code| code > 0);
        let new = |code: &u32| used.binary_search(code).map_or(0, |at| at as u32 + 1);
        let values = used.iter().map(|&code| dictionary.get(code as usize - 1));
        Self { dictionary: values.collect(), codes: codes.iter().map(new).collect() }
    }
}

/// The distinct series of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesTable {
    /// One column per tag key, with `len` codes each. The owner of the table stores the keys.
    pub tags: Vec<TagColumn>,
    /// The number of series. A measurement without tags has one series and no columns.
    pub len: u32,
}

impl SeriesTable {
    /// Returns the [`id_hash`] of each series. `tag_ids` contains the ids of the table's tags.
    pub fn hashes(&self, seed: u64, measurement: MeasurementId, tag_ids: &[ColumnId]) -> Vec<u64> {
        let mut sums = vec![0_u64; self.len as usize];
        for (tag, &id) in self.tags.iter().zip(tag_ids) {
            let of: Vec<u64> = tag.dictionary.iter().map(|v| tag_hash(seed, id, v)).collect();
            for (sum, &code) in sums.iter_mut().zip(&tag.codes) {
                let value = (code as usize).checked_sub(1).and_then(|at| of.get(at));
                *sum = sum.wrapping_add(value.copied().unwrap_or_default());
            }
        }
        sums.into_iter().map(|sum| id_hash(seed, measurement, sum)).collect()
    }

    /// Copies the series `numbers` in the given order.
    pub fn gather(&self, numbers: &[u32]) -> Self {
        let tags = self.tags.iter().map(|tag| tag.gather(numbers)).collect();
        Self { tags, len: numbers.len() as u32 }
    }
}

/// Replaces the numbers of the rows' series by 0, 1, 2, …, and returns the replaced numbers.
pub(super) fn renumber(row_series: &mut [u32]) -> Vec<u32> {
    let mut used = row_series.to_vec();
    used.sort();
    used.dedup();
    for series in row_series {
        *series = used.partition_point(|number| number < series) as u32;
    }
    used
}
