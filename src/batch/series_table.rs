//! Lists the series of a block: a dictionary for each tag key, and one code per series.

use super::column::StringColumn;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::series::{id_hash, tag_hash};

/// The values of one tag key over the series of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagColumn {
    /// Distinct values, none empty, in the order in which codes were given.
    pub dictionary: StringColumn,
    /// For each series 0 when it lacks the tag, else the value's position in `dictionary` plus 1.
    pub codes: Vec<u32>,
}

impl TagColumn {
    /// The value of series `series`; empty when it lacks the tag (InfluxQL's rule: missing is '').
    pub fn get(&self, series: usize) -> &str {
        match self.codes.get(series) {
            Some(&code) if code > 0 => self.dictionary.get(code as usize - 1),
            _ => "",
        }
    }
}

/// The distinct series of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesTable {
    /// One per tag key; which key is said beside the table. Each holds `len` codes.
    pub tags: Vec<TagColumn>,
    /// Number of series. Kept because a measurement without tags has one series and no column.
    pub len: u32,
}

impl TagColumn {
    /// The values of some series, and no others in the dictionary.
    fn pick(&self, series: &[u32]) -> Self {
        let code = |&number: &u32| self.codes.get(number as usize).copied().unwrap_or_default();
        let codes: Vec<u32> = series.iter().map(code).collect();
        let mut used = codes.clone();
        used.sort();
        used.dedup();
        used.retain(|&code| code > 0);
        let new = |code: &u32| used.binary_search(code).map_or(0, |at| at as u32 + 1);
        let values = used.iter().map(|&code| self.dictionary.get(code as usize - 1));
        Self { dictionary: values.collect(), codes: codes.iter().map(new).collect() }
    }
}

impl SeriesTable {
    /// The [`id_hash`] of each series, whose tags have these ids in the order of the table.
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

    /// The series `numbers`, in that order.
    pub fn pick(&self, numbers: &[u32]) -> Self {
        // As many as a block has rows at most.
        let tags = self.tags.iter().map(|tag| tag.pick(numbers)).collect();
        Self { tags, len: numbers.len() as u32 }
    }
}
