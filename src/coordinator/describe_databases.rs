//! Brings the policies and the shard map of every database, or of one, from the objects that own
//! them. The routes that manage buckets need it, since they know a database by another name or a
//! policy by its id alone.

use std::rc::Rc;
use std::vec;

use super::database_names::DatabaseNames;
use super::error::Error;
use super::grants::Principal;
use super::load_schemas::{Load, Want};
use super::{Context, RoundMachine, Turn};
use crate::model::ids::PolicyId;
use crate::protocol::database::Description;
use crate::protocol::round::{Next, Replies, Round};

/// A survey in progress. Answers with names and descriptions in order of creation; a database that
/// does not exist, or that the caller has no right on, is not among them.
#[derive(Debug)]
pub struct DescribeDatabases {
    principal: Principal,
    names: Option<DatabaseNames>,
    rest: vec::IntoIter<String>,
    load: Option<(String, Load)>,
    found: Vec<DescribedDatabase>,
    round: Round,
}

/// A database by its name.
pub type DescribedDatabase = (String, Rc<Description>);

/// Which databases are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichDatabases {
    /// Every one.
    All,
    /// The one with this name.
    Named(String),
    /// The one that has this policy, and whoever else may have it by the id alone.
    Policy(PolicyId),
}

impl DescribeDatabases {
    /// Of these databases, as far as `principal` may know of them.
    pub fn new(principal: &Principal, of: WhichDatabases) -> Self {
        let (names, rest) = match of {
            WhichDatabases::All => (Some(DatabaseNames::default()), Vec::new()),
            WhichDatabases::Named(name) => (None, vec![name]),
            WhichDatabases::Policy(policy) => (Some(DatabaseNames::holding(policy)), Vec::new()),
        };
        Self {
            principal: principal.clone(),
            names,
            rest: rest.into_iter(),
            load: None,
            found: Vec::new(),
            round: Round::default(),
        }
    }
}

impl RoundMachine for DescribeDatabases {
    type Reply = Vec<DescribedDatabase>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(
        &mut self,
        context: &mut Context<'_>,
        mut replies: Replies,
    ) -> Turn<Vec<DescribedDatabase>> {
        if let Some(names) = &mut self.names {
            match names.go_on(context, std::mem::take(&mut replies))? {
                Next::Calls(requests) => return Ok(Next::Calls(requests)),
                Next::Reply(names) => self.rest = names.into_iter(),
            }
            self.names = None;
        }
        loop {
            if let Some((name, mut load)) = self.load.take() {
                match load.go_on(context, std::mem::take(&mut replies)) {
                    Ok(Next::Calls(requests)) => {
                        self.load = Some((name, load));
                        return Ok(Next::Calls(requests));
                    }
                    Ok(Next::Reply(loaded)) => self.found.push((name, loaded.description)),
                    Err(Error::DatabaseNotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(name) = self.rest.next() else {
                return Ok(Next::Reply(std::mem::take(&mut self.found)));
            };
            if self.principal.grants.sees(&name) {
                let load = Load::from_owner(&name, Want::Nothing);
                self.load = Some((name, load));
            }
        }
    }
}
