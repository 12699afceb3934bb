//! Stores decoded rows of one or several series.

use std::ops::Range;
use std::rc::Rc;

use crate::batch::column::Column;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;

/// Decoded rows of one or several series. The times of a series ascend and are distinct.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) times_ns: Vec<i64>,
    /// The requested columns with at least one value. Each column has as many rows as `times_ns`.
    pub(super) columns: Vec<(ColumnId, Rc<Column>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Rows outside `rows` may belong to other series.
    pub(super) block: Rc<Rows>,
    pub(super) rows: Range<usize>,
}

impl Run {
    pub(super) fn times(&self) -> &[i64] {
        self.block.times_ns.get(self.rows.clone()).or_bug()
    }

    pub(super) fn column(&self, id: ColumnId) -> Option<&Column> {
        self.block.columns.iter().find(|(column, _)| *column == id).map(|(_, column)| &**column)
    }

    /// Returns `None` if no row is inside `time`.
    pub(super) fn trim(mut self, time: TimeRange) -> Option<Self> {
        let times = self.times();
        let start = times.partition_point(|&t| t < time.start_ns);
        let end = times.partition_point(|&t| t < time.end_ns);
        self.rows = self.rows.start + start..self.rows.start + end;
        (start < end).then_some(self)
    }
}
