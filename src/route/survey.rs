//! What every database is, or one of them, from its owner: for whoever manages them by other names,
//! or knows a policy by its id alone.

use std::rc::Rc;
use std::vec;

use super::error::Error;
use super::grants::Principal;
use super::load::{Load, Progress, Want};
use super::names::Names;
use super::{Context, Machine};
use crate::model::ids::PolicyId;
use crate::protocol::call::{Reply, Step};
use crate::protocol::database::Description;
use crate::protocol::round::Round;

/// A survey in progress. Answers with names and descriptions in order of creation; a database that
/// does not exist, or that the caller has no right on, is not among them.
#[derive(Debug)]
pub struct Survey {
    principal: Principal,
    names: Option<Names>,
    rest: vec::IntoIter<String>,
    load: Option<(String, Load)>,
    found: Vec<Surveyed>,
    round: Round,
}

/// A database by its name.
pub type Surveyed = (String, Rc<Description>);

/// Which databases are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Every one.
    All,
    /// The one with this name.
    Named(String),
    /// The one that has this policy, and whoever else may have it by the id alone.
    Policy(PolicyId),
}

impl Survey {
    /// Of these databases, as far as `principal` may know of them.
    pub fn new(principal: &Principal, of: Of) -> Self {
        let (names, rest) = match of {
            Of::All => (Some(Names::default()), Vec::new()),
            Of::Named(name) => (None, vec![name]),
            Of::Policy(policy) => (Some(Names::holding(policy)), Vec::new()),
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

impl Machine for Survey {
    type Answer = Result<Vec<Surveyed>, Error>;

    fn step(&mut self, context: &mut Context<'_>, mut reply: Option<Reply>) -> Step<Self::Answer> {
        if let Some(names) = &mut self.names {
            match names.step(context, reply.take()) {
                Step::Calls(calls) => return Step::Calls(calls),
                Step::Done(Err(error)) => return Step::Done(Err(error)),
                Step::Done(Ok(names)) => self.rest = names.into_iter(),
            }
            self.names = None;
        }
        let Some(mut replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        let mut reply = replies.pop();
        loop {
            if let Some((name, mut load)) = self.load.take() {
                match load.step(context, reply.take()) {
                    Progress::Ask(request) => {
                        self.load = Some((name, load));
                        return Step::Calls(self.round.start(vec![request]));
                    }
                    Progress::Ready(Ok(loaded)) => self.found.push((name, loaded.description)),
                    Progress::Ready(Err(Error::DatabaseNotFound(_))) => {}
                    Progress::Ready(Err(error)) => return Step::Done(Err(error)),
                }
            }
            let Some(name) = self.rest.next() else {
                return Step::Done(Ok(std::mem::take(&mut self.found)));
            };
            if self.principal.grants.sees(&name) {
                let load = Load::from_owner(&name, Want::Nothing);
                self.load = Some((name, load));
            }
        }
    }
}
