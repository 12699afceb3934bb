//! Keeps the events that a calling object is busy with: the calls of each, and the version in which
//! whoever caused it is answered.

use std::collections::BTreeMap;

use super::call::{Reply, Step};
use super::envelope::{self, Wire};
use super::host::Ticket;
use super::round::{Next, Replies, Round};

/// One event in flight. `work` is what the object knows of it.
#[derive(Debug)]
pub struct Flight<W> {
    /// What the object does about the event, and how far it is.
    pub work: W,
    version: u8,
    round: Round,
}

impl<W> Flight<W> {
    /// An event about which nothing was asked yet, answered in `version`.
    pub fn new(version: u8, work: W) -> Self {
        Self { work, version, round: Round::default() }
    }
}

/// The events in flight of one object.
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
    /// A ticket that no other event has.
    pub fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// What is done about each event that waits for replies.
    pub fn works(&self) -> impl Iterator<Item = &W> {
        self.flights.values().map(|flight| &flight.work)
    }

    /// Takes a reply. Once all calls of an event are answered it comes back with the replies, to be
    /// gone on with and settled.
    pub fn resume(&mut self, ticket: Ticket, reply: Reply) -> Option<(Flight<W>, Replies)> {
        let replies = self.flights.get_mut(&ticket)?.round.take(reply)?;
        let flight = self.flights.remove(&ticket)?;
        Some((flight, replies))
    }

    /// Sends an event's next calls, or ends it with its reply.
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

    /// Forgets an event.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.flights.remove(&ticket);
    }
}
