//! Counts an object's usage by day. The object stores the count in a row that it writes anyway, so
//! the count needs no additional row. Usage after this write is lost when the object is evicted.

use super::RowCounts;
use crate::protocol::daily_usage::{DailyUsage, DayUsage};
use tidemark_model::time::D_NS;

/// The usage of an object, up to the last event.
#[derive(Clone, Debug, Default)]
pub struct UsageMeter {
    usage: DailyUsage,
    /// The row counts of the store that `usage` already includes.
    included: RowCounts,
    /// The day of the last event.
    day: i64,
}

impl UsageMeter {
    /// Continues stored usage. `before` contains the store's row counts before the usage was read.
    pub fn continued(usage: DailyUsage, before: RowCounts) -> Self {
        let day = usage.days.last().map_or(0, |last| last.day);
        Self { usage, included: before, day }
    }

    /// Counts an event. If the store has billed rows since the last count, these rows count for the
    /// day of the last event.
    pub fn begin_event(&mut self, counts: RowCounts, now_ns: i64) {
        add_rows(&mut self.usage, self.day, counts.since(self.included));
        self.included = counts;
        self.day = now_ns.div_euclid(D_NS);
        self.usage.add(DayUsage { day: self.day, requests: 1, ..DayUsage::default() });
    }

    /// Counts a request of an earlier instance of the object, with the rows that the request wrote.
    /// The day of the request is unknown, so the request counts for the day of the current event.
    pub fn add_earlier_request(&mut self, rows_written: u64) {
        self.usage.add(DayUsage { day: self.day, requests: 1, rows_read: 0, rows_written });
    }

    /// Returns the usage up to `counts`.
    #[must_use]
    pub fn usage(&self, counts: RowCounts) -> DailyUsage {
        let mut usage = self.usage.clone();
        add_rows(&mut usage, self.day, counts.since(self.included));
        usage
    }
}

fn add_rows(usage: &mut DailyUsage, day: i64, rows: RowCounts) {
    let RowCounts { read: rows_read, written: rows_written } = rows;
    if rows_read > 0 || rows_written > 0 {
        usage.add(DayUsage { day, requests: 0, rows_read, rows_written });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_rows_by_day() {
        let rows = |read, written| RowCounts { read, written };
        let mut meter = UsageMeter::continued(DailyUsage::default(), rows(5, 5));
        meter.begin_event(rows(5, 5), D_NS - 1);
        meter.begin_event(rows(7, 6), D_NS - 1);
        meter.begin_event(rows(8, 8), D_NS);
        meter.add_earlier_request(4);
        let first = DayUsage { day: 0, requests: 2, rows_read: 3, rows_written: 3 };
        let second = DayUsage { day: 1, requests: 2, rows_read: 10, rows_written: 4 };
        let expected = DailyUsage { requests: 4, days: vec![first, second] };
        assert_eq!(meter.usage(rows(18, 8)), expected);
        assert_eq!(meter.usage(rows(18, 8)), expected);
    }
}
