//! Collects the results of all shards for one scan, slice by slice, and returns the results group
//! by group.
//!
//! A slice is the part of the result between two positions. Each shard returns its part of the
//! slice in pages, and the stream merges the pages as they arrive. If the slice needs too much
//! memory, the stream moves the slice's end towards the start and drops the rows after the new end.
//! Subsequent requests contain the new end.
//!
//! When all shards have returned their parts, the stream returns the slice's groups, and the next
//! slice starts. The first requests for a slice contain an estimate of its end, at which the slice
//! is expected to be full.

mod rows;
mod slice;

use std::collections::VecDeque;
use std::rc::Rc;

use self::rows::GroupParts;
use self::slice::Cut;
pub(crate) use self::slice::Slice;
use super::error::Result;
use crate::admission::{BufferMemory, QueryReservation};
use tidemark_engine::scan::page::{GroupData, ScanPage};
use tidemark_engine::scan::request::{Position, Resume, ScanRequest};
use tidemark_model::limits::{SHARDS_REQUESTED_AT_ONCE_MAX, SLICE_BYTES_MAX};

/// The identity of a shard's result for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Position in [`Plan::scans`](super::plan::Plan::scans).
    pub scan: u32,
    /// The number of the shard within the scan. The first shard has number 0.
    pub shard: u32,
}

/// A page that an executor needs before it can continue.
#[derive(Clone, Debug, PartialEq)]
pub struct PageNeed<Request = ScanRequest> {
    /// The shard that receives the request. The caller supplies the page with the same id.
    pub stream: StreamId,
    /// The request to the shard.
    pub request: Request,
}

/// The next group of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Front<'a> {
    /// The group with this key. The data of a group may have several parts.
    Group(&'a [String]),
    /// The next group is unknown until the next pages arrive.
    Missing,
    /// The stream has no more groups.
    End,
}

/// A shard's progress in the current slice.
#[derive(Clone, Debug, Default)]
struct Progress {
    position: Option<Position>,
    is_through: bool,
}

/// The merged results of all shards for one scan, in the order of the scan's groups.
#[derive(Debug)]
pub struct Stream {
    scan: u32,
    request: Rc<ScanRequest>,
    key_positions: Rc<[Option<usize>]>,
    shards: Vec<Progress>,
    slice: Slice,
    slice_bytes_max: usize,
    /// Whether the stream may drop groups and read them again.
    can_read_again: bool,
    reservation: QueryReservation,
    memory: BufferMemory,
    ready: VecDeque<(Vec<String>, GroupParts)>,
    is_over: bool,
}

impl Stream {
    /// Creates a stream before its first slice. `key` contains the position of each of the node's
    /// group keys in a page's keys. `is_derived` states whether a subquery supplies the rows, whose
    /// order must not change.
    pub fn new(
        scan: u32,
        shards: u32,
        request: impl Into<Rc<ScanRequest>>,
        key: Rc<[Option<usize>]>,
        is_derived: bool,
        reservation: &QueryReservation,
    ) -> Self {
        let request = request.into();
        Self {
            scan,
            slice: Slice::new(&request, is_derived),
            slice_bytes_max: SLICE_BYTES_MAX,
            can_read_again: true,
            reservation: reservation.clone(),
            memory: reservation.buffer(),
            request,
            key_positions: key,
            shards: vec![Progress::default(); shards as usize],
            ready: VecDeque::new(),
            is_over: shards == 0,
        }
    }

    /// Keeps all groups of each page, because the subquery returns every row or state only once.
    pub(crate) fn keep_all(&mut self) {
        self.can_read_again = false;
    }

    /// Starts an ascending result after the row at `time_ns` in a group. `value` returns the
    /// group's value for a key position.
    pub(crate) fn begin_after<'v>(&mut self, value: impl Fn(usize) -> &'v str, time_ns: i64) {
        let mut group = vec![String::new(); self.request.group_by.len()];
        for (of_node, position) in self.key_positions.iter().enumerate() {
            if let Some(of_scan) = position.and_then(|position| group.get_mut(position)) {
                value(of_node).clone_into(of_scan);
            }
        }
        self.slice.from = Some(Cut::new(group, time_ns.saturating_add(1)));
    }

    pub(crate) fn scan(&self) -> usize {
        self.scan as usize
    }

    /// Returns the group of the data that [`Self::pop`] returns next. The key is in the order of
    /// the node's group keys.
    pub fn front(&self) -> Front<'_> {
        match self.ready.front() {
            Some((key, _)) => Front::Group(key),
            None if self.is_over => Front::End,
            None => Front::Missing,
        }
    }

    /// Whether the stream has no more rows of a group, because the current slice starts after the
    /// group. `key` is in the order of the node's group keys.
    pub(crate) fn is_behind(&self, key: &[String]) -> bool {
        let behind = self.slice.starts_after().filter(|_| self.ready.is_empty());
        behind.is_some_and(|group| self.key_of_node(group) == key)
    }

    /// Takes the first part of the first group, in the order of the stream.
    pub fn pop(&mut self) -> Option<GroupData> {
        let (_, parts) = self.ready.front_mut()?;
        let data = parts.next();
        if parts.is_empty() {
            self.ready.pop_front();
        }
        data
    }

    pub(crate) fn has_begun(&self) -> bool {
        let begun = |shard: &Progress| shard.is_through || shard.position.is_some();
        self.shards.iter().any(begun) || self.slice.from.is_some()
    }

    /// Returns the pages that the caller must supply before the next call, if the stream has no row
    /// ready.
    pub(crate) fn needs(&self) -> impl Iterator<Item = PageNeed> + '_ {
        let open = (0..).zip(&self.shards).filter(|(_, progress)| !progress.is_through);
        let page_bytes = self.reservation.page_bytes(open.clone().count(), self.has_begun());
        open.take(SHARDS_REQUESTED_AT_ONCE_MAX).map(move |(shard, progress)| {
            let resume = self.resume_of(shard, progress);
            let request = ScanRequest { resume, page_bytes, ..(*self.request).clone() };
            PageNeed { stream: StreamId { scan: self.scan, shard }, request }
        })
    }

    /// Returns a shard's position in the current slice; `None` if the shard has returned its part.
    pub fn resume(&self, shard: u32) -> Option<Resume> {
        let progress = self.shards.get(shard as usize).filter(|progress| !progress.is_through)?;
        Some(self.resume_of(shard, progress))
    }

    fn resume_of(&self, shard: u32, progress: &Progress) -> Resume {
        let (from, until) = self.slice.positions(shard);
        Resume { from, until, position: progress.position.clone() }
    }

    /// Adds a page from a shard.
    ///
    /// # Errors
    /// `QueryError::Page`, `QueryError::OutOfMemory` if a single group's states, or groups that
    /// cannot be read again, exceed the query memory.
    pub fn supply(&mut self, shard: u32, page: ScanPage) -> Result<()> {
        self.slice.add(shard, page.groups, &self.request.output)?;
        if let Some(until) = page.until {
            self.slice.lower(until);
        }
        if self.can_read_again {
            self.slice.make_room(self.memory.affordable(self.slice_bytes_max));
        }
        self.memory.set(self.slice.bytes())?;
        if let Some(progress) = self.shards.get_mut(shard as usize) {
            progress.is_through = page.position.is_none();
            progress.position = page.position;
        }
        if self.shards.iter().all(|progress| progress.is_through) {
            self.end_slice();
        }
        Ok(())
    }

    fn end_slice(&mut self) {
        self.is_over = self.slice.is_last();
        for (key, data) in self.slice.take().into_iter().filter(|(_, data)| !data.is_empty()) {
            self.ready.push_back((self.key_of_node(&key), data));
        }
        self.shards.fill(Progress::default());
    }

    /// Reorders a key from the scan's order to the order of the node's group keys.
    fn key_of_node(&self, key: &[String]) -> Vec<String> {
        let value = |position: &Option<usize>| {
            position.and_then(|position| key.get(position)).cloned().unwrap_or_default()
        };
        self.key_positions.iter().map(value).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
