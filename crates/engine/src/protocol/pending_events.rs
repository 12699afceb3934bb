//! Keeps the pending events of a calling object: the calls of each event, and the protocol version
//! for its reply.

use std::collections::BTreeMap;

use super::call::{Reply, Step};
use super::envelope::{self, Wire};
use super::host::Ticket;
use super::round::{Next, Replies, Round};

/// One pending event. `work` is the object's own state for it.
#[derive(Debug)]
pub struct Flight<W> {
    /// The object's task and its progress.
    pub work: W,
    version: u8,
    round: Round,
}

impl<W> Flight<W> {
    /// Creates an event without calls, whose reply is encoded in `version`.
    pub fn new(version: u8, work: W) -> Self {
        Self { work, version, round: Round::default() }
    }
}

/// The pending events of an object.
#[derive(Debug)]
pub struct Flights<W> {
    flights: BTreeMap<Ticket, Flight<W>>,
    next_ticket: u64,
}

impl<W> Default for Flights<W> {
    fn default() -> Self {
        Self { flights: BTreeMap::new(), next_ticket: 0 }
    }
}

impl<W> Flights<W> {
    /// Returns a new, unique ticket.
    pub fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Returns the tasks of all events that wait for replies.
    pub fn works(&self) -> impl Iterator<Item = &W> {
        self.flights.values().map(|flight| &flight.work)
    }

    /// Stores a reply. When all calls of an event have a reply, removes the event and returns it
    /// with the replies. The caller continues its work and passes the result to
    /// [`Flights::settle`].
    pub fn resume(&mut self, ticket: Ticket, reply: Reply) -> Option<(Flight<W>, Replies)> {
        let replies = self.flights.get_mut(&ticket)?.round.take(reply)?;
        let flight = self.flights.remove(&ticket)?;
        Some((flight, replies))
    }

    /// Sends an event's next calls, or ends the event and returns its encoded reply.
    pub fn settle<M: Wire>(
        &mut self,
        ticket: Ticket,
        mut flight: Flight<W>,
        next: Next<M>,
    ) -> Step<Vec<u8>> {
        match next {
            Next::Calls(requests) => {
                let calls = flight.round.start(requests);
                self.flights.insert(ticket, flight);
                Step::Calls(calls)
            }
            Next::Reply(reply) => Step::Done(envelope::encode_as(flight.version, &reply)),
        }
    }

    /// Removes an event.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.flights.remove(&ticket);
    }
}
