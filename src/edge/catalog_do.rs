//! The Catalog object: owns the state over its SQLite.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::store::DoStore;

/// The Durable Object class `Catalog`.
#[durable_object(fetch)]
pub struct Catalog {
    store: DoStore,
}

impl DurableObject for Catalog {
    fn new(state: State, _env: Env) -> Self {
        Self { store: DoStore::new(&state) }
    }

    async fn fetch(&self, _request: Request) -> Result<Response> {
        Response::ok("")
    }
}
