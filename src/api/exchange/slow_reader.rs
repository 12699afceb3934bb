//! Lets a reply be given up whose reader is slow when others need the memory that its query holds.

use super::Exchange;

impl Exchange {
    /// A piece waits for its reader from `now_ns` on.
    pub fn sending(&mut self, now_ns: i64) {
        let room = self.handler.as_ref().and_then(|handler| handler.room());
        self.reader = room.map(|room| room.waits(now_ns));
    }

    /// It was taken; `false` when the answer was given up meanwhile.
    pub fn sent(&mut self) -> bool {
        let goes_on = !self.is_outrun();
        self.reader = None;
        goes_on
    }

    /// Whether the answer was given up, its reader having taken nothing for longest.
    pub fn is_outrun(&mut self) -> bool {
        let gone = self.reader.as_ref().is_some_and(|reader| reader.is_gone());
        if gone {
            self.record.error = Some("slow reader");
        }
        gone
    }
}
