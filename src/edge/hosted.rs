//! Drives the state of an object through [`Host`]: a request or an alarm begins, its calls are
//! made, and it goes on with each reply.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use worker::{Env, Result, State};

use super::alarm::Alarm;
use super::calls::Flights;
use super::past;
use super::platform::EdgePlatform;
use crate::protocol::call::{Platform, Step};
use crate::protocol::host::{Host, Ticket};

/// A [`Host`] in its Durable Object.
pub(super) struct Hosted<H> {
    state: State,
    /// Whether the object may go back in time.
    goes_back: bool,
    object: Rc<Object<H>>,
}

/// What work behind a reply holds too.
struct Object<H> {
    host: RefCell<H>,
    platform: EdgePlatform,
    alarm: Alarm,
}

impl<H: Host + 'static> Hosted<H> {
    pub(super) fn new(state: State, env: &Env, host: H) -> Self {
        let (platform, alarm) = (EdgePlatform::new(env), Alarm::new(&state));
        let object = Rc::new(Object { host: RefCell::new(host), platform, alarm });
        Self { state, goes_back: false, object }
    }

    /// The same for an object that may go back in time.
    pub(super) fn going_back(mut self) -> Self {
        self.goes_back = true;
        self
    }

    /// Answers a message; what it made due goes on behind the reply.
    pub(super) async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>> {
        if self.goes_back
            && let Some(reply) = past::answer(&self.state, &message).await
        {
            return Ok(reply);
        }
        let object = &self.object;
        let (ticket, step) = object.host.borrow_mut().begin(&object.platform, &message);
        drop(message);
        let reply = object.finish(ticket, step).await?;
        let work = object.host.borrow_mut().work_on();
        if let Some((ticket, step)) = work {
            let object = Rc::clone(object);
            self.state.wait_until(async move { object.finish_unasked(ticket, step).await });
        }
        Ok(reply)
    }

    /// Runs the jobs that are due.
    pub(super) async fn alarm(&self) {
        let object = &self.object;
        object.alarm.went_off();
        let (ticket, step) = object.host.borrow_mut().alarm(&object.platform);
        object.finish_unasked(ticket, step).await;
    }
}

impl<H: Host> Object<H> {
    /// Its failures are recorded in the state; thrown ones would make the platform repeat an alarm.
    async fn finish_unasked(&self, ticket: Ticket, step: Step<Vec<u8>>) {
        if let Err(error) = self.finish(ticket, step).await {
            worker::console_error!("work that was due failed: {error}");
        }
    }

    async fn finish(&self, ticket: Ticket, mut step: Step<Vec<u8>>) -> Result<Vec<u8>> {
        let unfinished = Unfinished { object: self, ticket, done: Cell::new(false) };
        let mut flights = Flights::new(self.platform.env());
        loop {
            let next_alarm_ns = self.host.borrow().next_alarm_ns();
            self.alarm.arm(next_alarm_ns, self.platform.now_ns()).await;
            match step {
                Step::Done(reply) => {
                    unfinished.done.set(true);
                    return Ok(reply);
                }
                Step::Calls(calls) => flights.start(calls),
            }
            let Some(reply) = flights.next().await else {
                return Err("waiting for a reply to no call".into());
            };
            step = self.host.borrow_mut().resume(&self.platform, ticket, reply);
        }
    }
}

/// Forgets the ticket if its caller vanishes before it is answered.
struct Unfinished<'a, H: Host> {
    object: &'a Object<H>,
    ticket: Ticket,
    done: Cell<bool>,
}

impl<H: Host> Drop for Unfinished<'_, H> {
    fn drop(&mut self) {
        if !self.done.get()
            && let Ok(mut host) = self.object.host.try_borrow_mut()
        {
            host.abandon(self.ticket);
        }
    }
}
