//! Finds the database and the policy of a bucket that a v2 client identifies by the bucket's id.

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

#[derive(Debug)]
pub(super) struct BucketLookup {
    id: PolicyId,
    survey: Option<Task<Vec<DescribedDatabase>>>,
}

impl BucketLookup {
    pub(super) fn by_id(name: &str) -> Option<Self> {
        Some(Self { id: policy_id(name)?, survey: None })
    }

    /// Replaces the database and the policy of a request with those of the bucket. If no visible
    /// bucket has this id, the id is treated as a name.
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
