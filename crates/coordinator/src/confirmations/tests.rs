use super::*;
use crate::grants::Callers;
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CONFIRM_RETRY_NS, CONFIRMED_NS};

fn token(version: u64, databases: &[&str]) -> Grantee {
    let permission = |database: &&str| {
        let database = Some((*database).to_owned());
        Permission { database, policy: None, read: true, write: true, metrics: false }
    };
    let permissions = databases.iter().map(permission).collect();
    let grants = Grants { admin: false, permissions };
    let row = Grantee::token("t", "hash".to_owned(), grants, [0, 1_000]);
    Grantee { id: 1, version, ..row }
}

fn caller(row: &Grantee) -> Identity {
    let (key, id, hash, version) = (row.key(), row.id, row.hash.clone(), row.version);
    Identity { key, id, hash, version }
}

/// Callers for which the database `a` has reported `row`.
fn callers_with(row: &Grantee) -> Callers {
    let mut callers = Callers::default();
    callers.on_reply(&ObjectId("a".to_owned()), ConfirmedGrantee::new(row.on("a"), 1));
    callers
}

#[test]
fn confirmation_retries_after_minute() {
    let row = token(1, &["a"]);
    let mut callers = callers_with(&row);
    let begin = |callers: &mut Callers, now_ns| callers.confirmed.begin(&row.key(), now_ns);
    assert!(begin(&mut callers, 5) && !begin(&mut callers, 5));
    let retry_ns = 5 + CONFIRM_RETRY_NS;
    assert!(!begin(&mut callers, retry_ns - 1) && begin(&mut callers, retry_ns));
    callers.confirm(&caller(&row), Some(&row), retry_ns);
    let next_ns = retry_ns + CONFIRMED_NS;
    assert!(!begin(&mut callers, next_ns - 1) && begin(&mut callers, next_ns));
}

#[test]
fn catalog_overrides_wider_database_grants() {
    let (a, key) = (ObjectId("a".to_owned()), token(3, &[]).key());
    let row = token(3, &["a", "b"]);
    let mut callers = callers_with(&row);
    // The Catalog reports the grants of the database's row, or more.
    for newer in [token(3, &["a", "b"]), token(4, &["a", "b", "c"])] {
        callers.confirm(&caller(&row), Some(&newer), 0);
        assert!(callers.reply_of(&key, &a).is_some(), "{newer:?}");
    }
    for (newer, believed_from) in [
        (Some(token(7, &["b"])), 7),
        (Some(Grantee { expires_ns: 999, ..token(8, &["a"]) }), 8),
        (Some(Grantee { id: 2, ..token(9, &["a"]) }), 9),
        (None, 4),
    ] {
        let mut callers = callers_with(&row);
        callers.confirm(&caller(&row), newer.as_ref(), 0);
        assert!(
            callers.reply_of(&key, &a).is_none()
                && callers.replies_of_all_databases(&key).is_empty()
        );
        for version in [3, believed_from - 1] {
            assert!(!callers.confirmed.is_trusted(&token(version, &["a"])), "{newer:?}");
        }
        // The database's row counts again after the database was notified.
        callers.on_reply(&a, ConfirmedGrantee::new(token(believed_from, &["a"]), 2));
        assert!(callers.reply_of(&key, &a).is_some(), "{newer:?}");
    }
}

#[test]
fn full_table_forgets_oldest_confirmation_and_keeps_revocations() {
    let mut confirmed = Confirmations::default();
    let key = |n: usize| GranteeKey { user: false, text: format!("{n:06}") };
    let revoked = token(3, &["a"]);
    confirmed.begin(&revoked.key(), 0);
    confirmed.on_reply(&caller(&revoked), &[], None, 0);
    for n in 0..CALLERS_REMEMBERED_MAX - 1 {
        assert!(confirmed.begin(&key(n), n as i64));
    }
    let now_ns = CALLERS_REMEMBERED_MAX as i64;
    for n in 0..10 {
        assert!(confirmed.begin(&key(CALLERS_REMEMBERED_MAX + n), now_ns));
        assert_eq!(confirmed.rows.len(), CALLERS_REMEMBERED_MAX);
        assert!(!confirmed.rows.contains_key(&key(n)) && confirmed.rows.contains_key(&key(n + 1)));
    }
    assert!(!confirmed.is_trusted(&revoked));
    // The table removed this caller's row before the reply arrived. The reply adds a new row.
    confirmed.on_reply(&Identity { key: key(0), ..caller(&revoked) }, &[], Some(&revoked), now_ns);
    assert_eq!(confirmed.rows.len(), CALLERS_REMEMBERED_MAX);
    assert!(confirmed.rows.contains_key(&key(0)) && !confirmed.is_trusted(&revoked));
    // A caller that already has a row can begin without the removal of any row.
    assert!(confirmed.begin(&revoked.key(), CONFIRMED_NS) && !confirmed.is_trusted(&revoked));
}
