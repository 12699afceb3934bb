//! The names of all databases, or of those that may have a policy, page by page from the Catalog.

use super::error::Error;
use super::{Context, Machine};
use crate::model::ids::PolicyId;
use crate::protocol::call::{Address, Reply, Step};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};

/// A listing in progress. Answers with the names in order of creation.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<String>,
    holding: Option<PolicyId>,
    round: Round,
}

impl Names {
    /// The names of the few databases that may have this policy.
    pub fn holding(policy: PolicyId) -> Self {
        Self { holding: Some(policy), ..Self::default() }
    }

    fn ask(&mut self, after: Option<u64>) -> Step<Result<Vec<String>, Error>> {
        let message = envelope::encode(&ToCatalog::List { after, holding: self.holding });
        Step::Calls(self.round.start(vec![Request::new(Address::Catalog, message)]))
    }
}

impl Machine for Names {
    type Answer = Result<Vec<String>, Error>;

    fn step(&mut self, _context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(reply) = reply else { return self.ask(None) };
        let Some(reply) = self.round.take(reply).and_then(|mut replies| replies.pop()) else {
            return Step::Calls(Vec::new());
        };
        match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Listed { names, resume, .. }) => {
                self.names.extend(names);
                if resume.is_some() {
                    return self.ask(resume);
                }
                Step::Done(Ok(std::mem::take(&mut self.names)))
            }
            Ok(FromCatalog::Unavailable(why)) => Step::Done(Err(why.into())),
            Ok(_) => Step::Done(Err(Error::unexpected_reply())),
            Err(failure) => Step::Done(Err(failure.into())),
        }
    }
}
