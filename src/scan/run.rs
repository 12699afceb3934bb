//! Decoded rows of a series.

use std::ops::Range;
use std::rc::Rc;

use crate::batch::column::Column;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;

/// Decoded rows: times ascending and distinct within one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Times, nanoseconds.
    pub(super) times_ns: Vec<i64>,
    /// Those of the columns that were asked for in which some row has a value, each as long as
    /// `times_ns`.
    pub(super) columns: Vec<(ColumnId, Rc<Column>)>,
}

/// The rows of one series among those of several.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Other series may lie outside `rows`.
    pub(super) block: Rc<Rows>,
    /// Positions of this series' rows.
    pub(super) rows: Range<usize>,
}

impl Run {
    /// Times of the rows.
    pub(super) fn times(&self) -> &[i64] {
        self.block.times_ns.get(self.rows.clone()).unwrap_or_default()
    }

    /// The column, over the whole block.
    pub(super) fn column(&self, id: ColumnId) -> Option<&Column> {
        self.block.columns.iter().find(|(column, _)| *column == id).map(|(_, column)| &**column)
    }

    /// The rows inside `time`; `None` when there are none.
    pub(super) fn trim(mut self, time: TimeRange) -> Option<Self> {
        let times = self.times();
        let start = times.partition_point(|&t| t < time.start_ns);
        let end = times.partition_point(|&t| t < time.end_ns);
        self.rows = self.rows.start + start..self.rows.start + end;
        (start < end).then_some(self)
    }
}
