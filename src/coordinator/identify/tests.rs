use std::cell::Cell;

use super::*;
use crate::coordinator::Machine;
use crate::coordinator::cache::Cache;
use crate::coordinator::error::Error;
use crate::model::grant::{Grants, Permission};
use crate::model::ids::ObjectId;
use crate::model::limits::{
    FAILURES_MAX, GRANTS_FRESH_NS, GRANTS_USABLE_NS, STRANGERS_ASKED_FOR_MAX,
};
use crate::protocol::call::{Call, CallFailure, ObjectKind, PlacementError, Platform, Reply, Step};
use crate::protocol::grants::{GrantChanges, Grantee};

struct Clock(Cell<i64>);

impl Platform for Clock {
    fn now_ns(&self) -> i64 {
        self.0.get()
    }

    fn random_u64(&self) -> u64 {
        7
    }

    fn new_object_id(
        &self,
        _: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        Err(PlacementError::Jurisdiction(jurisdiction.unwrap_or_default().to_owned()))
    }
}

/// One isolate, whose Catalog knows the token `t` and the user `u` with password `x`.
struct Isolate {
    clock: Clock,
    cache: Cache,
    changes: GrantChanges,
    /// The Catalog answers.
    reachable: bool,
    /// What a question takes, nanoseconds.
    delay_ns: i64,
    questions: u32,
    derivations: u32,
}

fn grantee(id: u64, user: bool, name: &str, hash: String) -> Grantee {
    let (salt, iterations) = if user { ("salt".to_owned(), 9) } else { (String::new(), 0) };
    let database = Some("d".to_owned());
    let permission = Permission { database, policy: None, read: true, write: false };
    let grants = Grants { admin: false, permissions: vec![permission] };
    let (name, version, created_ns, expires_ns) = (name.to_owned(), id, 0, i64::MAX);
    Grantee { id, version, user, name, hash, salt, iterations, grants, created_ns, expires_ns }
}

impl Isolate {
    fn new() -> Self {
        let token = grantee(1, false, "t", token_hash("t"));
        let user = grantee(2, true, "u", hex(b"key of x"));
        Self {
            clock: Clock(Cell::new(1_000 * S_NS)),
            cache: Cache::default(),
            changes: GrantChanges { version: 2, live: vec![1, 2], changed: vec![token, user] },
            reachable: true,
            delay_ns: 0,
            questions: 0,
            derivations: 0,
        }
    }

    fn pass(&mut self, ns: i64) {
        self.clock.0.set(self.clock.0.get() + ns);
    }

    fn step(
        &mut self,
        identify: &mut Identify,
        reply: Option<Reply>,
    ) -> Step<Result<Verdict, Error>> {
        let context = &mut Context { cache: &mut self.cache, platform: &self.clock };
        identify.step(context, reply)
    }

    fn carry(&mut self, call: &Call) -> Reply {
        let result = if call.to == Address::KeyDerivation {
            self.derivations += 1;
            let derivation = Derivation::read(&call.message).unwrap();
            Ok(format!("key of {}", derivation.password).into_bytes())
        } else {
            self.questions += 1;
            self.pass(self.delay_ns);
            let changes = Box::new(self.changes.clone());
            match self.reachable {
                true => Ok(envelope::encode(&FromCatalog::Grants(changes))),
                false => Err(CallFailure::Retryable("lost".to_owned())),
            }
        };
        Reply { id: call.id, result }
    }

    fn run(&mut self, mut identify: Identify) -> Result<Verdict, Error> {
        let mut reply = None;
        loop {
            match self.step(&mut identify, reply.take()) {
                Step::Done(answer) => return answer,
                Step::Calls(calls) => reply = Some(self.carry(calls.first().unwrap())),
            }
        }
    }

    /// Who holds these credentials: a name, `-` for nobody, `?` for who has to wait, `!` where that
    /// cannot be said.
    fn who(&mut self, user: Option<&str>, secret: &str) -> String {
        let answer = self.run(identify(user, secret));
        word(answer)
    }
}

fn identify(user: Option<&str>, secret: &str) -> Identify {
    let credentials = Credentials::pair(user.map(str::to_owned), secret.to_owned());
    Identify::new(credentials, false, "192.0.2.1")
}

fn word(answer: Result<Verdict, Error>) -> String {
    match answer {
        Ok(Verdict::Known(principal)) => (*principal.name).to_owned(),
        Ok(Verdict::Unknown) => "-".to_owned(),
        Ok(Verdict::Closed(_)) => "?".to_owned(),
        Err(Error::Unavailable(_)) => "!".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

const T: &str = "token \"t\"";

#[test]
fn a_copy_is_believed_for_seven_seconds_and_never_past_ten() {
    let mut isolate = Isolate::new();
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 1));
    isolate.pass(GRANTS_FRESH_NS);
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 1));
    isolate.pass(1);
    isolate.reachable = false;
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 2));
    isolate.pass(GRANTS_USABLE_NS - GRANTS_FRESH_NS - 1);
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 3));
    isolate.pass(1);
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), ("!", 4));
    isolate.reachable = true;
    assert_eq!(isolate.who(None, "t"), T);
}

#[test]
fn an_answer_that_comes_too_late_is_not_believed() {
    let mut isolate = Isolate::new();
    isolate.delay_ns = GRANTS_USABLE_NS + 1;
    assert_eq!(isolate.who(None, "t"), "!");
    isolate.delay_ns = GRANTS_USABLE_NS;
    assert_eq!(isolate.who(None, "t"), T);
}

#[test]
fn while_one_request_refreshes_the_others_go_on() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    isolate.pass(GRANTS_FRESH_NS + 1);
    let credentials = Credentials::pair(None, "t".to_owned());
    let mut first = Identify::new(credentials, false, "");
    let Step::Calls(calls) = isolate.step(&mut first, None) else { panic!("it asks") };
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 1));
    // Nothing was heard of the first one: somebody else asks.
    isolate.pass(S_NS);
    assert_eq!((isolate.who(None, "t").as_str(), isolate.questions), (T, 2));
    // Its late answer changes nothing.
    let reply = isolate.carry(&calls[0]);
    assert!(matches!(isolate.step(&mut first, Some(reply)), Step::Done(Ok(Verdict::Known(_)))));
}

#[test]
fn nobody_is_refused_before_the_catalog_was_asked() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    let new = grantee(3, false, "new", token_hash("new"));
    isolate.changes = GrantChanges { version: 3, live: vec![1, 2, 3], changed: vec![new] };
    assert_eq!(isolate.who(None, "new"), "token \"new\"");
    isolate.reachable = false;
    assert_eq!(isolate.who(None, "unknown"), "!");
    // Neither is a right that is missing.
    let credentials = Credentials::pair(None, "t".to_owned());
    assert!(isolate.run(Identify::new(credentials.clone(), true, "")).is_err());
    isolate.reachable = true;
    let answer = isolate.run(Identify::new(credentials, true, ""));
    assert!(matches!(answer, Ok(Verdict::Known(principal)) if principal.fresh));
}

#[test]
fn unknown_credentials_are_remembered_for_a_while_and_bounded() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    for _ in 0..3 {
        assert_eq!((isolate.who(None, "bad").as_str(), isolate.questions), ("-", 2));
    }
    isolate.pass(GRANTS_FRESH_NS + 1);
    assert_eq!(isolate.who(None, "bad"), "-");
    // Asked because of its age, which is as good as before a refusal.
    assert_eq!(isolate.questions, 3);
    for n in 0..1_000 {
        isolate.who(None, &n.to_string());
    }
    assert!(isolate.cache.grants.is_refused(&key("999"), isolate.clock.now_ns()));
    assert!(!isolate.cache.grants.is_refused(&key("0"), isolate.clock.now_ns()));
}

fn key(secret: &str) -> Hash {
    hash_of(&["", secret, secret])
}

#[test]
fn a_revoked_and_an_expired_token_are_unknown() {
    let mut isolate = Isolate::new();
    isolate.changes.changed[0].expires_ns = isolate.clock.now_ns() + 2 * S_NS;
    assert_eq!(isolate.who(None, "t"), T);
    isolate.pass(2 * S_NS);
    assert_eq!(isolate.who(None, "t"), "-");
    isolate.changes = GrantChanges { version: 3, live: vec![2], changed: Vec::new() };
    isolate.pass(GRANTS_FRESH_NS + 1);
    assert_eq!(isolate.who(None, "t"), "-");
}

#[test]
fn a_password_opens_only_with_its_name_and_is_derived_once() {
    let mut isolate = Isolate::new();
    assert_eq!((isolate.who(Some("u"), "x").as_str(), isolate.derivations), ("u", 1));
    assert_eq!((isolate.who(Some("u"), "x").as_str(), isolate.derivations), ("u", 1));
    assert_eq!((isolate.who(None, "x").as_str(), isolate.derivations), ("-", 1));
    assert_eq!((isolate.who(Some("u"), "y").as_str(), isolate.derivations), ("-", 2));
    // Somebody who does not exist takes as long.
    assert_eq!((isolate.who(Some("v"), "x").as_str(), isolate.derivations), ("-", 3));
    // A token goes with any name.
    assert_eq!((isolate.who(Some("u"), "t").as_str(), isolate.derivations), (T, 3));
    // A new password ends what is remembered of the old one.
    let mut user = grantee(2, true, "u", hex(b"key of new"));
    (user.version, user.salt) = (3, "other".to_owned());
    isolate.changes = GrantChanges { version: 3, live: vec![1, 2], changed: vec![user] };
    isolate.pass(GRANTS_FRESH_NS + 1);
    assert_eq!(isolate.who(Some("u"), "x"), "-");
    assert_eq!(isolate.who(Some("u"), "new"), "u");
}

#[test]
fn guessed_passwords_wait_and_nobody_else_does() {
    let mut isolate = Isolate::new();
    assert_eq!(isolate.who(Some("u"), "x"), "u");
    let mut answers = Vec::new();
    for n in 0..60 {
        answers.push(isolate.who(Some("u"), &format!("guess {n}")));
    }
    let tries = FAILURES_MAX as usize;
    assert!(answers[..tries].iter().all(|a| a == "-") && answers[tries..].iter().all(|a| a == "?"));
    assert_eq!(isolate.derivations, 1 + FAILURES_MAX);
    // Whose password was verified a while ago is let in, and so is every token.
    isolate.pass(59 * S_NS);
    assert_eq!((isolate.who(Some("u"), "x"), isolate.who(None, "t")), ("u".into(), T.into()));
    assert_eq!(isolate.derivations, 1 + FAILURES_MAX);
    // What was refused is not derived again, so it is no try.
    isolate.pass(S_NS);
    for _ in 0..60 {
        assert_eq!(isolate.who(Some("v"), "y"), "-");
    }
    assert_eq!(isolate.derivations, 2 + FAILURES_MAX);
}

#[test]
fn unknown_tokens_are_no_tries_and_ask_the_catalog_a_few_times_a_second() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    for n in 0..200 {
        assert_eq!(isolate.who(None, &format!("guess {n}")), "-");
    }
    assert_eq!((isolate.questions, isolate.derivations), (1 + STRANGERS_ASKED_FOR_MAX, 0));
    assert_eq!((isolate.who(None, "t").as_str(), isolate.who(Some("u"), "x").as_str()), (T, "u"));
    // A new token is let in a second later at most.
    let new = grantee(3, false, "new", token_hash("new"));
    isolate.changes = GrantChanges { version: 3, live: vec![1, 2, 3], changed: vec![new] };
    assert_eq!(isolate.who(None, "other"), "-");
    isolate.pass(S_NS);
    assert_eq!(isolate.who(None, "new"), "token \"new\"");
}

#[test]
fn logins_of_an_address_take_turns() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    let (mut first, mut second) = (identify(Some("u"), "y"), identify(Some("u"), "x"));
    let Step::Calls(derivation) = isolate.step(&mut first, None) else { panic!("it derives") };
    assert_eq!(derivation[0].to, Address::KeyDerivation);
    let mut reply = None;
    for _ in 0..3 {
        let Step::Calls(calls) = isolate.step(&mut second, reply) else { panic!("it waits") };
        assert_eq!(calls[0].to, Address::Pause);
        reply = Some(Reply { id: calls[0].id, result: Ok(Vec::new()) });
    }
    // A token does not wait.
    assert_eq!(isolate.who(None, "t"), T);
    let done = isolate.carry(&derivation[0]);
    // It goes on to ask the Catalog; the other one's turn has come.
    assert!(matches!(isolate.step(&mut first, Some(done)), Step::Calls(_)));
    let Step::Calls(calls) = isolate.step(&mut second, reply) else { panic!("it derives") };
    let done = isolate.carry(&calls[0]);
    let Step::Done(answer) = isolate.step(&mut second, Some(done)) else { panic!("it ends") };
    assert_eq!(word(answer), "u");
}
