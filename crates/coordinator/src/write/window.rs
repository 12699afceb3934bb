//! Checks the times of points: the retention period, PAST LIMIT and FUTURE LIMIT of a policy.

use tidemark_engine::batch::MeasurementBatch;
use tidemark_influxql::time_literal::format_utc;
use tidemark_line_protocol::escape_tag;
use tidemark_model::shard_map::Policy;

/// The times that a policy accepts at the time of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteWindow {
    /// The oldest time within the retention period, or `i64::MIN`.
    oldest_kept_ns: i64,
    /// The oldest time within PAST LIMIT, or `i64::MIN`.
    first_ns: i64,
    /// The newest time within FUTURE LIMIT, or `i64::MAX`.
    last_ns: i64,
}

/// The bound that a point's time violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The retention period.
    Retention,
    /// PAST LIMIT.
    Past,
    /// FUTURE LIMIT.
    Future,
}

impl WriteWindow {
    /// Returns the times that `policy` accepts at `now_ns`.
    pub fn of(policy: &Policy, now_ns: i64) -> Self {
        let (past_ns, future_ns) = (policy.past_limit_ns, policy.future_limit_ns);
        Self {
            oldest_kept_ns: policy.oldest_kept_ns(now_ns),
            first_ns: if past_ns > 0 { now_ns.saturating_sub(past_ns) } else { i64::MIN },
            last_ns: if future_ns > 0 { now_ns.saturating_add(future_ns) } else { i64::MAX },
        }
    }

    /// Returns the bound that `time_ns` violates, if any. As in 1.12, a point outside of the
    /// retention period does not count as a point outside of PAST LIMIT.
    pub fn violated(&self, time_ns: i64) -> Option<Bound> {
        if time_ns < self.oldest_kept_ns {
            Some(Bound::Retention)
        } else if time_ns < self.first_ns {
            Some(Bound::Past)
        } else if time_ns > self.last_ns {
            Some(Bound::Future)
        } else {
            None
        }
    }

    /// Returns the first or last accepted time of `bound`, in nanoseconds.
    pub fn bound_ns(&self, bound: Bound) -> i64 {
        match bound {
            Bound::Retention => self.oldest_kept_ns,
            Bound::Past => self.first_ns,
            Bound::Future => self.last_ns,
        }
    }
}

/// The oldest and the newest of the points that a policy rejected because of their times.
#[derive(Clone, Copy, Debug)]
pub(super) struct DroppedRange {
    oldest: DroppedPoint,
    newest: DroppedPoint,
}

#[derive(Clone, Copy, Debug)]
struct DroppedPoint {
    time_ns: i64,
    line: u32,
    bound: Bound,
    /// The position of the measurement in the batch.
    measurement: usize,
    row: usize,
}

impl DroppedRange {
    /// Adds a point to `range`. As in 1.12, the first line has priority among equal times.
    pub(super) fn add(
        range: &mut Option<Self>,
        (measurement, batch): (usize, &MeasurementBatch),
        row: usize,
        bound: Bound,
    ) {
        let (line, time_ns) = (batch.lines.get(row), super::time_ns(batch, row));
        let point = DroppedPoint { time_ns, line, bound, measurement, row };
        let range = range.get_or_insert(Self { oldest: point, newest: point });
        if (time_ns, line) < (range.oldest.time_ns, range.oldest.line) {
            range.oldest = point;
        }
        let is_newer = time_ns > range.newest.time_ns;
        if is_newer || time_ns == range.newest.time_ns && line < range.newest.line {
            range.newest = point;
        }
    }

    /// Describes both points like 1.12.
    pub(super) fn describe(&self, batch: &[MeasurementBatch], window: &WriteWindow) -> [String; 2] {
        [self.oldest, self.newest].map(|point| {
            let key = batch.get(point.measurement).map(|batch| series_key(batch, point.row));
            let reason = match point.bound {
                Bound::Retention => "Retention Policy Lower Bound",
                Bound::Past => "Write Window Lower Bound",
                Bound::Future => "Write Window Upper Bound",
            };
            format!(
                "point {} at {} dropped because it violates a {reason} at {}",
                key.unwrap_or_default(),
                format_utc(point.time_ns),
                format_utc(window.bound_ns(point.bound)),
            )
        })
    }
}

fn series_key(batch: &MeasurementBatch, row: usize) -> String {
    let series = batch.block.row_series.get(row).copied().unwrap_or_default() as usize;
    let tags = batch.tag_keys.iter().zip(&batch.block.series.tags);
    let mut tags: Vec<_> = tags.map(|(key, column)| (key, column.get(series))).collect();
    tags.retain(|(_, value)| !value.is_empty());
    tags.sort_unstable();
    // `escape_measurement` also escapes characters that 1.x does not escape.
    let mut key = batch.name.replace(',', "\\,").replace(' ', "\\ ");
    for (tag, value) in tags {
        key.push(',');
        escape_tag(tag, |piece| key.push_str(piece));
        key.push('=');
        escape_tag(value, |piece| key.push_str(piece));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_window_are_inclusive() {
        let policy = Policy {
            duration_ns: 100,
            past_limit_ns: 10,
            future_limit_ns: 20,
            ..Policy::default()
        };
        let window = WriteWindow::of(&policy, 1_000);
        let found = [899, 900, 989, 990, 1_020, 1_021].map(|time_ns| window.violated(time_ns));
        let (past, future) = (Some(Bound::Past), Some(Bound::Future));
        assert_eq!(found, [Some(Bound::Retention), past, past, None, None, future]);
        let unlimited = WriteWindow::of(&Policy::default(), 1_000);
        assert_eq!([i64::MIN, i64::MAX].map(|time_ns| unlimited.violated(time_ns)), [None; 2]);
    }
}
