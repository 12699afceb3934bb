//! Lists the names of all databases, or of those that may have a policy, which the Catalog gives
//! page by page.

use super::error::Error;
use super::{Context, RoundMachine, Turn};
use crate::model::grant::Grants;
use crate::model::ids::PolicyId;
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Round};

/// A listing in progress. Answers with the names in order of creation.
#[derive(Debug, Default)]
pub struct DatabaseNames {
    names: Vec<String>,
    holding: Option<PolicyId>,
    round: Round,
}

impl DatabaseNames {
    /// The names of the few databases that may have this policy.
    pub fn holding(policy: PolicyId) -> Self {
        Self { holding: Some(policy), ..Self::default() }
    }

    fn ask(&self, after: Option<u64>) -> Next<Vec<String>> {
        Next::call(Address::Catalog, &ToCatalog::List { after, holding: self.holding })
    }
}

/// Those of `names` that `grants` has a right on, by name.
pub fn seen_by_name(grants: &Grants, mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| grants.sees(name));
    names.sort();
    names
}

impl RoundMachine for DatabaseNames {
    type Reply = Vec<String>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, _context: &mut Context<'_>, mut replies: Replies) -> Turn<Vec<String>> {
        let Some(reply) = replies.pop() else { return Ok(self.ask(None)) };
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Listed { names, resume, .. } => {
                self.names.extend(names);
                Ok(match resume {
                    Some(_) => self.ask(resume),
                    None => Next::Reply(std::mem::take(&mut self.names)),
                })
            }
            FromCatalog::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }
}
