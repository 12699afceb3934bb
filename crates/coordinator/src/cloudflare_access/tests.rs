use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::Task;
use crate::cache::Cache;
use crate::error::Error;
use crate::task::tests::step_with;
use tidemark_engine::protocol::call::{Call, CallFailure, Platform, Reply, Step};
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_model::time::MS_NS;

const TEAM: &str = "https://team.cloudflareaccess.com";
const START_S: i64 = 1_000_000;

/// An isolate with a stand-in for signatures: a signature is the key's id followed by the signed
/// text.
struct Isolate {
    clock: LocalPlatform,
    cache: Cache,
    keys: Vec<&'static str>,
    reachable: bool,
    fetched: u32,
    checked: u32,
}

type AssertionStep = Step<Result<AssertionResult, Error>>;

impl Isolate {
    fn new() -> Self {
        Self {
            clock: LocalPlatform::at(START_S * S_NS),
            cache: Cache::default(),
            keys: vec!["k1", "k2"],
            reachable: true,
            fetched: 0,
            checked: 0,
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.clock.pass(seconds * S_NS);
    }

    fn step(&mut self, login: &mut Task<AssertionResult>, reply: Option<Reply>) -> AssertionStep {
        step_with(login, &mut self.cache, &self.clock, reply)
    }

    fn list(&self) -> Vec<u8> {
        let key = |id: &&str| json!({"kid": id, "kty": "RSA", "e": "AQAB", "n": id.repeat(171)});
        let mut keys: Vec<Value> = self.keys.iter().map(key).collect();
        keys.push(json!({"kid": "of another kind", "kty": "EC"}));
        keys.push(json!({"kid": "short", "kty": "RSA", "e": "AQAB", "n": "abc"}));
        json!({"keys": keys, "public_certs": []}).to_string().into_bytes()
    }

    fn carry(&mut self, call: &Call) -> Reply {
        let result = match &call.to {
            Address::AccessKeys if self.reachable => {
                self.fetched += 1;
                Ok(self.list())
            }
            Address::AccessKeys => {
                self.fetched += 1;
                Err(CallFailure::Failed("no answer".to_owned()))
            }
            Address::SignatureCheck => {
                self.checked += 1;
                let check = SignatureCheck::read(&call.message).unwrap();
                let key = &check.modulus[..2];
                let is_true = check.signature == format!("{key}{}", check.signed).as_bytes();
                Ok(vec![u8::from(is_true)])
            }
            Address::Timer { .. } => {
                self.clock.pass(20 * MS_NS);
                Ok(Vec::new())
            }
            other => panic!("{other:?} is called"),
        };
        Reply { id: call.id, result }
    }

    fn judge(&mut self, token: &str) -> AssertionResult {
        let mut login = login(token);
        let mut step = self.step(&mut login, None);
        loop {
            match step {
                Step::Done(verdict) => return verdict.unwrap(),
                Step::Calls(calls) => {
                    let reply = self.carry(&calls[0]);
                    step = self.step(&mut login, Some(reply));
                }
            }
        }
    }
}

fn application() -> Application {
    Application::new(TEAM, "tag").unwrap()
}

fn login(token: &str) -> Task<AssertionResult> {
    let token = token.to_owned();
    Task::new(|io| async move { check_assertion(&io, &application(), &token).await })
}

fn claims() -> Value {
    json!({"aud": ["other", "tag"], "iss": TEAM, "exp": START_S + 3_600, "nbf": START_S,
           "email": "a@example.com"})
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn token_of(head: &Value, claims: &Value, key: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(head), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(format!("{key}{signed}"));
    format!("{signed}.{signature}")
}

fn signed(claims: &Value, key: &str) -> String {
    token_of(&json!({"alg": "RS256", "kid": key}), claims, key)
}

#[test]
fn valid_access_login_fetches_keys_once() {
    let mut isolate = Isolate::new();
    for _ in 0..3 {
        assert_eq!(isolate.judge(&signed(&claims(), "k1")), AssertionResult::Admitted);
        assert_eq!(
            isolate.judge(&signed(&changed("aud", "tag".into()), "k2")),
            AssertionResult::Admitted
        );
    }
    assert_eq!((isolate.fetched, isolate.checked), (1, 6));
}

#[test]
fn invalid_claims_fail_without_calls() {
    let mut isolate = Isolate::new();
    let bad = [
        changed("aud", "other".into()),
        changed("aud", json!(["tag2"])),
        changed("aud", json!([])),
        changed("aud", Value::Null),
        changed("iss", "https://evil.cloudflareaccess.com".into()),
        changed("iss", format!("{TEAM}/").into()),
        changed("iss", Value::Null),
        changed("exp", START_S.into()),
        changed("exp", (START_S - 1).into()),
        changed("exp", Value::Null),
        changed("exp", "later".into()),
        changed("nbf", (START_S + 61).into()),
    ];
    for claims in bad {
        assert_eq!(isolate.judge(&signed(&claims, "k1")), AssertionResult::Refused, "{claims}");
    }
    for head in [
        json!({"alg": "none", "kid": "k1"}),
        json!({"alg": "HS256", "kid": "k1"}),
        json!({"alg": "RS256"}),
        json!([]),
    ] {
        assert_eq!(
            isolate.judge(&token_of(&head, &claims(), "k1")),
            AssertionResult::Refused,
            "{head}"
        );
    }
    let good = signed(&claims(), "k1");
    let long = changed("email", "x".repeat(20_000).into());
    let texts = ["", ".", "..", "a.b.c", "a.b", &good[1..], &good.replace('.', ""), "a.b.c.d"];
    let texts = texts.into_iter().map(str::to_owned).chain([signed(&long, "k1")]);
    for text in texts {
        assert_eq!(isolate.judge(&text), AssertionResult::Refused, "{text}");
    }
    assert_eq!((isolate.fetched, isolate.checked), (0, 0));
    // An assertion may begin a little later than now, because clocks differ.
    assert_eq!(
        isolate.judge(&signed(&changed("nbf", (START_S + 60).into()), "k1")),
        AssertionResult::Admitted
    );
}

#[test]
fn forged_signature_is_rejected() {
    let mut isolate = Isolate::new();
    let forged = token_of(&json!({"alg": "RS256", "kid": "k1"}), &claims(), "k2");
    assert_eq!(isolate.judge(&forged), AssertionResult::Refused);
    let good = signed(&claims(), "k1");
    let (_, signature) = good.rsplit_once('.').unwrap();
    let other = signed(&changed("email", "b@example.com".into()), "k1");
    let (text, _) = other.rsplit_once('.').unwrap();
    assert_eq!(isolate.judge(&format!("{text}.{signature}")), AssertionResult::Refused);
    assert_eq!(isolate.judge(&good), AssertionResult::Admitted);
    assert_eq!((isolate.fetched, isolate.checked), (1, 3));
}

#[test]
fn unknown_key_refetches_once_per_minute() {
    let mut isolate = Isolate::new();
    for second in 0..180 {
        for number in 0..3 {
            let made_up = signed(&claims(), &format!("x{second}{number}"));
            assert_eq!(isolate.judge(&made_up), AssertionResult::Refused);
        }
        isolate.pass(1);
    }
    assert_eq!((isolate.fetched, isolate.checked), (3, 0));
    // If the team signs with another key, the isolate accepts the key within a minute.
    isolate.keys = vec!["k2", "k3"];
    assert_eq!(isolate.judge(&signed(&claims(), "k3")), AssertionResult::Admitted);
    assert_eq!(
        isolate.judge(&signed(&claims(), "k1")),
        AssertionResult::Refused,
        "it is taken back"
    );
    assert_eq!(isolate.judge(&signed(&claims(), "short")), AssertionResult::Refused);
}

#[test]
fn access_keys_expire_after_hour() {
    let mut isolate = Isolate::new();
    let token = |isolate: &Isolate| {
        let now_s = isolate.clock.now_ns() / S_NS;
        signed(&changed("exp", (now_s + 60).into()), "k1")
    };
    isolate.reachable = false;
    let unverified = AssertionResult::Unverified("the call failed: no answer".to_owned());
    for _ in 0..5 {
        assert_eq!(isolate.judge(&token(&isolate)), unverified);
    }
    assert_eq!(isolate.fetched, 1);
    isolate.reachable = true;
    isolate.pass(61);
    assert_eq!(isolate.judge(&token(&isolate)), AssertionResult::Admitted);
    isolate.reachable = false;
    isolate.pass(3_599);
    assert_eq!(isolate.judge(&token(&isolate)), AssertionResult::Admitted);
    isolate.pass(1);
    assert_eq!(isolate.judge(&token(&isolate)), unverified);
    assert_eq!(isolate.fetched, 3);
}

#[test]
fn logins_wait_for_pending_key_fetch() {
    let mut isolate = Isolate::new();
    let token = signed(&claims(), "k1");
    let (mut first, mut second) = (login(&token), login(&token));
    let calls = |step: AssertionStep| match step {
        Step::Calls(calls) => calls,
        Step::Done(verdict) => panic!("{verdict:?}"),
    };
    let fetch = calls(isolate.step(&mut first, None)).swap_remove(0);
    let mut pause = calls(isolate.step(&mut second, None)).swap_remove(0);
    for _ in 0..3 {
        assert!(matches!(pause.to, Address::Timer { .. }));
        let reply = isolate.carry(&pause);
        pause = calls(isolate.step(&mut second, Some(reply))).swap_remove(0);
    }
    let reply = isolate.carry(&fetch);
    assert_eq!(calls(isolate.step(&mut first, Some(reply)))[0].to, Address::SignatureCheck);
    let reply = isolate.carry(&pause);
    assert_eq!(calls(isolate.step(&mut second, Some(reply)))[0].to, Address::SignatureCheck);
    assert_eq!(isolate.fetched, 1);
    // A lost fetch delays other requests no longer than a fetch may take.
    let mut isolate = Isolate::new();
    isolate.step(&mut login(&token), None);
    assert_eq!(isolate.judge(&token), AssertionResult::Admitted);
    assert!(isolate.clock.now_ns() >= (START_S + 10) * S_NS);
}

#[test]
fn unavailable_signature_check_rejects_login() {
    let mut isolate = Isolate::new();
    let mut login = login(&signed(&claims(), "k1"));
    let mut step = isolate.step(&mut login, None);
    for _ in 0..2 {
        let Step::Calls(calls) = step else { panic!("{step:?}") };
        let reply = match calls[0].to {
            Address::AccessKeys => isolate.carry(&calls[0]),
            _ => Reply { id: calls[0].id, result: Err(CallFailure::Failed("no".to_owned())) },
        };
        step = isolate.step(&mut login, Some(reply));
    }
    assert_eq!(step, Step::Done(Ok(AssertionResult::Refused)));
}
