//! Tests `/health` without a secret, in a complete service, and with an unreachable Catalog.

use serde_json::Value;
use tidemark_engine::protocol::call::{Address, CallFailure, CommitFailures, Reply};
use tidemark_engine::protocol::catalog::FromCatalog;
use tidemark_engine::protocol::envelope;
use tidemark_server::action::Action;
use tidemark_server::exchange::Exchange;
use tidemark_server::http::RequestHead;
use tidemark_server::isolate_state::Service;
use tidemark_server::settings::Settings;

use crate::product::TOKEN;
use crate::world::platform::TestPlatform;

const S_NS: i64 = 1_000_000_000;

struct Isolate {
    service: Service,
    platform: TestPlatform,
    /// The Catalog's response, or `None` if no response arrives before the timeout.
    catalog: Option<Result<Vec<u8>, CallFailure>>,
    questions: u32,
}

impl Isolate {
    fn with(token: Option<&str>) -> Self {
        let settings =
            Settings::read(|name| token.filter(|_| name == "ADMIN_TOKEN").map(str::to_owned));
        let platform = TestPlatform::new(1);
        Self { service: Service::new(settings, 1), platform, catalog: None, questions: 0 }
    }

    /// Returns the HTTP status, the status in the body, and the names of the failed checks.
    fn health(&mut self) -> (u16, String, Vec<String>) {
        let Self { service, platform, .. } = self;
        let head =
            RequestHead { method: "GET".into(), path: "/health".into(), ..RequestHead::default() };
        let (mut exchange, mut action) = Exchange::start(service, platform, head);
        if let Action::Calls(calls) = &action {
            self.questions += 1;
            let to: Vec<&Address> = calls.iter().map(|call| &call.to).collect();
            assert!(matches!(to[..], [Address::Catalog, Address::Timer { .. }]), "{to:?}");
            let reply = match self.catalog.clone() {
                Some(result) => Reply { id: calls[0].id, result },
                None => Reply { id: calls[1].id, result: Ok(Vec::new()) },
            };
            action = exchange.step(service, platform, Some(reply));
        }
        let Action::Respond(response) = action else { panic!("{action:?}") };
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        let checks = body["checks"].as_array().unwrap();
        assert!(checks.first().is_none_or(|first| first["message"] == body["message"]), "{body}");
        let checks = checks.iter().map(|check| {
            assert_eq!(check["status"], "fail");
            check["name"].as_str().unwrap().to_owned()
        });
        (response.status, body["status"].as_str().unwrap().to_owned(), checks.collect())
    }

    fn pass(&mut self, ns: i64) {
        self.platform.advance_to(self.platform.time_ns() + ns);
    }
}

#[test]
fn health_fails_without_valid_secret() {
    for token in [None, Some("short")] {
        let mut isolate = Isolate::with(token);
        assert_eq!(isolate.health(), (503, "fail".to_owned(), Vec::new()));
        assert_eq!(isolate.questions, 0);
    }
}

#[test]
fn lost_catalog_is_health_warning() {
    let mut isolate = Isolate::with(Some(TOKEN));
    let nobody = FromCatalog::Identified { found: Vec::new(), users: false };
    let reply = envelope::encode(&nobody);
    isolate.catalog = Some(Ok(reply.clone()));
    let pass = (200, "pass".to_owned(), Vec::new());
    let warn = (200, "pass".to_owned(), vec!["catalog".to_owned()]);
    assert_eq!((isolate.health(), isolate.questions), (pass.clone(), 1));
    for (lost, questions) in [(Some(Err(CallFailure::Overloaded)), 2), (None, 3)] {
        isolate.catalog = lost;
        let before = if questions == 2 { &pass } else { &warn };
        isolate.pass(5 * S_NS - 1);
        assert_eq!((&isolate.health(), isolate.questions), (before, questions - 1));
        isolate.pass(1);
        assert_eq!((isolate.health(), isolate.questions), (warn.clone(), questions));
        assert_eq!((isolate.health(), isolate.questions), (warn.clone(), questions));
    }
    isolate.catalog = Some(Ok(reply));
    isolate.pass(5 * S_NS);
    assert_eq!(isolate.health(), pass);
}

#[test]
fn failed_commit_is_first_health_check() {
    let mut isolate = Isolate::with(Some(TOKEN));
    let found = |names: &[&str]| {
        (200, "pass".to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    isolate.catalog = Some(Err(CallFailure::Overloaded));
    let cause = Some("the disk is full".to_owned());
    isolate.platform.report_commits(CommitFailures { count: 1, cause });
    assert_eq!(isolate.health(), found(&["storage", "catalog"]));
    isolate.platform.report_commits(CommitFailures { count: 1, cause: None });
    assert_eq!(isolate.health(), found(&["catalog"]));
}
