//! Stores the pending events of a calling object.

use std::collections::BTreeMap;

use super::call::{Reply, Step};
use super::envelope::{self, Wire};
use super::event::EventId;
use super::round::{Next, Replies, Round};

/// One pending event. `work` is the object's state for this event.
#[derive(Debug)]
pub struct PendingEvent<W> {
    /// The object's task and its progress.
    pub work: W,
    version: u8,
    round: Round,
}

impl<W> PendingEvent<W> {
    /// Creates an event without calls, whose reply is encoded in `version`.
    pub fn new(version: u8, work: W) -> Self {
        Self { work, version, round: Round::default() }
    }
}

/// The pending events of an object.
#[derive(Debug)]
pub struct PendingEvents<W> {
    events: BTreeMap<EventId, PendingEvent<W>>,
    next_event_id: u64,
}

impl<W> Default for PendingEvents<W> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), next_event_id: 0 }
    }
}

impl<W> PendingEvents<W> {
    /// Returns a new event id.
    pub fn new_event(&mut self) -> EventId {
        self.next_event_id += 1;
        EventId(self.next_event_id)
    }

    /// Returns the tasks of all events that wait for replies.
    pub fn works(&self) -> impl Iterator<Item = &W> {
        self.events.values().map(|event| &event.work)
    }

    /// Stores a reply. If all calls of an event now have a reply, returns the event and the
    /// replies. The caller then calls [`PendingEvents::advance`].
    pub fn resume(
        &mut self,
        event_id: EventId,
        reply: Reply,
    ) -> Option<(PendingEvent<W>, Replies)> {
        let replies = self.events.get_mut(&event_id)?.round.add_reply(reply)?;
        let event = self.events.remove(&event_id)?;
        Some((event, replies))
    }

    /// Sends an event's next calls, or ends the event and returns its encoded reply.
    pub fn advance<M: Wire>(
        &mut self,
        event_id: EventId,
        mut event: PendingEvent<W>,
        next: Next<M>,
    ) -> Step<Vec<u8>> {
        match next {
            Next::Calls(requests) => {
                let calls = event.round.start(requests);
                self.events.insert(event_id, event);
                Step::Calls(calls)
            }
            Next::Reply(reply) => Step::Done(envelope::encode_as(event.version, &reply)),
        }
    }

    /// Removes an event.
    pub fn abandon(&mut self, event_id: EventId) {
        self.events.remove(&event_id);
    }
}
