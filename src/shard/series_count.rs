//! Remembers what was counted of a shard's series, as long as it is so.

use std::cell::RefCell;

use super::manifest::Part;
use crate::model::series_sketch::SeriesSketch;

/// What is known of how many series there are.
#[derive(Debug, Default)]
pub(super) struct SeriesCount {
    /// Those of all parts; `None` until somebody asks.
    parts: RefCell<Option<SeriesSketch>>,
    /// Those of the log; `None` until somebody asks, or writes with a limit.
    log: Option<SeriesSketch>,
}

impl SeriesCount {
    /// The parts are others.
    pub(super) fn forget_parts(&self) {
        self.parts.take();
    }

    /// The log is empty.
    pub(super) fn forget_log(&mut self) {
        self.log = None;
    }

    /// The series of the log, from which on appended frames are counted.
    pub(super) fn begin_log(&mut self, log: SeriesSketch) {
        self.log = Some(log);
    }

    /// Those of the parts, which are all there are, and of the log.
    pub(super) fn of<'a>(&self, parts: impl Iterator<Item = &'a Part>) -> SeriesSketch {
        let mut known = self.parts.borrow_mut();
        let union = || {
            let mut union = SeriesSketch::default();
            parts.for_each(|part| union.merge(&part.sketch));
            union
        };
        let mut all = known.get_or_insert_with(union).clone();
        self.log.iter().for_each(|log| all.merge(log));
        all
    }

    /// Counts a frame that was appended.
    pub(super) fn append(&mut self, frame: &SeriesSketch) {
        self.log.iter_mut().for_each(|log| log.merge(frame));
    }

    /// Whether frames that are appended are counted.
    pub(super) fn counts_frames(&self) -> bool {
        self.log.is_some()
    }
}
