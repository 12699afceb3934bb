//! Tests quotas of databases and of single callers in the whole product, while edges, objects and
//! messages fail.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tidemark_coordinator::create_drop::Change;
use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::database::{QuotaChange, ToDatabase};
use tidemark_model::quota::{QUOTA_VALUE_MAX, Rates};
use tidemark_server::http::Response;

use crate::product::{Product, TOKEN, header};
use crate::protocol::{create, write};
use crate::tokens::{admin, body, encoded, run, send, token};
use crate::world::real_shard;
use crate::world::{Edge, Faults, World};

const ROUTE: &str = "/api/v3/configure/quota";
const MINUTE_NS: i64 = 60_000_000_000;

/// Creates a product with the database `d`, which has `shards` shards, and moves the clock to the
/// start of a minute.
fn product(shards: u32) -> Product {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "INF")]);
    database(&mut product, "d", shards);
    to_next_minute(&mut product);
    product
}

pub(crate) fn database(product: &mut Product, name: &str, shards: u32) {
    let settings = json!({"db": name, "shards": shards}).to_string();
    assert_eq!(product.configure("POST", &settings).0, 200);
}

fn to_next_minute(product: &mut Product) {
    product.pass(60 - product.now_s().rem_euclid(60));
}

pub(crate) fn set(product: &mut Product, body: &Value) -> Value {
    admin(product, ("POST", ROUTE), &body.to_string(), 200)
}

/// Returns points of up to 200 series, with different times and with values that compress poorly.
fn lines(count: usize, from: usize) -> String {
    let mut lines = String::new();
    for at in from..from + count {
        let value = (at * 7_919 % 1_000_003) as f64 / 7.0;
        writeln!(lines, "m,host=h{} v={value} {at}", at % 200).unwrap();
    }
    lines
}

/// Writes batches while the clock stands still. Returns the number of accepted points, and the last
/// rejection.
fn write_for_a_minute(product: &mut Product, batch: usize, offered: usize) -> (u64, Response) {
    let (mut taken, mut refusal) = (0, None);
    product.standing_still(|product| {
        for from in (0..offered).step_by(batch) {
            let response = product.post("/write?db=d", &lines(batch, from));
            match response.status {
                204 => taken += batch as u64,
                503 => refusal = Some(response),
                status => panic!("{status}: {}", body(&response)),
            }
        }
    });
    (taken, refusal.unwrap())
}

/// The documentation promises that `taken` differs from `limit` by at most a quarter.
#[track_caller]
pub(crate) fn assert_kept(taken: u64, limit: u64) {
    assert!(taken * 4 >= limit * 3 && taken * 4 <= limit * 5, "{taken} of {limit}");
}

#[test]
fn points_quota_is_accurate_within_quarter() {
    for shards in [1, 8] {
        for batch in [1, 10, 200, 400] {
            let mut product = product(shards);
            set(&mut product, &json!({"db": "d", "points_per_minute": 1_000}));
            for minute in 0..3 {
                to_next_minute(&mut product);
                let (taken, refusal) = write_for_a_minute(&mut product, batch, 1_600);
                assert_kept(taken, 1_000);
                let wait_s: u32 = header(&refusal, "Retry-After").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait_s), "minute {minute}: {wait_s} s");
            }
        }
    }
}

#[test]
fn requests_quota_is_accurate_within_quarter() {
    for shards in [1, 8] {
        let mut product = product(shards);
        set(&mut product, &json!({"db": "d", "requests_per_minute": 100}));
        // Writes batches for all shards, and then single points of any series.
        for batch in [200, 1] {
            to_next_minute(&mut product);
            let (taken, refusal) = write_for_a_minute(&mut product, batch, 150 * batch);
            assert_kept(taken / batch as u64, 100);
            assert!(body(&refusal).contains("requests_per_minute"), "{}", body(&refusal));
        }
        // A query that calls all shards counts as one request.
        to_next_minute(&mut product);
        let mut taken = 0;
        product.standing_still(|product| {
            for _ in 0..150 {
                let answer = product.post("/query?db=d&q=SELECT+count(v)+FROM+m", "");
                taken += u64::from(answer.status == 200);
                assert!([200, 429].contains(&answer.status), "{}", body(&answer));
            }
        });
        assert_kept(taken, 100);
    }
}

#[test]
fn cells_quota_is_accurate_within_quarter() {
    for shards in [1, 8] {
        let mut product = product(shards);
        admin(&mut product, ("POST", "/write?db=d"), &lines(1_000, 0), 204);
        // The decoded size includes a time and a value of each point. Each query has a different
        // range, because the result of a repeated range is cached.
        let mut end_ns = 1_000_000;
        let mut ask = || {
            end_ns += 1;
            format!("SELECT mean(v) FROM m WHERE time < {end_ns}")
        };
        set(&mut product, &json!({"db": "d", "cells_per_minute": QUOTA_VALUE_MAX}));
        to_next_minute(&mut product);
        product.query("d", &ask());
        let cells = product.values("d", "SHOW STATS FOR 'quota'")[0][2].as_u64().unwrap();
        assert!((2_000..20_000).contains(&cells), "{cells}");
        set(&mut product, &json!({"db": "d", "cells_per_minute": 20 * cells}));
        for _ in 0..2 {
            to_next_minute(&mut product);
            let mut taken = 0;
            product.standing_still(|product| {
                for _ in 0..60 {
                    let answer = product.post(&format!("/query?db=d&q={}", encoded(&ask())), "");
                    taken += u64::from(answer.status == 200);
                    if answer.status == 200 {
                        continue;
                    }
                    assert_eq!(answer.status, 429);
                    assert_eq!(header(&answer, "Retry-After"), Some("60"));
                    let error: Value = serde_json::from_slice(&answer.body).unwrap();
                    let error = error["error"].as_str().unwrap();
                    let begins = "database \"d\" has reached its quota: cells_per_minute in this \
                                  minute: ";
                    let ends = format!(", quota: {}; try again in 60 s", 20 * cells);
                    assert!(error.starts_with(begins) && error.ends_with(&ends), "{error}");
                }
            });
            assert_kept(taken, 20);
        }
    }
}

#[test]
fn metadata_queries_count_against_quota() {
    for ask in ["EXPLAIN SELECT mean(v) FROM m", "SHOW SERIES", "SHOW TAG VALUES WITH KEY = host"] {
        let mut product = product(1);
        admin(&mut product, ("POST", "/write?db=d"), &lines(1_000, 0), 204);
        set(&mut product, &json!({"db": "d", "cells_per_minute": 50}));
        to_next_minute(&mut product);
        product.standing_still(|product| {
            let target = format!("/query?db=d&q={}", encoded(ask));
            assert_eq!(product.post(&target, "").status, 200, "{ask}");
            assert_eq!(product.post(&target, "").status, 429, "{ask}");
        });
    }
}

#[test]
fn quota_error_status_follows_dialect() {
    let mut product = product(1);
    set(&mut product, &json!({"db": "d", "points_per_minute": 10}));
    product.standing_still(|product| {
        admin(product, ("POST", "/write?db=d"), &lines(10, 0), 204);
        let text = "database \"d\" has reached its quota: points_per_minute in this minute: 10, \
                    quota: 10; try again in ";
        let routes =
            [("/write?db=d", 503), ("/api/v2/write?bucket=d", 429), ("/api/v3/write_lp?db=d", 429)];
        for (route, status) in routes {
            let response = product.post(route, &lines(1, 10));
            assert_eq!(response.status, status, "{route}");
            let error: Value = serde_json::from_slice(&response.body).unwrap();
            assert!(error["message"].as_str().unwrap().starts_with(text), "{error}");
            let code = if status == 429 { "too many requests" } else { "unavailable" };
            assert_eq!(error["code"], code);
            assert!(header(&response, "Retry-After").is_some());
            assert!(product.log_line().unwrap().contains("quota"), "{:?}", product.log_line());
        }
        admin(product, ("POST", "/query?db=d&q=SELECT+*+FROM+m"), "", 200);
        let other = product.post("/query?q=CREATE+DATABASE+other", "");
        assert_eq!(other.status, 200);
        admin(product, ("POST", "/write?db=other"), &lines(100, 0), 204);
    });
    to_next_minute(&mut product);
    admin(&mut product, ("POST", "/write?db=d"), &lines(10, 10), 204);
}

#[test]
fn token_quota_applies_per_database() {
    for shards in [1, 8] {
        let mut product = product(shards);
        database(&mut product, "e", 1);
        let small = token(&mut product, "small", &["d", "e"], &["read", "write"], None);
        let other = token(&mut product, "other", &["d"], &["read", "write"], None);
        let q = "CREATE USER bob WITH PASSWORD 'pass'";
        run(&mut product, q);
        admin(&mut product, ("POST", "/query?q=GRANT+ALL+ON+d+TO+bob"), "", 200);
        let by = |product: &mut Product, token: &str, target: &str, points: usize| {
            send(product, ("Bearer", token), ("POST", target), &lines(points, 0))
        };
        // Every edge caches the callers before the callers have limits.
        for token in [&small, &other] {
            assert_eq!(by(&mut product, token, "/write?db=d", 1).status, 204);
        }
        set(&mut product, &json!({"db": "d", "token_name": "small", "points_per_minute": 100}));
        set(&mut product, &json!({"db": "d", "user": "bob", "requests_per_minute": 1}));
        to_next_minute(&mut product);
        product.standing_still(|product| {
            let mut taken = 0;
            let mut refusal = None;
            for _ in 0..10 {
                let response = by(product, &small, "/write?db=d", 40);
                match response.status {
                    204 => taken += 40,
                    _ => refusal = Some(response),
                }
            }
            assert_kept(taken, 100);
            let refusal = refusal.unwrap();
            assert_eq!(refusal.status, 503);
            let text = "token \\\"small\\\" on database \\\"d\\\" has reached its quota: \
                        points_per_minute in this minute: ";
            assert!(body(&refusal).contains(text), "{}", body(&refusal));
            assert!(body(&refusal).contains("quota: 100"), "{}", body(&refusal));
            // The limit applies to no other caller, and to no other database.
            assert_eq!(by(product, &other, "/write?db=d", 400).status, 204);
            assert_eq!(by(product, TOKEN, "/write?db=d", 400).status, 204);
            assert_eq!(by(product, &small, "/write?db=e", 400).status, 204);
            let statuses = [(); 3].map(|()| {
                let target = "/query?db=d&u=bob&p=pass&q=SELECT+count(v)+FROM+m";
                send(product, ("", ""), ("GET", target), "").status
            });
            assert_eq!(statuses, [200, 429, 429]);
        });
        to_next_minute(&mut product);
        assert_eq!(by(&mut product, &small, "/write?db=d", 10).status, 204);
    }
}

#[test]
fn stored_bytes_quota_rejects_lines() {
    for shards in [1, 8] {
        let mut product = product(shards);
        let empty: u64 = product.shard_bytes().iter().sum();
        let allowed = empty + 2_000_000 * u64::from(shards);
        set(&mut product, &json!({"db": "d", "stored_bytes": allowed}));
        let (mut from, mut refusal) = (0, None);
        while refusal.is_none() {
            let response = product.post("/write?db=d", &lines(2_000, from));
            assert!([204, 400].contains(&response.status), "{}", body(&response));
            refusal = (response.status == 400).then_some(response);
            from += 2_000;
            assert!(from < 10_000_000, "nothing is refused");
        }
        assert_kept(product.shard_bytes().iter().sum(), allowed);
        let refusal = refusal.unwrap();
        assert_eq!(header(&refusal, "Retry-After"), None, "a repeat is rejected as well");
        let text = body(&refusal);
        assert!(text.contains("\"code\":\"invalid\""), "{text}");
        assert!(text.contains("quota exceeded: ") && text.contains("(stored_bytes)"), "{text}");
        // Reads still succeed. Writes succeed again after a delete or with a higher limit.
        product.query("d", "SELECT count(v) FROM m");
        set(&mut product, &json!({"db": "d", "stored_bytes": 2 * allowed}));
        assert_eq!(product.post("/write?db=d", &lines(10, from)).status, 204);
        set(&mut product, &json!({"db": "d", "stored_bytes": allowed}));
        assert_eq!(product.post("/write?db=d", &lines(10, from)).status, 400);
        product.query("d", "DROP MEASUREMENT m");
        product.rest();
        assert_eq!(product.post("/write?db=d", &lines(10, from)).status, 204);
    }
}

#[test]
fn quotas_are_set_shown_and_removed() {
    let mut product = product(2);
    token(&mut product, "agent", &["d"], &["write"], None);
    let show = |product: &mut Product| admin(product, ("GET", &format!("{ROUTE}?db=d")), "", 200);
    let nothing = json!({"db": "d", "quota": {}, "tokens": [], "users": []});
    assert_eq!(show(&mut product), nothing);
    let all = json!({"points_per_minute": 1_000, "requests_per_minute": 50,
                     "cells_per_minute": 9_000, "stored_bytes": QUOTA_VALUE_MAX,
                     "series": 500});
    let mut of_database = all.clone();
    of_database["db"] = "d".into();
    assert_eq!(set(&mut product, &of_database)["quota"], all);
    let agent = json!({"db": "d", "token_name": "agent", "points_per_minute": 10});
    let shown = set(&mut product, &agent);
    assert_eq!(shown["quota"], all, "the database keeps its own");
    let id = shown["tokens"][0]["id"].clone();
    assert_eq!(shown["tokens"], json!([{"id": id, "name": "agent", "points_per_minute": 10}]));
    assert_eq!(set(&mut product, &agent), shown);
    product.sleep();
    assert_eq!(show(&mut product), shown);
    admin(&mut product, ("POST", "/write?db=d"), &lines(30, 0), 204);
    let stats = product.query("d", "SHOW STATS FOR 'quota'");
    let about_30 = stats["results"][0]["series"][0]["values"][4][2].as_u64().unwrap();
    assert!((28..=32).contains(&about_30), "{about_30} series");
    assert_eq!(
        stats["results"][0]["series"],
        json!([
            {"name": "quota", "tags": {"database": "d"}, "columns": ["limit", "allowed", "used"],
             "values": [["points_per_minute", 1_000, 30], ["requests_per_minute", 50, 1],
                        ["cells_per_minute", 9_000, 0],
                        ["stored_bytes", QUOTA_VALUE_MAX, stored(&stats)], ["series", 500, about_30]]},
            {"name": "quota", "tags": {"database": "d", "token": "agent"},
             "columns": ["limit", "allowed", "used"], "values": [["points_per_minute", 10, 0]]},
        ])
    );
    set(&mut product, &json!({"db": "d", "token_name": "agent"}));
    assert_eq!(set(&mut product, &json!({"db": "d"})), nothing);
    product.sleep();
    assert_eq!(show(&mut product), nothing);
}

fn stored(stats: &Value) -> u64 {
    stats["results"][0]["series"][0]["values"][3][2].as_u64().filter(|&bytes| bytes > 0).unwrap()
}

#[test]
fn invalid_quota_is_rejected() {
    let mut product = product(1);
    token(&mut product, "agent", &["d"], &["write"], None);
    let too_many = QUOTA_VALUE_MAX + 1;
    let cases = [
        (json!({"db": "d", "points_per_minute": 0}), 400, "must be between 1 and"),
        (json!({"db": "d", "stored_bytes": too_many}), 400, "must be between 1 and"),
        (json!({"db": "d", "token_name": "agent", "user": "u"}), 400, "not both"),
        (
            json!({"db": "d", "token_name": "agent", "stored_bytes": 1}),
            400,
            "stored_bytes limits a database",
        ),
        (json!({"db": "d", "user": "u", "series": 1}), 400, "series limits a database"),
        (json!({"db": "d", "series": 0}), 400, "series must be between 1 and"),
        (json!({"db": "d", "points": 1}), 400, "unknown field"),
        (json!({"points_per_minute": 1}), 400, "missing field `db`"),
        (json!({"db": "d", "token_name": "nobody"}), 404, "token not found: \"nobody\""),
        (json!({"db": "d", "user": "nobody"}), 404, "user not found: \"nobody\""),
        (json!({"db": "none", "points_per_minute": 1}), 404, "database not found: \"none\""),
    ];
    for (asked, status, text) in cases {
        let answer = admin(&mut product, ("POST", ROUTE), &asked.to_string(), status);
        assert!(answer["message"].as_str().unwrap().contains(text), "{asked}: {answer}");
    }
    admin(&mut product, ("GET", &format!("{ROUTE}?db=none")), "", 404);
    let writer = token(&mut product, "w", &["d"], &["read", "write"], None);
    for method in ["GET", "POST"] {
        let request = (method, "/api/v3/configure/quota?db=d");
        let response = send(&mut product, ("Bearer", &writer), request, "{\"db\": \"d\"}");
        assert_eq!(response.status, 403, "only the administrator may");
    }
}

#[test]
fn quotas_keep_acknowledged_points() {
    let settings = [("AUTO_CREATE_RETENTION", "INF"), ("SHARD_SPLIT_BYTES", "20000")];
    let hours = |from| {
        (from..from + 200)
            .map(|at| format!("m,host=h{} v={at},s=\"text {}\" {}", at % 7, at * 7_919, at * 864))
    };
    let lines = |from| hours(from).collect::<Vec<_>>().join("\n");
    let mut product = Product::with(&settings);
    database(&mut product, "d", 2);
    set(
        &mut product,
        &json!({"db": "d", "points_per_minute": 500, "requests_per_minute": 20,
                              "stored_bytes": 3_000_000}),
    );
    let mut acknowledged = 0;
    for from in (0..40_000).step_by(200) {
        let response = product.post("/write?db=d&precision=s", &lines(from));
        match response.status {
            204 => acknowledged += 200,
            // The write exceeds a rate limit or a storage limit, or a split is running.
            503 | 400 => product.wait(7),
            status => panic!("{status}: {}", body(&response)),
        }
        if from % 5_000 == 0 {
            product.rest();
            product.sleep();
        }
    }
    assert!(acknowledged > 5_000, "{acknowledged}");
    set(&mut product, &json!({"db": "d", "points_per_minute": 1, "stored_bytes": 1, "series": 1}));
    product.rest();
    product.sleep();
    product.rest();
    assert_eq!(product.values("d", "SELECT count(v) FROM m")[0][1], acknowledged);
    assert!(product.values("d", "SHOW SHARD GROUPS").as_array().unwrap().len() > 1);
}

/// PROTOCOL.md rule 2: the limits that were acknowledged last apply, for any writer.
#[test]
fn rule_2_acknowledged_quota_binds_every_edge() {
    for seed in 0..20 {
        let mut world = World::new(seed, real_shard::make);
        let edges = [Edge::default(), Edge::default(), Edge::default()];
        let shards = [1, 3][seed as usize % 2];
        world.run(&edges[0], create("d", shards, None)).unwrap();
        for edge in &edges {
            world.run(edge, write("d", "m,host=h f=1 1")).unwrap();
        }
        world.settle();
        world.faults = Faults { lost: 30, crashed: 5, repeated: 20, ..Faults::default() };
        world.spares_clients = true;
        let rates = Rates { points: Some(100), ..Rates::default() };
        let set = || {
            let change = QuotaChange::Database { rates, stored_bytes: None, series: None };
            crate::protocol::change(Change::within("d", ToDatabase::SetQuota(change)))
        };
        while let Err(error) = world.run(&edges[0], set()) {
            assert!(matches!(error, Error::Unavailable(_)), "{error}");
        }
        // An object loses its counters when it restarts.
        world.faults = Faults { lost: 10, ..Faults::default() };
        let now_ns = world.platform.time_ns();
        world.platform.advance_to(now_ns - now_ns.rem_euclid(MINUTE_NS) + MINUTE_NS);
        let minute = world.platform.time_ns() / MINUTE_NS;
        let (mut taken, mut refused) = (0, 0);
        for turn in 0..60 {
            let mut lines = String::new();
            for at in 0..10 {
                writeln!(lines, "m,host=h{at} f=1 {}", turn * 10 + at).unwrap();
            }
            match world.run(&edges[turn % 3], write("d", &lines)) {
                Ok(outcome) => taken += outcome.points_written,
                Err(Error::RateExceeded { over, .. }) => {
                    refused += 1;
                    assert_eq!(over.allowed, 100);
                }
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
            }
        }
        assert_eq!(world.platform.time_ns() / MINUTE_NS, minute, "all in one minute");
        assert_kept(taken, 100);
        assert!(refused > 0, "seed {seed}");
    }
}
