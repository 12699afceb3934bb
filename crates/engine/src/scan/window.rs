//! Assigns times to the windows of GROUP BY time().

use std::ops::Range;

use super::request::Window;
use crate::merge::cursor::Direction;
use tidemark_model::time::{H_NS, MAX_TIME_NS, MIN_TIME_NS};

impl Window {
    /// Returns the window that contains `time_ns` (start inclusive, end exclusive), by the rule of
    /// 1.x (`query/iterator.go`, `IteratorOptions.Window`). Windows align to local time. If the UTC
    /// offset at a border differs from the offset at `time_ns`, the border moves by the difference,
    /// unless the difference is at least one window.
    pub fn bounds(&self, time_ns: i64) -> Range<i64> {
        let (aligned_ns, shift_ns) = self.align(time_ns);
        let end_ns = aligned_ns.saturating_add(self.every_ns).min(MAX_TIME_NS);
        let moved_ns = self.moved(end_ns, shift_ns);
        // Local times that a clock change skips count as times after the change. If the border
        // would move across the change, it therefore does not move.
        let moved_end_ns = end_ns.saturating_add(moved_ns);
        let stays = moved_ns < 0 && self.shift(moved_end_ns) != self.shift(end_ns);
        let end_ns = if stays { end_ns } else { moved_end_ns };
        self.start(time_ns)..end_ns.saturating_add(self.offset_ns).min(MAX_TIME_NS)
    }

    /// Returns the start of the window of `time_ns`.
    pub fn start(&self, time_ns: i64) -> i64 {
        let (aligned_ns, shift_ns) = self.align(time_ns);
        let moved_ns = self.moved(aligned_ns, shift_ns);
        aligned_ns.saturating_add(moved_ns).saturating_add(self.offset_ns)
    }

    /// Returns the start that `fill()` expects after `start_ns` in the given direction. `shift_ns`
    /// is the UTC offset at the previous start, and is updated to the offset at the new start (1.x
    /// `floatFillIterator`).
    pub fn step(&self, start_ns: i64, shift_ns: &mut i64, direction: Direction) -> i64 {
        let every_ns = if direction.is_descending() { -self.every_ns } else { self.every_ns };
        let next_ns = start_ns.saturating_add(every_ns);
        let moved_ns = self.moved(next_ns.saturating_sub(1), *shift_ns);
        *shift_ns = self.shift(next_ns.saturating_sub(1));
        next_ns.saturating_add(moved_ns)
    }

    /// Returns a time after `time_ns`, such that all times from `time_ns` up to this time
    /// (exclusive) are in the same window.
    pub(crate) fn same_until(&self, time_ns: i64) -> i64 {
        let (aligned_ns, _) = self.align(time_ns);
        let end_ns = aligned_ns.saturating_add(self.offset_ns).saturating_add(self.every_ns);
        let base_ns = time_ns.saturating_sub(self.offset_ns);
        let next = self.zone.partition_point(|&(from_ns, _)| from_ns <= base_ns);
        match self.zone.get(next) {
            Some(&(from_ns, _)) => end_ns.min(from_ns.saturating_add(self.offset_ns)),
            None => end_ns,
        }
        .max(time_ns.saturating_add(1))
    }

    /// Whether `time_ns` is far from all clock changes. Near a clock change, a window may contain
    /// times before its start.
    pub(crate) fn is_regular_near(&self, time_ns: i64) -> bool {
        // The distance is two windows plus the largest possible difference of UTC offsets.
        let near_ns = self.every_ns.saturating_mul(2).saturating_add(26 * H_NS);
        let near = time_ns.saturating_sub(near_ns)..=time_ns.saturating_add(near_ns);
        !self.zone.iter().any(|(from_ns, _)| near.contains(from_ns))
    }

    /// Returns the start of the window that contains `time_ns` minus the window's offset, and the
    /// UTC offset at that time. The start is not yet corrected for clock changes.
    fn align(&self, time_ns: i64) -> (i64, i64) {
        let every_ns = self.every_ns.max(1);
        let base_ns = time_ns.saturating_sub(self.offset_ns);
        let shift_ns = self.shift(base_ns);
        let past_ns =
            (i128::from(base_ns) + i128::from(shift_ns)).rem_euclid(i128::from(every_ns)) as i64;
        (base_ns.saturating_sub(past_ns).max(MIN_TIME_NS), shift_ns)
    }

    /// Returns the distance by which a border moves if its UTC offset differs from `shift_ns`.
    fn moved(&self, border_ns: i64, shift_ns: i64) -> i64 {
        let moved_ns = shift_ns - self.shift(border_ns);
        if moved_ns.abs() < self.every_ns { moved_ns } else { 0 }
    }

    /// Returns local time minus UTC at `time_ns`, in nanoseconds.
    pub fn shift(&self, time_ns: i64) -> i64 {
        let next = self.zone.partition_point(|&(from_ns, _)| from_ns <= time_ns);
        next.checked_sub(1).and_then(|i| self.zone.get(i)).map_or(0, |&(_, shift_ns)| shift_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::{D_NS, S_NS};

    fn every(every_ns: i64, offset_ns: i64) -> Window {
        Window { every_ns, offset_ns, zone: Vec::new() }
    }

    #[test]
    fn windows_align_to_epoch_and_offset() {
        assert_eq!(every(10, 0).bounds(25), 20..30);
        assert_eq!(every(10, 0).bounds(-1), -10..0);
        assert_eq!(every(10, 3).bounds(2), -7..3);
        assert_eq!(every(10, -3).bounds(27), 27..37);
        assert_eq!(every(7 * D_NS, 0).start(3 * D_NS), 0, "weeks start on Thursdays");
        assert_eq!(every(10, 0).bounds(MAX_TIME_NS).end, MAX_TIME_NS);
    }

    #[test]
    fn day_windows_follow_time_zone() {
        // Los Angeles in 2000: the offset is -8 h until 2 April 10:00 UTC, then -7 h.
        let change_ns = 954_669_600 * S_NS;
        let zone = vec![(i64::MIN, -8 * H_NS), (change_ns, -7 * H_NS)];
        let day = Window { every_ns: D_NS, offset_ns: 0, zone: zone.clone() };
        let midnight_ns = change_ns - 2 * H_NS;
        for time_ns in [midnight_ns, change_ns - 1, change_ns, midnight_ns + 23 * H_NS - 1] {
            assert_eq!(day.bounds(time_ns), midnight_ns..midnight_ns + 23 * H_NS);
        }
        let hour = Window { every_ns: H_NS, offset_ns: 0, zone };
        assert_eq!(hour.bounds(change_ns), change_ns..change_ns + H_NS);
        assert_eq!(day.same_until(midnight_ns), change_ns);
        assert_eq!(day.same_until(change_ns), change_ns + 23 * H_NS - 2 * H_NS);
    }
}
