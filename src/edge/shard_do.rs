//! Exports a Shard object. A shard group has one or more, under the ids that their Database stores.
//!
//! `fetch` takes one `ToShard` message and answers one `FromShard`. Behind that, and in the alarm,
//! it flushes, merges and drops what is too old. `protocol/PROTOCOL.md` draws both. The shard is
//! borrowed only between two awaits: that is what makes a write atomic.

use std::rc::Rc;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::config;
use super::hosted::Hosted;
use super::platform::random_u64;
use super::store::DoStore;
use crate::model::limits::MEMTABLE_BYTES_MAX;
use crate::shard::budget::Budget;
use crate::shard::host::ShardHost;
use crate::shard::turns::Pages;

thread_local! {
    /// Shared by all shards of the isolate: so is its memory.
    static BUDGET: Rc<Budget> = Budget::new(MEMTABLE_BYTES_MAX, random_u64());
    /// So is its thread.
    static PAGES: Rc<Pages> = Rc::default();
}

/// The Durable Object class `Shard`.
#[durable_object(alarm)]
pub struct Shard {
    hosted: Hosted<ShardHost<DoStore>>,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        // With settings that cannot be read nothing is written; the Worker names them.
        let full_bytes = config::settings(&env).map_or(0, |settings| settings.shard_full_bytes);
        let budget = BUDGET.with(Rc::clone);
        let shard = crate::shard::Shard::new(DoStore::new(&state), budget, full_bytes);
        let host = ShardHost::new(shard, PAGES.with(Rc::clone)).working_behind_replies();
        Self { hosted: Hosted::new(state, &env, host) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.hosted.fetch(request).await
    }

    async fn alarm(&self) -> Result<Response> {
        self.hosted.alarm().await
    }
}
