//! Caches the estimated number of series in a shard.

use std::cell::RefCell;

use super::manifest::Part;
use tidemark_model::series_sketch::SeriesSketch;

#[derive(Debug, Default)]
pub(super) struct SeriesCount {
    /// `None` until the sketch is requested.
    parts: RefCell<Option<SeriesSketch>>,
    /// `None` until the sketch is requested or a write has a quota.
    log: Option<SeriesSketch>,
}

impl SeriesCount {
    /// The caller calls this function after the parts have changed.
    pub(super) fn forget_parts(&self) {
        self.parts.take();
    }

    pub(super) fn forget_log(&mut self) {
        self.log = None;
    }

    /// Later frames are added to the sketch.
    pub(super) fn begin_log(&mut self, log: SeriesSketch) {
        self.log = Some(log);
    }

    /// `parts` must contain all parts of the shard.
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

    pub(super) fn append(&mut self, frame: &SeriesSketch) {
        self.log.iter_mut().for_each(|log| log.merge(frame));
    }

    pub(super) fn counts_frames(&self) -> bool {
        self.log.is_some()
    }
}
