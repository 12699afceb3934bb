use super::*;
use tidemark_engine::protocol::call::PlacementError;
use tidemark_engine::protocol::database::FromDatabase;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::JOB_FAILURES_MAX;
use tidemark_model::name::InvalidName;

fn create(name: &str) -> CreateDatabase {
    CreateDatabase { name: name.to_owned(), shards: 1, ..CreateDatabase::default() }
}

fn begin(catalog: &mut Catalog<MemoryStore>, message: &ToCatalog) -> (EventId, Step<Vec<u8>>) {
    catalog.begin(&LocalPlatform::default(), &envelope::encode(message))
}

fn alarm_at(catalog: &mut Catalog<MemoryStore>, now_ns: i64) -> (EventId, Step<Vec<u8>>) {
    catalog.alarm(&LocalPlatform::at(now_ns))
}

fn ask(catalog: &mut Catalog<MemoryStore>, message: &ToCatalog) -> FromCatalog {
    let event = begin(catalog, message);
    drive(catalog, event, |_| FromDatabase::Done).0
}

#[test]
fn policy_id_filters_database_list() {
    let mut catalog = Catalog::new(MemoryStore::new());
    for name in ["other", "mine"] {
        ask(&mut catalog, &ToCatalog::Create(create(name)));
    }
    let store = catalog.store.clone();
    let mut entries = Entries::load(&store).unwrap();
    let objects = ["other", "mine"].map(|name| ObjectId(format!("object of {name}")));
    for ((number, name), object) in (0..).zip(["other", "mine"]).zip(&objects) {
        entries.remove(&store, number).unwrap();
        let mut entry = Entry::creating(create(name), object.clone(), 0);
        entry.stage = EntryStage::Ready;
        entries.insert(&store, entry).unwrap();
    }
    let mut catalog = Catalog::new(store);
    let mut listed =
        |policy| match ask(&mut catalog, &ToCatalog::List { after: None, holding: Some(policy) }) {
            FromCatalog::Listed { names, resume: None, .. } => names,
            other => panic!("{other:?}"),
        };
    assert_eq!(listed(PolicyId::draw(&objects[1], 9)), ["mine"]);
    let nobody = ObjectId("nobody".to_owned());
    assert_eq!(listed(PolicyId::draw(&nobody, 9)), Vec::<String>::new());
}

#[test]
fn failed_database_creation_leaves_nothing() {
    let mut catalog = Catalog::new(MemoryStore::new());
    let eu = CreateDatabase { jurisdiction: Some("eu".to_owned()), ..create("db") };
    let refusal = CatalogRefusal::Placement(PlacementError::Jurisdiction("eu".to_owned()));
    assert_eq!(ask(&mut catalog, &ToCatalog::Create(eu)), FromCatalog::Refused(refusal));
    let invalid = FromCatalog::Refused(CatalogRefusal::InvalidName(InvalidName::Characters));
    assert_eq!(ask(&mut catalog, &ToCatalog::Create(create("a/b"))), invalid);
    assert_eq!(catalog.store.is_open(), Ok(false));
    let nothing = FromCatalog::Resolved { object: None };
    assert_eq!(ask(&mut catalog, &ToCatalog::Resolve { name: "db".to_owned() }), nothing);
    assert_eq!(
        ask(&mut catalog, &ToCatalog::Drop { name: "db".to_owned() }),
        FromCatalog::Dropped { existed: false, remaining: 0 }
    );
}

fn token(name: &str, database: Option<&str>) -> ToCatalog {
    let database = database.map(str::to_owned);
    let permission = Permission { database, policy: None, read: true, write: true, metrics: false };
    let grants = Grants { admin: false, permissions: vec![permission] };
    let hash = format!("hash of {name}");
    ToCatalog::PutGrantee(Box::new(Grantee::token(name, hash, grants, [0, i64::MAX])))
}

fn drive(
    catalog: &mut Catalog<MemoryStore>,
    (event_id, mut step): (EventId, Step<Vec<u8>>),
    mut database: impl FnMut(&ToDatabase) -> FromDatabase,
) -> (FromCatalog, Vec<usize>) {
    let mut rounds = Vec::new();
    loop {
        match step {
            Step::Done(reply) => return (envelope::decode(&reply).unwrap().1, rounds),
            Step::Calls(calls) => {
                rounds.push(calls.len());
                step = Step::Calls(Vec::new());
                for call in calls {
                    let message = envelope::decode::<ToDatabase>(&call.message).unwrap().1;
                    let result = Ok(envelope::encode(&database(&message)));
                    let reply = Reply { id: call.id, result };
                    step = catalog.resume(&LocalPlatform::default(), event_id, reply);
                }
            }
        }
    }
}

#[test]
fn revocation_reaches_ten_thousand_databases() {
    let mut catalog = Catalog::new(MemoryStore::new());
    const DATABASES: u64 = 10_000;
    for n in 0..DATABASES {
        let number = catalog.entries().unwrap();
        let object = ObjectId(format!("{n}"));
        let mut entry = Entry::creating(create(&format!("db{n}")), object, 0);
        entry.stage = EntryStage::Ready;
        let store = MemoryStore::new();
        number.insert(&store, entry).unwrap();
    }
    let all = |catalog: &mut Catalog<MemoryStore>, message: &ToCatalog| {
        let begun = begin(catalog, message);
        drive(catalog, begun, |_| FromDatabase::Done)
    };
    // Some databases have not received the change yet, but the token may already be used
    // everywhere.
    let (made, rounds) = all(&mut catalog, &token("t", None));
    assert_eq!(made, FromCatalog::Granted { id: 1, remaining: DATABASES - 128 });
    assert_eq!(rounds, [32; 4]);
    while catalog.notifications.next_due_ns().is_some() {
        let begun = alarm_at(&mut catalog, 1 << 60);
        drive(&mut catalog, begun, |_| FromDatabase::Done);
    }
    let remove = ToCatalog::RemoveGrantee { user: false, name: "t".to_owned() };
    let (removed, _) = all(&mut catalog, &remove);
    assert_eq!(removed, FromCatalog::Dropped { existed: true, remaining: DATABASES - 128 });
    let (mut rounds, mut alarms, mut notified) = (0, 0, 0);
    while catalog.notifications.next_due_ns().is_some() {
        let begun = alarm_at(&mut catalog, 1 << 60);
        let (_, sent) = drive(&mut catalog, begun, |message| {
            let ToDatabase::Grants(push) = message else { panic!("{message:?}") };
            assert!(push.revokes && push.put.is_empty() && push.removed.len() == 1);
            notified += 1;
            FromDatabase::Done
        });
        (rounds, alarms) = (rounds + sent.len(), alarms + 1);
    }
    assert_eq!((notified, rounds, alarms), (DATABASES - 128, 309, 13));
    let none = FromCatalog::Dropped { existed: false, remaining: 0 };
    assert_eq!(all(&mut catalog, &remove).0, none);
}

#[test]
fn repeated_revocation_notifies_remaining_databases() {
    let mut catalog = Catalog::new(MemoryStore::new());
    for name in ["a", "b"] {
        ask(&mut catalog, &ToCatalog::Create(create(name)));
    }
    ask(&mut catalog, &token("t", None));
    let remove = ToCatalog::RemoveGrantee { user: false, name: "t".to_owned() };
    let notified = |catalog: &mut Catalog<MemoryStore>, replies: [FromDatabase; 2]| {
        let mut replies = replies.into_iter();
        let begun = begin(catalog, &remove);
        let (reply, rounds) = drive(catalog, begun, |_| replies.next().unwrap());
        let FromCatalog::Dropped { existed: true, remaining } = reply else { panic!("{reply:?}") };
        (remaining, rounds)
    };
    let lost = || FromDatabase::Unavailable(Unavailable::Overloaded);
    assert_eq!(notified(&mut catalog, [lost(), lost()]), (2, vec![2]));
    assert_eq!(notified(&mut catalog, [FromDatabase::Done, lost()]), (1, vec![2]));
    // A database that responds with `Late` receives the current state again.
    assert_eq!(
        notified(&mut catalog, [FromDatabase::Late, FromDatabase::NotOpen]),
        (0, vec![1, 1])
    );
    assert_eq!(catalog.notifications.next_due_ns(), None);
}

#[test]
fn change_notifies_only_databases_with_other_permissions() {
    let mut catalog = Catalog::new(MemoryStore::new());
    for name in ["a", "b", "c", "d"] {
        ask(&mut catalog, &ToCatalog::Create(create(name)));
    }
    let mut put = |version, held: &[(&str, bool)]| {
        let permissions = held.iter().map(|&(database, write)| {
            let database = Some(database.to_owned());
            Permission { database, policy: None, read: true, write, metrics: false }
        });
        let grants = Grants { admin: false, permissions: permissions.collect() };
        let row = Grantee::token("t", "hash".to_owned(), grants, [0, i64::MAX]);
        let message = ToCatalog::PutGrantee(Box::new(Grantee { version, ..row }));
        let begun = begin(&mut catalog, &message);
        drive(&mut catalog, begun, |_| FromDatabase::Done).1
    };
    assert_eq!(put(0, &[("a", false), ("b", false), ("c", false)]), [3]);
    // The permission on "b" changes, the permission on "c" ends, and "d" is new.
    assert_eq!(put(1, &[("d", false), ("a", false), ("b", true)]), [3]);
    assert_eq!(put(2, &[("b", true), ("a", false), ("d", false)]), [0; 0]);
}

#[test]
fn continuing_database_drop_is_retried() {
    let mut catalog = Catalog::new(MemoryStore::new());
    ask(&mut catalog, &ToCatalog::Create(create("d")));
    let changing = FromDatabase::Unavailable(Unavailable::Changing);
    let event = begin(&mut catalog, &ToCatalog::Drop { name: "d".to_owned() });
    drive(&mut catalog, event, |_| changing.clone());
    let alarm = |catalog: &mut Catalog<MemoryStore>| {
        let due_ns = catalog.next_alarm_ns().expect("an alarm");
        alarm_at(catalog, due_ns)
    };
    for _ in 0..2 * JOB_FAILURES_MAX {
        let event = alarm(&mut catalog);
        let (_, rounds) = drive(&mut catalog, event, |_| changing.clone());
        assert_eq!(rounds, [1]);
    }
    let event = alarm(&mut catalog);
    drive(&mut catalog, event, |_| FromDatabase::Done);
    assert_eq!(catalog.next_alarm_ns(), None);
}

#[test]
fn drop_revokes_permissions_of_many_users_in_steps() {
    const USERS: u64 = 450;
    for is_finished_by_alarm in [false, true] {
        let mut catalog = Catalog::new(MemoryStore::new());
        ask(&mut catalog, &ToCatalog::Create(create("d")));
        for n in 0..USERS {
            let ToCatalog::PutGrantee(row) = token(&format!("u{n}"), Some("d")) else { panic!() };
            ask(&mut catalog, &ToCatalog::PutGrantee(Box::new(Grantee { user: true, ..*row })));
        }
        let event = begin(&mut catalog, &ToCatalog::Drop { name: "d".to_owned() });
        let rounds = match is_finished_by_alarm {
            false => drive(&mut catalog, event, |_| FromDatabase::Done).1,
            true => {
                let lost = FromDatabase::Unavailable(Unavailable::Overloaded);
                drive(&mut catalog, event, |_| lost.clone());
                let due_ns = catalog.next_alarm_ns().expect("an alarm");
                let event = alarm_at(&mut catalog, due_ns);
                drive(&mut catalog, event, |_| FromDatabase::NotOpen).1
            }
        };
        // Each step removes the permissions of 200 users.
        assert_eq!(rounds, [1, 1, 1]);
        assert_eq!(catalog.next_alarm_ns(), None);
        let (grantees, store) = catalog.grantees().unwrap();
        assert_eq!(grantees.concerning(store, "d", 0), Ok(Vec::new()));
        assert_eq!(grantees.page(store, true, 0, 1_000).unwrap().0.len() as u64, USERS);
        assert!(catalog.entries().unwrap().by_name("d").is_none());
    }
}
