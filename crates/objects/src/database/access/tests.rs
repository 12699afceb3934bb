use super::*;
use crate::database::tests::Story;
use tidemark_engine::protocol::database::{PolicySpec, ToDatabase};
use tidemark_engine::protocol::shard::ShardSettings;
use tidemark_model::grant::{Grants, Permission};

fn token(name: &str) -> Grantee {
    let database = Some("d".to_owned());
    let permission = Permission { database, policy: None, read: true, write: true, metrics: false };
    let grants = Grants { admin: false, permissions: vec![permission] };
    let hash = format!("hash of {name}");
    Grantee { id: 1, version: 1, ..Grantee::token(name, hash, grants, [1, i64::MAX]) }
}

/// Returns the Database's reply, and its messages to the shard. `shard` is the shard's reply to
/// each of these messages.
fn ask(story: &mut Story, message: &ToDatabase, shard: &FromShard) -> (FromDatabase, Vec<ToShard>) {
    story.shard_reply = shard.clone();
    let reply = story.ask(message);
    (reply, story.messages.drain(..).map(|(_, message)| message).collect())
}

fn opened() -> Story {
    Story::with(1, 1, 0)
}

fn push(sequence: u64, put: &[Grantee], removed: &[Grantee]) -> ToDatabase {
    ToDatabase::Grants(Box::new(GrantsPush {
        sequence,
        put: put.to_vec(),
        removed: removed.iter().map(Grantee::key).collect(),
        revokes: !removed.is_empty(),
        change: sequence,
        is_full_list: false,
    }))
}

fn identify(story: &mut Story, row: &Grantee) -> (u64, Vec<Grantee>) {
    let message = ToDatabase::Identify { keys: vec![row.key()] };
    match ask(story, &message, &FromShard::Done).0 {
        FromDatabase::Identified { access, found } => (access, found),
        other => panic!("{other:?}"),
    }
}

const DONE: FromShard = FromShard::Done;

#[test]
fn shards_learn_revocation_before_reply() {
    let mut story = opened();
    let (t, u) = (token("t"), Grantee { id: 2, ..token("u") });
    let both = push(1, &[t.clone(), u.clone()], &[]);
    assert_eq!(ask(&mut story, &both, &DONE), (FromDatabase::Done, Vec::new()));
    assert_eq!(identify(&mut story, &t), (0, vec![t.clone()]));
    let ended = push(2, &[], std::slice::from_ref(&t));
    let messages = vec![ToShard::Access { number: 1 }];
    assert_eq!(ask(&mut story, &ended, &DONE), (FromDatabase::Done, messages));
    assert_eq!(identify(&mut story, &t), (1, Vec::new()));
    assert_eq!(identify(&mut story, &u), (1, vec![u.clone()]));
    // After a restart, the object has the same state as before.
    story.restart();
    assert_eq!(identify(&mut story, &u), (1, vec![u]));
}

#[test]
fn older_grants_push_is_late() {
    let mut story = opened();
    let t = token("t");
    ask(&mut story, &push(5, &[], std::slice::from_ref(&t)), &DONE);
    let late = push(4, std::slice::from_ref(&t), &[]);
    assert_eq!(ask(&mut story, &late, &DONE).0, FromDatabase::Late);
    assert_eq!(identify(&mut story, &t), (1, Vec::new()));
    let same = push(5, &[Grantee { id: 2, ..token("u") }], &[]);
    assert_eq!(ask(&mut story, &same, &DONE).0, FromDatabase::Done);
}

#[test]
fn unsent_revocation_is_retried_forever() {
    let mut story = opened();
    let t = token("t");
    ask(&mut story, &push(1, std::slice::from_ref(&t), &[]), &DONE);
    let lost = FromShard::Unavailable(Unavailable::Overloaded);
    let ended = push(2, &[], std::slice::from_ref(&t));
    let (reply, _) = ask(&mut story, &ended, &lost);
    assert_eq!(reply, FromDatabase::Unavailable(Unavailable::Overloaded));
    // The Database itself no longer finds the token.
    assert_eq!(identify(&mut story, &t), (1, Vec::new()));
    let key = story.database.access_job().expect("it is left");
    let mut job = story.database.rows.as_ref().unwrap().jobs.get(&key).unwrap().clone();
    for _ in 0..20 {
        let before_ns = job.due_ns;
        job = job.count_attempt(before_ns);
        assert!(!job.is_skipped() && job.due_ns - before_ns <= 4_000_000_000);
    }
    // A repeated request sends the messages to the shards and ends the job. The next repeated
    // request finds no job.
    let messages = vec![ToShard::Access { number: 1 }];
    assert_eq!(ask(&mut story, &ended, &DONE), (FromDatabase::Done, messages));
    assert_eq!(story.database.access_job(), None);
    assert_eq!(ask(&mut story, &ended, &DONE), (FromDatabase::Done, Vec::new()));
    // Another change raises the access number, even if the Catalog's version stays the same.
    let mut other = GrantsPush { sequence: 2, revokes: true, ..GrantsPush::default() };
    other.removed.push(t.key());
    let messages = vec![ToShard::Access { number: 2 }];
    let other = ToDatabase::Grants(Box::new(other));
    assert_eq!(ask(&mut story, &other, &DONE), (FromDatabase::Done, messages));
}

#[test]
fn new_shard_receives_access_number() {
    let mut story = opened();
    ask(&mut story, &push(1, &[], &[token("t")]), &DONE);
    let spec = PolicySpec { name: Some("p".into()), ..PolicySpec::default() };
    let create = ToDatabase::CreatePolicy { spec, make_default: false };
    let (reply, messages) = ask(&mut story, &create, &DONE);
    assert_eq!(reply, FromDatabase::Done);
    let access = |message: &ToShard| match message {
        ToShard::Open(ShardSettings { access, .. }) => Some(*access),
        _ => None,
    };
    assert_eq!(messages.iter().filter_map(access).collect::<Vec<_>>(), [1]);
}

#[test]
fn full_grants_push_replaces_older_grants() {
    let mut story = opened();
    let (t, u) = (token("t"), Grantee { id: 2, ..token("u") });
    let full_list = |sequence, put: &[Grantee]| {
        let put = put.to_vec();
        ToDatabase::Grants(Box::new(GrantsPush {
            sequence,
            put,
            is_full_list: true,
            ..Default::default()
        }))
    };
    ask(&mut story, &full_list(3, std::slice::from_ref(&t)), &DONE);
    ask(&mut story, &push(3, std::slice::from_ref(&u), &[]), &DONE);
    assert_eq!(
        ask(&mut story, &full_list(3, std::slice::from_ref(&t)), &DONE).0,
        FromDatabase::Done
    );
    assert_eq!(identify(&mut story, &u), (0, vec![u.clone()]), "a repeat forgets nobody");
    assert_eq!(
        ask(&mut story, &full_list(4, std::slice::from_ref(&u)), &DONE).0,
        FromDatabase::Done
    );
    assert_eq!(identify(&mut story, &t), (0, Vec::new()));
    assert_eq!(identify(&mut story, &u), (0, vec![u]));
    assert_eq!(ask(&mut story, &full_list(3, &[t]), &DONE).0, FromDatabase::Late);
}
