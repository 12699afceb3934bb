//! Counts what waits for the reader of a reply, who may be slow, and gives the reply up when others
//! need the memory.

use super::Exchange;
use crate::api::isolate_state::Service;
use crate::model::limits::WAITING_QUERY_BYTES;

impl Exchange {
    /// A piece of `bytes` waits for its reader from `now_ns` on.
    pub fn sending(&mut self, service: &Service, bytes: usize, now_ns: i64) {
        let database = self.record.database.as_deref().unwrap_or_default();
        let permit = service.answers.enter(database);
        let waiting = service.answers.upload(permit.tag(), permit, now_ns);
        // It cannot be had where this one holds most, and alone: then others are not kept from it.
        let _ = waiting.with(|permit| permit.grow_to(bytes + WAITING_QUERY_BYTES));
        self.reader = Some(waiting);
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
