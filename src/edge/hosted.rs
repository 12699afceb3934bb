//! Runs an object that implements [`Host`]: starts a request or an alarm, makes the calls, and
//! passes each reply to the object.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use worker::{Env, Result, State};

use super::alarm::Alarm;
use super::calls::PendingCalls;
use super::platform::EdgePlatform;
use super::point_in_time;
use crate::protocol::call::{Platform, Step};
use crate::protocol::host::{EventId, Host};

/// A [`Host`] in its Durable Object.
pub(super) struct Hosted<H> {
    state: State,
    /// Whether the object supports recovery to an earlier time.
    goes_back: bool,
    object: Rc<Object<H>>,
}

/// The part of the object that is also used by work after a reply.
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

    pub(super) fn going_back(mut self) -> Self {
        self.goes_back = true;
        self
    }

    /// Executes a message. Work that becomes due runs after the reply was sent.
    pub(super) async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>> {
        if self.goes_back
            && let Some(reply) = point_in_time::answer(&self.state, &message).await
        {
            return Ok(reply);
        }
        let object = &self.object;
        let (event_id, step) = object.host.borrow_mut().begin(&object.platform, &message);
        drop(message);
        let reply = object.finish(event_id, step).await?;
        let work = object.host.borrow_mut().run_due_work();
        if let Some((event_id, step)) = work {
            let object = Rc::clone(object);
            self.state.wait_until(async move { object.finish_due_work(event_id, step).await });
        }
        Ok(reply)
    }

    pub(super) async fn alarm(&self) {
        let object = &self.object;
        object.alarm.on_fired();
        let (event_id, step) = object.host.borrow_mut().alarm(&object.platform);
        object.finish_due_work(event_id, step).await;
    }
}

impl<H: Host> Object<H> {
    /// Runs due work. The function logs an error instead of returning it, because the platform
    /// would repeat an alarm that throws an error.
    async fn finish_due_work(&self, event_id: EventId, step: Step<Vec<u8>>) {
        if let Err(error) = self.finish(event_id, step).await {
            worker::console_error!("due work failed: {error}");
        }
    }

    async fn finish(&self, event_id: EventId, mut step: Step<Vec<u8>>) -> Result<Vec<u8>> {
        let unfinished = Unfinished { object: self, event_id, done: Cell::new(false) };
        let mut pending_calls = PendingCalls::new(self.platform.env());
        loop {
            let next_alarm_ns = self.host.borrow().next_alarm_ns();
            self.alarm.arm(next_alarm_ns, self.platform.now_ns()).await;
            match step {
                Step::Done(reply) => {
                    unfinished.done.set(true);
                    return Ok(reply);
                }
                Step::Calls(calls) => pending_calls.start(calls),
            }
            let Some(reply) = pending_calls.next().await else {
                return Err("the object waits for a reply, but made no call".into());
            };
            step = self.host.borrow_mut().resume(&self.platform, event_id, reply);
        }
    }
}

/// Drops the event if its caller disconnects before the reply.
struct Unfinished<'a, H: Host> {
    object: &'a Object<H>,
    event_id: EventId,
    done: Cell<bool>,
}

impl<H: Host> Drop for Unfinished<'_, H> {
    fn drop(&mut self) {
        if !self.done.get()
            && let Ok(mut host) = self.object.host.try_borrow_mut()
        {
            host.abandon(self.event_id);
        }
    }
}
