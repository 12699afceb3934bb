//! SHOW STATS, SHOW DIAGNOSTICS, SHOW SHARDS and SHOW SHARD GROUPS: the map of every database or of
//! the one that ON names, then the counters of its objects, in 1.x's shapes.
//!
//! An object that cannot be reached is left out of the counters and named in SHOW DIAGNOSTICS.

mod quotas;
mod render;

use std::collections::VecDeque;

use super::error::Error;
use super::load_schemas::{Load, Loaded, Want};
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::Statement;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::model::shard_map::{Policy, ShardGroup};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ObjectStats, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Request, Round};
use crate::protocol::shard::{FromShard, Stats, ToShard};
use crate::query::result::SeriesChunk;

/// Such a statement in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct Diagnostics {
    statement: Statement,
    stage: OperatorsStage,
    round: Round,
    /// Databases that are not looked at yet.
    names: VecDeque<String>,
    found: Vec<DatabaseFigures>,
    troubles: Vec<Trouble>,
    /// What the Catalog runs; empty where it was not asked.
    catalog_release: String,
}

#[derive(Debug)]
enum OperatorsStage {
    List,
    Load(Option<Load>),
    /// Objects to be asked, and how many were.
    Ask(Vec<AskedObject>, usize),
    Show(VecDeque<SeriesChunk>),
}

/// A database.
#[derive(Debug)]
struct DatabaseFigures {
    name: String,
    loaded: Loaded,
    stats: Option<ObjectStats>,
    /// Shard after shard, in the order of [`shards`].
    shards: Vec<Option<Stats>>,
}

/// Something that needs an operator.
#[derive(Debug)]
struct Trouble {
    database: String,
    object: String,
    what: String,
}

/// A call: which database, and which of its shards or itself.
#[derive(Debug)]
struct AskedObject {
    database: usize,
    shard: Option<usize>,
}

/// A shard of a database.
pub(super) struct ShardOf<'a> {
    policy: &'a Policy,
    pub(super) group: &'a ShardGroup,
    /// Among the group's shards.
    pub(super) position: usize,
}

type DiagnosticsTurn = Turn<Option<SeriesChunk>>;

impl Diagnostics {
    /// Prepares one of the statements.
    pub fn new(statement: Statement) -> Self {
        let named = match &statement {
            Statement::ShowStats { database, .. } => database.clone(),
            _ => None,
        };
        Self {
            // Whoever names a database asks the others nothing.
            stage: if named.is_some() { OperatorsStage::Load(None) } else { OperatorsStage::List },
            statement,
            round: Round::default(),
            names: named.into_iter().collect(),
            found: Vec::new(),
            troubles: Vec::new(),
            catalog_release: String::new(),
        }
    }

    /// Takes in a page of names, and asks for the next one or begins with the databases.
    fn list(&mut self, context: &mut Context<'_>, mut replies: Replies) -> DiagnosticsTurn {
        let mut after = None;
        if let Some(reply) = replies.pop() {
            match envelope::decode_reply::<FromCatalog>(reply)? {
                FromCatalog::Listed { names, resume, troubles, release } => {
                    self.names.extend(names);
                    self.catalog_release = release;
                    self.troubles.extend(troubles.into_iter().map(|what| Trouble {
                        database: String::new(),
                        object: "catalog".to_owned(),
                        what,
                    }));
                    if resume.is_none() {
                        return self.load(context, None, Vec::new());
                    }
                    after = resume;
                }
                FromCatalog::Unavailable(why) => return Err(why.into()),
                _ => return Err(Error::unexpected_reply()),
            }
        }
        Ok(Next::call(Address::Catalog, &ToCatalog::List { after, holding: None }))
    }

    /// Loads one database after the other.
    fn load(
        &mut self,
        context: &mut Context<'_>,
        mut load: Option<Load>,
        mut replies: Replies,
    ) -> DiagnosticsTurn {
        loop {
            let Some(name) = self.names.front() else {
                self.stage = OperatorsStage::Ask(self.asked(), 0);
                return self.ask(context);
            };
            let fresh = || Load::from_owner(name, Want::Nothing);
            let replies = std::mem::take(&mut replies);
            match load.get_or_insert_with(fresh).go_on(context, replies) {
                Ok(Next::Calls(requests)) => {
                    self.stage = OperatorsStage::Load(load);
                    return Ok(Next::Calls(requests));
                }
                Ok(Next::Reply(loaded)) => {
                    let (name, shards) = (name.clone(), Vec::new());
                    self.found.push(DatabaseFigures { name, loaded, stats: None, shards });
                }
                Err(error) if self.is_of_one() => return Err(error),
                // It was dropped meanwhile.
                Err(Error::DatabaseNotFound(_)) => {}
                Err(error) => {
                    self.trouble(name.clone(), "database", error.to_string());
                }
            }
            self.names.pop_front();
            load = None;
        }
    }

    /// Whether the statement names its database, which has to be there then.
    fn is_of_one(&self) -> bool {
        matches!(&self.statement, Statement::ShowStats { database: Some(_), .. })
    }

    fn asked(&mut self) -> Vec<AskedObject> {
        let mut asked = Vec::new();
        for (database, found) in self.found.iter_mut().enumerate() {
            found.shards = shards(&found.loaded).map(|_| None).collect();
            asked.push(AskedObject { database, shard: None });
            let of_shard = |shard| AskedObject { database, shard: Some(shard) };
            asked.extend((0..found.shards.len()).map(of_shard));
        }
        asked
    }

    fn ask(&mut self, context: &Context<'_>) -> DiagnosticsTurn {
        let OperatorsStage::Ask(asked, at) = &self.stage else { return Ok(Next::Reply(None)) };
        let requests = asked.iter().skip(*at).take(CALLS_PER_ROUND_MAX).filter_map(|asked| {
            let found = self.found.get(asked.database)?;
            Some(match asked.shard {
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
        });
        let requests: Vec<Request> = requests.collect();
        if !requests.is_empty() {
            return Ok(Next::Calls(requests));
        }
        let chunks = self.chunks(context.platform.now_ns());
        self.stage = OperatorsStage::Show(chunks);
        self.show()
    }

    fn learn(
        &mut self,
        context: &Context<'_>,
        asked: Vec<AskedObject>,
        at: usize,
        replies: Replies,
    ) -> DiagnosticsTurn {
        let count = replies.len();
        for (asked, reply) in asked.iter().skip(at).zip(replies) {
            let Some(found) = self.found.get_mut(asked.database) else { continue };
            let (object, trouble) = match asked.shard {
                None => match envelope::decode_reply::<FromDatabase>(reply) {
                    Ok(FromDatabase::Stats(stats)) => {
                        found.stats = Some(stats);
                        continue;
                    }
                    Ok(FromDatabase::NotOpen) => continue,
                    Ok(_) => ("database".to_owned(), "answered something else".to_owned()),
                    Err(failure) => ("database".to_owned(), failure.to_string()),
                },
                Some(shard) => {
                    let object = format!("shard {}", shard_id(&found.loaded, shard));
                    match envelope::decode_reply::<FromShard>(reply) {
                        Ok(FromShard::Stats(stats)) => {
                            if let Some(slot) = found.shards.get_mut(shard) {
                                *slot = Some(stats);
                            }
                            continue;
                        }
                        Ok(FromShard::Stale) => continue,
                        Ok(FromShard::Unavailable(why)) => (object, why.to_string()),
                        Ok(FromShard::Refused(why)) => (object, why.to_string()),
                        Ok(_) => continue,
                        Err(failure) => (object, failure.to_string()),
                    }
                }
            };
            let database = found.name.clone();
            self.trouble(database, &object, trouble);
        }
        self.stage = OperatorsStage::Ask(asked, at + count);
        self.ask(context)
    }

    fn trouble(&mut self, database: String, object: &str, what: String) {
        self.troubles.push(Trouble { database, object: object.to_owned(), what });
    }

    fn show(&mut self) -> DiagnosticsTurn {
        match &mut self.stage {
            OperatorsStage::Show(chunks) => Ok(Next::Reply(chunks.pop_front())),
            _ => Ok(Next::Reply(None)),
        }
    }
}

/// Every shard of a database: policy by policy, group by group.
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

/// The number under which SHOW SHARDS lists a shard.
fn shard_id(loaded: &Loaded, shard: usize) -> i64 {
    shards(loaded).nth(shard).map_or(0, |shard| shard.id())
}

impl RoundMachine for Diagnostics {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> DiagnosticsTurn {
        match std::mem::replace(&mut self.stage, OperatorsStage::List) {
            OperatorsStage::List => self.list(context, replies),
            OperatorsStage::Load(load) => self.load(context, load, replies),
            OperatorsStage::Ask(asked, at) => self.learn(context, asked, at, replies),
            show @ OperatorsStage::Show(_) => {
                self.stage = show;
                self.show()
            }
        }
    }
}
