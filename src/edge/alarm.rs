//! Sets the object's one alarm, and only when it changes: each setting is billed as a row written.

use std::cell::Cell;

use js_sys::Date;
use wasm_bindgen::JsValue;
use worker::{Result, ScheduledTime, State, Storage};

use crate::model::limits::ALARM_LATE_MS_MAX;
use crate::model::time::MS_NS;

/// What is due at once is due so much later: one that a handler sets for the current time, or for
/// one before it, may never go off (workerd issue 6866).
const AHEAD_MS: i64 = 2;

/// What is known of the alarm that the object has stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing: the object was just loaded.
    Nothing,
    /// None is set.
    Unset,
    /// Set, milliseconds since the epoch.
    At(i64),
}

/// One object's alarm.
pub(super) struct Alarm {
    storage: Storage,
    known: Cell<Known>,
}

impl Alarm {
    pub(super) fn new(state: &State) -> Self {
        Self { storage: state.storage(), known: Cell::new(Known::Nothing) }
    }

    /// The platform has just delivered it, so none is set any more.
    pub(super) fn went_off(&self) {
        self.known.set(Known::Unset);
    }

    /// Makes sure that it goes off by `due_ns`, if at all. One that is set for earlier stays: its
    /// handler finds nothing due and asks again, which costs less than moving it at every event.
    ///
    /// Storage that is full may refuse it. That takes no answer with it: what is due follows from
    /// what is stored, so the next event tries again.
    pub(super) async fn arm(&self, due_ns: Option<i64>, now_ns: i64) {
        let Some(due_ns) = due_ns else { return };
        if let Err(error) = self.set(due_ns, now_ns).await {
            self.known.set(Known::Nothing);
            worker::console_error!("the alarm could not be set: {error}");
        }
    }

    async fn set(&self, due_ns: i64, now_ns: i64) -> Result<()> {
        if self.known.get() == Known::Nothing {
            let stored = self.storage.get_alarm().await?;
            self.known.set(stored.map_or(Known::Unset, Known::At));
        }
        // Rounded up: what is due must be due when the alarm comes.
        let due_ms = due_ns.div_euclid(MS_NS) + i64::from(due_ns.rem_euclid(MS_NS) != 0);
        let due_ms = due_ms.max(now_ns / MS_NS + AHEAD_MS);
        let lost_before_ms = now_ns / MS_NS - ALARM_LATE_MS_MAX;
        let is_set = match self.known.get() {
            Known::At(set_ms) => lost_before_ms <= set_ms && set_ms <= due_ms,
            Known::Unset | Known::Nothing => false,
        };
        if !is_set {
            self.known.set(Known::At(due_ms));
            // A Date, because a bare number would be an offset.
            let date = Date::new(&JsValue::from_f64(due_ms as f64));
            self.storage.set_alarm(ScheduledTime::new(date)).await?;
        }
        Ok(())
    }
}
