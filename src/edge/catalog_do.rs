//! Exports the Catalog object. There is one per deployment, and its name is `catalog`.
//!
//! `fetch` takes one `ToCatalog` message and answers one `FromCatalog`; the alarm finishes
//! databases that are being created or dropped. `protocol/PROTOCOL.md` draws both.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::hosted::Hosted;
use super::store::DoStore;

/// The Durable Object class `Catalog`.
#[durable_object(alarm)]
pub struct Catalog {
    hosted: Hosted<crate::catalog::Catalog<DoStore>>,
}

impl DurableObject for Catalog {
    fn new(state: State, env: Env) -> Self {
        let host = crate::catalog::Catalog::new(DoStore::new(&state));
        Self { hosted: Hosted::new(state, &env, host) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.hosted.fetch(request).await
    }

    async fn alarm(&self) -> Result<Response> {
        self.hosted.alarm().await
    }
}
