//! Drives the state of an object through [`Host`]: a request or an alarm begins, its calls are
//! made, and it goes on with each reply.

use std::cell::{Cell, RefCell};

use worker::{Env, Request, Response, Result, State};

use super::alarm::Alarm;
use super::calls::Flights;
use super::platform::EdgePlatform;
use crate::protocol::call::{Platform, Step};
use crate::protocol::host::{Host, Ticket};

/// A [`Host`] in its Durable Object.
pub(super) struct Hosted<H> {
    host: RefCell<H>,
    platform: EdgePlatform,
    alarm: Alarm,
}

impl<H: Host> Hosted<H> {
    pub(super) fn new(state: &State, env: &Env, host: H) -> Self {
        let platform = EdgePlatform::new(env);
        Self { host: RefCell::new(host), platform, alarm: Alarm::new(state) }
    }

    /// Answers a message.
    pub(super) async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message = request.bytes().await?;
        let (ticket, step) = self.host.borrow_mut().begin(&self.platform, &message);
        drop(message);
        Response::from_bytes(self.finish(ticket, step).await?)
    }

    /// Runs the jobs that are due.
    pub(super) async fn alarm(&self) -> Result<Response> {
        self.alarm.went_off();
        let (ticket, step) = self.host.borrow_mut().alarm(&self.platform);
        // Its failures are recorded in the state; thrown ones would make the platform repeat it.
        if let Err(error) = self.finish(ticket, step).await {
            worker::console_error!("the alarm failed: {error}");
        }
        Response::empty()
    }

    async fn finish(&self, ticket: Ticket, mut step: Step<Vec<u8>>) -> Result<Vec<u8>> {
        let unfinished = Unfinished { hosted: self, ticket, done: Cell::new(false) };
        let mut flights = Flights::new(self.platform.env());
        loop {
            let next_alarm_ns = self.host.borrow().next_alarm_ns();
            self.alarm.arm(next_alarm_ns, self.platform.now_ns()).await?;
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
    hosted: &'a Hosted<H>,
    ticket: Ticket,
    done: Cell<bool>,
}

impl<H: Host> Drop for Unfinished<'_, H> {
    fn drop(&mut self) {
        if !self.done.get()
            && let Ok(mut host) = self.hosted.host.try_borrow_mut()
        {
            host.abandon(self.ticket);
        }
    }
}
