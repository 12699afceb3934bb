//! Measures the pace of a shard's writes, which determines when background work may begin.

use tidemark_model::time::{MINUTE_NS, S_NS};

/// The pause without writes after which the log is flushed and unused rows are deleted.
const PAUSE_NS: i64 = 10 * MINUTE_NS;
/// The shorter pause that replaces `PAUSE_NS` after a bulk load.
const LOAD_PAUSE_NS: i64 = 12 * S_NS;
/// The maximum interval between frames in a bulk load.
const LOAD_GAP_NS: i64 = 4 * S_NS;

/// A record of the intervals between frames, which determine the pause before work that writes
/// rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The time of the last frame since the object was loaded.
    pub(super) last_ns: Option<i64>,
    /// The time of the last delete since the object was loaded.
    pub(super) deleted_ns: Option<i64>,
    /// The longest recent interval. Each later frame reduces this interval by an eighth.
    gap_ns: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last_ns: None, deleted_ns: None, gap_ns: PAUSE_NS }
    }
}

impl Pace {
    pub(super) fn appended(&mut self, now_ns: i64) {
        let gap_ns = self.last_ns.map_or(0, |last_ns| now_ns.saturating_sub(last_ns));
        self.gap_ns = gap_ns.max(self.gap_ns - self.gap_ns / 8).min(PAUSE_NS);
        self.last_ns = Some(now_ns);
    }

    /// Returns the end of the pause after the last delete. Without the pause, each further delete
    /// could cause a rewrite of the same parts.
    pub(super) fn deletes_ended_ns(&self, now_ns: i64) -> i64 {
        self.deleted_ns.map_or(now_ns, |deleted_ns| deleted_ns.saturating_add(LOAD_PAUSE_NS))
    }

    /// Returns the end of the pause after the last frame. If no frame has arrived since the object
    /// was loaded, the pause has already ended.
    pub(super) fn paused_ns(&self, now_ns: i64) -> i64 {
        let pause_ns = if self.gap_ns < LOAD_GAP_NS { LOAD_PAUSE_NS } else { PAUSE_NS };
        self.last_ns.map_or(now_ns, |last_ns| last_ns.saturating_add(pause_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_ns(frames: i64, gap_ns: i64) -> i64 {
        let mut pace = Pace::default();
        (0..frames).for_each(|frame| pace.appended(frame * gap_ns));
        pace.paused_ns(0) - (frames - 1) * gap_ns
    }

    #[test]
    fn flush_pause_follows_write_pace() {
        assert_eq!(pause_ns(50, S_NS / 100), LOAD_PAUSE_NS);
        assert_eq!(pause_ns(20, S_NS / 100), PAUSE_NS);
        assert_eq!(pause_ns(1_000, 10 * S_NS), PAUSE_NS);
        assert_eq!(Pace::default().paused_ns(7), 7);
        let mut pace = Pace::default();
        for minute in 0..100 {
            (0..5).for_each(|frame| pace.appended(minute * MINUTE_NS + frame));
        }
        assert_eq!(pace.paused_ns(0), 99 * MINUTE_NS + 4 + PAUSE_NS);
    }
}
