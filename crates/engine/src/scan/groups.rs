//! Stores the groups of a page by key, with the rows or states read so far.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::bounds::Bounds;
use super::error::ScanError;
use super::keys::SeriesTags;
use super::page::{Group, GroupData};
use super::predicate::Mask;
use super::request::{Output, ResultPosition, ScanRequest};
use super::rows::GroupRows;
use super::run::Run;
use super::states::GroupStates;
use tidemark_model::time::TimeRange;

pub(super) const GROUPS_PER_PIECE_MAX: usize = 8_192;
/// The number of bytes that a group takes in a page in addition to its key and columns.
const GROUP_BYTES: usize = 48;
/// The number of bytes that a call's states take in addition to its windows.
const STATE_BYTES: usize = 128;

enum Sink<'a> {
    Rows(GroupRows<'a>),
    States(GroupStates<'a>),
}

impl<'a> Sink<'a> {
    fn new(request: &'a ScanRequest) -> Result<Self, ScanError> {
        Ok(match &request.output {
            Output::Rows { .. } => Self::Rows(GroupRows::new(request)),
            Output::Aggregates { .. } => Self::States(GroupStates::new(request)?),
        })
    }

    fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::States(_) => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.bytes(),
            Self::States(states) => states.bytes(),
        }
    }
}

pub(super) struct Groups<'a> {
    request: &'a ScanRequest,
    pub(super) bounds: Bounds<'a>,
    numbers: HashMap<Vec<String>, usize, FixedState>,
    /// Indexed by group number. The entry of a dropped group is `None`.
    sinks: Vec<Option<Sink<'a>>>,
    /// Indexed by group number: whether the group needs no rows of later stretches.
    closed: Vec<bool>,
    key: Vec<String>,
    bytes: usize,
    rows: usize,
}

impl<'a> Groups<'a> {
    pub(super) fn new(request: &'a ScanRequest) -> Self {
        Self {
            request,
            bounds: Bounds::new(request),
            numbers: HashMap::default(),
            sinks: Vec::new(),
            closed: Vec::new(),
            key: vec![String::new(); request.group_by.len()],
            bytes: 0,
            rows: 0,
        }
    }

    /// Makes the group of a series the current group. Returns the group's requested times.
    pub(super) fn reach(&mut self, tags: &SeriesTags) -> TimeRange {
        self.set_key(tags);
        let time = self.bounds.time_of(&self.key);
        let Some(&number) = self.numbers.get(self.key.as_slice()) else { return time };
        if self.closed.get(number) == Some(&true) {
            return TimeRange::new(0, 0);
        }
        match self.sinks.get(number) {
            Some(Some(Sink::Rows(rows))) => time.intersect(&rows.open()),
            _ => time,
        }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.bounds.is_behind(&self.key)
    }

    fn set_key(&mut self, tags: &SeriesTags) {
        for (value, &tag) in self.key.iter_mut().zip(&self.request.group_by) {
            value.clear();
            value.push_str(tags.get(tag));
        }
    }

    /// Adds the rows that `mask` selects from a series. Returns whether a row was used.
    pub(super) fn consume(
        &mut self,
        tags: &SeriesTags,
        run: &Run,
        mask: &Mask,
    ) -> Result<bool, ScanError> {
        self.set_key(tags);
        let output = &self.request.output;
        let is_taken = self.change(|sink| match (sink, output) {
            (Sink::Rows(rows), Output::Rows { tags: wanted, .. }) => {
                rows.consume(run, mask, wanted.iter().map(|&tag| tags.get(tag)))
            }
            (Sink::Rows(_), Output::Aggregates { .. }) => Ok(false),
            (Sink::States(states), _) => states.consume(run, mask, tags).map(|()| true),
        });
        is_taken.map(Option::unwrap_or_default)
    }

    /// Adds a group's states or rows from another reader or cache entry.
    pub(super) fn absorb(&mut self, group: &Group) -> Result<(), ScanError> {
        self.key.clone_from(&group.key);
        let absorbed = self.change(|sink| match (sink, &group.data) {
            (Sink::States(held), GroupData::Partials(states)) => held.absorb(states),
            (Sink::Rows(held), GroupData::Rows { times_ns, fields, tags }) => {
                held.absorb(times_ns, fields, tags)
            }
            _ => Err(ScanError::Cached),
        });
        absorbed.map(drop)
    }

    /// Changes the group with the current key. Returns `None` if the group was dropped.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Sink<'a>) -> Result<T, ScanError>,
    ) -> Result<Option<T>, ScanError> {
        let number = self.number()?;
        let Some(Some(sink)) = self.sinks.get_mut(number) else { return Ok(None) };
        let (bytes, rows) = (sink.bytes(), sink.rows());
        let result = change(sink)?;
        self.bytes = (self.bytes + sink.bytes()).saturating_sub(bytes);
        self.rows = (self.rows + sink.rows()).saturating_sub(rows);
        Ok(Some(result))
    }

    fn number(&mut self) -> Result<usize, ScanError> {
        if let Some(&number) = self.numbers.get(self.key.as_slice()) {
            return Ok(number);
        }
        let number = self.sinks.len();
        self.numbers.insert(self.key.clone(), number);
        self.sinks.push(Some(Sink::new(self.request)?));
        self.closed.push(false);
        self.bytes += self.group_bytes() + self.key.iter().map(|v| v.len() + 4).sum::<usize>();
        Ok(number)
    }

    /// Returns half of the memory that a group takes in the caller, excluding the key and the
    /// values. Only half of this memory counts, because most of this memory is temporary.
    fn group_bytes(&self) -> usize {
        let calls = match &self.request.output {
            Output::Aggregates { calls, .. } => calls.len(),
            Output::Rows { .. } => 0,
        };
        GROUP_BYTES + STATE_BYTES * calls
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Closes the complete groups after a stretch has been read.
    pub(super) fn close(&mut self) {
        for (closed, sink) in self.closed.iter_mut().zip(&self.sinks) {
            *closed = match sink {
                Some(Sink::Rows(rows)) => rows.is_done(),
                Some(Sink::States(states)) => states.is_done(),
                None => true,
            };
        }
    }

    pub(super) fn has_closed(&self) -> bool {
        self.closed.contains(&true)
    }

    /// Whether a group is complete or outside the bounds.
    pub(super) fn is_group_complete(&self, key: &[String]) -> bool {
        let number = self.numbers.get(key);
        number.is_some_and(|&number| self.closed.get(number) == Some(&true))
            || self.bounds.time_of(key).is_empty()
    }

    pub(super) fn are_closed(&self) -> bool {
        !self.closed.is_empty() && self.closed.iter().all(|&closed| closed)
    }

    /// Lowers the end of the slice until the groups take at most `bytes_max` bytes. If only one
    /// group remains, the function drops the last windows of this group.
    pub(super) fn lower(&mut self, bytes_max: usize) {
        let group_bytes = self.group_bytes();
        if self.bytes <= bytes_max {
            return;
        }
        let mut order: Vec<(Vec<String>, usize)> =
            self.numbers.iter().map(|(key, &number)| (key.clone(), number)).collect();
        order.sort_by(|(a, _), (b, _)| self.bounds.order(a.cmp(b)));
        let mut held = 0;
        let mut kept = 0;
        for (_, number) in &order {
            let sink = self.sinks.get(*number).and_then(Option::as_ref);
            held += group_bytes + sink.map_or(0, Sink::bytes);
            if held > bytes_max && kept > 0 {
                break;
            }
            kept += 1;
        }
        let dropped = order.split_off(kept);
        if let (Some((last, _)), false) = (order.last(), dropped.is_empty()) {
            self.bounds.end_at(last.clone(), TimeRange::ALL);
        }
        for (key, number) in dropped {
            self.numbers.remove(&key);
            if let Some(sink) = self.sinks.get_mut(number).and_then(Option::take) {
                self.bytes = self.bytes.saturating_sub(sink.bytes() + group_bytes);
            }
        }
        if let [(key, number)] = &order[..]
            && let Some(Some(Sink::States(states))) = self.sinks.get_mut(*number)
        {
            let before = states.bytes();
            if let Some(time_ns) = states.cut(bytes_max) {
                self.bounds.lower(ResultPosition { group: key.clone(), time_ns });
            }
            self.bytes = (self.bytes + states.bytes()).saturating_sub(before);
        }
    }

    pub(super) fn finish(mut self) -> (Vec<Group>, Bounds<'a>) {
        let mut groups = Vec::with_capacity(self.numbers.len());
        for (key, number) in std::mem::take(&mut self.numbers) {
            let data = match self.sinks.get_mut(number).and_then(Option::take) {
                Some(Sink::Rows(rows)) => rows.finish(),
                Some(Sink::States(states)) => states.finish(),
                None => None,
            };
            groups.extend(data.map(|data: GroupData| Group { key, data }));
        }
        let bounds = self.bounds;
        groups.sort_by(|a, b| bounds.order(a.key.cmp(&b.key)));
        (groups, bounds)
    }
}
