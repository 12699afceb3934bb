//! Reads columns of rows whose keys are known: those of the condition first, of the rows that it
//! leaves then the others.

use std::ops::Range;
use std::rc::Rc;

use super::Walk;
use crate::merge::key::SeriesKey;
use crate::merge::picks::Picks;
use crate::model::ids::ColumnId;
use crate::scan::error::ScanError;
use crate::scan::predicate::Mask;
use crate::scan::reader::Rows as Merged;
use crate::scan::run::{Rows, Run};

/// Rows are few if no more than one of so many was chosen.
const FEW: usize = 4;

/// Rows whose keys are read and whose columns are not.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) picks: Picks,
    /// The series that they are of, and where the rows of each end: one with ascending times.
    pub(super) series: Vec<(SeriesKey, usize)>,
}

/// Rows of a series among those of a batch, and which of them were chosen.
type Chosen = (SeriesKey, Range<usize>, Mask);

impl Walk<'_> {
    /// Reads the columns of the rows at hand and takes them in.
    pub(super) fn flush(&mut self, merge: &mut Merged<'_>) -> Result<(), ScanError> {
        let Batch { picks, series } = std::mem::take(&mut self.batch);
        if picks.is_empty() {
            return Ok(());
        }
        let mut rows = Rows { times_ns: picks.times_ns().to_vec(), columns: Vec::new() };
        self.cells += read(merge, &picks, &self.deciding, &mut rows)?;
        let block = Rc::new(rows);
        let mut chosen = Vec::with_capacity(series.len());
        let mut start = 0;
        for (key, end) in series {
            self.tags.set(&key);
            let run = Run { block: Rc::clone(&block), rows: start..end };
            start = end;
            let time = self.groups.reach(&self.tags);
            let Some(run) = run.trim(time) else { continue };
            self.scanned.add(run.times());
            let tags = &self.tags;
            let mask = self.filter.select(&run, &|tag| tags.get(tag))?;
            if mask != Mask::None {
                chosen.push((key, run.rows, mask));
            }
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let mut rows = Rc::unwrap_or_clone(block);
        let picks = leave_few(picks, &mut rows, &mut chosen);
        self.cells += read(merge, &picks, &self.columns, &mut rows)?;
        let block = Rc::new(rows);
        for (key, rows, mask) in chosen {
            self.tags.set(&key);
            let run = Run { block: Rc::clone(&block), rows };
            let is_taken = self.groups.consume(&self.tags, &run, &mask)?;
            if self.newest && !is_taken {
                self.without_value.push(key);
            }
        }
        if self.gathers() {
            self.groups.lower(self.limits.bytes);
        }
        Ok(())
    }
}

/// Where few rows were chosen, leaves only these: of the columns that are not read yet no others
/// are unpacked.
fn leave_few(picks: Picks, rows: &mut Rows, chosen: &mut [Chosen]) -> Picks {
    let all = |of: &Range<usize>, mask: &Mask| mask.rows(of.clone()).count();
    let count = chosen.iter().map(|(_, of, mask)| all(of, mask)).sum::<usize>();
    if count > picks.len() / FEW {
        return picks;
    }
    let mut places = Vec::with_capacity(count);
    for (_, of, mask) in chosen {
        let start = places.len();
        // Rows of a batch are fewer than 2^32.
        places.extend(mask.rows(of.clone()).map(|row| row as u32));
        (*of, *mask) = (start..places.len(), Mask::All);
    }
    let picks = picks.only(&places);
    rows.times_ns = picks.times_ns().to_vec();
    for (_, column) in &mut rows.columns {
        *column = Rc::new(column.gather(&places));
    }
    picks
}

/// Reads those of the columns that are not read yet; answers how many values that decodes.
fn read(
    merge: &mut Merged<'_>,
    picks: &Picks,
    columns: &[ColumnId],
    rows: &mut Rows,
) -> Result<u64, ScanError> {
    let mut cells = 0;
    for &id in columns {
        if rows.columns.iter().all(|(known, _)| *known != id) {
            cells += picks.rows_read() as u64;
            rows.columns.extend(merge.column(picks, id)?.map(|column| (id, column)));
        }
    }
    Ok(cells)
}
