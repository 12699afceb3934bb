//! Identifies the caller, and refuses a caller without permission.

use super::{Exchange, ExchangeStage, Point};
use crate::api::action::Action;
use crate::api::auth::{self, AuthError};
use crate::api::error::ApiResult;
use crate::api::error_body::ErrorShape;
use crate::api::foreign_origin;
use crate::api::isolate_state::Isolate;
use crate::api::routes::Access;
use crate::api::routes::manage::bucket_names::policy_id;
use crate::coordinator::Machine;
use crate::coordinator::cloudflare_access as access;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::coordinator::identify::{self, AuthSource, Verdict};
use crate::coordinator::logins::{Closed, FullCounter};
use crate::model::name;
use crate::protocol::call::{Reply, Step};

impl Exchange {
    pub(super) fn identify(
        &mut self,
        isolate: &mut Isolate<'_>,
        auth_source: AuthSource,
        then: Point,
    ) -> ApiResult<Action> {
        let settings = isolate.settings()?;
        let credentials = match auth::credentials(&self.head, &self.url, settings) {
            Err(AuthError::Unauthorized) => return self.identify_by_access(isolate, then),
            credentials => credentials?,
        };
        if auth::is_admin(&credentials, settings) {
            self.caller = Principal::admin();
            return self.resume(isolate, then);
        }
        let address = self.head.header("cf-connecting-ip").unwrap_or_default();
        let identify = identify::identify(credentials, auth_source, address);
        self.stage = ExchangeStage::Identify(identify, then);
        self.identify_step(isolate, None)
    }

    fn identify_by_access(&mut self, isolate: &mut Isolate<'_>, then: Point) -> ApiResult<Action> {
        let assertion = self.head.header(auth::ACCESS_ASSERTION);
        let (Some(application), Some(assertion)) = (&isolate.settings()?.access, assertion) else {
            return Err(AuthError::Unauthorized.into());
        };
        if !foreign_origin::is_same_origin(&self.head) {
            return Err(AuthError::Unauthorized.into());
        }
        let check = access::check_assertion(application, assertion);
        self.stage = ExchangeStage::Access(check, then);
        self.access_step(isolate, None)
    }

    pub(super) fn access_step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Action> {
        let ExchangeStage::Access(check, then) = &mut self.stage else { return Ok(Action::End) };
        let then = *then;
        let verdict = match check.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => return Ok(Action::Calls(calls)),
            Step::Done(verdict) => verdict?,
        };
        match verdict {
            access::Verdict::Admitted => {
                self.caller = Principal::admin();
                self.resume(isolate, then)
            }
            access::Verdict::Refused => Err(AuthError::Unauthorized.into()),
            access::Verdict::Unverified(reason) => Err(AuthError::Unverified(reason).into()),
        }
    }

    pub(super) fn identify_step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> ApiResult<Action> {
        let ExchangeStage::Identify(identify, then) = &mut self.stage else {
            return Ok(Action::End);
        };
        let then = *then;
        let verdict = match identify.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => return Ok(Action::Calls(calls)),
            Step::Done(verdict) => verdict,
        };
        match verdict {
            Ok(Verdict::Known(principal)) => {
                self.caller = principal;
                self.resume(isolate, then)
            }
            Ok(Verdict::Unknown) => Err(AuthError::Unauthorized.into()),
            Ok(Verdict::Closed(closed)) => Err(self.rejected_login(closed).into()),
            // An unknown caller must not learn the names of shards or databases.
            Err(Error::Unavailable(reason)) => {
                Err(AuthError::Unverified(reason.to_string()).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn resume(&mut self, isolate: &mut Isolate<'_>, at: Point) -> ApiResult<Action> {
        let Some(operation) = self.operation else { return Ok(Action::End) };
        match at {
            Point::Beginning => self.begin(isolate, operation),
            Point::Statements => self.check_statements(isolate),
        }
    }

    /// If the request needs access to a policy or to statements, the database in the URL can
    /// identify the caller, because the shards of this database check the permission again.
    pub(super) fn auth_source(&self, isolate: &Isolate<'_>, access: Access) -> AuthSource {
        match access {
            Access::Policy(_) | Access::Statements => {}
            Access::Open | Access::Known | Access::Database(_) | Access::Admin => {
                return AuthSource::Catalog;
            }
        }
        let named = self.url.filled("bucket").or_else(|| self.url.filled("db"));
        let by_id = named.and_then(policy_id).and_then(|id| isolate.service.cache.policy(id));
        let name = by_id.map(|(database, _)| database);
        let name = name.or_else(|| named.map(|named| name::split_bucket(named).0.to_owned()));
        AuthSource::Databases(name.into_iter().collect())
    }

    /// Refuses the caller if the identification is fresh. Otherwise the refusal would be based on
    /// cached grants or on the replies of only some databases, so the request identifies the caller
    /// again. The request first calls the databases of the statements, if the cache knows all of
    /// them, and then the Catalog (PROTOCOL.md rule 6).
    pub(super) fn refuse_caller(
        &mut self,
        isolate: &mut Isolate<'_>,
        refusal: AuthError,
        then: Point,
    ) -> ApiResult<Action> {
        if self.caller.fresh {
            return Err(refusal.into());
        }
        let databases = self.query().map(|query| query.databases());
        let databases = databases.filter(|_| then == Point::Statements).unwrap_or_default();
        let cache = &mut isolate.service.cache;
        let are_known = databases.iter().all(|name| cache.database(name).is_some());
        if !databases.is_empty() && are_known && !std::mem::replace(&mut self.asked_named, true) {
            return self.identify(isolate, AuthSource::Databases(databases), then);
        }
        self.identify(isolate, AuthSource::Catalog, then)
    }

    /// Avoids status 429 for `/write`, because 1.x's write clients drop a batch on status 429.
    fn rejected_login(&self, closed: Closed) -> AuthError {
        let Closed { by, retry_after_s } = closed;
        match by {
            FullCounter::Name if self.errors == ErrorShape::WriteV1 => AuthError::Unauthorized,
            FullCounter::Name => AuthError::TooManyFailures { retry_after_s },
            FullCounter::Address | FullCounter::Table => AuthError::LoginsWait { retry_after_s },
        }
    }
}
