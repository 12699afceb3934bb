//! The door: who is calling, and whether to let them in.

use super::{CONFIGURE_CEILING, Exchange, Service, State, Target};
use crate::api::action::Action;
use crate::api::auth::{self, AuthError};
use crate::api::error::{ApiError, Shape};
use crate::api::export::{self, Exporting};
use crate::api::manage::Managing;
use crate::api::params::Dialect;
use crate::api::query::Querying;
use crate::api::tokens::Tokens;
use crate::api::unsupported;
use crate::model::grant::Right;
use crate::protocol::call::{Platform, Reply, Step};
use crate::route::error::Error;
use crate::route::grants::Principal;
use crate::route::identify::{Identify, Verdict};
use crate::route::logins::{By, Closed};
use crate::route::{Context, Machine};

/// What a caller wants to be let in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Write(Dialect),
    Query,
    /// `/api/v3/configure/database`
    Databases,
    /// Buckets, mappings and organisations
    Manage,
    /// `/api/v3/configure/token`
    Tokens,
    /// `/api/v3/export`
    Export,
    /// `/debug/verify`
    Verify,
    /// `/api/v2/delete`
    Delete,
    /// What the vendor has and this has not: only who is let in is told.
    Unsupported,
}

/// What happens once the caller is known.
#[derive(Debug)]
pub(super) enum Then {
    Enter(Door),
    Run(Box<Querying>),
}

impl Exchange {
    /// Finds out who is calling, then lets them through `door`.
    pub(super) fn knock(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        door: Door,
    ) -> Result<Action, ApiError> {
        self.identify(service, platform, false, Then::Enter(door))
    }

    /// Refuses the caller, unless that rests on a copy that may be old: then its owner is asked
    /// first (PROTOCOL.md rule 6).
    pub(super) fn refuse(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        refusal: AuthError,
        then: Then,
    ) -> Result<Action, ApiError> {
        if self.principal.fresh {
            return Err(refusal.into());
        }
        self.identify(service, platform, true, then)
    }

    /// Lets administrators through.
    pub(super) fn require_admin(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        door: Door,
    ) -> Result<Option<Action>, ApiError> {
        if self.principal.grants.admin {
            return Ok(None);
        }
        let refusal = AuthError::not_admin(&self.principal);
        self.refuse(service, platform, refusal, Then::Enter(door)).map(Some)
    }

    fn identify(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        from_owner: bool,
        then: Then,
    ) -> Result<Action, ApiError> {
        let settings = service.settings.as_ref().map_err(Clone::clone)?;
        let credentials = auth::credentials(&self.head, &self.url, settings)?;
        if auth::is_admin(&credentials, settings) {
            self.principal = Principal::admin();
            return self.go_through(service, platform, then);
        }
        let address = self.head.header("cf-connecting-ip").unwrap_or_default();
        let identify = Box::new(Identify::new(credentials, from_owner, address));
        self.state = State::Identifying { identify, then };
        self.identify_step(service, platform, None)
    }

    /// Goes on finding out who is calling.
    pub(super) fn identify_step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let State::Identifying { identify, .. } = &mut self.state else { return Ok(Action::End) };
        let answer =
            match identify.step(&mut Context { cache: &mut service.cache, platform }, reply) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(answer) => answer,
            };
        let State::Identifying { then, .. } = std::mem::replace(&mut self.state, State::Finished)
        else {
            return Ok(Action::End);
        };
        match answer {
            Ok(Verdict::Known(principal)) => {
                self.principal = principal;
                self.go_through(service, platform, then)
            }
            Ok(Verdict::Unknown) => Err(AuthError::Unauthorized.into()),
            Ok(Verdict::Closed(closed)) => Err(self.turn_away(closed).into()),
            // Which shards or databases there are is not said to somebody unknown.
            Err(Error::Unavailable(why)) => Err(AuthError::Unverified(why.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Words why a login is not looked into. 1.x's writers drop what is answered with 429.
    fn turn_away(&self, closed: Closed) -> AuthError {
        let Closed { by, retry_after_s } = closed;
        match by {
            By::Name if self.shape == Shape::WriteV1 => AuthError::Unauthorized,
            By::Name => AuthError::TooManyFailures { retry_after_s },
            By::Address | By::Table => AuthError::LoginsWait { retry_after_s },
        }
    }

    fn go_through(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        then: Then,
    ) -> Result<Action, ApiError> {
        match then {
            Then::Enter(door) => self.enter(service, platform, door),
            Then::Run(querying) => self.authorise(service, platform, querying),
        }
    }

    /// The caller is known: what is behind the door is theirs to ask for.
    pub(super) fn enter(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        door: Door,
    ) -> Result<Action, ApiError> {
        match door {
            Door::Write(dialect) => self.begin_write(service, platform, dialect),
            Door::Query => self.begin_query(service, platform),
            Door::Tokens => match self.require_admin(service, platform, door)? {
                Some(action) => Ok(action),
                None => self.begin_tokens(service, platform),
            },
            Door::Export => self.begin_export(service, platform),
            Door::Delete => self.begin_delete(service, platform),
            Door::Unsupported => Err(unsupported::refusal(self.head.route())),
            Door::Databases | Door::Manage if self.head.method == "GET" => {
                self.manage(service, platform, &[])
            }
            Door::Databases | Door::Manage | Door::Verify => {
                match self.require_admin(service, platform, door)? {
                    Some(action) => Ok(action),
                    None => {
                        let target = match door {
                            Door::Verify => Target::Verify,
                            Door::Manage => Target::Manage,
                            _ => Target::Configure,
                        };
                        self.read_body(service, platform, CONFIGURE_CEILING, target)
                    }
                }
            }
        }
    }

    /// Begins what [`Managing`] does.
    pub(super) fn manage(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        body: &[u8],
    ) -> Result<Action, ApiError> {
        let shards = service.settings.as_ref().map_err(Clone::clone)?.default_shards;
        let asked = (self.head.method.as_str(), self.head.route());
        let managing = Managing::parse(asked, &self.url, body, shards, &self.principal)?;
        self.state = State::Managing(Box::new(managing));
        self.step(service, platform, None)
    }

    fn begin_export(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        let (database, policy) = export::source(&self.url)?;
        if !self.principal.grants.scope(Right::Read, database).may_cover(policy) {
            let requires = format!("{} on {database}", Right::Read.as_str());
            let who = (*self.principal.name).to_owned();
            let refusal = AuthError::Forbidden { who, requires };
            return self.refuse(service, platform, refusal, Then::Enter(Door::Export));
        }
        self.record.database = Some(database.to_owned());
        let now_ns = platform.now_ns();
        let exporting = Exporting::parse(&self.url, &self.principal, now_ns)?;
        self.state = State::Exporting(Box::new(exporting));
        self.step(service, platform, None)
    }

    fn begin_tokens(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        let tokens = match self.head.method.as_str() {
            "POST" => {
                return self.read_body(service, platform, CONFIGURE_CEILING, Target::Token);
            }
            "DELETE" => Tokens::delete(self.url.filled("token_name"))?,
            _ => Tokens::list(),
        };
        self.state = State::Tokens(Box::new(tokens));
        self.step(service, platform, None)
    }
}
