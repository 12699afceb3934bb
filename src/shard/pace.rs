//! How often frames come, which says what a pause is: how long to wait with what costs rows.

use crate::model::time::{MINUTE_NS, S_NS};

/// After this long without a write the rest of the WAL is flushed and its slots are deleted.
const PAUSE_NS: i64 = 10 * MINUTE_NS;
/// The same after a load, whose frames come closer together than agents send: it is over.
const LOAD_PAUSE_NS: i64 = 12 * S_NS;
/// The usual gap of a load is shorter than this.
const LOAD_GAP_NS: i64 = 4 * S_NS;

/// When frames came, as far as this life of the object knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    last_ns: Option<i64>,
    deleted_ns: Option<i64>,
    /// The longest gap; it counts an eighth less with each frame after it.
    gap_ns: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last_ns: None, deleted_ns: None, gap_ns: PAUSE_NS }
    }
}

impl Pace {
    /// A frame came.
    pub(super) fn appended(&mut self, now_ns: i64) {
        let gap_ns = self.last_ns.map_or(0, |last_ns| now_ns.saturating_sub(last_ns));
        self.gap_ns = gap_ns.max(self.gap_ns - self.gap_ns / 8).min(PAUSE_NS);
        self.last_ns = Some(now_ns);
    }

    /// A delete came.
    pub(super) fn deleted(&mut self, now_ns: i64) {
        self.deleted_ns = Some(now_ns);
    }

    /// When deletes have ended, for a while: more of them would make the same parts be written
    /// anew.
    pub(super) fn deletes_ended_ns(&self, now_ns: i64) -> i64 {
        self.deleted_ns.map_or(now_ns, |deleted_ns| deleted_ns.saturating_add(LOAD_PAUSE_NS))
    }

    /// When the last frame came.
    pub(super) fn last_ns(&self) -> Option<i64> {
        self.last_ns
    }

    /// When the pause after the last frame is long enough. An object that was not written to since
    /// it was loaded has been idle for long enough.
    pub(super) fn paused_ns(&self, now_ns: i64) -> i64 {
        let pause_ns = if self.gap_ns < LOAD_GAP_NS { LOAD_PAUSE_NS } else { PAUSE_NS };
        self.last_ns.map_or(now_ns, |last_ns| last_ns.saturating_add(pause_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after so many frames with this gap.
    fn pause_ns(frames: i64, gap_ns: i64) -> i64 {
        let mut pace = Pace::default();
        (0..frames).for_each(|frame| pace.appended(frame * gap_ns));
        pace.paused_ns(0) - (frames - 1) * gap_ns
    }

    #[test]
    fn a_load_is_over_soon_and_an_agent_is_waited_for() {
        assert_eq!(pause_ns(50, S_NS / 100), LOAD_PAUSE_NS);
        assert_eq!(pause_ns(20, S_NS / 100), PAUSE_NS);
        assert_eq!(pause_ns(1_000, 10 * S_NS), PAUSE_NS);
        assert_eq!(Pace::default().paused_ns(7), 7);
        // Bursts of five, a minute apart.
        let mut pace = Pace::default();
        for minute in 0..100 {
            (0..5).for_each(|frame| pace.appended(minute * MINUTE_NS + frame));
        }
        assert_eq!(pace.paused_ns(0), 99 * MINUTE_NS + 4 + PAUSE_NS);
    }
}
