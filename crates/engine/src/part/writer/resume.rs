//! Resumes an interrupted writer from its closed values. The merge must write all later rows again.

use super::{LastRow, Limits, OpenPart, PartWriter, Written};
use crate::merge::cursor::ReadError;
use crate::merge::key::SeriesKey;
use crate::part::block::CORRUPT;
use crate::part::directory::{Directory, PartGroup, PartOf};
use crate::part::pages::{self, GroupReader};
use crate::part::series_block;
use crate::part::values::Values;

/// The progress of an interrupted writer.
pub struct Resumed {
    /// The writer, which continues after the values.
    pub writer: PartWriter,
    /// The parts that were completed, in order.
    pub ended: Vec<Written>,
    /// The part that was being written, and its last row. The caller must end this part. With
    /// `None`, the caller must start the next part.
    pub open: Option<(u64, LastRow)>,
    /// The number of valid values. The caller must delete the later values, which end inside a row,
    /// before it writes the next value.
    pub values: usize,
}

impl PartWriter {
    /// Continues after all closed values, which must be consecutive. This function reads every
    /// head, the series of every group, and the last key of one or two groups.
    pub fn resume<V: Values>(
        limits: Limits,
        seed: u64,
        values: &mut V,
    ) -> Result<Resumed, ReadError> {
        let mut count = values.count();
        // A last value that ends inside a wide row is written again, because the value after it
        // would have to begin with further columns of this row.
        while count > 0
            && values.directory(count - 1)?.groups.last().is_some_and(PartGroup::is_wide)
        {
            count -= 1;
        }
        let mut found: Vec<Found> = Vec::new();
        for value in 0..count {
            let directory = values.directory(value)?;
            for part in &directory.parts {
                if found.last().is_none_or(|found| found.part.written.id != part.id) {
                    found.push(Found::new(part, value));
                }
                if let Some(found) = found.last_mut() {
                    found.add(part, value, &directory, seed, values)?;
                }
            }
        }
        let mut writer = Self { taken: count, ..Self::new(limits, seed) };
        let mut open = None;
        // Only the last part can be incomplete.
        if let Some(mut last) = found.pop_if(|last| !last.has_root) {
            let row = last.last_row(values)?;
            last.part.last_key = row.key.as_bytes().to_vec();
            open = Some((last.part.written.id, row));
            writer.part = Some(last.part);
        }
        let ended = found.into_iter().map(|found| found.part.written).collect();
        Ok(Resumed { writer, ended, open, values: count })
    }
}

struct Found {
    part: OpenPart,
    last: (usize, usize),
    has_root: bool,
}

impl Found {
    fn new(part: &PartOf, value: usize) -> Self {
        let open = OpenPart::new(part.id, part.sequences, value);
        Self { part: open, last: (value, usize::MAX), has_root: false }
    }

    fn add<V: Values>(
        &mut self,
        part: &PartOf,
        value: usize,
        directory: &Directory,
        seed: u64,
        values: &mut V,
    ) -> Result<(), ReadError> {
        let is_next = part.ordinal as usize == self.part.extents.len() && !self.has_root;
        let groups = directory.group_range(part.id).filter(|_| is_next);
        let Some(groups) = groups else { return Err(values.damaged(value, CORRUPT)) };
        let mut begins = false;
        for at in groups {
            let Some(group) = directory.groups.get(at) else { continue };
            self.part.written.add(group);
            self.count_series(value, group, seed, values)?;
            if !group.continues_columns() {
                (self.last, begins) = ((value, at), true);
            }
        }
        self.has_root = directory.root_of(part.id).is_some();
        self.part.written.values.end = value + 1;
        if !begins && !self.has_root {
            self.part.last_key = self.last_row(values)?.key.as_bytes().to_vec();
        }
        self.part.note(directory);
        Ok(())
    }

    fn count_series<V: Values>(
        &mut self,
        value: usize,
        group: &PartGroup,
        seed: u64,
        values: &mut V,
    ) -> Result<(), ReadError> {
        let mut keys: Vec<SeriesKey> = Vec::new();
        for block in 0..group.series.len() {
            let series = pages::series(values, value, group, block)?;
            keys.extend((0..series.len as usize).map(|at| {
                let mut key = SeriesKey::new(group.measurement, []);
                series_block::set_key(&series, group.measurement, at, &mut key);
                key
            }));
        }
        self.part.written.count_series(seed, group, keys.iter());
        Ok(())
    }

    fn last_row<V: Values>(&self, values: &mut V) -> Result<LastRow, ReadError> {
        let (value, number) = self.last;
        let directory = values.directory(value)?;
        let last = directory.groups.get(number);
        let last = last.and_then(|group| {
            Some((group, group.series.len().checked_sub(1)?, group.pages.len().checked_sub(1)?))
        });
        let Some((group, block, page)) = last else { return Err(values.damaged(value, CORRUPT)) };
        let series = pages::series(values, value, group, block)?;
        let mut key = SeriesKey::new(group.measurement, []);
        let place = series.len.saturating_sub(1) as usize;
        series_block::set_key(&series, group.measurement, place, &mut key);
        let keys = GroupReader { values: &mut *values, value, number, group }.decode_keys(page)?;
        let time_ns = keys.last_ns().ok_or_else(|| values.damaged(value, CORRUPT))?;
        Ok(LastRow { key, time_ns })
    }
}
