//! A write's way in: where to, whether it may, and how large it may be.

use super::entrance::{Door, Then};
use super::{Ceiling, Exchange, Service, State, Target};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::body::Encoding;
use crate::api::delete;
use crate::api::error::ApiError;
use crate::api::intake::{Intake, Reading};
use crate::api::manage::{destination, policy_id};
use crate::api::params::{Dialect, WriteParams};
use crate::api::write::Asked;
use crate::model::grant::Right;
use crate::model::limit::Limit;
use crate::protocol::call::{Platform, Reply, Step};
use crate::route::survey::{Of, Survey};
use crate::route::{Context, Machine};

impl Exchange {
    pub(super) fn begin_write(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        dialect: Dialect,
    ) -> Result<Action, ApiError> {
        let mut params = WriteParams::parse(dialect, &self.url)?;
        if dialect == Dialect::V2 && params.policy.is_none() {
            match self.bucket(service, &params.database, Door::Write(dialect)) {
                Some(Some(found)) => (params.database, params.policy) = (found.0, Some(found.1)),
                Some(None) => {}
                None => return self.locate_step(service, platform, None),
            }
        }
        let scope = self.principal.grants.scope(Right::Write, &params.database);
        if !scope.may_cover(params.policy.as_deref()) {
            let refusal = AuthError::write(&self.principal, &params.database);
            return self.refuse(service, platform, refusal, Then::Enter(Door::Write(dialect)));
        }
        self.record.database = Some(params.database.clone());
        let encoding = Encoding::from_header(self.head.header("content-encoding"))?;
        let settings = service.settings.as_ref().map_err(Clone::clone)?;
        let limit = match encoding {
            Encoding::Identity => Limit::BodyBytes,
            Encoding::Gzip => Limit::BodyCompressedBytes,
        };
        let ceiling = Ceiling::of(&settings.limits, limit);
        let (limits, seed) = (settings.limits, service.hash_seed);
        let reading = Reading { now_ns: platform.now_ns(), seed, limits };
        self.read_body(service, platform, ceiling, |permit| {
            let intake = Box::new(Intake::new(dialect, &params, permit, reading));
            Target::Write { asked: Asked { dialect, params }, encoding, intake }
        })
    }

    /// The database and policy of the bucket whose id `name` is, or that it is no id. `None` when
    /// the owners must be asked first: `state` is then ready for that.
    pub(super) fn bucket(
        &mut self,
        service: &Service,
        name: &str,
        door: Door,
    ) -> Option<Option<(String, String)>> {
        let Some(id) = policy_id(name) else { return Some(None) };
        let known = self.bucket.take().or_else(|| service.cache.policy(id).map(Some));
        if known.is_none() {
            let holders = Survey::new(&self.principal, Of::Policy(id));
            self.state = State::Locating(Box::new(holders), door);
        }
        known
    }

    /// Goes on finding the bucket that is meant by an id. One that is not found is a name.
    pub(super) fn locate_step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let State::Locating(survey, door) = &mut self.state else { return Ok(Action::End) };
        let door = *door;
        let context = &mut Context { cache: &mut service.cache, platform };
        let found = match survey.step(context, reply) {
            Step::Calls(calls) => return Ok(Action::Calls(calls)),
            Step::Done(found) => found?,
        };
        self.state = State::Finished;
        let id = policy_id(delete::bucket(&self.url).unwrap_or_default());
        self.bucket = Some(id.and_then(|id| destination(&found, id)));
        self.enter(service, platform, door)
    }
}
