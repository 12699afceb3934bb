//! Rows whose keys are known, and their columns: those of the condition are read first, of the rows
//! that it leaves then the others.

use std::ops::Range;
use std::rc::Rc;

use crate::merge::key::SeriesKey;
use crate::merge::picks::Picks;
use crate::model::ids::ColumnId;
use crate::scan::error::ScanError;
use crate::scan::predicate::Mask;
use crate::scan::reader::Rows as Merged;
use crate::scan::run::Rows;

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
pub(super) type Chosen = (SeriesKey, Range<usize>, Mask);

/// Where few rows were chosen, leaves only these: of the columns that are not read yet no others
/// are unpacked.
pub(super) fn leave_few(picks: Picks, rows: &mut Rows, chosen: &mut [Chosen]) -> Picks {
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
pub(super) fn read(
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
