//! Stores the groups of a page by key, with the rows or the partial states read so far.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::bounds::Bounds;
use super::error::ScanError;
use super::group_rows::GroupRows;
use super::group_states::GroupStates;
use super::mask::Mask;
use super::page::{Group, GroupData};
use super::request::{Output, ResultPosition, ScanRequest};
use super::series_rows::SeriesRows;
use super::series_tags::SeriesTags;
use tidemark_model::time::TimeRange;

pub(super) const GROUPS_PER_PAGE_MAX: usize = 8_192;
/// The size of a group in a page without its key and columns, in bytes.
const GROUP_BYTES: usize = 48;
/// The size of a call's states in a page without their windows, in bytes.
const STATE_BYTES: usize = 128;

/// The result of one group so far.
enum GroupResult<'a> {
    Rows(GroupRows<'a>),
    States(GroupStates<'a>),
}

impl<'a> GroupResult<'a> {
    fn new(request: &'a ScanRequest) -> Result<Self, ScanError> {
        Ok(match &request.output {
            Output::Rows { fields, tags, limit, every_row } => {
                let direction = request.direction;
                Self::Rows(GroupRows::new(fields, tags, *every_row, *limit, direction))
            }
            Output::Aggregates { calls, window, .. } => {
                Self::States(GroupStates::new(request, calls, window.clone())?)
            }
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

    fn is_done(&self) -> bool {
        match self {
            Self::Rows(rows) => rows.is_done(),
            Self::States(states) => states.is_done(),
        }
    }
}

struct PageGroup<'a> {
    result: GroupResult<'a>,
    /// Whether the group needs no rows of later stretches.
    is_closed: bool,
}

/// The groups of a page. The *current* group is the group with the key `key`.
pub(super) struct Groups<'a> {
    request: &'a ScanRequest,
    pub(super) bounds: Bounds<'a>,
    groups: HashMap<Vec<String>, PageGroup<'a>, FixedState>,
    /// The number of groups that were dropped because they do not fit.
    dropped: usize,
    key: Vec<String>,
    bytes: usize,
    rows: usize,
}

impl<'a> Groups<'a> {
    pub(super) fn new(request: &'a ScanRequest) -> Self {
        Self {
            request,
            bounds: Bounds::new(request),
            groups: HashMap::default(),
            dropped: 0,
            key: vec![String::new(); request.group_by.len()],
            bytes: 0,
            rows: 0,
        }
    }

    /// Makes the group of a series the current group. Returns the group's requested times.
    pub(super) fn set_current(&mut self, tags: &SeriesTags) -> TimeRange {
        self.set_key(tags);
        let time = self.bounds.time_of(&self.key);
        match self.groups.get(self.key.as_slice()) {
            Some(PageGroup { is_closed: true, .. }) => TimeRange::new(0, 0),
            Some(PageGroup { result: GroupResult::Rows(rows), .. }) => time.intersect(&rows.open),
            _ => time,
        }
    }

    pub(super) fn is_after_end(&self) -> bool {
        self.bounds.is_after_end(&self.key)
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
        series_rows: &SeriesRows,
        mask: &Mask,
    ) -> Result<bool, ScanError> {
        self.set_key(tags);
        self.change(|result| match result {
            GroupResult::Rows(rows) => rows.consume(series_rows, mask, tags),
            GroupResult::States(states) => states.consume(series_rows, mask, tags).map(|()| true),
        })
    }

    /// Adds a group's states or rows from another reader or cache entry. Ignores groups after the
    /// end of the slice.
    pub(super) fn absorb(&mut self, group: &Group) -> Result<(), ScanError> {
        if self.bounds.is_after_end(&group.key) {
            return Ok(());
        }
        self.key.clone_from(&group.key);
        self.change(|result| match (result, &group.data) {
            (GroupResult::States(held), GroupData::Partials(states)) => held.absorb(states),
            (GroupResult::Rows(held), GroupData::Rows { times_ns, fields, tags }) => {
                held.absorb(times_ns, fields, tags)
            }
            _ => Err(ScanError::Cached),
        })
    }

    /// Changes the result of the current group, and adds the group if necessary.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut GroupResult<'a>) -> Result<T, ScanError>,
    ) -> Result<T, ScanError> {
        let group = match self.groups.get_mut(self.key.as_slice()) {
            Some(group) => group,
            None => {
                let group = PageGroup { result: GroupResult::new(self.request)?, is_closed: false };
                self.bytes += self.group_bytes() + key_bytes(&self.key);
                self.groups.entry(self.key.clone()).or_insert(group)
            }
        };
        let result = &mut group.result;
        let (bytes, rows) = (result.bytes(), result.rows());
        let changed = change(result)?;
        self.bytes = (self.bytes + result.bytes()).saturating_sub(bytes);
        self.rows = (self.rows + result.rows()).saturating_sub(rows);
        Ok(changed)
    }

    /// Returns the number of bytes that a group counts in addition to its key and values.
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
        self.groups.len()
    }

    /// Returns the number of created groups, including the dropped groups.
    pub(super) fn created(&self) -> usize {
        self.groups.len() + self.dropped
    }

    /// Closes the complete groups after a stretch has been read.
    pub(super) fn close(&mut self) {
        for group in self.groups.values_mut() {
            group.is_closed = group.result.is_done();
        }
    }

    /// Whether some groups need no rows of later stretches.
    pub(super) fn has_closed(&self) -> bool {
        self.dropped > 0 || self.groups.values().any(|group| group.is_closed)
    }

    /// Whether a group is complete or outside the bounds.
    pub(super) fn is_group_complete(&self, key: &[String]) -> bool {
        self.groups.get(key).is_some_and(|group| group.is_closed)
            || self.bounds.time_of(key).is_empty()
    }

    pub(super) fn are_closed(&self) -> bool {
        !self.groups.is_empty() && self.groups.values().all(|group| group.is_closed)
    }

    /// Lowers the end of the slice until the groups take at most `bytes_max` bytes. If only one
    /// group remains, the function drops the last windows of this group.
    pub(super) fn lower(&mut self, bytes_max: usize) {
        let group_bytes = self.group_bytes();
        if self.bytes <= bytes_max {
            return;
        }
        let mut order: Vec<(Vec<String>, usize)> = self
            .groups
            .iter()
            .map(|(key, group)| (key.clone(), group_bytes + key_bytes(key) + group.result.bytes()))
            .collect();
        order.sort_by(|(a, _), (b, _)| self.bounds.order(a.cmp(b)));
        let mut held = 0;
        let mut kept = 0;
        for (_, bytes) in &order {
            held += bytes;
            if held > bytes_max && kept > 0 {
                break;
            }
            kept += 1;
        }
        let dropped = order.split_off(kept);
        if let (Some((last, _)), false) = (order.last(), dropped.is_empty()) {
            self.bounds.end_at(last.clone(), TimeRange::ALL);
            self.dropped += dropped.len();
        }
        for (key, bytes) in dropped {
            self.groups.remove(&key);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        if let [(key, _)] = &order[..]
            && let Some(PageGroup { result: GroupResult::States(states), .. }) =
                self.groups.get_mut(key)
        {
            let before = states.bytes();
            if let Some(time_ns) = states.cut(bytes_max) {
                self.bounds.lower(ResultPosition { group: key.clone(), time_ns });
            }
            self.bytes = (self.bytes + states.bytes()).saturating_sub(before);
        }
    }

    pub(super) fn finish(self) -> (Vec<Group>, Bounds<'a>) {
        let mut groups = Vec::with_capacity(self.groups.len());
        for (key, group) in self.groups {
            let data = match group.result {
                GroupResult::Rows(rows) => rows.finish(),
                GroupResult::States(states) => states.finish(),
            };
            groups.extend(data.map(|data| Group { key, data }));
        }
        let bounds = self.bounds;
        groups.sort_by(|a, b| bounds.order(a.key.cmp(&b.key)));
        (groups, bounds)
    }
}

/// Returns the size of a key in a page, in bytes: its values, and four bytes for each value.
fn key_bytes(key: &[String]) -> usize {
    key.iter().map(|value| value.len() + 4).sum()
}
