//! A Shard object: one or more per shard group, addressed by the id that its Database stores.
//!
//! `fetch` takes one `ToShard` message and answers one `FromShard`; the alarm flushes, compacts and
//! drops what is too old. `protocol/PROTOCOL.md` draws both. The shard is borrowed only between two
//! awaits: that is what makes a write atomic.

use std::cell::RefCell;
use std::rc::Rc;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::alarm::Alarm;
use super::config;
use super::platform::{EdgePlatform, random_u64};
use super::store::DoStore;
use crate::model::limits::MEMTABLE_BYTES_MAX;
use crate::protocol::call::Platform;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::shard::{FromShard, ToShard};
use crate::shard::budget::Budget;

thread_local! {
    /// Shared by all shards of the isolate: so is its memory.
    static BUDGET: Rc<Budget> = Budget::new(MEMTABLE_BYTES_MAX, random_u64());
}

/// The Durable Object class `Shard`.
#[durable_object(alarm)]
pub struct Shard {
    shard: RefCell<crate::shard::Shard<DoStore>>,
    alarm: Alarm,
    platform: EdgePlatform,
}

impl Shard {
    fn answer(&self, message: &[u8]) -> Vec<u8> {
        match envelope::decode::<ToShard>(message) {
            Ok((version, message)) => {
                let reply = self.shard.borrow_mut().handle(&message, self.platform.now_ns());
                envelope::encode_as(version, &reply)
            }
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                envelope::encode(&FromShard::Unavailable(why))
            }
        }
    }
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        // With settings that cannot be read nothing is written; the Worker names them.
        let full_bytes = config::settings(&env).map_or(0, |settings| settings.shard_full_bytes);
        let budget = BUDGET.with(Rc::clone);
        let shard = crate::shard::Shard::new(DoStore::new(&state), budget, full_bytes);
        let platform = EdgePlatform::new(&env);
        Self { shard: RefCell::new(shard), alarm: Alarm::new(&state), platform }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let message = request.bytes().await?;
        let reply = self.answer(&message);
        let now_ns = self.platform.now_ns();
        let due_ns = self.shard.borrow_mut().next_due(now_ns);
        self.alarm.arm(due_ns, now_ns).await?;
        Response::from_bytes(reply)
    }

    async fn alarm(&self) -> Result<Response> {
        self.alarm.went_off();
        let now_ns = self.platform.now_ns();
        let due_ns = self.shard.borrow_mut().alarm(now_ns);
        self.alarm.arm(due_ns, now_ns).await?;
        Response::empty()
    }
}
