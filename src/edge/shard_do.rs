//! A Shard object: one or more per shard group, addressed by the id that its Database stores.
//!
//! `fetch` takes one `ToShard` message and answers one `FromShard`; the alarm flushes, compacts and
//! drops what is too old. `protocol/PROTOCOL.md` draws both.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::store::DoStore;
use crate::protocol::envelope;
use crate::protocol::shard::FromShard;

/// The Durable Object class `Shard`.
#[durable_object(fetch)]
pub struct Shard {
    _store: DoStore,
}

impl DurableObject for Shard {
    fn new(state: State, _env: Env) -> Self {
        Self { _store: DoStore::new(&state) }
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        Response::from_bytes(envelope::encode(&FromShard::Stale))
    }
}
