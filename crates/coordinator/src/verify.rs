//! Verifies every checksum of a database: in the Catalog's rows, in the Database's rows, and then
//! in each shard. A request executes a bounded number of steps and returns the position of the next
//! step.

use super::error::{Error, Result};
use super::load_schemas::{Load, Loaded, SchemaSelection};
use super::{Io, diagnostics};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::shard::{FromShard, ShardRefusal, ToShard, VerifyPage};

/// The number of steps in one request. Each step verifies 8 MB, and then the rest of the last
/// value.
const STEPS_PER_REQUEST: u32 = 16;

/// The finding for a shard of the current shard map whose storage is missing.
const NO_DATA: &str = "the shard's storage is missing, and its points are lost: restore a backup of \
                       the database, or write the points again";

/// The position at which the next request continues: the shard's number in SHOW SHARDS, and the key
/// of the shard's next step (`None` for the shard's start).
pub type Resume = (i64, Option<u64>);

/// The result of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of verified blocks.
    pub blocks: u64,
    /// The number of bytes read.
    pub bytes: u64,
    /// The damaged blocks in the words of query errors, each with its shard; `None` for rows of the
    /// Catalog and the Database.
    pub damaged: Vec<(Option<i64>, String)>,
    /// The position at which the next request continues; `None` after the last shard.
    pub resume: Option<Resume>,
}

/// Verifies `database` from its start or from the position `start`. Skips dropped shards.
pub async fn verify(io: &Io, database: &str, start: Option<Resume>) -> Result<Report> {
    let mut report = Report::default();
    match report.add_metadata(io, database, start).await {
        Ok(loaded) => report.add_shards(io, database, &loaded, start).await?,
        // Damaged metadata can be the cause of the error, so the findings are returned instead.
        Err(_) if !report.damaged.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok(report)
}

impl Report {
    async fn add_metadata(
        &mut self,
        io: &Io,
        database: &str,
        start: Option<Resume>,
    ) -> Result<Loaded> {
        if start.is_none() {
            match io.call_catalog(&ToCatalog::Verify).await? {
                FromCatalog::Verified(page) => self.add_rows(page, "catalog"),
                _ => return Err(Error::unexpected_reply()),
            }
            let resolve = ToCatalog::Resolve { name: database.to_owned() };
            let FromCatalog::Resolved { object } = io.call_catalog(&resolve).await? else {
                return Err(Error::unexpected_reply());
            };
            let object = object.ok_or_else(|| Error::DatabaseNotFound(database.to_owned()))?;
            // The request does not use `call_database`, because a damaged Database may be unable to
            // describe itself.
            match io.call_database(&object, &ToDatabase::Verify).await? {
                FromDatabase::Verified(page) => self.add_rows(page, "database"),
                // The database was dropped. The load of the shard map returns the error.
                FromDatabase::NotOpen => {}
                reply => return Err(reply.into()),
            }
        }
        Load::from_owner(database, SchemaSelection::Nothing).run(io).await
    }

    async fn add_shards(
        &mut self,
        io: &Io,
        database: &str,
        loaded: &Loaded,
        start: Option<Resume>,
    ) -> Result<()> {
        let (first, mut page) = start.unwrap_or((i64::MIN, None));
        let mut steps_left = STEPS_PER_REQUEST;
        for shard in diagnostics::shards(loaded).skip_while(|shard| shard.id() < first) {
            let Some(object) = shard.group.shards.get(shard.position) else { break };
            loop {
                if steps_left == 0 {
                    self.resume = Some((shard.id(), page));
                    return Ok(());
                }
                steps_left -= 1;
                let message = ToShard::Verify { resume: page };
                let damaged = match io.call_shard(object, &message).await? {
                    FromShard::Verified(verified) => {
                        self.blocks += verified.blocks;
                        self.bytes += verified.bytes;
                        page = verified.resume;
                        verified.damaged
                    }
                    FromShard::Refused(ShardRefusal::Damaged { block }) => {
                        page = None;
                        vec![block]
                    }
                    FromShard::Stale => {
                        page = None;
                        // A shard can be dropped after the map was read.
                        let newer =
                            Load::from_owner(database, SchemaSelection::Nothing).run(io).await;
                        let is_in_use = newer.is_ok_and(|newer| {
                            diagnostics::shards(&newer)
                                .any(|newer| newer.group.shards.get(newer.position) == Some(object))
                        });
                        is_in_use.then(|| NO_DATA.to_owned()).into_iter().collect()
                    }
                    reply => return Err(reply.into()),
                };
                let id = shard.id();
                self.damaged.extend(damaged.into_iter().map(|block| (Some(id), block)));
                if page.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn add_rows(&mut self, page: VerifyPage, owner: &str) {
        self.blocks += page.blocks;
        self.bytes += page.bytes;
        let damaged = page.damaged.into_iter().map(|row| (None, format!("{owner}: {row}")));
        self.damaged.extend(damaged);
    }
}
