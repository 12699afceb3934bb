//! Defines the bounds of a slice: groups and times between two positions.

use std::cmp::Ordering;

use super::request::{ResultPosition, ScanRequest};
use crate::merge::cursor::Direction;
use tidemark_model::time::TimeRange;

/// The start and the end of a slice. The end is lowered if the groups do not fit.
pub(super) struct Bounds<'a> {
    request: &'a ScanRequest,
    until: Option<ResultPosition>,
    is_lowered: bool,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(request: &'a ScanRequest) -> Self {
        Self { request, until: request.resume.until.clone(), is_lowered: false }
    }

    /// Returns the times of a group that are inside the slice, or an empty range if the group is
    /// outside the slice.
    pub(super) fn time_of(&self, group: &[String]) -> TimeRange {
        let mut time = self.request.time;
        if let Some(from) = &self.request.resume.from {
            match self.order(group.cmp(&from.group)) {
                Ordering::Less => return TimeRange::new(0, 0),
                Ordering::Equal => time = time.intersect(&self.range_from(from.time_ns)),
                Ordering::Greater => {}
            }
        }
        if let Some(until) = &self.until {
            match self.order(group.cmp(&until.group)) {
                Ordering::Less => {}
                Ordering::Equal => time = time.intersect(&self.before(until.time_ns)),
                Ordering::Greater => return TimeRange::new(0, 0),
            }
        }
        time
    }

    pub(super) fn is_one_group(&self) -> bool {
        let (from, until) = (self.request.resume.from.as_ref(), self.until.as_ref());
        from.zip(until).is_some_and(|(from, until)| from.group == until.group)
    }

    /// Whether a group, and therefore every following group, is after the end of the slice.
    pub(super) fn is_after_end(&self, group: &[String]) -> bool {
        let until = self.until.as_ref();
        until.is_some_and(|until| self.order(group.cmp(&until.group)) == Ordering::Greater)
    }

    pub(super) fn lower(&mut self, place: ResultPosition) {
        let is_before = self.until.as_ref().is_none_or(|held| {
            let times = self.order(place.time_ns.cmp(&held.time_ns));
            self.order(place.group.cmp(&held.group)).then(times) == Ordering::Less
        });
        if is_before {
            (self.until, self.is_lowered) = (Some(place), true);
        }
    }

    pub(super) fn lowered(self) -> Option<ResultPosition> {
        self.until.filter(|_| self.is_lowered)
    }

    /// Lowers the end of the slice to the end of `time` in a group, in the direction of the result.
    pub(super) fn end_at(&mut self, group: Vec<String>, time: TimeRange) {
        let time_ns = match self.request.direction {
            Direction::Ascending => time.end_ns,
            Direction::Descending => time.start_ns.saturating_sub(1),
        };
        self.lower(ResultPosition { group, time_ns });
    }

    /// Returns the times from `time_ns` onwards, in the direction of the result.
    pub(super) fn range_from(&self, time_ns: i64) -> TimeRange {
        match self.request.direction {
            Direction::Ascending => TimeRange::new(time_ns, i64::MAX),
            Direction::Descending => TimeRange::new(i64::MIN, time_ns.saturating_add(1)),
        }
    }

    pub(super) fn before(&self, time_ns: i64) -> TimeRange {
        match self.request.direction {
            Direction::Ascending => TimeRange::new(i64::MIN, time_ns),
            Direction::Descending => TimeRange::new(time_ns.saturating_add(1), i64::MAX),
        }
    }

    pub(super) fn order(&self, ascending: Ordering) -> Ordering {
        self.request.direction.order(ascending)
    }
}
