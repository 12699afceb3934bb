//! Reads the pages of one shard's answer to one scan, group by group.

use std::collections::VecDeque;

use super::plan::Binding;
use crate::scan::page::{Group, GroupData, ScanPage};
use crate::scan::request::{ResumeKey, ScanRequest};

/// One shard's answer to one scan of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Position in [`Plan::scans`](super::plan::Plan::scans).
    pub scan: u32,
    /// Which of that scan's shards, counting from 0.
    pub shard: u32,
}

/// A page that is needed before the executor can go on.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamNeed {
    /// Whom to ask; the page comes back under the same id.
    pub stream: StreamId,
    /// What to ask, resume key included.
    pub request: ScanRequest,
}

/// Where the next page starts.
#[derive(Debug)]
enum Rest {
    /// None has been asked for yet.
    Start,
    /// There.
    At(ResumeKey),
    /// There is none.
    End,
}

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Front<'a> {
    /// A group, or the next part of one, by its full key.
    Group(&'a [String]),
    /// Unknown until the next page is in.
    Missing,
    /// Nothing comes any more.
    End,
}

/// One shard's answer.
#[derive(Debug)]
pub(crate) struct Stream {
    id: StreamId,
    request: ScanRequest,
    key_positions: Vec<Option<usize>>,
    groups: VecDeque<(Vec<String>, GroupData)>,
    rest: Rest,
}

impl Stream {
    pub(crate) fn new(id: StreamId, request: ScanRequest, binding: &Binding) -> Self {
        Self {
            id,
            request,
            key_positions: binding.key.clone(),
            groups: VecDeque::new(),
            rest: Rest::Start,
        }
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// The front group, by its key in the order of the node's group keys.
    pub(crate) fn front(&self) -> Front<'_> {
        match (self.groups.front(), &self.rest) {
            (Some((key, _)), _) => Front::Group(key),
            (None, Rest::End) => Front::End,
            (None, Rest::Start | Rest::At(_)) => Front::Missing,
        }
    }

    /// Takes the front group's data.
    pub(crate) fn pop(&mut self) -> Option<GroupData> {
        self.groups.pop_front().map(|(_, data)| data)
    }

    /// What to ask when the front is missing.
    pub(crate) fn need(&self) -> StreamNeed {
        let mut request = self.request.clone();
        if let Rest::At(key) = &self.rest {
            request.resume = Some(key.clone());
        }
        StreamNeed { stream: self.id, request }
    }

    /// Takes in the next page.
    pub(crate) fn supply(&mut self, page: ScanPage) {
        for Group { key, data } in page.groups {
            let full = self.key_positions.iter().map(|position| {
                position.and_then(|position| key.get(position)).cloned().unwrap_or_default()
            });
            self.groups.push_back((full.collect(), data));
        }
        self.rest = page.resume.map_or(Rest::End, Rest::At);
    }
}
