//! Defines the result of a step of an executor.

use super::result::SeriesChunk;
use super::stream::{PageNeed, StreamId};
use tidemark_engine::scan::request::ScanRequest;

/// The result of an executor step.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecStep<Request = ScanRequest> {
    /// The executor needs these pages. Supply all of them in any order, then call `next` again.
    Need(Vec<PageNeed<Request>>),
    /// The next rows.
    Chunk(SeriesChunk),
    /// The current turn's share of work is done. Let other requests run, then call `next` again.
    Pause,
    /// The statement has no more rows.
    Done,
}

impl<Request> ExecStep<Request> {
    /// Converts the requests. A request that becomes `None` is dropped.
    pub fn map<R>(self, convert: impl Fn(StreamId, Request) -> Option<R>) -> ExecStep<R> {
        match self {
            Self::Need(needs) => {
                let needs = needs.into_iter().filter_map(|PageNeed { stream, request }| {
                    Some(PageNeed { stream, request: convert(stream, request)? })
                });
                ExecStep::Need(needs.collect())
            }
            Self::Chunk(chunk) => ExecStep::Chunk(chunk),
            Self::Pause => ExecStep::Pause,
            Self::Done => ExecStep::Done,
        }
    }
}
