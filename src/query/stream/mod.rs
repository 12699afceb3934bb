//! Gathers the answer of all shards to one scan, slice by slice, and hands it out group by group.
//!
//! A slice is what lies between two places in the order of the answer. Each shard answers it in
//! pieces, which are put together as they come. What takes too much room lowers the end of the
//! slice; every further request says so, and what lies behind is dropped. When all shards are
//! through, the slice is complete: its groups are handed out, and the next one begins where it
//! ended, and is asked to end where it is likely to be full.

mod cut;
mod next_end;
mod rows;
mod slice;

use std::collections::VecDeque;

use self::cut::Cut;
pub(crate) use self::slice::{Complete, Slice};
use super::error::QueryError;
use crate::admission::{Held, QueryRoom};
use crate::model::limits::{SHARDS_ASKED_AT_ONCE_MAX, SLICE_BYTES_MAX};
use crate::scan::page::{GroupData, ScanPage};
use crate::scan::request::{Position, Resume, ScanRequest};

/// One shard's answer to one scan of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Position in [`Plan::scans`](super::plan::Plan::scans).
    pub scan: u32,
    /// Which of that scan's shards, counting from 0.
    pub shard: u32,
}

/// A piece that is needed before the executor can go on.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamNeed {
    /// Whom to ask; the piece comes back under the same id.
    pub stream: StreamId,
    /// What to ask.
    pub request: ScanRequest,
}

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Front<'a> {
    /// A group, or the next part of one, by its full key.
    Group(&'a [String]),
    /// Unknown until the next pieces are in.
    Missing,
    /// Nothing comes any more.
    End,
}

/// How far a shard is with the slice at hand.
#[derive(Clone, Debug, Default)]
struct Progress {
    position: Option<Position>,
    is_through: bool,
}

/// The answer of all shards to one scan.
#[derive(Debug)]
pub(crate) struct Stream {
    scan: u32,
    request: ScanRequest,
    key_positions: Vec<Option<usize>>,
    shards: Vec<Progress>,
    slice: Slice,
    /// What may be gathered of one slice, bytes.
    slice_bytes_max: usize,
    room: QueryRoom,
    /// What is gathered, complete or not.
    held: Held,
    /// Complete.
    ready: VecDeque<(Vec<String>, Complete)>,
    /// No slice follows the one at hand.
    is_over: bool,
}

impl Stream {
    /// Scan number `scan` of the plan, which asks so many shards; `key` says where each group key
    /// of the node stands among those of its pages. `is_derived`: a subquery's rows answer it,
    /// whose order stands.
    pub(crate) fn new(
        scan: u32,
        shards: u32,
        request: ScanRequest,
        key: Vec<Option<usize>>,
        is_derived: bool,
        room: &QueryRoom,
    ) -> Self {
        Self {
            scan,
            slice: Slice::new(&request, is_derived),
            slice_bytes_max: SLICE_BYTES_MAX,
            room: room.clone(),
            held: room.part(),
            request,
            key_positions: key,
            shards: vec![Progress::default(); shards as usize],
            ready: VecDeque::new(),
            is_over: shards == 0,
        }
    }

    /// Its number in the plan.
    pub(crate) fn scan(&self) -> usize {
        self.scan as usize
    }

    /// The front group, by its key in the order of the node's group keys.
    pub(crate) fn front(&self) -> Front<'_> {
        match self.ready.front() {
            Some((key, _)) => Front::Group(key),
            None if self.is_over => Front::End,
            None => Front::Missing,
        }
    }

    /// Whether nothing more of a group comes, since the slice at hand begins behind it. `key` is in
    /// the order of the node's group keys.
    pub(crate) fn is_behind(&self, key: &[String]) -> bool {
        let behind = self.slice.begins_behind().filter(|_| self.ready.is_empty());
        behind.is_some_and(|group| self.key_of_node(group) == key)
    }

    /// Takes the front group's data, or a part of it.
    pub(crate) fn pop(&mut self) -> Option<GroupData> {
        let (data, is_last) = self.ready.front_mut()?.1.next();
        if is_last {
            self.ready.pop_front();
        }
        data
    }

    /// Whether a piece has come.
    pub(crate) fn has_begun(&self) -> bool {
        let begun = |shard: &Progress| shard.is_through || shard.position.is_some();
        self.shards.iter().any(begun) || self.slice.has_begun()
    }

    /// What to ask when the front is missing. All of it has to be supplied before more is asked.
    pub(crate) fn needs(&self) -> impl Iterator<Item = StreamNeed> + '_ {
        let open = (0..).zip(&self.shards).filter(|(_, progress)| !progress.is_through);
        let piece_bytes = self.room.piece_bytes(open.clone().count(), self.has_begun());
        open.take(SHARDS_ASKED_AT_ONCE_MAX).map(move |(shard, progress)| {
            let resume = self.resume_of(shard, progress);
            let request = ScanRequest { resume, piece_bytes, ..self.request.clone() };
            StreamNeed { stream: StreamId { scan: self.scan, shard }, request }
        })
    }

    /// Where a shard goes on with the slice at hand; `None` if it is through.
    pub(crate) fn resume(&self, shard: u32) -> Option<Resume> {
        let progress = self.shards.get(shard as usize).filter(|progress| !progress.is_through)?;
        Some(self.resume_of(shard, progress))
    }

    fn resume_of(&self, shard: u32, progress: &Progress) -> Resume {
        let (from, until) = self.slice.places(shard);
        Resume { from, until, position: progress.position.clone() }
    }

    /// Takes in a piece of a shard.
    ///
    /// # Errors
    /// [`QueryError::Page`] when it holds something else than was asked for, [`QueryError::NoRoom`]
    /// when the states of one group are more than there is memory for.
    pub(crate) fn supply(&mut self, shard: u32, page: ScanPage) -> Result<(), QueryError> {
        self.slice.add(shard, page.groups, &self.request.output)?;
        if let Some(until) = page.until {
            self.slice.lower(Cut::of(until));
        }
        self.slice.make_room(self.held.affordable(self.slice_bytes_max));
        self.held.set(self.slice.bytes())?;
        if let Some(progress) = self.shards.get_mut(shard as usize) {
            progress.is_through = page.position.is_none();
            progress.position = page.position;
        }
        if self.shards.iter().all(|progress| progress.is_through) {
            self.end_slice();
        }
        Ok(())
    }

    /// Hands the slice at hand out and begins the next one.
    fn end_slice(&mut self) {
        self.is_over = self.slice.is_last();
        for (key, data) in self.slice.take().into_iter().filter(|(_, data)| !data.is_empty()) {
            self.ready.push_back((self.key_of_node(&key), data));
        }
        self.shards.fill(Progress::default());
    }

    /// The key of a group of the scan in the order of the node's group keys.
    fn key_of_node(&self, key: &[String]) -> Vec<String> {
        let value = |position: &Option<usize>| {
            position.and_then(|position| key.get(position)).cloned().unwrap_or_default()
        };
        self.key_positions.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests;
