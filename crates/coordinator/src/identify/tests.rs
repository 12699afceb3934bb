use super::*;
use crate::Task;
use crate::cache::Cache;
use crate::error::Error;
use crate::task::tests::step_with;
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Platform, Reply, Step};
use tidemark_engine::protocol::database::Description;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{
    FAILURES_MAX, REFUSED_CREDENTIALS_MAX, UNKNOWN_CALLERS_PER_SECOND_MAX,
};

/// An isolate that uses the database `d`. The Catalog and the Database know the token `t` and the
/// user `u` with password `x`.
struct Isolate {
    clock: LocalPlatform,
    cache: Cache,
    catalog: Vec<Grantee>,
    database: Vec<Grantee>,
    reachable: bool,
    /// The numbers of requests to the Catalog and to the Database.
    requested: [u32; 2],
    derivations: u32,
}

fn grantee(id: u64, user: bool, name: &str, hash: String) -> Grantee {
    let (salt, iterations) = if user { ("salt".to_owned(), 9) } else { (String::new(), 0) };
    let database = Some("d".to_owned());
    let permission =
        Permission { database, policy: None, read: true, write: false, metrics: false };
    let grants = Grants { admin: false, permissions: vec![permission] };
    let row = Grantee::token(name, hash, grants, [0, i64::MAX]);
    Grantee { id, version: id, user, salt, iterations, ..row }
}

fn object() -> ObjectId {
    ObjectId("D".to_owned())
}

impl Isolate {
    fn new() -> Self {
        let token = grantee(1, false, "t", token_hash("t"));
        let user = grantee(2, true, "u", hex(b"key of x"));
        let mut cache = Cache::default();
        cache.put_database("d", object(), Description::default());
        Self {
            clock: LocalPlatform::at(1_000 * S_NS),
            cache,
            catalog: vec![token.clone(), user.clone()],
            database: vec![token, user],
            reachable: true,
            requested: [0; 2],
            derivations: 0,
        }
    }

    fn add(&mut self, row: Grantee) {
        self.catalog.push(row);
    }

    fn pass(&mut self, ns: i64) {
        self.clock.pass(ns);
    }

    fn step(
        &mut self,
        identify: &mut Task<Identification>,
        reply: Option<Reply>,
    ) -> Step<Result<Identification, Error>> {
        step_with(identify, &mut self.cache, &self.clock, reply)
    }

    fn carry(&mut self, call: &Call) -> Reply {
        let found = |rows: &[Grantee], keys: &[GranteeKey]| {
            rows.iter().filter(|row| keys.contains(&row.key())).cloned().collect::<Vec<_>>()
        };
        let result = match &call.to {
            Address::KeyDerivation => {
                self.derivations += 1;
                let derivation = Derivation::read(&call.message).unwrap();
                Ok(format!("key of {}", derivation.password).into_bytes())
            }
            Address::Catalog => {
                self.requested[0] += 1;
                let message = envelope::decode::<ToCatalog>(&call.message).unwrap().1;
                let ToCatalog::Identify { keys } = message else { panic!("{message:?}") };
                let users = self.catalog.iter().any(|row| row.user);
                match self.reachable {
                    true => {
                        let found = found(&self.catalog, &keys);
                        Ok(envelope::encode(&FromCatalog::Identified { found, users }))
                    }
                    false => Err(CallFailure::Retryable("lost".to_owned())),
                }
            }
            _ => {
                self.requested[1] += 1;
                let message = envelope::decode::<ToDatabase>(&call.message).unwrap().1;
                let ToDatabase::Identify { keys } = message else { panic!("{message:?}") };
                let found = found(&self.database, &keys);
                Ok(envelope::encode(&FromDatabase::Identified { access: 1, found }))
            }
        };
        Reply { id: call.id, result }
    }

    fn run(&mut self, mut identify: Task<Identification>) -> Result<Identification, Error> {
        let mut reply = None;
        loop {
            match self.step(&mut identify, reply.take()) {
                Step::Done(answer) => return answer,
                Step::Calls(calls) => reply = Some(self.carry(calls.first().unwrap())),
            }
        }
    }

    /// Returns the caller's name; `-` for an unknown caller, `?` for a caller that must wait, `!`
    /// if no source can tell.
    fn who(&mut self, user: Option<&str>, secret: &str) -> String {
        let answer = self.run(login(user, secret));
        word(answer)
    }
}

fn task(credentials: Credentials, source: AuthSource, address: &str) -> Task<Identification> {
    let address = address.to_owned();
    Task::new(|io| async move { identify(&io, credentials, source, &address).await })
}

fn login(user: Option<&str>, secret: &str) -> Task<Identification> {
    let credentials = Credentials::pair(user.map(str::to_owned), secret.to_owned());
    task(credentials, AuthSource::Databases(vec!["d".to_owned()]), "192.0.2.1")
}

fn word(answer: Result<Identification, Error>) -> String {
    match answer {
        Ok(Identification::Known(principal)) => (*principal.name).to_owned(),
        Ok(Identification::Unknown) => "-".to_owned(),
        Ok(Identification::LoginRefused(_)) => "?".to_owned(),
        Err(Error::Unavailable(_)) => "!".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

const T: &str = "token \"t\"";

#[test]
fn request_without_database_uses_cached_identity() {
    let mut isolate = Isolate::new();
    let nowhere = || {
        let credentials = Credentials::pair(None, "t".to_owned());
        task(credentials, AuthSource::Databases(Vec::new()), "")
    };
    let answer = isolate.run(nowhere());
    assert!(matches!(answer, Ok(Identification::Known(principal)) if principal.fresh));
    assert_eq!(isolate.requested, [1, 0]);
    isolate.who(None, "t");
    let answer = isolate.run(nowhere());
    assert!(matches!(answer, Ok(Identification::Known(principal)) if !principal.fresh));
    assert_eq!(isolate.requested, [1, 1]);
}

#[test]
fn unknown_database_needs_catalog_identity() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    let credentials = Credentials::pair(None, "t".to_owned());
    let of = AuthSource::Databases(vec!["d".to_owned(), "elsewhere".to_owned()]);
    let answer = isolate.run(task(credentials, of, ""));
    assert!(matches!(answer, Ok(Identification::Known(principal)) if principal.fresh));
    assert_eq!(isolate.requested, [1, 1]);
}

#[test]
fn catalog_is_asked_before_rejection() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    isolate.add(grantee(3, false, "new", token_hash("new")));
    assert_eq!(isolate.who(None, "new"), "token \"new\"");
    isolate.reachable = false;
    assert_eq!(isolate.who(None, "unknown"), "!");
    let owner = || {
        let credentials = Credentials::pair(None, "t".to_owned());
        task(credentials, AuthSource::Catalog, "")
    };
    assert!(isolate.run(owner()).is_err());
    isolate.reachable = true;
    let answer = isolate.run(owner());
    assert!(matches!(answer, Ok(Identification::Known(principal)) if principal.fresh));
}

#[test]
fn rejected_credentials_are_confirmed_and_limited() {
    let mut isolate = Isolate::new();
    for calls in 1..4 {
        // Only the first request also calls the Database.
        assert_eq!((isolate.who(None, "bad").as_str(), isolate.requested), ("-", [calls, 1]));
    }
    for n in 0..REFUSED_CREDENTIALS_MAX {
        isolate.pass(S_NS / 5);
        isolate.who(None, &n.to_string());
    }
    let callers = &isolate.cache.callers;
    assert!(callers.was_refused(&key("0")) && !callers.was_refused(&key("bad")));
}

fn key(secret: &str) -> Hash {
    hash_of(&["", secret, secret])
}

/// The change may have been made by any isolate.
#[test]
fn refused_credentials_become_valid_with_the_change() {
    let mut isolate = Isolate::new();
    assert_eq!((isolate.who(Some("u"), "new").as_str(), isolate.derivations), ("-", 1));
    assert_eq!((isolate.who(Some("u"), "new").as_str(), isolate.derivations), ("-", 1));
    let mut user = grantee(2, true, "u", hex(b"key of new"));
    (user.version, user.salt) = (3, "other".to_owned());
    isolate.catalog[1] = user;
    assert_eq!((isolate.who(Some("u"), "new").as_str(), isolate.derivations), ("u", 2));
    assert_eq!(isolate.who(Some("v"), "y"), "-");
    isolate.add(grantee(4, true, "v", hex(b"key of y")));
    assert_eq!(isolate.who(Some("v"), "y"), "v");
    assert_eq!(isolate.who(None, "later"), "-");
    isolate.add(grantee(5, false, "later", token_hash("later")));
    assert_eq!(isolate.who(None, "later"), "token \"later\"");
}

#[test]
fn password_is_derived_once_per_name() {
    let mut isolate = Isolate::new();
    assert_eq!((isolate.who(Some("u"), "x").as_str(), isolate.derivations), ("u", 1));
    assert_eq!((isolate.who(Some("u"), "x").as_str(), isolate.derivations), ("u", 1));
    assert_eq!((isolate.who(None, "x").as_str(), isolate.derivations), ("-", 1));
    assert_eq!((isolate.who(Some("u"), "y").as_str(), isolate.derivations), ("-", 2));
    // The refusal of a user who does not exist also derives a key, so it takes as long as the
    // refusal of a wrong password.
    assert_eq!((isolate.who(Some("v"), "x").as_str(), isolate.derivations), ("-", 3));
    assert_eq!((isolate.who(Some("u"), "t").as_str(), isolate.derivations), (T, 3));
    // A new password invalidates the cached old password.
    let mut user = grantee(2, true, "u", hex(b"key of new"));
    (user.version, user.salt) = (3, "other".to_owned());
    isolate.catalog[1] = user;
    assert_eq!(isolate.who(Some("u"), "new"), "u");
    isolate.database[1] = isolate.catalog[1].clone();
    isolate.cache.callers.forget_database(&object());
    let callers = &mut isolate.cache.callers;
    let [name, old] = ["u", "x"];
    let hash = callers.password_hash(&isolate.clock, [name, "other", old]);
    assert!(!callers.is_verified(2, &hash, isolate.clock.now_ns()));
    assert_eq!(isolate.who(Some("u"), "x"), "-");
    assert_eq!(isolate.who(Some("u"), "new"), "u");
}

#[test]
fn password_guesses_delay_only_the_guesser() {
    let mut isolate = Isolate::new();
    assert_eq!(isolate.who(Some("u"), "x"), "u");
    let mut answers = Vec::new();
    for n in 0..60 {
        answers.push(isolate.who(Some("u"), &format!("guess {n}")));
    }
    let tries = FAILURES_MAX as usize;
    assert!(answers[..tries].iter().all(|a| a == "-") && answers[tries..].iter().all(|a| a == "?"));
    assert_eq!(isolate.derivations, 1 + FAILURES_MAX);
    // A caller that must wait causes no call, except if the secret has the form of a token.
    let requested = isolate.requested;
    assert_eq!((isolate.who(Some("u"), "guess"), isolate.requested), ("?".into(), requested));
    isolate.add(grantee(3, false, "new", token_hash("apiv3_new")));
    assert_eq!(isolate.who(Some("u"), "apiv3_new"), "token \"new\"");
    // A user with a recently verified password is admitted, and so is every token.
    isolate.pass(59 * S_NS);
    assert_eq!((isolate.who(Some("u"), "x"), isolate.who(None, "t")), ("u".into(), T.into()));
    assert_eq!(isolate.derivations, 1 + FAILURES_MAX);
    // No key is derived from a password that was refused before, so a repeated password does not
    // count as a try.
    isolate.pass(S_NS);
    for _ in 0..60 {
        assert_eq!(isolate.who(Some("v"), "y"), "-");
    }
    assert_eq!(isolate.derivations, 2 + FAILURES_MAX);
}

#[test]
fn unknown_token_lookups_are_rate_limited() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    isolate.who(Some("u"), "x");
    let answers: Vec<_> = (0..400).map(|n| isolate.who(None, &format!("guess {n}"))).collect();
    let few = UNKNOWN_CALLERS_PER_SECOND_MAX as usize;
    assert!(answers[..few].iter().all(|answer| answer == "-"));
    // The isolate neither admits nor refuses the other callers, because they may include valid
    // callers that are new to the isolate.
    assert!(answers[few..].iter().all(|answer| answer == "!"));
    let requested = [UNKNOWN_CALLERS_PER_SECOND_MAX, 2 + UNKNOWN_CALLERS_PER_SECOND_MAX];
    assert_eq!((isolate.requested, isolate.derivations), (requested, 1));
    assert_eq!((isolate.who(None, "t").as_str(), isolate.who(Some("u"), "x").as_str()), (T, "u"));
    isolate.add(grantee(3, false, "new", token_hash("new")));
    assert_eq!(isolate.who(None, "new"), "!");
    isolate.pass(S_NS);
    assert_eq!(isolate.who(None, "new"), "token \"new\"");
}

#[test]
fn unknown_user_login_takes_equal_time() {
    let mut isolate = Isolate::new();
    for n in 0..10 {
        assert_eq!(isolate.who(Some("v"), &format!("guess {n}")), "-");
    }
    assert_eq!((isolate.requested, isolate.derivations), ([10, 10], 10));
    assert_eq!((isolate.who(Some("v"), "guess 9").as_str(), isolate.derivations), ("-", 10));
    isolate.add(grantee(3, false, "new", token_hash("apiv3_new")));
    assert_eq!(isolate.who(Some("v"), "apiv3_new"), "token \"new\"");
    isolate.who(None, "t");
    assert_eq!(isolate.who(Some("v"), "t"), T);
}

#[test]
fn repeated_refusals_are_rate_limited() {
    let mut isolate = Isolate::new();
    let few = UNKNOWN_CALLERS_PER_SECOND_MAX as usize;
    let answers: Vec<_> = (0..few + 50).map(|_| isolate.who(Some("u"), "bad")).collect();
    assert!(answers[..few].iter().all(|a| a == "-") && answers[few..].iter().all(|a| a == "!"));
    assert_eq!((isolate.derivations, isolate.who(Some("u"), "x").as_str()), (1, "u"));
    isolate.pass(S_NS);
    assert_eq!(isolate.who(Some("u"), "bad"), "-");
}

#[test]
fn logins_from_one_address_serialize() {
    let mut isolate = Isolate::new();
    isolate.who(None, "t");
    let (mut first, mut second) = (login(Some("u"), "y"), login(Some("u"), "x"));
    let requested = |isolate: &mut Isolate, login: &mut Task<Identification>| {
        let Step::Calls(calls) = isolate.step(login, None) else { panic!("it asks") };
        isolate.carry(&calls[0])
    };
    let known = requested(&mut isolate, &mut first);
    let Step::Calls(derivation) = isolate.step(&mut first, Some(known)) else {
        panic!("it derives")
    };
    assert_eq!(derivation[0].to, Address::KeyDerivation);
    let mut reply = Some(requested(&mut isolate, &mut second));
    for _ in 0..3 {
        let Step::Calls(calls) = isolate.step(&mut second, reply) else { panic!("it waits") };
        assert!(matches!(calls[0].to, Address::Timer { .. }));
        reply = Some(Reply { id: calls[0].id, result: Ok(Vec::new()) });
    }
    assert_eq!(isolate.who(None, "t"), T);
    let done = isolate.carry(&derivation[0]);
    // The first login continues with the Catalog. The second login may derive its key.
    assert!(matches!(isolate.step(&mut first, Some(done)), Step::Calls(_)));
    let Step::Calls(calls) = isolate.step(&mut second, reply) else { panic!("it derives") };
    let done = isolate.carry(&calls[0]);
    let Step::Done(answer) = isolate.step(&mut second, Some(done)) else { panic!("it ends") };
    assert_eq!(word(answer), "u");
}
