//! Executes SHOW STATS, SHOW DIAGNOSTICS, SHOW SHARDS and SHOW SHARD GROUPS.
//!
//! The counters omit unreachable objects, and SHOW DIAGNOSTICS lists these objects. SHOW STATS and
//! SHOW DIAGNOSTICS end before they reach the platform's limit of calls. The results then list the
//! databases whose objects were not called.

mod quotas;
mod series;

use super::error::{Error, Result};
use super::load_schemas::{Load, Loaded, Want};
use super::single_call::call_catalog;
use super::{Io, Parts};
use crate::influxql::ast::Statement;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::model::shard_map::{Policy, ShardGroup};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ObjectStats, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{CallResult, Request};
use crate::protocol::shard::{FromShard, Stats, ToShard};
use crate::query::result::SeriesChunk;

#[derive(Debug)]
struct Diagnostics {
    statement: Statement,
    found: Vec<DatabaseFigures>,
    troubles: Vec<Problem>,
    /// Empty if no request to the Catalog was made.
    catalog_release: String,
    skipped: Vec<Skipped>,
}

/// A database with objects that were not called, because the request has reached its limit of
/// calls.
#[derive(Debug)]
struct Skipped {
    database: String,
    /// `None` means all objects of the database.
    objects: Option<usize>,
}

#[derive(Debug)]
struct DatabaseFigures {
    name: String,
    loaded: Loaded,
    stats: Option<ObjectStats>,
    /// In the order of [`shards`]; `None` for an unreachable or skipped shard.
    shards: Vec<Option<Stats>>,
    skipped: usize,
}

/// A problem that the operator must solve, and the object with the problem.
#[derive(Debug)]
struct Problem {
    database: String,
    object: String,
    what: String,
}

/// The position of a database, and the position of one of its shards. The second position is `None`
/// for the Database itself.
#[derive(Clone, Copy)]
struct QueriedObject {
    database: usize,
    shard: Option<usize>,
}

pub(super) struct ShardOf<'a> {
    policy: &'a Policy,
    pub(super) group: &'a ShardGroup,
    pub(super) position: usize,
}

/// One call to the Catalog and one to the Database.
const CALLS_PER_LOAD: usize = 2;

/// Executes one of these statements.
pub fn diagnostics(statement: Statement) -> Parts<SeriesChunk> {
    let named = match &statement {
        Statement::ShowStats { database, .. } => database.clone(),
        _ => None,
    };
    Parts::new(|io, output| async move {
        let mut all = Diagnostics {
            statement,
            found: Vec::new(),
            troubles: Vec::new(),
            catalog_release: String::new(),
            skipped: Vec::new(),
        };
        match named {
            Some(name) => all.load(&io, name).await?,
            None => {
                for name in all.list(&io).await? {
                    if all.may_skip() && all.room(&io)? < all.objects() + CALLS_PER_LOAD {
                        all.skipped.push(Skipped { database: name, objects: None });
                        continue;
                    }
                    match all.load(&io, name.clone()).await {
                        // The database was dropped after the list was read.
                        Ok(()) | Err(Error::DatabaseNotFound(_)) => {}
                        Err(error) => all.problem(name, "database", error.to_string()),
                    }
                }
            }
        }
        all.count(&io).await?;
        let chunks = all.chunks(io.with(|context| context.platform.now_ns())?);
        for chunk in chunks {
            output.emit(chunk).await;
        }
        Ok(())
    })
}

impl Diagnostics {
    async fn list(&mut self, io: &Io) -> Result<Vec<String>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let FromCatalog::Listed { names, resume, troubles, release } =
                call_catalog(io, &ToCatalog::List { after, holding: None }).await?
            else {
                return Err(Error::unexpected_reply());
            };
            all.extend(names);
            self.catalog_release = release;
            for what in troubles {
                self.problem(String::new(), "catalog", what);
            }
            after = resume;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn load(&mut self, io: &Io, name: String) -> Result<()> {
        let loaded = Load::from_owner(&name, Want::Nothing).run(io).await?;
        let shards = shards(&loaded).map(|_| None).collect();
        self.found.push(DatabaseFigures { name, loaded, stats: None, shards, skipped: 0 });
        Ok(())
    }

    async fn count(&mut self, io: &Io) -> Result<()> {
        let requested: Vec<QueriedObject> = (0..)
            .zip(&self.found)
            .flat_map(|(database, found)| {
                let shards = (0..found.shards.len()).map(Some);
                std::iter::once(None)
                    .chain(shards)
                    .map(move |shard| QueriedObject { database, shard })
            })
            .collect();
        let mut requested = &requested[..];
        while !requested.is_empty() {
            let room = if self.may_skip() { self.room(io)? } else { usize::MAX };
            let round = requested.len().min(CALLS_PER_ROUND_MAX).min(room);
            let Some((now, later)) = requested.split_at_checked(round).filter(|_| round > 0) else {
                break;
            };
            let requests = now.iter().filter_map(|requested| self.request(*requested)).collect();
            for (requested, reply) in now.iter().zip(io.calls(requests).await) {
                self.on_reply(*requested, reply);
            }
            requested = later;
        }
        for (database, found) in self.found.iter_mut().enumerate() {
            let objects =
                requested.iter().filter(|requested| requested.database == database).count();
            found.skipped = objects;
            if objects > 0 {
                let database = found.name.clone();
                self.skipped.push(Skipped { database, objects: Some(objects) });
            }
        }
        Ok(())
    }

    /// Whether the statement may skip objects and list the skipped objects.
    fn may_skip(&self) -> bool {
        matches!(self.statement, Statement::ShowStats { .. } | Statement::ShowDiagnostics { .. })
    }

    fn room(&self, io: &Io) -> Result<usize> {
        let (limits, calls) = io.with(|context| (context.platform.limits(), context.calls))?;
        Ok(limits.calls_before_end().saturating_sub(calls))
    }

    fn objects(&self) -> usize {
        self.found.iter().map(|found| found.shards.len() + 1).sum()
    }

    fn request(&self, requested: QueriedObject) -> Option<Request> {
        let found = self.found.get(requested.database)?;
        Some(match requested.shard {
            None => {
                let to = Address::Database(found.loaded.object.clone());
                Request::new(to, envelope::encode(&ToDatabase::Stats))
            }
            Some(shard) => {
                let of = shards(&found.loaded).nth(shard)?;
                let to = Address::Shard(of.group.shards.get(of.position)?.clone());
                Request::new(to, envelope::encode(&ToShard::Stats))
            }
        })
    }

    fn on_reply(&mut self, requested: QueriedObject, reply: CallResult) {
        let Some(found) = self.found.get_mut(requested.database) else { return };
        let (object, trouble) = match requested.shard {
            None => match envelope::decode_reply::<FromDatabase>(reply) {
                Ok(FromDatabase::Stats(stats)) => {
                    found.stats = Some(stats);
                    return;
                }
                Ok(FromDatabase::NotOpen) => return,
                Ok(_) => ("database".to_owned(), "unexpected reply".to_owned()),
                Err(failure) => ("database".to_owned(), failure.to_string()),
            },
            Some(shard) => {
                let object = format!("shard {}", shard_id(&found.loaded, shard));
                match envelope::decode_reply::<FromShard>(reply) {
                    Ok(FromShard::Stats(stats)) => {
                        if let Some(slot) = found.shards.get_mut(shard) {
                            *slot = Some(stats);
                        }
                        return;
                    }
                    Ok(FromShard::Unavailable(reason)) => (object, reason.to_string()),
                    Ok(FromShard::Refused(reason)) => (object, reason.to_string()),
                    Ok(_) => return,
                    Err(failure) => (object, failure.to_string()),
                }
            }
        };
        let database = found.name.clone();
        self.problem(database, &object, trouble);
    }

    fn problem(&mut self, database: String, object: &str, what: String) {
        self.troubles.push(Problem { database, object: object.to_owned(), what });
    }
}

/// Returns every shard of a database: policy by policy, group by group.
pub(super) fn shards(loaded: &Loaded) -> impl Iterator<Item = ShardOf<'_>> {
    let groups = loaded.description.policies.iter().flat_map(|policy| {
        let of_policy = move |group| (policy, group);
        policy.groups.iter().map(of_policy)
    });
    groups.flat_map(|(policy, group)| {
        let of_group = move |position| ShardOf { policy, group, position };
        (0..group.shards.len()).map(of_group)
    })
}

fn shard_id(loaded: &Loaded, shard: usize) -> i64 {
    shards(loaded).nth(shard).map_or(0, |shard| shard.id())
}
