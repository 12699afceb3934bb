//! The object's one alarm, set only when it changes: each setting is billed as a row written.

use std::cell::Cell;

use js_sys::Date;
use wasm_bindgen::JsValue;
use worker::{Result, ScheduledTime, State, Storage};

use crate::model::time::MS_NS;

/// What is known of the stored alarm.
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

    /// Makes it go off at `due_ns`; an alarm that is not needed any more is left to go off.
    pub(super) async fn arm(&self, due_ns: Option<i64>) -> Result<()> {
        let Some(due_ns) = due_ns else { return Ok(()) };
        // Rounded up: what is due must be due when the alarm comes.
        let due_ms = due_ns.div_euclid(MS_NS) + i64::from(due_ns.rem_euclid(MS_NS) != 0);
        if self.known.get() == Known::Nothing {
            let stored = self.storage.get_alarm().await?;
            self.known.set(stored.map_or(Known::Unset, Known::At));
        }
        if self.known.get() != Known::At(due_ms) {
            self.known.set(Known::At(due_ms));
            // A Date, because a bare number would be an offset.
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age fit 2^53")]
            let date = Date::new(&JsValue::from_f64(due_ms as f64));
            self.storage.set_alarm(ScheduledTime::new(date)).await?;
        }
        Ok(())
    }
}
