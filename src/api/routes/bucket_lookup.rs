//! Finds the database and the policy of a bucket that a v2 client identifies by the bucket's id.

use crate::api::error::{ApiError, ApiResult};
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Incoming, RequestTarget};
use crate::api::routes::manage::bucket_names::{policy_id, policy_of};
use crate::coordinator::database_lists::{WhichDatabases, describe_databases};
use crate::coordinator::grants::Principal;
use crate::coordinator::{Machine, Task};
use crate::model::ids::PolicyId;
use crate::protocol::call::{Reply, Step};

/// The database and the policy of a bucket. Without a policy, the bucket's text is the name of a
/// database.
type Found = Option<(String, Option<String>)>;

#[derive(Debug)]
pub(super) struct BucketLookup {
    id: PolicyId,
    text: String,
    task: Option<Task<Found>>,
}

impl BucketLookup {
    /// Returns a lookup if `bucket` has the form of an id.
    pub(super) fn by_id(bucket: &str) -> Option<Self> {
        Some(Self { id: policy_id(bucket)?, text: bucket.to_owned(), task: None })
    }

    /// Replaces the database and the policy of a request with those of the bucket. If no visible
    /// bucket has this id, the id is treated as the name of a database.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is neither a bucket nor a database.
    pub(super) fn locate(
        &mut self,
        target: &mut RequestTarget,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Step<()>> {
        let found = match self.step(request, isolate, reply)? {
            Step::Calls(calls) => return Ok(Step::Calls(calls)),
            Step::Done(found) => found,
        };
        let missing = || ApiError::NotFound(format!("bucket \"{}\" not found", self.text));
        let (database, policy) = found.ok_or_else(missing)?;
        *target = RequestTarget { database, policy };
        Ok(Step::Done(()))
    }

    fn step(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Step<Found>> {
        if self.task.is_none()
            && let Some((database, policy)) = isolate.service.cache.policy(self.id)
        {
            return Ok(Step::Done(Some((database, Some(policy)))));
        }
        let new = || find(request.caller, self.id, &self.text);
        let task = self.task.get_or_insert_with(new);
        Ok(match task.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Step::Calls(calls),
            Step::Done(found) => Step::Done(found?),
        })
    }
}

fn find(caller: &Principal, id: PolicyId, name: &str) -> Task<Found> {
    let (caller, name) = (caller.clone(), name.to_owned());
    Task::new(move |io| async move {
        let of_id = describe_databases(&io, &caller, WhichDatabases::Policy(id)).await?;
        if let Some((database, policy)) = policy_of(&of_id, id) {
            return Ok(Some((database, Some(policy))));
        }
        let of_name = WhichDatabases::Named(name.clone());
        let of_name = describe_databases(&io, &caller, of_name).await?;
        Ok((!of_name.is_empty()).then_some((name, None)))
    })
}
