//! Counts the usage of an object by day, as the platform bills it: requests and storage rows.

use serde::{Deserialize, Serialize};
use tidemark_model::limits::USAGE_DAYS_MAX;

/// The usage of an object. An object cannot measure its computing time on the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyUsage {
    /// The number of requests and alarms since the object was created.
    pub requests: u64,
    /// The last days with usage, in ascending order, at most `USAGE_DAYS_MAX`.
    pub days: Vec<DayUsage>,
}

/// The usage of an object on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// The day: the number of whole days since 1970-01-01 (UTC).
    pub day: i64,
    /// The number of requests and alarms.
    pub requests: u64,
    /// The number of storage rows billed as read.
    pub rows_read: u64,
    /// The number of storage rows billed as written.
    pub rows_written: u64,
}

impl DailyUsage {
    /// Adds usage of `added.day`. Days before the last `USAGE_DAYS_MAX` days are removed.
    pub fn add(&mut self, added: DayUsage) {
        self.requests = self.requests.saturating_add(added.requests);
        let at = self.days.partition_point(|known| known.day < added.day);
        match self.days.get_mut(at).filter(|known| known.day == added.day) {
            Some(known) => {
                known.requests = known.requests.saturating_add(added.requests);
                known.rows_read = known.rows_read.saturating_add(added.rows_read);
                known.rows_written = known.rows_written.saturating_add(added.rows_written);
            }
            None => self.days.insert(at, added),
        }
        let excess = self.days.len().saturating_sub(USAGE_DAYS_MAX);
        self.days.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daily_usage_sums_and_drops_days() {
        let mut usage = DailyUsage::default();
        for day in [100, 101, 100, 102] {
            usage.add(DayUsage { day, requests: 1, rows_read: 2, rows_written: 3 });
        }
        let first = DayUsage { day: 100, requests: 2, rows_read: 4, rows_written: 6 };
        assert_eq!((usage.days.len(), usage.days[0]), (3, first));
        for day in 103..200 {
            usage.add(DayUsage { day, requests: 1, ..DayUsage::default() });
        }
        let days: Vec<i64> = usage.days.iter().map(|known| known.day).collect();
        assert_eq!(days, (200 - USAGE_DAYS_MAX as i64..200).collect::<Vec<_>>());
        assert_eq!(usage.requests, 4 + 97);
    }
}
