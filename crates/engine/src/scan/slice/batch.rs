//! Represents batches of rows with known keys. The columns of the condition are read first. The
//! other columns are read only for the rows that satisfy the condition.

use std::ops::Range;
use std::rc::Rc;

use crate::merge::key::SeriesKey;
use crate::merge::picks::Picks;
use crate::scan::error::ScanError;
use crate::scan::predicate::Mask;
use crate::scan::reader::Rows as Merged;
use crate::scan::run::Rows;
use tidemark_model::bug;
use tidemark_model::ids::ColumnId;

/// The selected rows are few if at most one in `FEW` rows is selected.
const FEW: usize = 4;

#[derive(Default)]
pub(super) struct Batch {
    pub(super) picks: Picks,
    /// The series of the rows, and the end of each series' rows. Times ascend within an entry.
    pub(super) series: Vec<(SeriesKey, usize)>,
}

/// The rows of a series in a batch, and a mask of the selected rows.
pub(super) type Chosen = (SeriesKey, Range<usize>, Mask);

/// Keeps only the selected rows if they are few. The remaining columns are then decoded only for
/// these rows.
pub(super) fn keep_few(picks: Picks, rows: &mut Rows, chosen: &mut [Chosen]) -> Picks {
    let all = |of: &Range<usize>, mask: &Mask| mask.rows(of.clone()).count();
    let count = chosen.iter().map(|(_, of, mask)| all(of, mask)).sum::<usize>();
    if count > picks.len() / FEW {
        return picks;
    }
    let mut places = Vec::with_capacity(count);
    for (_, of, mask) in chosen {
        let start = places.len();
        // A batch has fewer than 2^32 rows.
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

/// Returns the number of decoded values.
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
            let column = merge.column(picks, id)?;
            bug::ensure(column.iter().all(|column| column.has_rows(rows.times_ns.len())));
            rows.columns.extend(column.map(|column| (id, column)));
        }
    }
    Ok(cells)
}
