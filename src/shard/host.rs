//! A shard as an object: bytes in, bytes out. It calls no other object. Everything but a page of a
//! query is done at once.

use std::rc::Rc;

use super::Shard;
use super::turns::{Pages, Turns};
use crate::protocol::call::{Address, Call, Platform, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::host::{Host, Ticket, Unavailable};
use crate::protocol::shard::{FromShard, ToShard};
use crate::store::Store;

/// Duties that one alarm does in a row, with a pause after each: steps of a merge, some forty
/// million values of it. Then the alarm is set again, so that the platform sees that it ends.
const DUTIES_PER_ALARM: u32 = 100;
/// Between two of them whoever came meanwhile is answered, milliseconds.
const DUTY_PAUSE_MS: u32 = 2;

/// A [`Shard`], who waits to read it, and when it wants to be woken.
pub struct ShardHost<S: Store> {
    shard: Shard<S>,
    due_ns: Option<i64>,
    turns: Turns,
    /// Pages that pause, each with the version that it was asked for in.
    paused: Vec<(Ticket, u8, ToShard)>,
    next_ticket: u64,
    /// The alarm that is at work, and how much it has done. Until it is through no other is set.
    working: Option<(Ticket, u32)>,
}

impl<S: Store> ShardHost<S> {
    /// Wraps a shard; `pages` is shared by all of the isolate. Nothing is due until its first
    /// event: an alarm set before is still set.
    pub fn new(shard: Shard<S>, pages: Rc<Pages>) -> Self {
        let turns = Turns::new(pages);
        Self { shard, due_ns: None, turns, paused: Vec::new(), next_ticket: 0, working: None }
    }

    fn new_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Does what is due, and pauses if there is more.
    fn work(&mut self, platform: &dyn Platform, ticket: Ticket, done: u32) -> Step<Vec<u8>> {
        let now_ns = platform.now_ns();
        self.due_ns = self.shard.alarm(now_ns);
        let has_more = self.due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        self.working = Some((ticket, done + 1)).filter(|_| has_more && done < DUTIES_PER_ALARM);
        match self.working {
            Some(_) => pause(DUTY_PAUSE_MS),
            None => Step::Done(Vec::new()),
        }
    }

    fn answer(&mut self, platform: &dyn Platform, version: u8, message: &ToShard) -> Step<Vec<u8>> {
        let reply = self.shard.handle(message, platform.now_ns());
        let now_ns = platform.now_ns();
        if let Some(query) = page_of(message) {
            self.turns.made(query, is_last(&reply), work(&reply), now_ns);
        }
        self.due_ns = self.shard.next_due(now_ns);
        Step::Done(envelope::encode_as(version, &reply))
    }
}

/// Whether a message asks for a page, and of which query that goes on, else 0.
fn page_of(message: &ToShard) -> Option<u64> {
    let (query, goes_on) = match message {
        ToShard::Scan { query, request, .. } => (*query, request.resume.goes_on()),
        ToShard::Summarise { query, request, .. } => (*query, request.resume.is_some()),
        ToShard::Explain { .. } | ToShard::Verify { .. } => (0, false),
        _ => return None,
    };
    Some(if goes_on { query } else { 0 })
}

fn is_last(reply: &FromShard) -> bool {
    match reply {
        FromShard::Scanned { until, position, .. } => until.is_none() && position.is_none(),
        FromShard::Summary(page) => page.resume.is_none(),
        // The query ends with it.
        _ => true,
    }
}

/// Rows looked at and bytes decoded for a page.
fn work(reply: &FromShard) -> u64 {
    match reply {
        FromShard::Scanned { stats, .. } => stats.rows_scanned + stats.bytes_decoded,
        FromShard::Summary(page) => page.stats.rows_scanned + page.stats.bytes_decoded,
        // Not counted, so as much as there may be.
        _ => u64::MAX,
    }
}

fn pause(ms: u32) -> Step<Vec<u8>> {
    let message = ms.to_le_bytes().to_vec();
    Step::Calls(vec![Call { id: 0, to: Address::Pause, location: None, message }])
}

impl<S: Store> Host for ShardHost<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.new_ticket();
        let (version, message) = match envelope::decode::<ToShard>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                return (ticket, Step::Done(envelope::encode(&FromShard::Unavailable(why))));
            }
        };
        let turn = match page_of(&message) {
            Some(query) => self.turns.arrive(ticket, query, platform.now_ns()),
            None => Ok(None),
        };
        let step = match turn {
            Ok(None) => self.answer(platform, version, &message),
            Ok(Some(ms)) => {
                self.paused.push((ticket, version, message));
                pause(ms)
            }
            Err(why) => Step::Done(envelope::encode_as(version, &FromShard::Unavailable(why))),
        };
        (ticket, step)
    }

    fn resume(&mut self, platform: &dyn Platform, ticket: Ticket, _: Reply) -> Step<Vec<u8>> {
        if let Some((_, done)) = self.working.filter(|(working, _)| *working == ticket) {
            return self.work(platform, ticket, done);
        }
        let Some(at) = self.paused.iter().position(|(paused, ..)| *paused == ticket) else {
            return Step::Calls(Vec::new());
        };
        let is_killed = self.paused.get(at).is_some_and(|(_, _, message)| {
            page_of(message).is_some_and(|query| self.shard.is_killed(query))
        });
        if let Some(ms) = self.turns.look(ticket).filter(|_| !is_killed) {
            return pause(ms);
        }
        let (_, version, message) = self.paused.remove(at);
        self.turns.leave(ticket);
        self.answer(platform, version, &message)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>) {
        let ticket = self.new_ticket();
        (ticket, self.work(platform, ticket, 0))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        self.due_ns.filter(|_| self.working.is_none())
    }

    fn abandon(&mut self, ticket: Ticket) {
        self.turns.leave(ticket);
        self.paused.retain(|(paused, ..)| *paused != ticket);
        self.working = self.working.filter(|(working, _)| *working != ticket);
    }
}
