//! Tests that the number of object calls per request does not grow with the number of databases.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply};
use tidemark_server::action::Action;
use tidemark_server::exchange::Exchange;
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::isolate_state::Service;
use tidemark_server::settings::Settings;

use crate::product::{AUTHORIZATION, TOKEN, head};
use crate::protocol::create;
use crate::whole::ask;
use crate::world::platform::TestPlatform;
use crate::world::{Client, Edge, Faults, World, real_shard};

/// A request to an isolate with an empty cache.
struct Asking {
    service: Service,
    head: RequestHead,
    body: Vec<u8>,
    fails: Fails,
    exchange: Option<Exchange>,
    answer: Rc<RefCell<Option<Response>>>,
}

/// Returns the failure of a call to an object, or `None` if the call succeeds.
pub(crate) type Fails = fn(&Address) -> Option<CallFailure>;

impl Client for Asking {
    fn step(&mut self, platform: &TestPlatform, reply: Option<Reply>) -> Option<Vec<Call>> {
        let Self { service, .. } = self;
        let mut action = match (self.exchange.as_mut(), reply) {
            (Some(exchange), Some(reply)) => exchange.step(service, platform, Some(reply)),
            _ => {
                let (exchange, action) = Exchange::start(service, platform, self.head.clone());
                self.exchange = Some(exchange);
                action
            }
        };
        let exchange = self.exchange.as_mut()?;
        let mut made = Vec::new();
        loop {
            action = match action {
                Action::ReadBody => {
                    let bytes = std::mem::take(&mut self.body);
                    let append = |held: &mut Vec<u8>| held.extend_from_slice(&bytes);
                    let refusal = exchange.receive_piece(bytes.len(), platform.time_ns(), append);
                    refusal.unwrap_or_else(|| exchange.step(service, platform, None))
                }
                Action::Calls(calls) => {
                    let (failing, fine): (Vec<_>, Vec<_>) =
                        calls.into_iter().partition(|call| (self.fails)(&call.to).is_some());
                    made.extend(fine);
                    let Some(call) = failing.into_iter().next() else { return Some(made) };
                    let result = Err((self.fails)(&call.to)?);
                    exchange.step(service, platform, Some(Reply { id: call.id, result }))
                }
                Action::Respond(response) => {
                    *self.answer.borrow_mut() = Some(response);
                    return None;
                }
                other => panic!("{other:?}"),
            };
        }
    }
}

pub(crate) fn respond(
    world: &mut World,
    service: Service,
    head: RequestHead,
    body: &str,
    fails: Fails,
) -> Response {
    let (answer, body) = (Rc::default(), body.into());
    let asking = Asking { service, head, body, fails, exchange: None, answer: Rc::clone(&answer) };
    world.start(asking);
    while world.deliver() {}
    answer.take().unwrap()
}

fn send(world: &mut World, method: &str, target: &str, body: &str) -> (u16, String, usize) {
    let head = head(method, target, &[AUTHORIZATION]);
    let settings = |name: &str| match name {
        "ADMIN_TOKEN" => Some(TOKEN.to_owned()),
        "AUTO_CREATE_DATABASES" => Some("false".to_owned()),
        _ => None,
    };
    let service = Service::new(Settings::read(settings), 1);
    let asked = world.asked;
    let response = respond(world, service, head, body, |_| None);
    let text = String::from_utf8(response.body).unwrap();
    (response.status, text, world.asked - asked)
}

fn world(databases: usize) -> World {
    let mut world = World::new(1, real_shard::make);
    for number in 0..databases {
        world.run(&Edge::default(), create(&format!("db{number}"), 1, None)).unwrap();
    }
    world
}

fn bucket(world: &mut World, name: &str) -> String {
    let (status, text, _) = send(world, "GET", &format!("/api/v2/buckets?name={name}"), "");
    assert_eq!(status, 200, "{text}");
    let buckets: Value = serde_json::from_str(&text).unwrap();
    buckets["buckets"][0]["id"].as_str().unwrap().to_owned()
}

fn write(world: &mut World, bucket: &str) -> (u16, usize) {
    let (status, _, asked) =
        send(world, "POST", &format!("/api/v2/write?bucket={bucket}&precision=ns"), "m v=1 1");
    (status, asked)
}

#[test]
fn request_calls_ignore_database_count() {
    let mut asked = Vec::new();
    for databases in [1, 100] {
        let mut world = world(databases);
        let last = format!("db{}", databases - 1);
        let id = bucket(&mut world, &last);
        let (status, list, listing) = send(&mut world, "GET", "/api/v3/configure/database", "");
        assert_eq!((status, list.matches("iox::database").count()), (200, databases));
        let by_id = write(&mut world, &id);
        let by_name = write(&mut world, &last);
        let unknown = write(&mut world, "0123456789abcdef");
        let (status, shown, one) = send(&mut world, "GET", &format!("/api/v2/buckets/{id}"), "");
        assert!(status == 200 && shown.contains(&id), "{shown}");
        let (status, shown, mapped) =
            send(&mut world, "GET", &format!("/api/v2/dbrps?bucketID={id}"), "");
        assert!(status == 200 && shown.contains(&id), "{shown}");
        let (status, shown, page) = send(&mut world, "GET", "/api/v2/buckets?limit=1", "");
        assert_eq!((status, shown.matches("\"orgID\"").count()), (200, 1));
        let (status, shown, refused) = send(&mut world, "GET", "/api/v2/buckets?limit=0", "");
        assert_eq!((status, refused), (400, 0), "{shown}");
        let (status, shown, _) = send(&mut world, "GET", "/api/v2/buckets?limit=100", "");
        assert_eq!((status, shown.matches("\"orgID\"").count()), (200, databases));
        assert_eq!((by_id.0, by_name.0, unknown.0), (204, 204, 404));
        let mine = Edge::default();
        let stored = ask(&mut world, &mine, &format!("SELECT v FROM {last}..m")).unwrap();
        assert_eq!(stored, ["m 1 Float(1.0)"]);
        asked.push([listing, by_id.1, by_name.1, unknown.1, one, mapped, page]);
    }
    assert_eq!(asked[0], asked[1]);
    // To write by the database's id, the edge requests the permission from the Catalog. The first
    // write also registers its column. If the id is unknown, the edge queries the Catalog twice:
    // for the id, and for a database with this name.
    assert_eq!(asked[0], [1, 6, 4, 2, 3, 3, 3]);
}

#[test]
fn bucket_pages_equal_full_list() {
    let mut world = world(9);
    let edge = Edge::default();
    for number in [0, 4, 8] {
        let q = format!("CREATE RETENTION POLICY p ON db{number} DURATION 0s REPLICATION 1");
        ask(&mut world, &edge, &q).unwrap();
    }
    let list = |world: &mut World, query: &str| {
        let (status, text, asked) = send(world, "GET", &format!("/api/v2/buckets?{query}"), "");
        let shown: Value = serde_json::from_str(&text).unwrap();
        let buckets = shown["buckets"].as_array().cloned().unwrap_or_default();
        let ids = buckets.iter().map(|bucket| bucket["id"].as_str().unwrap().to_owned());
        (status, ids.collect::<Vec<String>>(), asked)
    };
    let (_, all, of_all) = list(&mut world, "limit=100");
    assert_eq!(all.len(), 12);
    for limit in 1..6 {
        for (start, ids) in all.chunks(limit).enumerate() {
            let query = format!("limit={limit}&offset={}", start * limit);
            assert_eq!(list(&mut world, &query).1, ids, "{query}");
        }
        for (at, id) in all.iter().enumerate() {
            let query = format!("limit={limit}&after={id}");
            let (status, ids, asked) = list(&mut world, &query);
            assert_eq!((status, &ids[..]), (200, &all[at + 1..all.len().min(at + 1 + limit)]));
            // The edge makes two calls to the Catalog, and two calls for each database on the page
            // and for the preceding database.
            assert!(asked <= 2 + 2 * (limit + 1) && asked <= of_all + 1, "{query}: {asked}");
        }
    }
    let p = all.iter().find(|id| bucket(&mut world, "db4%2Fp") == **id).unwrap();
    ask(&mut world, &edge, "DROP RETENTION POLICY p ON db4").unwrap();
    let (status, ids, asked) = list(&mut world, &format!("after={p}"));
    assert_eq!((status, ids.len()), (404, 0));
    assert!(asked <= 4, "{asked}");
    assert_eq!(list(&mut world, "after=0123456789abcdef").0, 404);
}

#[test]
fn bucket_id_follows_policy_until_dropped() {
    let mut world = world(3);
    let edge = Edge::default();
    let run = |world: &mut World, q: &str| {
        ask(world, &edge, q).unwrap();
    };
    run(&mut world, "CREATE RETENTION POLICY p ON db1 DURATION 0s REPLICATION 1");
    let id = bucket(&mut world, "db1%2Fp");
    assert_eq!(write(&mut world, &id).0, 204);
    run(&mut world, "ALTER RETENTION POLICY p ON db1 SHARD DURATION 2d DEFAULT");
    assert_eq!(bucket(&mut world, "db1"), id, "the default one now");
    assert_eq!(write(&mut world, &id).0, 204);
    run(&mut world, "DROP RETENTION POLICY p ON db1");
    assert_eq!(write(&mut world, &id).0, 404);
    run(&mut world, "CREATE RETENTION POLICY p ON db1 DURATION 0s REPLICATION 1");
    assert_eq!(write(&mut world, &id).0, 404, "its successor has an id of its own");
    let id = bucket(&mut world, "db1%2Fp");
    assert_eq!(write(&mut world, &id).0, 204);
    for address in world.addresses() {
        world.crash(&address);
    }
    assert_eq!(write(&mut world, &id).0, 204);
    run(&mut world, "DROP DATABASE db1");
    run(&mut world, "CREATE DATABASE db1 WITH NAME p");
    assert_eq!(write(&mut world, &id).0, 404);
    let stored = ask(&mut world, &Edge::default(), "SELECT v FROM db1.p.m").unwrap();
    assert_eq!(stored, [""; 0]);
}

#[test]
fn lost_messages_never_misroute_bucket_ids() {
    let mut statuses = [0; 2];
    for seed in 0..60 {
        let mut world = World::new(seed, real_shard::make);
        for name in ["db0", "db1", "db2"] {
            world.run(&Edge::default(), create(name, 1, None)).unwrap();
        }
        let id = bucket(&mut world, "db1");
        world.faults = Faults { lost: 10, crashed: 5, repeated: 10, ..Faults::default() };
        match write(&mut world, &id).0 {
            204 => statuses[0] += 1,
            503 => statuses[1] += 1,
            other => panic!("seed {seed}: {other}"),
        }
        world.faults = Faults::default();
        world.settle();
        assert_eq!(write(&mut world, &id).0, 204, "seed {seed}");
        let stored = ask(&mut world, &Edge::default(), "SELECT v FROM db1..m").unwrap();
        assert_eq!(stored, ["m 1 Float(1.0)"], "seed {seed}");
    }
    assert!(statuses[0] > 10 && statuses[1] > 5, "{statuses:?}");
}

#[test]
fn database_stats_call_only_own_objects() {
    let mut world = world(10);
    let before = world.asked;
    assert_eq!(ask(&mut world, &Edge::default(), "SHOW STATS ON db3").unwrap().len(), 10);
    // The Catalog returns the database's address, the Database returns its shards, and each shard
    // returns its counts.
    assert_eq!(world.asked - before, 4);
    let before = world.asked;
    assert_eq!(ask(&mut world, &Edge::default(), "SHOW STATS").unwrap().len(), 100);
    assert_eq!(world.asked - before, 1 + 4 * 10);
}
