//! Tests the object protocol between releases whose versions differ.

use tidemark_coordinator::Task;
use tidemark_coordinator::create_drop::Change;
use tidemark_coordinator::delete::delete as delete_statement;
use tidemark_coordinator::diagnostics::diagnostics;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::load_schemas::SchemaSelection;
use tidemark_coordinator::verify::verify;
use tidemark_engine::protocol::call::{Address, Call, CallFailure};
use tidemark_engine::protocol::catalog::FromCatalog;
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope::{self, VERSION, VERSION_MAX, VERSION_MIN, Wire};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::shard::FromShard;
use tidemark_engine::protocol::sql::{FromSql, ToSql};
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::parse_statement;
use tidemark_model::value::FieldValue;
use tidemark_query::result::ResultColumn;

use crate::product::Product;
use crate::protocol::{ask, change, create, drop_database, kept, script, write};
use crate::sql_stand_in::stand_in;
use crate::world::{Edge, World, real_shard};

fn world() -> World {
    World::new(1, real_shard::make)
}

#[test]
fn older_edge_receives_its_protocol_version() {
    let (mut world, edge) = (world(), Edge::default());
    let world = &mut world;
    let mut calls = 0;
    let mut answer = |world: &mut World, call: &Call| -> Result<Vec<u8>, CallFailure> {
        let mut message = call.message.clone();
        message[0] = VERSION_MIN;
        let reply = ask(world, call.to.clone(), message);
        assert_eq!(reply[0], VERSION_MIN, "{:?}", call.to);
        calls += 1;
        Ok(reply)
    };
    script(world, &edge, &mut create("db", 2, None), &mut answer).unwrap();
    for lines in ["m,host=a f=1,s=\"x\" 1\nm,host=b f=2 2", "n i=1i 3"] {
        let points = lines.lines().count() as u64;
        assert_eq!(script(world, &edge, &mut write("db", lines), &mut answer), kept(points));
    }
    let statement = parse_statement("DELETE FROM m WHERE host = 'a'", &Params::default()).unwrap();
    let mut delete = Task::new(|io| async move {
        delete_statement(&io, statement, "db", SchemaSelection::All, 0).await
    });
    assert_eq!(script(world, &edge, &mut delete, &mut answer), Ok(()));
    let mut check = Task::new(|io| async move { verify(&io, "db", None).await });
    let report = script(world, &edge, &mut check, &mut answer).unwrap();
    assert!(report.blocks > 0 && report.damaged.is_empty() && report.resume.is_none());
    let drop = Change::within("db", ToDatabase::DropMeasurement { name: "m".into() });
    script(world, &edge, &mut change(drop), &mut answer).unwrap();
    script(world, &edge, &mut drop_database("db"), &mut answer).unwrap();
    assert!(calls > 15, "{calls}");
}

#[test]
fn newer_protocol_version_returns_503() {
    let mut world = world();
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    let mut refused = Vec::new();
    for unreadable in ["Catalog", "Database", "Shard"] {
        let answer =
            script(&mut world, &Edge::default(), &mut write("db", "m f=1 1"), |world, call| {
                let mut message = call.message.clone();
                if format!("{:?}", call.to).starts_with(unreadable) {
                    message[0] = VERSION + 1;
                }
                Ok(ask(world, call.to.clone(), message))
            });
        let Err(Error::Unavailable(Unavailable::Unreachable(why))) = answer else {
            panic!("{unreadable}: {answer:?}");
        };
        refused.push(why);
    }
    let expected = "protocol version 2 is not supported (this release supports 0 to 1)";
    assert_eq!(refused, [expected; 3]);
    // A response whose version is too new counts as a failure.
    let answer = script(&mut world, &edge, &mut write("db", "m f=1 1"), |world, call| {
        let mut reply = ask(world, call.to.clone(), call.message.clone());
        reply[0] = VERSION + 1;
        Ok(reply)
    });
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[test]
fn diagnostics_list_objects_of_other_releases() {
    let mut world = world();
    world.run(&Edge::default(), create("db", 2, None)).unwrap();
    let statement = || Statement::ShowDiagnostics { module: Some("releases".to_owned()) };
    let mut shown = |others: [&str; 3]| {
        let mut shards = 0;
        let mut pieces = diagnostics(statement());
        let mut task = Task::new(|io| async move { io.next(&mut pieces).await });
        let chunk = script(&mut world, &Edge::default(), &mut task, |world, call| {
            let reply = ask(world, call.to.clone(), call.message.clone());
            Ok(match (&call.to, reply[1]) {
                (Address::Catalog, 2) => said::<FromCatalog>(&reply, |message| {
                    if let FromCatalog::Listed { release, .. } = message {
                        *release = others[0].to_owned();
                    }
                }),
                (Address::Database(_), 4) => said::<FromDatabase>(&reply, |message| {
                    if let FromDatabase::Stats(stats) = message {
                        stats.release = others[1].to_owned();
                    }
                }),
                _ => said::<FromShard>(&reply, |message| {
                    if let FromShard::Stats(stats) = message
                        && shards == 0
                    {
                        shards += 1;
                        stats.release = others[2].to_owned();
                    }
                }),
            })
        });
        let chunk = chunk.unwrap().unwrap();
        let cell = |column: usize, row: usize| match &chunk.values[column] {
            ResultColumn::Values(column) => match column.get(row) {
                Some(FieldValue::String(text)) => text.to_string(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let rows: Vec<String> =
            (0..chunk.rows).map(|row| [0, 1, 2].map(|c| cell(c, row)).join(" ")).collect();
        rows
    };
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(shown([own, own, own]), Vec::<String>::new());
    // The response of the last shard arrives first.
    let older = [" catalog 0.0.8", "db database 0.0.9", "db shard 2 0.0.7"];
    assert_eq!(shown(["0.0.8", "0.0.9", "0.0.7"]), older);
    assert_eq!(shown(["", own, "0.0.7"]), [older[2]]);
}

fn said<M: Wire>(message: &[u8], change: impl FnOnce(&mut M)) -> Vec<u8> {
    let (version, mut message) = envelope::decode::<M>(message).unwrap();
    change(&mut message);
    envelope::encode_as(version, &message)
}

/// SQL is a separate Worker that is deployed separately, so either of the Workers may be older.
#[test]
fn sql_versions_interoperate_or_fail_clearly() {
    for (version, is_read) in [(VERSION_MIN, true), (VERSION_MAX, true), (VERSION_MAX + 1, false)] {
        for is_asked in [true, false] {
            let mut product = Product::with(&[("LOG_REQUESTS", "none")]);
            let mut session = stand_in();
            product.answer_sql(Box::new(move |message: &[u8]| {
                let mut message = message.to_vec();
                if is_asked {
                    // Replaces the version byte, so that the message looks like one of an edge with
                    // this version.
                    message[0] = version;
                }
                let refused = || {
                    let error = envelope::decode::<ToSql>(&message).err().map(|e| e.to_string());
                    error.map(|message| FromSql::Failed { status: 503, message })
                };
                let mut reply = match refused() {
                    Some(said) => envelope::encode(&said),
                    None => session(&message)?,
                };
                if !is_asked {
                    reply[0] = version;
                }
                Ok(reply)
            }));
            product.query("", "CREATE DATABASE a");
            product.write("a", "m v=1 1\nm v=2 2");
            let (status, said) =
                product.ask("GET", "/api/v3/query_sql", "db=a&q=count+m&format=json", &[], "");
            match is_read {
                true => assert_eq!(
                    (status, said.as_str()),
                    (200, "[{\"rows\":2}]"),
                    "{version} {is_asked}"
                ),
                false => {
                    let named = said.contains("protocol version 2 is not supported");
                    assert_eq!((status, named), (503, true), "{is_asked}: {said}");
                }
            }
        }
    }
}
