//! Finds the database and the policy that a v2 client means when it names a bucket by its id.

use crate::api::error::ApiError;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::Incoming;
use crate::api::routes::manage::bucket_names::{policy_id, policy_of};
use crate::coordinator::describe_databases::{
    DescribedDatabase, WhichDatabases, describe_databases,
};
use crate::coordinator::{Machine, Task};
use crate::model::ids::PolicyId;
use crate::protocol::call::{Reply, Step};

/// A lookup in progress.
#[derive(Debug)]
pub(super) struct BucketLookup {
    id: PolicyId,
    survey: Option<Task<Vec<DescribedDatabase>>>,
}

impl BucketLookup {
    /// The lookup of the bucket that `name` is the id of; `None` where it can be no id.
    pub(super) fn by_id(name: &str) -> Option<Self> {
        Some(Self { id: policy_id(name)?, survey: None })
    }

    /// Puts the names of the bucket, once it is found, in the place of those that a request has.
    /// They stay where nothing is looked up, and where no bucket that the caller may know of has
    /// the id, which is then taken for a name.
    ///
    /// # Errors
    /// [`ApiError`] when the owners cannot be asked.
    pub(super) fn locate(
        lookup: &mut Option<Self>,
        (database, policy): (&mut String, &mut Option<String>),
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Step<()>, ApiError> {
        let Some(lookup) = lookup else { return Ok(Step::Done(())) };
        let found = match lookup.step(request, isolate, reply)? {
            Step::Calls(calls) => return Ok(Step::Calls(calls)),
            Step::Done(found) => found,
        };
        if let Some((found_database, found_policy)) = found {
            (*database, *policy) = (found_database, Some(found_policy));
        }
        Ok(Step::Done(()))
    }

    /// Goes on: the names of the database and of the policy, if there is such a bucket.
    fn step(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Step<Option<(String, String)>>, ApiError> {
        if self.survey.is_none()
            && let Some(known) = isolate.service.cache.policy(self.id)
        {
            return Ok(Step::Done(Some(known)));
        }
        let new = || describe_databases(request.caller, WhichDatabases::Policy(self.id));
        let survey = self.survey.get_or_insert_with(new);
        Ok(match survey.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Step::Calls(calls),
            Step::Done(found) => Step::Done(policy_of(&found?, self.id)),
        })
    }
}
