//! `/health`, of which everybody may ask.

use super::{Exchange, Service, State};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::ApiError;
use crate::api::health::{self, Checking};
use crate::protocol::call::{Platform, Reply, Step};
use crate::route::{Context, Machine};

impl Exchange {
    pub(super) fn begin_health(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        self.allow("GET, HEAD")?;
        let unset = match &service.settings {
            Err(error) => Some(error.to_string()),
            Ok(settings) if settings.admin_tokens.is_empty() => {
                Some(AuthError::NotConfigured.to_string())
            }
            Ok(_) => None,
        };
        if let Some(message) = unset {
            return Ok(Action::Respond(health::fail(&message)));
        }
        if let Some(answers) = service.health.known(platform.now_ns()) {
            return Ok(Action::Respond(health::serving(answers)));
        }
        service.health.asking(platform.now_ns());
        self.state = State::Checking(Checking::new());
        self.health_step(service, platform, None)
    }

    pub(super) fn health_step(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let State::Checking(checking) = &mut self.state else { return Ok(Action::End) };
        let context = &mut Context { cache: &mut service.cache, platform };
        match checking.step(context, reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(answers) => {
                self.state = State::Finished;
                service.health.learn(answers, platform.now_ns());
                Ok(Action::Respond(health::serving(answers)))
            }
        }
    }
}
