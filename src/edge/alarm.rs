//! Sets an object's alarm. If an earlier alarm is already set, the module keeps that alarm, because
//! the platform bills each setting as a written row.

use std::cell::Cell;

use js_sys::Date;
use wasm_bindgen::JsValue;
use worker::{Result, ScheduledTime, State, Storage};

use crate::model::limits::ALARM_LATE_MS_MAX;
use crate::model::time::MS_NS;

/// The minimum delay of an alarm, in milliseconds. If a handler sets an alarm for the current time
/// or an earlier time, the alarm may never fire (workerd issue 6866).
const AHEAD_MS: i64 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The state is unknown, because the object was just loaded.
    Nothing,
    /// No alarm is set.
    Unset,
    /// An alarm is set for this time, in milliseconds since the epoch.
    At(i64),
}

pub(super) struct Alarm {
    storage: Storage,
    known: Cell<Known>,
}

impl Alarm {
    pub(super) fn new(state: &State) -> Self {
        Self { storage: state.storage(), known: Cell::new(Known::Nothing) }
    }

    /// Records that the platform has delivered the alarm, so that no alarm is set.
    pub(super) fn on_fired(&self) {
        self.known.set(Known::Unset);
    }

    /// Ensures that the alarm fires at `due_ns` or earlier. An earlier alarm stays unchanged. When
    /// the earlier alarm fires, the handler finds no due work and sets the alarm again. Such an
    /// unnecessary alarm costs less than moving the alarm at every event.
    ///
    /// If the storage is full, setting the alarm may fail. The object still sends its response. The
    /// object derives due work from stored data, so the next event tries again to set the alarm.
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
        // The time is rounded up, because the work must be due when the alarm fires.
        let due_ms = due_ns.div_euclid(MS_NS) + i64::from(due_ns.rem_euclid(MS_NS) != 0);
        let due_ms = due_ms.max(now_ns / MS_NS + AHEAD_MS);
        let lost_before_ms = now_ns / MS_NS - ALARM_LATE_MS_MAX;
        let is_set = match self.known.get() {
            Known::At(set_ms) => lost_before_ms <= set_ms && set_ms <= due_ms,
            Known::Unset | Known::Nothing => false,
        };
        if !is_set {
            self.known.set(Known::At(due_ms));
            // The argument is a Date, because the runtime would interpret a number as a delay.
            let date = Date::new(&JsValue::from_f64(due_ms as f64));
            self.storage.set_alarm(ScheduledTime::new(date)).await?;
        }
        Ok(())
    }
}
