//! Exports a Database object. There is one per database, under the id that the Catalog stores.
//!
//! `fetch` takes one `ToDatabase` message and answers one `FromDatabase`; the alarm drives its job
//! queue and its continuous queries. `protocol/PROTOCOL.md` draws both.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::config;
use super::entry::query_memory;
use super::hosted::Hosted;
use super::store::DoStore;
use crate::coordinator::continuous::Runner;
use crate::model::ids::ObjectId;

/// The Durable Object class `Database`.
#[durable_object(alarm)]
pub struct Database {
    hosted: Hosted<Runner<crate::database::Database<DoStore>>>,
}

impl DurableObject for Database {
    fn new(state: State, env: Env) -> Self {
        let object = ObjectId(state.id().to_string());
        // With settings that cannot be read nothing is split; the Worker names them.
        let split_bytes = config::settings(&env).map_or(0, |settings| settings.shard_split_bytes);
        let host = crate::database::Database::new(DoStore::new(&state), object.clone());
        let host = Runner::new(host.splitting_at(split_bytes), object, query_memory(&env));
        Self { hosted: Hosted::new(state, &env, host) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.hosted.fetch(request).await
    }

    async fn alarm(&self) -> Result<Response> {
        self.hosted.alarm().await
    }
}
