//! Which database and policy a v2 client means that names a bucket by its id.

use crate::api::error::ApiError;
use crate::api::routes::handler::Incoming;
use crate::api::routes::manage::{policy_id, policy_of};
use crate::api::service::Isolate;
use crate::model::ids::PolicyId;
use crate::protocol::call::{Reply, Step};
use crate::route::Machine;
use crate::route::survey::{Of, Survey};

/// A lookup in progress.
#[derive(Debug)]
pub(super) struct BucketLookup {
    id: PolicyId,
    survey: Option<Survey>,
}

/// Names of a database and of one of its policies.
pub(super) type PolicyNames = (String, String);

impl BucketLookup {
    /// The lookup of the bucket that `name` is the id of; `None` where it can be no id.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(Self { id: policy_id(name)?, survey: None })
    }

    /// Goes on. `Done(None)`: no bucket that the caller may know of has the id, which is then taken
    /// for a name.
    ///
    /// # Errors
    /// [`ApiError`] when the owners cannot be asked.
    pub(super) fn step(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Step<Option<PolicyNames>>, ApiError> {
        if self.survey.is_none()
            && let Some(known) = isolate.service.cache.policy(self.id)
        {
            return Ok(Step::Done(Some(known)));
        }
        let new = || Survey::new(request.caller, Of::Policy(self.id));
        let survey = self.survey.get_or_insert_with(new);
        Ok(match survey.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Step::Calls(calls),
            Step::Done(found) => Step::Done(policy_of(&found?, self.id)),
        })
    }
}
