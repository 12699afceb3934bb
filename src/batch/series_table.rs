//! The series of a block: for each tag key a dictionary and one code per series.

use super::column::StringColumn;

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
