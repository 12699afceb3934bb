//! Stops the response to a slow reader when other requests need the memory of that response.

use super::Exchange;

impl Exchange {
    /// Records that a piece of the response has been waiting for the reader since `now_ns`.
    pub fn sending(&mut self, now_ns: i64) {
        let reservation = self.query().and_then(|query| query.reservation());
        self.reader = reservation.map(|reservation| reservation.waits(now_ns));
    }

    /// Records that the reader received the piece. Returns `false` if the server stopped the
    /// response in the meantime.
    pub fn sent(&mut self) -> bool {
        let goes_on = !self.is_stopped();
        self.reader = None;
        goes_on
    }

    /// Whether the server stopped the response because this reader was idle longer than any other
    /// reader.
    pub fn is_stopped(&mut self) -> bool {
        let gone = self.reader.as_ref().is_some_and(|reader| reader.is_gone());
        if gone {
            self.record.error = Some("slow reader");
        }
        gone
    }
}
