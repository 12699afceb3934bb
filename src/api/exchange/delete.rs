//! A deletion's way in: of which bucket, and whether it may.

use super::entrance::{Door, Then};
use super::{CONFIGURE_CEILING, Exchange, Service, Target};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::delete;
use crate::api::error::ApiError;
use crate::model::grant::{Right, Scope};
use crate::protocol::call::Platform;

impl Exchange {
    /// Asks for what DELETE asks for: to write to the whole database.
    pub(super) fn begin_delete(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        let (mut database, mut policy) = delete::place(&self.url)?;
        if policy.is_none() {
            match self.bucket(service, &database, Door::Delete) {
                Some(Some(found)) => (database, policy) = (found.0, Some(found.1)),
                Some(None) => {}
                None => return self.locate_step(service, platform, None),
            }
        }
        if self.principal.grants.scope(Right::Write, &database) != Scope::All {
            let requires = format!("{} on {database}", Right::Write.as_str());
            let who = (*self.principal.name).to_owned();
            let refusal = AuthError::Forbidden { who, requires };
            return self.refuse(service, platform, refusal, Then::Enter(Door::Delete));
        }
        self.record.database = Some(database.clone());
        let place = (database, policy);
        self.read_body(service, platform, CONFIGURE_CEILING, |permit| Target::Delete(permit, place))
    }
}
