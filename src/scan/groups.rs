//! The groups of a piece: by key, each with the rows or states that it has so far.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::bounds::Bounds;
use super::error::ScanError;
use super::keys::SeriesTags;
use super::page::{Group, GroupData};
use super::predicate::Mask;
use super::request::{Output, Place, ScanRequest};
use super::rows::GroupRows;
use super::run::Run;
use super::states::GroupStates;
use super::stretches::End;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;

/// Groups of one piece.
pub(super) const GROUPS_PER_PIECE_MAX: usize = 8_192;
/// Bytes of a group in a piece beside its key and columns.
const GROUP_BYTES: usize = 48;
/// Bytes of the states of a call beside their windows.
const STATE_BYTES: usize = 128;

/// Where a group's rows or states go.
enum Sink<'a> {
    Rows(GroupRows<'a>),
    States(GroupStates<'a>),
}

impl Sink<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.bytes(),
            Self::States(states) => states.bytes(),
        }
    }
}

/// What has been taken in.
pub(super) struct Groups<'a> {
    request: &'a ScanRequest,
    pub(super) bounds: Bounds,
    numbers: HashMap<Vec<String>, usize, FixedState>,
    /// By number; `None` of those that were dropped.
    sinks: Vec<Option<Sink<'a>>>,
    /// By number: nothing of what comes later in time is needed.
    closed: Vec<bool>,
    /// The key of the group that was looked for last.
    key: Vec<String>,
    bytes: usize,
    rows: usize,
}

impl<'a> Groups<'a> {
    /// None yet, of what lies inside `bounds`.
    pub(super) fn new(request: &'a ScanRequest, bounds: Bounds) -> Self {
        let key = vec![String::new(); request.group_by.len()];
        let (numbers, sinks, closed) = (HashMap::default(), Vec::new(), Vec::new());
        Self { request, bounds, numbers, sinks, closed, key, bytes: 0, rows: 0 }
    }

    /// Looks for the group of a series; answers the times of it that are wanted.
    pub(super) fn reach(&mut self, tags: &SeriesTags) -> TimeRange {
        self.look_for(tags);
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

    /// Whether the group that was looked for, and all that follow it, lie behind the bounds.
    pub(super) fn is_behind(&self) -> bool {
        self.bounds.is_behind(&self.key)
    }

    fn look_for(&mut self, tags: &SeriesTags) {
        for (value, &tag) in self.key.iter_mut().zip(&self.request.group_by) {
            value.clear();
            value.push_str(tags.get(tag));
        }
    }

    /// Takes in the rows of a series that `mask` selects. Says whether a row is of use.
    ///
    /// # Errors
    /// [`ScanError::ColumnType`], [`ScanError::Input`].
    pub(super) fn consume(
        &mut self,
        tags: &SeriesTags,
        run: &Run,
        mask: &Mask,
    ) -> Result<bool, ScanError> {
        self.look_for(tags);
        let number = self.number()?;
        let Some(Some(sink)) = self.sinks.get_mut(number) else { return Ok(false) };
        let before = sink.bytes();
        let is_taken = match sink {
            Sink::Rows(rows) => {
                let count = rows.len();
                let Output::Rows { tags: wanted, .. } = &self.request.output else {
                    return Ok(false);
                };
                let wanted = wanted.iter().map(|&tag| tags.get(tag));
                let is_taken = rows.consume(run, mask, wanted)?;
                self.rows = (self.rows + rows.len()).saturating_sub(count);
                is_taken
            }
            Sink::States(states) => {
                states.consume(run, mask, &|tag: ColumnId| tags.get(tag))?;
                true
            }
        };
        let after = sink.bytes();
        self.bytes = (self.bytes + after).saturating_sub(before);
        Ok(is_taken)
    }

    /// Takes in the states or rows that a group came to elsewhere.
    ///
    /// # Errors
    /// [`ScanError::States`], [`ScanError::Kept`] when they are of another request.
    pub(super) fn absorb(&mut self, group: &Group) -> Result<(), ScanError> {
        self.key.clone_from(&group.key);
        let number = self.number()?;
        let Some(Some(sink)) = self.sinks.get_mut(number) else { return Ok(()) };
        let before = sink.bytes();
        match (&mut *sink, &group.data) {
            (Sink::States(held), GroupData::Partials(states)) => held.absorb(states)?,
            (Sink::Rows(held), GroupData::Rows { times_ns, fields, tags }) => {
                let rows = held.len();
                held.absorb(times_ns, fields, tags)?;
                self.rows = (self.rows + held.len()).saturating_sub(rows);
            }
            _ => return Err(ScanError::Kept),
        }
        self.bytes = (self.bytes + sink.bytes()).saturating_sub(before);
        Ok(())
    }

    /// The number of the group that was looked for, which begins if it is new.
    fn number(&mut self) -> Result<usize, ScanError> {
        if let Some(&number) = self.numbers.get(self.key.as_slice()) {
            return Ok(number);
        }
        let number = self.sinks.len();
        self.numbers.insert(self.key.clone(), number);
        self.sinks.push(Some(new_sink(self.request)?));
        self.closed.push(false);
        self.bytes += self.group_bytes() + self.key.iter().map(|v| v.len() + 4).sum::<usize>();
        Ok(number)
    }

    /// About what a group takes beside its key and values in the memory of who asks, the half of
    /// it: most of it lives for a moment.
    fn group_bytes(&self) -> usize {
        let calls = match &self.request.output {
            Output::Aggregates { calls, .. } => calls.len(),
            Output::Rows { .. } => 0,
        };
        GROUP_BYTES + STATE_BYTES * calls
    }

    /// Bytes of all groups.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows of all groups.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// A stretch of time is through: groups that have all they need take nothing more.
    pub(super) fn close(&mut self) {
        for (closed, sink) in self.closed.iter_mut().zip(&self.sinks) {
            *closed = match sink {
                Some(Sink::Rows(rows)) => rows.is_done(),
                Some(Sink::States(states)) => states.is_done(),
                None => true,
            };
        }
    }

    /// Whether there are groups that take no more.
    pub(super) fn has_closed(&self) -> bool {
        self.closed.contains(&true)
    }

    /// Whether a group takes no more, or lies outside the bounds.
    pub(super) fn needs_nothing_of(&self, key: &[String]) -> bool {
        let number = self.numbers.get(key);
        number.is_some_and(|&number| self.closed.get(number) == Some(&true))
            || self.bounds.time_of(key).is_empty()
    }

    /// Whether there are groups and none takes more.
    pub(super) fn are_closed(&self) -> bool {
        !self.closed.is_empty() && self.closed.iter().all(|&closed| closed)
    }

    /// Lowers the end of the slice until what there is takes at most `bytes_max`: to a group, of
    /// the only group to a window. What lies behind is dropped.
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
            self.bounds.lower(self.bounds.end_of(last.clone()));
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
                self.bounds.lower(Place { group: key.clone(), time_ns });
            }
            self.bytes = (self.bytes + states.bytes()).saturating_sub(before);
        }
    }

    /// The groups in the order of the answer, and the bounds that they lie in.
    pub(super) fn finish(mut self) -> (Vec<Group>, Bounds) {
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

fn new_sink(request: &ScanRequest) -> Result<Sink<'_>, ScanError> {
    Ok(match &request.output {
        Output::Rows { fields, tags, limit, every_row } => {
            Sink::Rows(GroupRows::new((fields, *every_row), tags.len(), request.descending, *limit))
        }
        Output::Aggregates { calls, window, limit } => Sink::States(GroupStates::new(
            calls,
            (window.as_ref(), *limit),
            request.time.start_ns,
            (request.descending, End::of(&request.output).is_some()),
        )?),
    })
}
