use super::*;
use tidemark_engine::store::StoreError;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::grant::{Grants, Permission};

fn token(name: &str, databases: &[&str]) -> Grantee {
    let permission = |database: &&str| Permission {
        database: (*database != "*").then(|| (*database).to_owned()),
        policy: None,
        read: true,
        write: false,
        metrics: false,
    };
    let grants = Grants { admin: false, permissions: databases.iter().map(permission).collect() };
    Grantee::token(name, format!("hash of {name}"), grants, [1, i64::MAX])
}

fn user(name: &str, databases: &[&str]) -> Grantee {
    Grantee { user: true, ..token(name, databases) }
}

fn put(
    grantees: &mut Grantees,
    store: &MemoryStore,
    grantee: Grantee,
) -> Result<u64, Option<CatalogRefusal>> {
    match grantees.put(store, grantee).unwrap() {
        Put::Same(id) => Ok(id),
        Put::Outdated => Err(None),
        Put::Refused(refusal) => Err(Some(refusal)),
        Put::Change(change) => {
            let id = change.new.as_ref().map(|new| new.id);
            grantees.apply(store, *change, || Ok(())).unwrap();
            Ok(id.unwrap())
        }
    }
}

fn remove(grantees: &mut Grantees, store: &MemoryStore, user: bool, name: &str) -> bool {
    let change = grantees.remove(store, user, name).unwrap();
    change.map(|change| grantees.apply(store, change, || Ok(())).unwrap()).is_some()
}

fn names(rows: &[Grantee]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn grantee_lookup_by_name_or_key() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::load(&store).unwrap();
    assert_eq!(put(&mut grantees, &store, token("a", &["d"])), Ok(1));
    assert_eq!(put(&mut grantees, &store, user("a", &[])), Ok(2));
    for grantees in [grantees.clone(), Grantees::load(&store).unwrap()] {
        let (t, u) = (token("a", &["d"]), user("a", &[]));
        let [t, u] = [(t, 1), (u, 2)].map(|(row, id)| Grantee { id, version: id, ..row });
        assert_eq!(grantees.named(&store, false, "a").unwrap().as_ref(), Some(&t));
        assert_eq!(grantees.named(&store, true, "a").unwrap().as_ref(), Some(&u));
        assert_eq!(grantees.by_key(&store, &t.key()).unwrap().as_ref(), Some(&t));
        assert_eq!(grantees.by_key(&store, &u.key()).unwrap().as_ref(), Some(&u));
        assert_eq!(grantees.named(&store, true, "b").unwrap(), None);
        assert_eq!((grantees.version(), !grantees.users.is_empty()), (2, true));
    }
    assert!(remove(&mut grantees, &store, false, "a"));
    assert!(!remove(&mut grantees, &store, false, "a"), "a repeat");
    assert_eq!(grantees.by_key(&store, &token("a", &[]).key()).unwrap(), None);
    // An id is never reused.
    let mut loaded = Grantees::load(&store).unwrap();
    assert_eq!((loaded.version(), put(&mut loaded, &store, token("a", &[]))), (3, Ok(3)));
}

#[test]
fn grantee_lists_are_paged_and_filtered() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    for n in 0..600 {
        let name = format!("{n}");
        let of = ["d", "e", "*"][n % 3];
        let row = if n % 2 == 0 { token(&name, &[of]) } else { user(&name, &[of]) };
        put(&mut grantees, &store, row).unwrap();
    }
    for grantees in [grantees.clone(), Grantees::load(&store).unwrap()] {
        let (first, more) = grantees.page(&store, false, 0, 200).unwrap();
        assert_eq!((first.len(), more, first[199].name.as_str()), (200, true, "398"));
        let (rest, more) = grantees.page(&store, false, first[199].id, 200).unwrap();
        assert_eq!((rest.len(), more, rest[99].name.as_str()), (100, false, "598"));
        let of_d = grantees.concerning(&store, "d", 0).unwrap();
        assert_eq!((of_d.len(), names(&of_d[..3])), (400, vec!["0", "2", "3"]));
        let after = grantees.concerning(&store, "d", of_d[397].id).unwrap();
        assert_eq!(names(&after), ["597", "599"]);
        assert_eq!(grantees.concerning(&store, "f", 0).unwrap().len(), 200);
    }
}

#[test]
fn list_of_users_reads_no_tokens() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    for n in 0..600 {
        let name = format!("{n}");
        let row = if n % 200 == 0 { user(&name, &["d"]) } else { token(&name, &["d"]) };
        put(&mut grantees, &store, row).unwrap();
    }
    let before = store.row_counts();
    let (first, more) = grantees.page(&store, true, 0, 2).unwrap();
    assert_eq!((names(&first), more), (vec!["0", "200"], true));
    let (rest, more) = grantees.page(&store, true, first[1].id, 2).unwrap();
    assert_eq!((names(&rest), more), (vec!["400"], false));
    assert!(store.row_counts().since(before).read <= 6);
}

#[test]
fn hundred_thousand_tokens_stay_usable() {
    let store = MemoryStore::new();
    store.open().unwrap();
    for id in 1..=GRANTEES_MAX as u64 {
        let database = format!("db{}", id % 10_000);
        let row = Grantee { id, version: id, ..token(&format!("t{id}"), &[&database]) };
        store.put(Table::Schema, id, &row::encode(&row).unwrap(), &[]).unwrap();
    }
    let grantees = Grantees::load(&store).unwrap();
    let last = grantees.named(&store, false, "t100000").unwrap().unwrap();
    assert_eq!(grantees.by_key(&store, &last.key()).unwrap(), Some(last));
    let of_7 = grantees.concerning(&store, "db7", 0).unwrap();
    assert_eq!(names(&of_7)[..3], ["t7", "t10007", "t20007"]);
    assert_eq!(of_7.len(), 10);
    let (page, more) = grantees.page(&store, false, 99_000, 600).unwrap();
    assert_eq!((page.len(), more, page[599].id), (600, true, 99_600));
    let over = put(&mut grantees.clone(), &store, token("more", &[]));
    assert!(matches!(over, Err(Some(CatalogRefusal::TooManyGrantees { .. }))));
}

#[test]
fn stale_grantee_change_is_rejected() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    put(&mut grantees, &store, user("u", &[])).unwrap();
    assert_eq!(put(&mut grantees, &store, user("u", &["d"])), Err(None), "it exists");
    let seen = Grantee { version: 1, ..user("u", &["d"]) };
    assert_eq!(put(&mut grantees, &store, seen.clone()), Ok(1));
    assert_eq!(put(&mut grantees, &store, seen), Ok(1), "a repeat");
    let late = Grantee { version: 1, ..user("u", &["e"]) };
    assert_eq!(put(&mut grantees, &store, late), Err(None), "changed meanwhile");
    assert_eq!(grantees.version(), 2);
}

#[test]
fn dropped_database_revokes_user_grants() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    for grantee in [user("u", &["d", "e"]), user("v", &["e"]), token("t", &["d"])] {
        put(&mut grantees, &store, grantee).unwrap();
    }
    assert_eq!(grantees.revoke_users(&store, "d"), Ok(false));
    for grantees in [grantees.clone(), Grantees::load(&store).unwrap()] {
        let u = grantees.named(&store, true, "u").unwrap();
        assert_eq!(u, Some(Grantee { id: 1, version: 4, ..user("u", &["e"]) }));
        assert_eq!(names(&grantees.concerning(&store, "d", 0).unwrap()), ["t"]);
    }
}

#[test]
fn grantee_limit_errors_name_limits() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    let long = token(&"n".repeat(GRANTEE_BYTES_MAX), &[]);
    let refused = put(&mut grantees, &store, long);
    assert!(
        matches!(&refused, Err(Some(CatalogRefusal::TooManyGrantees { unit, limit, .. }))
            if unit == "bytes" && *limit == GRANTEE_BYTES_MAX as u64),
        "{refused:?}"
    );
    grantees.count = GRANTEES_MAX;
    let refusal = CatalogRefusal::TooManyGrantees {
        limit: GRANTEES_MAX as u64,
        requested: GRANTEES_MAX as u64 + 1,
        unit: "entries".to_owned(),
    };
    assert_eq!(put(&mut grantees, &store, token("y", &[])), Err(Some(refusal)));
    assert_eq!(store.row_counts().written, 0);
}

#[test]
fn failed_store_leaves_grantees_unchanged() {
    let store = MemoryStore::new();
    let mut grantees = Grantees::default();
    put(&mut grantees, &store, token("a", &["d"])).unwrap();
    let change = grantees.remove(&store, false, "a").unwrap().unwrap();
    let failed = grantees.apply(&store, change, || Err(StoreError::Full));
    assert_eq!(failed, Err(StoreError::Full));
    for grantees in [grantees.clone(), Grantees::load(&store).unwrap()] {
        assert_eq!(names(&grantees.concerning(&store, "d", 0).unwrap()), ["a"]);
        assert_eq!(grantees.version(), 1);
    }
}
