//! Defines the bounds of a slice: groups and times between two positions.

use std::cmp::Ordering;

use super::request::{ResultPosition, ScanRequest};
use crate::merge::cursor::Direction;
use tidemark_model::time::TimeRange;

pub(super) struct Bounds {
    direction: Direction,
    time: TimeRange,
    from: Option<ResultPosition>,
    until: Option<ResultPosition>,
    is_lowered: bool,
}

impl Bounds {
    pub(super) fn new(request: &ScanRequest, time: TimeRange) -> Self {
        let (from, until) = (request.resume.from.clone(), request.resume.until.clone());
        Self { direction: request.direction(), time, from, until, is_lowered: false }
    }

    /// Returns an empty range if the group is outside the slice.
    pub(super) fn time_of(&self, group: &[String]) -> TimeRange {
        let mut time = self.time;
        if let Some(from) = &self.from {
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
        let group =
            |place: &Option<ResultPosition>| place.as_ref().map(|place| place.group.clone());
        group(&self.from).is_some() && group(&self.from) == group(&self.until)
    }

    /// Whether a group, and therefore every following group, is after the end of the slice.
    pub(super) fn is_behind(&self, group: &[String]) -> bool {
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

    pub(super) fn end_of(&self, group: Vec<String>) -> ResultPosition {
        let time_ns = match self.direction {
            Direction::Ascending => i64::MAX,
            Direction::Descending => i64::MIN,
        };
        ResultPosition { group, time_ns }
    }

    pub(super) fn end_of_time(&self, group: Vec<String>, time: TimeRange) -> ResultPosition {
        let time_ns = match self.direction {
            Direction::Ascending => time.end_ns,
            Direction::Descending => time.start_ns.saturating_sub(1),
        };
        ResultPosition { group, time_ns }
    }

    /// Returns the times from `time_ns` onwards, in the direction of the result.
    pub(super) fn range_from(&self, time_ns: i64) -> TimeRange {
        match self.direction {
            Direction::Ascending => TimeRange::new(time_ns, i64::MAX),
            Direction::Descending => TimeRange::new(i64::MIN, time_ns.saturating_add(1)),
        }
    }

    pub(super) fn before(&self, time_ns: i64) -> TimeRange {
        match self.direction {
            Direction::Ascending => TimeRange::new(i64::MIN, time_ns),
            Direction::Descending => TimeRange::new(time_ns.saturating_add(1), i64::MAX),
        }
    }

    pub(super) fn order(&self, ascending: Ordering) -> Ordering {
        self.direction.order(ascending)
    }
}
