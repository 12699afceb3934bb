//! The Shard object: owns the state over its SQLite.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::store::DoStore;

/// The Durable Object class `Shard`.
#[durable_object(fetch)]
pub struct Shard {
    store: DoStore,
}

impl DurableObject for Shard {
    fn new(state: State, _env: Env) -> Self {
        Self { store: DoStore::new(&state) }
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        Response::ok("")
    }
}
