//! Carries out CREATE CONTINUOUS QUERY: every name in it is completed with a database and a policy
//! and looked up, then the Database keeps the text.

use std::rc::Rc;

use super::canonical_names::{default_policy, each_place};
use super::error::Error;
use super::into::check_names;
use super::load_schemas::{Load, Want};
use super::single_call::SingleCall;
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::CreateContinuousQueryStatement;
use crate::protocol::continuous::ContinuousQuery;
use crate::protocol::database::{Description, FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};
use crate::query::error::QueryError;
use crate::query::source::Defaults;

/// A statement in progress.
#[derive(Debug)]
pub(super) struct CreateContinuous {
    statement: CreateContinuousQueryStatement,
    /// The databases that it names, each with its policies once they are known.
    databases: Vec<(String, Option<Rc<Description>>)>,
    load: Option<Load>,
    ask: Option<SingleCall>,
    round: Round,
}

impl CreateContinuous {
    /// # Errors
    /// [`QueryError::DatabaseRequired`], and for a name that cannot be written.
    pub(super) fn new(
        mut statement: CreateContinuousQueryStatement,
        defaults: Defaults<'_>,
    ) -> Result<Self, Error> {
        let own = Some(statement.database.as_str()).filter(|name| !name.is_empty());
        let database = defaults.database.or(own).ok_or(QueryError::DatabaseRequired)?.to_owned();
        let policy = defaults.policy.map(str::to_owned);
        if let Some(target) = &statement.source.into {
            check_names(&statement.source, target)?;
        }
        let mut databases: Vec<(String, Option<Rc<Description>>)> = Vec::new();
        each_place(&mut statement.source, &mut |named, of_policy| {
            let name = named.get_or_insert_with(|| database.clone()).clone();
            *of_policy = of_policy.take().or_else(|| policy.clone());
            if databases.iter().all(|(known, _)| *known != name) {
                databases.push((name, None));
            }
            Ok(())
        })?;
        Ok(Self { statement, databases, load: None, ask: None, round: Round::default() })
    }

    /// All databases are known: names the policies and checks them.
    fn qualify(&mut self) -> Result<ContinuousQuery, Error> {
        let databases = &self.databases;
        each_place(&mut self.statement.source, &mut |database, policy| {
            let named = |name: &str| databases.iter().find(|(known, _)| known == name);
            let database = database.as_deref().unwrap_or_default();
            let Some((_, Some(found))) = named(database) else {
                return Err(Error::DatabaseNotFound(database.to_owned()));
            };
            let default = || default_policy(found).cloned().unwrap_or_default();
            let name = policy.get_or_insert_with(default);
            if found.policies.iter().all(|policy| policy.name != *name) {
                return Err(Error::PolicyNotFound(format!("{database}.{name}")));
            }
            Ok(())
        })?;
        let source = &self.statement.source;
        let interval_ns = source.group_by_interval_ns().unwrap_or(0);
        // 1.x keeps a query without windows and never runs it.
        let is_run = interval_ns > 0 && !source.is_raw();
        let every_ns = match self.statement.resample_every_ns {
            0 => interval_ns,
            every_ns => every_ns,
        };
        Ok(ContinuousQuery {
            name: self.statement.name.clone(),
            text: self.statement.to_string(),
            every_ns: if is_run { every_ns } else { 0 },
            last_run_ns: None,
        })
    }
}

/// Whether a Database did what it was told.
pub(super) fn done(reply: Vec<u8>) -> Result<(), Error> {
    match envelope::decode_reply::<FromDatabase>(Ok(reply))? {
        FromDatabase::Done => Ok(()),
        FromDatabase::Refused(refusal) => Err(Error::Database(refusal)),
        FromDatabase::Unavailable(why) => Err(why.into()),
        _ => Err(Error::unexpected_reply()),
    }
}

impl RoundMachine for CreateContinuous {
    type Reply = ();

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<()> {
        loop {
            let replies = std::mem::take(&mut replies);
            if let Some(ask) = &mut self.ask {
                return match ask.go_on(context, replies)? {
                    Next::Calls(requests) => Ok(Next::Calls(requests)),
                    Next::Reply(reply) => done(reply).map(Next::Reply),
                };
            }
            let missing = self.databases.iter_mut().find(|(_, known)| known.is_none());
            let Some((name, description)) = missing else {
                let message = ToDatabase::CreateContinuousQuery { query: self.qualify()? };
                self.ask = Some(SingleCall::database(&self.statement.database, &message));
                continue;
            };
            let load = self.load.get_or_insert_with(|| Load::from_owner(name, Want::Nothing));
            match load.go_on(context, replies)? {
                Next::Calls(requests) => return Ok(Next::Calls(requests)),
                Next::Reply(loaded) => {
                    *description = Some(loaded.description);
                    self.load = None;
                }
            }
        }
    }
}
