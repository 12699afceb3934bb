use super::*;
use crate::model::ids::ObjectId;
use crate::model::limits::DATABASES_MAX;
use crate::protocol::call::PlacementError;
use crate::store::memory::MemoryStore;

struct Fixed;

impl Platform for Fixed {
    fn now_ns(&self) -> i64 {
        0
    }

    fn random_u64(&self) -> u64 {
        7
    }

    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        match jurisdiction {
            Some(name) => Err(PlacementError::Jurisdiction(name.to_owned())),
            None => Ok(ObjectId(format!("{kind:?}"))),
        }
    }
}

fn create(name: &str) -> CreateDatabase {
    let name = name.to_owned();
    CreateDatabase { name, policy: None, shards: 1, location: None, jurisdiction: None }
}

/// Asks; every call of the Catalog is answered with `Done`.
fn ask(catalog: &mut Catalog<MemoryStore>, message: &ToCatalog) -> FromCatalog {
    let (ticket, mut step) = catalog.begin(&Fixed, &envelope::encode(message));
    loop {
        match step {
            Step::Done(reply) => return envelope::decode(&reply).unwrap().1,
            Step::Calls(calls) => {
                let result = Ok(envelope::encode(&FromDatabase::Done));
                let reply = Reply { id: calls.first().expect("a call").id, result };
                step = catalog.resume(&Fixed, ticket, reply);
            }
        }
    }
}

#[test]
fn the_last_database_that_fits_is_created_and_the_next_names_the_limit() {
    let mut catalog = Catalog::new(MemoryStore::new());
    for n in 0..DATABASES_MAX {
        let created = ask(&mut catalog, &ToCatalog::Create(create(&format!("db{n}"))));
        let object = ObjectId("Database".to_owned());
        assert_eq!(created, FromCatalog::Created { object, existed: false });
    }
    let limit = DATABASES_MAX as u64;
    let refusal = CatalogRefusal::TooManyDatabases { limit, current: limit, requested: limit + 1 };
    let one_more = ToCatalog::Create(create("one more"));
    assert_eq!(ask(&mut catalog, &one_more), FromCatalog::Refused(refusal));
    let dropped = ask(&mut catalog, &ToCatalog::Drop { name: "db0".to_owned() });
    assert_eq!(dropped, FromCatalog::Dropped { existed: true });
    assert!(matches!(ask(&mut catalog, &one_more), FromCatalog::Created { existed: false, .. }));
    let names: Vec<String> =
        (1..DATABASES_MAX).map(|n| format!("db{n}")).chain(["one more".to_owned()]).collect();
    let listed = ask(&mut catalog, &ToCatalog::List { after: None, holding: None });
    assert_eq!(listed, FromCatalog::Listed { names, resume: None, troubles: Vec::new() });
}

#[test]
fn only_databases_that_may_have_a_policy_are_listed_for_it() {
    let mut catalog = Catalog::new(MemoryStore::new());
    for name in ["other", "mine"] {
        ask(&mut catalog, &ToCatalog::Create(create(name)));
    }
    let store = catalog.store().clone();
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
fn what_cannot_be_created_leaves_nothing_behind() {
    let mut catalog = Catalog::new(MemoryStore::new());
    let eu = CreateDatabase { jurisdiction: Some("eu".to_owned()), ..create("db") };
    let refusal = CatalogRefusal::Placement(PlacementError::Jurisdiction("eu".to_owned()));
    assert_eq!(ask(&mut catalog, &ToCatalog::Create(eu)), FromCatalog::Refused(refusal));
    let invalid = FromCatalog::Refused(CatalogRefusal::InvalidName);
    assert_eq!(ask(&mut catalog, &ToCatalog::Create(create("a/b"))), invalid);
    assert_eq!(catalog.store().is_open(), Ok(false));
    let nothing = FromCatalog::Resolved { object: None };
    assert_eq!(ask(&mut catalog, &ToCatalog::Resolve { name: "db".to_owned() }), nothing);
    assert_eq!(
        ask(&mut catalog, &ToCatalog::Drop { name: "db".to_owned() }),
        FromCatalog::Dropped { existed: false }
    );
}

#[test]
fn another_version_is_answered_as_unavailable() {
    let mut catalog = Catalog::new(MemoryStore::new());
    let message = envelope::encode_as(VERSION + 1, &ToCatalog::List { after: None, holding: None });
    let (_, step) = catalog.begin(&Fixed, &message);
    let Step::Done(reply) = step else { panic!("calls") };
    let reply = envelope::decode::<FromCatalog>(&reply).unwrap().1;
    assert!(matches!(reply, FromCatalog::Unavailable(Unavailable::Unreachable(_))), "{reply:?}");
}
