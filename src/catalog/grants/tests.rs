use super::*;
use crate::model::grant::{Grants, Permission};
use crate::store::memory::MemoryStore;

fn token(name: &str) -> Grantee {
    Grantee {
        id: 0,
        version: 0,
        user: false,
        name: name.to_owned(),
        hash: format!("hash of {name}"),
        salt: String::new(),
        iterations: 0,
        grants: Grants::default(),
        created_ns: 1,
        expires_ns: i64::MAX,
    }
}

fn user(name: &str, databases: &[&str]) -> Grantee {
    let permission = |database: &&str| Permission {
        database: Some((*database).to_owned()),
        policy: None,
        read: true,
        write: false,
    };
    let permissions = databases.iter().map(permission).collect();
    Grantee { user: true, grants: Grants { admin: false, permissions }, ..token(name) }
}

#[test]
fn changes_are_followed_by_version() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::load(&store).unwrap();
    assert_eq!(grantees.put(&store, token("a")).unwrap(), FromCatalog::Granted { id: 1 });
    assert_eq!(grantees.put(&store, user("a", &[])).unwrap(), FromCatalog::Granted { id: 2 });
    let a = Grantee { id: 1, version: 1, ..token("a") };
    let b = Grantee { id: 2, version: 2, ..user("a", &[]) };
    let both = vec![a.clone(), b.clone()];
    let expected = GrantChanges { version: 2, live: vec![1, 2], changed: both };
    assert_eq!(grantees.changes(0), expected);
    let expected = GrantChanges { version: 2, live: vec![1, 2], changed: Vec::new() };
    assert_eq!(grantees.changes(2), expected);

    assert!(grantees.remove(&store, false, "a").unwrap());
    assert!(!grantees.remove(&store, false, "a").unwrap(), "a repeat");
    let expected = GrantChanges { version: 3, live: vec![2], changed: Vec::new() };
    assert_eq!(grantees.changes(2), expected);
    // What is stored is the same, and a number is never handed out twice.
    let mut loaded = Grantees::load(&store).unwrap();
    assert_eq!(loaded.changes(0), GrantChanges { changed: vec![b], ..expected });
    assert_eq!(loaded.put(&store, token("a")).unwrap(), FromCatalog::Granted { id: 3 });
}

#[test]
fn a_change_replaces_only_what_its_author_saw() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    grantees.put(&store, user("u", &[])).unwrap();
    let changing = FromCatalog::Unavailable(Unavailable::Changing);
    assert_eq!(grantees.put(&store, user("u", &["d"])).unwrap(), changing, "it exists");
    let seen = Grantee { version: 1, ..user("u", &["d"]) };
    let granted = FromCatalog::Granted { id: 1 };
    assert_eq!(grantees.put(&store, seen.clone()).unwrap(), granted);
    assert_eq!(grantees.put(&store, seen).unwrap(), granted, "a repeat");
    let late = Grantee { version: 1, ..user("u", &["e"]) };
    assert_eq!(grantees.put(&store, late).unwrap(), changing, "changed meanwhile");
    assert_eq!(grantees.changes(0).version, 2);
}

#[test]
fn a_dropped_database_takes_what_users_were_granted_with_it() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    let named = Grantee { user: false, ..user("t", &["d"]) };
    for grantee in [user("u", &["d", "e"]), user("v", &["e"]), named.clone()] {
        grantees.put(&store, grantee).unwrap();
    }
    grantees.revoke_users(&store, "d").unwrap();
    let changes = grantees.changes(3);
    assert_eq!(changes.changed, [Grantee { id: 1, version: 4, ..user("u", &["e"]) }]);
    assert!(Grantees::load(&store).unwrap().rows.contains(&Grantee { id: 3, version: 3, ..named }));
}

#[test]
fn the_limits_are_named() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    let long = Grantee { name: "n".repeat(GRANTEES_BYTES_MAX), ..token("") };
    let FromCatalog::Refused(CatalogRefusal::TooManyGrantees { unit, limit, .. }) =
        grantees.put(&store, long).unwrap()
    else {
        panic!("a token of a megabyte");
    };
    assert_eq!((unit.as_str(), limit), ("bytes", GRANTEES_BYTES_MAX as u64));
    grantees.rows = (1..=GRANTEES_MAX as u64).map(|id| Grantee { id, ..token("x") }).collect();
    let refusal = CatalogRefusal::TooManyGrantees {
        limit: GRANTEES_MAX as u64,
        requested: GRANTEES_MAX as u64 + 1,
        unit: "entries".to_owned(),
    };
    assert_eq!(grantees.put(&store, token("y")).unwrap(), FromCatalog::Refused(refusal));
    assert_eq!(store.row_counts().written, 0);
}

#[test]
fn a_store_error_changes_nothing() {
    let mut grantees = Grantees::default();
    let closed = MemoryStore::new();
    grantees.rows.push(Grantee { id: 1, version: 1, ..token("a") });
    let before = grantees.changes(0);
    // Its tables were never made, so every write fails.
    assert!(grantees.remove(&closed, false, "a").is_err());
    assert_eq!(grantees.changes(0), before);
}
