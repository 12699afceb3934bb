//! Finds out who is calling, and refuses a caller who may not do what is asked.

use super::{Exchange, ExchangeStage, Point};
use crate::api::action::Action;
use crate::api::auth::{self, AuthError};
use crate::api::error::ApiError;
use crate::api::error_body::ErrorShape;
use crate::api::isolate_state::Isolate;
use crate::coordinator::Machine;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::coordinator::identify::{Identify, Verdict};
use crate::coordinator::logins::{By, Closed};
use crate::protocol::call::{Reply, Step};

impl Exchange {
    /// Finds out who is calling, then goes on at `then`. `from_owner`: what the isolate remembers
    /// does not suffice.
    pub(super) fn identify(
        &mut self,
        isolate: &mut Isolate<'_>,
        from_owner: bool,
        then: Point,
    ) -> Result<Action, ApiError> {
        let settings = isolate.settings()?;
        let credentials = auth::credentials(&self.head, &self.url, settings)?;
        if auth::is_admin(&credentials, settings) {
            self.caller = Principal::admin();
            return self.resume(isolate, then);
        }
        let address = self.head.header("cf-connecting-ip").unwrap_or_default();
        let identify = Identify::new(credentials, from_owner, address);
        self.stage = ExchangeStage::Identify(Box::new(identify), then);
        self.identify_step(isolate, None)
    }

    /// Goes on finding out who is calling.
    pub(super) fn identify_step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
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
            Ok(Verdict::Closed(closed)) => Err(self.turn_away(closed).into()),
            // Which shards or databases there are is not said to somebody unknown.
            Err(Error::Unavailable(why)) => Err(AuthError::Unverified(why.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }

    fn resume(&mut self, isolate: &mut Isolate<'_>, at: Point) -> Result<Action, ApiError> {
        let Some(operation) = self.operation else { return Ok(Action::End) };
        match at {
            Point::Beginning => self.begin(isolate, operation),
            Point::Statements => self.check_statements(isolate),
        }
    }

    /// Refuses the caller, unless that rests on a copy of the grants that may be old: then their
    /// owner is asked first (PROTOCOL.md rule 6), and the request goes on at `then`.
    pub(super) fn refuse_caller(
        &mut self,
        isolate: &mut Isolate<'_>,
        refusal: AuthError,
        then: Point,
    ) -> Result<Action, ApiError> {
        if self.caller.fresh {
            return Err(refusal.into());
        }
        self.identify(isolate, true, then)
    }

    /// Words why a login is not looked into. 1.x's writers drop what is answered with 429.
    fn turn_away(&self, closed: Closed) -> AuthError {
        let Closed { by, retry_after_s } = closed;
        match by {
            By::Name if self.errors == ErrorShape::WriteV1 => AuthError::Unauthorized,
            By::Name => AuthError::TooManyFailures { retry_after_s },
            By::Address | By::Table => AuthError::LoginsWait { retry_after_s },
        }
    }
}
