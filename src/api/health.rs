//! `/health`: whether requests would be served, told without a token.
//!
//! What monitors ask every second must cost nothing: the Catalog is asked by one of them, and the
//! others are told the same for [`REMEMBERED_NS`].

use super::headers::INFLUXDB_VERSION;
use super::http::Response;
use crate::model::time::S_NS;
use crate::protocol::call::{Address, Call, Reply, Step};
use crate::protocol::round::Request;
use crate::route::identify::Asked;
use crate::route::{Context, Machine};

/// For how long what the Catalog answered is told.
const REMEMBERED_NS: i64 = 5 * S_NS;
/// How long the Catalog may take, milliseconds.
const WAIT_MS: u32 = 2_000;

/// What an isolate knows of it.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether the Catalog answered when it was last asked, and when that was.
    known: Option<(bool, i64)>,
    /// Since when it is being asked.
    asked_ns: Option<i64>,
}

impl Health {
    /// What is known of the Catalog; `None` when whoever wants to know has to ask it.
    pub fn known(&self, now_ns: i64) -> Option<bool> {
        let (answers, since_ns) = self.known?;
        let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < REMEMBERED_NS;
        (recent(since_ns) || self.asked_ns.is_some_and(recent)).then_some(answers)
    }

    /// Somebody asks the Catalog.
    pub fn asking(&mut self, now_ns: i64) {
        self.asked_ns = Some(now_ns);
    }

    /// Takes what came of it.
    pub fn learn(&mut self, answers: bool, now_ns: i64) {
        *self = Self { known: Some((answers, now_ns)), asked_ns: None };
    }
}

/// The Catalog being asked; whether it answers.
#[derive(Debug, Default)]
pub struct Checking {
    asked: Option<Asked>,
}

impl Checking {
    /// Nothing asked yet.
    pub fn new() -> Self {
        Self { asked: None }
    }
}

impl Machine for Checking {
    type Answer = bool;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<bool> {
        let Some(reply) = reply else {
            let (asked, Request { to, location, message }) = Asked::now(context);
            self.asked = Some(asked);
            let message_of_pause = WAIT_MS.to_le_bytes().to_vec();
            return Step::Calls(vec![
                Call { id: CATALOG, to, location, message },
                Call { id: PAUSE, to: Address::Pause, location: None, message: message_of_pause },
            ]);
        };
        // The pause is over first: it takes too long.
        let answers = match self.asked.take() {
            Some(asked) if reply.id == CATALOG => {
                asked.learn(&mut context.cache.grants, reply.result).is_ok()
            }
            _ => false,
        };
        Step::Done(answers)
    }
}

const CATALOG: u32 = 0;
const PAUSE: u32 = 1;

/// Nothing is served, and `message` says what to do.
pub fn fail(message: &str) -> Response {
    told(503, "fail", message)
}

/// What is served, given whether the Catalog answers: 200 in the shape that the v2 clients read.
pub fn serving(catalog_answers: bool) -> Response {
    match catalog_answers {
        true => told(200, "pass", "ready for queries and writes"),
        false => told(
            200,
            "warn",
            "the Catalog does not answer: databases and tokens known here are served as long as \
             what is known of them may be believed, others are answered 503",
        ),
    }
}

fn told(status: u16, word: &str, message: &str) -> Response {
    let body = serde_json::json!({
        "name": "influxdb",
        "message": message,
        "status": word,
        "checks": [],
        "version": INFLUXDB_VERSION,
    });
    Response::json(status, format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_and_the_others_are_told_the_same_for_five_seconds() {
        let mut health = Health::default();
        assert_eq!(health.known(0), None);
        health.asking(0);
        assert_eq!(health.known(0), None, "nothing can be said before the first answer");
        health.learn(true, S_NS);
        assert_eq!(health.known(6 * S_NS - 1), Some(true));
        assert_eq!(health.known(6 * S_NS), None);
        health.asking(6 * S_NS);
        assert_eq!(health.known(6 * S_NS), Some(true), "somebody is asking");
        // Who asked went away.
        assert_eq!(health.known(11 * S_NS), None);
        health.learn(false, 11 * S_NS);
        assert_eq!(health.known(12 * S_NS), Some(false));
    }
}
