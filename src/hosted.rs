//! Runs an object that implements [`EventHandler`]: starts a request or an alarm, makes the calls,
//! passes each reply to the object, and sets the object's alarm.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use js_sys::Date;
use wasm_bindgen::JsValue;
use worker::{Env, Result, ScheduledTime, State, Storage};

use super::calls::make_call;
use super::platform::EdgePlatform;
use super::point_in_time;
use tidemark_engine::protocol::call::{Platform, Step};
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_model::limits::ALARM_LATE_MS_MAX;
use tidemark_model::time::MS_NS;

/// An [`EventHandler`] in its Durable Object.
pub(super) struct Hosted<H> {
    state: State,
    supports_recovery: bool,
    object: Rc<Object<H>>,
}

/// The part that work after the reply shares with the handler of the request.
struct Object<H> {
    handler: RefCell<H>,
    platform: EdgePlatform,
    alarm: Alarm,
}

impl<H: EventHandler + 'static> Hosted<H> {
    /// `supports_recovery` states whether the object supports recovery to an earlier time.
    pub(super) fn new(state: State, env: &Env, handler: H, supports_recovery: bool) -> Self {
        let (platform, alarm) = (EdgePlatform::new(env, None), Alarm::new(&state));
        let object = Rc::new(Object { handler: RefCell::new(handler), platform, alarm });
        Self { state, supports_recovery, object }
    }

    /// Executes a message. Work that becomes due runs after the reply was sent.
    pub(super) async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>> {
        if self.supports_recovery
            && let Some(reply) = point_in_time::answer(&self.state, &message).await
        {
            return Ok(reply);
        }
        let object = &self.object;
        let (event_id, step) = object.handler.borrow_mut().begin(&object.platform, &message);
        drop(message);
        let reply = object.finish(event_id, step).await?;
        let work = object.handler.borrow_mut().run_due_work();
        if let Some((event_id, step)) = work {
            let object = Rc::clone(object);
            self.state.wait_until(async move { object.finish_due_work(event_id, step).await });
        }
        Ok(reply)
    }

    pub(super) async fn alarm(&self) {
        let object = &self.object;
        // The platform has delivered the alarm, so no alarm is set.
        object.alarm.known.set(KnownAlarm::Unset);
        let (event_id, step) = object.handler.borrow_mut().alarm(&object.platform);
        object.finish_due_work(event_id, step).await;
    }
}

impl<H: EventHandler> Object<H> {
    /// Runs due work. The function logs an error instead of returning it, because the platform
    /// would repeat an alarm that throws an error.
    async fn finish_due_work(&self, event_id: EventId, step: Step<Vec<u8>>) {
        if let Err(error) = self.finish(event_id, step).await {
            worker::console_error!("due work failed: {error}");
        }
    }

    async fn finish(&self, event_id: EventId, mut step: Step<Vec<u8>>) -> Result<Vec<u8>> {
        let unfinished = Unfinished { object: self, event_id, done: Cell::new(false) };
        let mut pending_calls = FuturesUnordered::new();
        loop {
            let next_alarm_ns = self.handler.borrow().next_alarm_ns();
            self.alarm.ensure_set(next_alarm_ns, self.platform.now_ns()).await;
            match step {
                Step::Done(reply) => {
                    unfinished.done.set(true);
                    return Ok(reply);
                }
                Step::Calls(calls) => {
                    let started = |call| make_call(self.platform.env.clone(), Rc::default(), call);
                    pending_calls.extend(calls.into_iter().map(started));
                }
            }
            let Some(reply) = pending_calls.next().await else {
                return Err("the object waits for a reply, but made no call".into());
            };
            step = self.handler.borrow_mut().resume(&self.platform, event_id, reply);
        }
    }
}

/// A guard that drops the event if its caller disconnects before the reply.
struct Unfinished<'a, H: EventHandler> {
    object: &'a Object<H>,
    event_id: EventId,
    done: Cell<bool>,
}

impl<H: EventHandler> Drop for Unfinished<'_, H> {
    fn drop(&mut self) {
        if !self.done.get()
            && let Ok(mut handler) = self.object.handler.try_borrow_mut()
        {
            handler.abandon(self.event_id);
        }
    }
}

/// The minimum delay of an alarm, in milliseconds. If a handler sets an alarm for the current time
/// or an earlier time, the alarm may never fire (workerd issue 6866).
const ALARM_DELAY_MS_MIN: i64 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum KnownAlarm {
    /// The object was just loaded.
    Unknown,
    /// No alarm is set.
    Unset,
    /// An alarm is set for this time, in milliseconds since the epoch.
    At(i64),
}

/// An object's alarm. If an earlier alarm is already set, that alarm is kept, because the platform
/// bills each setting as a written row.
struct Alarm {
    storage: Storage,
    known: Cell<KnownAlarm>,
}

impl Alarm {
    fn new(state: &State) -> Self {
        Self { storage: state.storage(), known: Cell::new(KnownAlarm::Unknown) }
    }

    /// Ensures that the alarm fires at `due_ns` or earlier. An earlier alarm stays unchanged. When
    /// the earlier alarm fires, the handler finds no due work and sets the alarm again. Such an
    /// unnecessary alarm costs less than moving the alarm at every event.
    ///
    /// If the storage is full, setting the alarm may fail. The object still sends its response. The
    /// object derives due work from stored data, so the next event tries again to set the alarm.
    async fn ensure_set(&self, due_ns: Option<i64>, now_ns: i64) {
        let Some(due_ns) = due_ns else { return };
        if let Err(error) = self.set(due_ns, now_ns).await {
            self.known.set(KnownAlarm::Unknown);
            worker::console_error!("the alarm could not be set: {error}");
        }
    }

    async fn set(&self, due_ns: i64, now_ns: i64) -> Result<()> {
        if self.known.get() == KnownAlarm::Unknown {
            let stored = self.storage.get_alarm().await?;
            self.known.set(stored.map_or(KnownAlarm::Unset, KnownAlarm::At));
        }
        // The time is rounded up, because the work must be due when the alarm fires.
        let due_ms = due_ns.div_euclid(MS_NS) + i64::from(due_ns.rem_euclid(MS_NS) != 0);
        let due_ms = due_ms.max(now_ns / MS_NS + ALARM_DELAY_MS_MIN);
        let lost_before_ms = now_ns / MS_NS - ALARM_LATE_MS_MAX;
        let is_set = match self.known.get() {
            KnownAlarm::At(set_ms) => lost_before_ms <= set_ms && set_ms <= due_ms,
            KnownAlarm::Unset | KnownAlarm::Unknown => false,
        };
        if !is_set {
            self.known.set(KnownAlarm::At(due_ms));
            // The argument is a Date, because the runtime would interpret a number as a delay.
            let date = Date::new(&JsValue::from_f64(due_ms as f64));
            self.storage.set_alarm(ScheduledTime::new(date)).await?;
        }
        Ok(())
    }
}
