//! Brings the policies of every database, of a page of them, or of one, from the objects that own
//! them. The routes that manage buckets need it, since they know a database by another name or a
//! policy by its id alone.

use std::vec;

use super::database_names::DatabaseNames;
use super::error::Error;
use super::grants::Principal;
use super::load_schemas::{Load, Want};
use super::{Context, RoundMachine, Turn};
use crate::model::grant::Grants;
use crate::model::ids::PolicyId;
use crate::model::limits::DESCRIBED_BYTES_MAX;
use crate::model::shard_map::Policy;
use crate::protocol::database::Description;
use crate::protocol::round::{Next, Replies, Round};

/// A survey in progress. Answers with names and descriptions in order of creation; a database that
/// does not exist, or that the caller has no right on, is not among them. Policies come without
/// their groups of shards, of which there may be thousands.
#[derive(Debug)]
pub struct DescribeDatabases {
    principal: Principal,
    stage: Stage,
    rest: vec::IntoIter<String>,
    page: Option<Page>,
    found: Vec<DescribedDatabase>,
    /// What they take, bytes.
    bytes: usize,
    round: Round,
}

#[derive(Debug)]
enum Stage {
    /// Who may have the policy behind which a page begins.
    Holders(PolicyId, DatabaseNames),
    Names(DatabaseNames),
    /// Between two databases.
    Next,
    Load(String, Box<Load>),
}

/// What is still missing of a page.
#[derive(Debug)]
struct Page {
    /// It begins behind this policy, which these databases may have.
    after: Option<(PolicyId, Vec<String>)>,
    /// So many policies are wanted.
    policies: usize,
}

impl Page {
    /// Counts what a database has that the caller may know of; says whether nothing is missing, or
    /// nothing will be found.
    fn is_full(&mut self, grants: &Grants, name: &str, policies: &[Policy]) -> bool {
        let seen = policies.iter().filter(|policy| grants.sees_policy(name, &policy.name));
        let mut seen = seen.map(|policy| policy.id);
        if let Some((after, holders)) = &mut self.after {
            if !seen.any(|id| id == *after) {
                holders.retain(|holder| holder != name);
                return holders.is_empty();
            }
            self.after = None;
        }
        self.policies = self.policies.saturating_sub(seen.count());
        self.policies == 0
    }
}

/// A database by its name.
pub type DescribedDatabase = (String, Description);

/// Which databases are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichDatabases {
    /// None: nobody is asked.
    None,
    /// Every one.
    All,
    /// Those that have so many policies behind this one, or behind none, and the policy itself.
    Page {
        /// Where the page begins.
        after: Option<PolicyId>,
        /// How many policies.
        policies: usize,
    },
    /// The one with this name.
    Named(String),
    /// The one that has this policy, and whoever else may have it by the id alone.
    Policy(PolicyId),
}

impl DescribeDatabases {
    /// Of these databases, as far as `principal` may know of them.
    pub fn new(principal: &Principal, of: WhichDatabases) -> Self {
        let names = || Stage::Names(DatabaseNames::default());
        let holding = DatabaseNames::holding;
        let (stage, rest, page) = match of {
            WhichDatabases::All => (names(), Vec::new(), None),
            WhichDatabases::Page { after: None, policies } => {
                (names(), Vec::new(), Some(Page { after: None, policies }))
            }
            WhichDatabases::Page { after: Some(id), policies } => {
                let page = Page { after: Some((id, Vec::new())), policies };
                (Stage::Holders(id, holding(id)), Vec::new(), Some(page))
            }
            WhichDatabases::None => (Stage::Next, Vec::new(), None),
            WhichDatabases::Named(name) => (Stage::Next, vec![name], None),
            WhichDatabases::Policy(policy) => (Stage::Names(holding(policy)), Vec::new(), None),
        };
        Self {
            principal: principal.clone(),
            stage,
            rest: rest.into_iter(),
            page,
            found: Vec::new(),
            bytes: 0,
            round: Round::default(),
        }
    }

    /// The next database that the caller may know of; `None` if there is none.
    fn next_stage(&mut self) -> Option<Stage> {
        let grants = &self.principal.grants;
        let name = self.rest.find(|name| grants.sees(name))?;
        let load = Load::from_owner(&name, Want::Nothing);
        Some(Stage::Load(name, Box::new(load)))
    }

    /// Takes in one of the databases; whether it was the last that is wanted.
    fn add(&mut self, name: String, description: &Description) -> Result<bool, Error> {
        let description = outline(description);
        let policies = &description.policies;
        let names = policies.iter().map(|policy| size_of::<Policy>() + policy.name.len());
        self.bytes += size_of::<DescribedDatabase>() + name.len() + names.sum::<usize>();
        if self.bytes > DESCRIBED_BYTES_MAX {
            return Err(Error::ListTooLong);
        }
        let page = self.page.as_mut();
        let grants = &self.principal.grants;
        let is_last = page.is_some_and(|page| page.is_full(grants, &name, policies));
        self.found.push((name, description));
        Ok(is_last)
    }
}

/// Policies without their groups.
fn outline(description: &Description) -> Description {
    let policies = description.policies.iter().map(|policy| Policy {
        name: policy.name.clone(),
        groups: Vec::new(),
        ..*policy
    });
    Description {
        policies: policies.collect(),
        default_policy: description.default_policy,
        ..Description::default()
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
        loop {
            let replies = std::mem::take(&mut replies);
            match std::mem::replace(&mut self.stage, Stage::Next) {
                Stage::Holders(id, mut names) => match names.go_on(context, replies)? {
                    Next::Calls(calls) => {
                        self.stage = Stage::Holders(id, names);
                        return Ok(Next::Calls(calls));
                    }
                    Next::Reply(holders) if holders.is_empty() => {}
                    Next::Reply(holders) => {
                        if let Some(page) = &mut self.page {
                            page.after = Some((id, holders));
                        }
                        self.stage = Stage::Names(DatabaseNames::default());
                    }
                },
                Stage::Names(mut names) => match names.go_on(context, replies)? {
                    Next::Calls(calls) => {
                        self.stage = Stage::Names(names);
                        return Ok(Next::Calls(calls));
                    }
                    Next::Reply(mut names) => {
                        let after = self.page.as_ref().and_then(|page| page.after.as_ref());
                        if let Some((_, holders)) = after {
                            let first = names.iter().position(|name| holders.contains(name));
                            names.drain(..first.unwrap_or(names.len()));
                        }
                        self.rest = names.into_iter();
                    }
                },
                Stage::Next => match self.next_stage() {
                    Some(stage) => self.stage = stage,
                    None => return Ok(Next::Reply(std::mem::take(&mut self.found))),
                },
                Stage::Load(name, mut load) => match load.go_on(context, replies) {
                    Ok(Next::Calls(calls)) => {
                        self.stage = Stage::Load(name, load);
                        return Ok(Next::Calls(calls));
                    }
                    Ok(Next::Reply(loaded)) => {
                        if self.add(name, &loaded.description)? {
                            return Ok(Next::Reply(std::mem::take(&mut self.found)));
                        }
                    }
                    Err(Error::DatabaseNotFound(_)) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shard_map::ShardGroup;
    use crate::model::time::TimeRange;

    #[test]
    fn a_list_takes_names_and_policies_alone_and_ends_at_its_limit() {
        let (range, shards) = (TimeRange::ALL, Vec::new());
        let group = ShardGroup { id: 1, range, shards, split_bytes: 0 };
        let policy = Policy {
            id: PolicyId(1),
            name: "autogen".to_owned(),
            duration_ns: 0,
            shard_group_duration_ns: 1,
            replica_n: 1,
            groups: vec![group; 100],
        };
        let description = Description { policies: vec![policy], ..Description::default() };
        let mut survey = DescribeDatabases::new(&Principal::default(), WhichDatabases::All);
        let names = (0..).map(|number| format!("database number {number:06}"));
        let refused = names.take(100_000).find_map(|name| survey.add(name, &description).err());
        assert_eq!(refused, Some(Error::ListTooLong));
        assert!(survey.found.len() > 20_000, "{}", survey.found.len());
        let groups = survey.found.iter().flat_map(|(_, found)| &found.policies);
        assert!(groups.flat_map(|policy| &policy.groups).next().is_none());
    }
}
