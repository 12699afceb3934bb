//! Tests writes and queries from several edges with real shards, while objects crash.

use std::rc::Rc;

use tidemark_coordinator::Task;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::write::{self, WriteOutcome};
use tidemark_query::result::{ResultColumn, SeriesChunk};

use crate::protocol::{create, drop_database, write, write_request};
use crate::world::{Edge, World, real_shard};

/// Returns one line per row of the result.
pub(crate) fn ask(world: &mut World, edge: &Edge, text: &str) -> Result<Vec<String>, Error> {
    let chunks = world.run_statement(edge, "db", text)?;
    let lines = chunks.iter().flat_map(|chunk| (0..chunk.rows).map(move |row| line(chunk, row)));
    Ok(lines.collect())
}

fn line(chunk: &SeriesChunk, row: usize) -> String {
    let name = chunk.name.as_deref().unwrap_or_default();
    let tags = chunk.tags.iter().map(|(key, value)| format!(",{key}={value}"));
    let values = chunk.values.iter().map(|column| match column {
        ResultColumn::Time(times_ns) => times_ns[row].to_string(),
        ResultColumn::Values(column) => match column.get(row) {
            Some(value) => format!("{value:?}"),
            None => "null".to_owned(),
        },
        ResultColumn::Filled { column, otherwise } => {
            format!("{:?}", column.get(row).or_else(|| otherwise.get(0)))
        }
        ResultColumn::Null => "null".to_owned(),
    });
    let values: Vec<String> = values.collect();
    format!("{name}{} {}", tags.collect::<String>(), values.join(" "))
}

#[test]
fn written_points_survive_crashes() {
    for shards in [1, 4] {
        let mut world = World::new(1, real_shard::make);
        let (a, b) = (Edge::default(), Edge::default());
        world.run(&a, create("db", shards, None)).unwrap();
        let points: Vec<String> =
            (0..40).map(|n| format!("cpu,host=h{} f={n},s=\"x{n}\" {n}", n % 8)).collect();
        world.run(&a, write("db", &points.join("\n"))).unwrap();
        for round in 0..3 {
            let count = ask(&mut world, &b, "SELECT count(f), sum(f) FROM cpu").unwrap();
            assert_eq!(count, ["cpu 0 Integer(40) Float(780.0)"], "{shards} shards, {round}");
            let rows = ask(&mut world, &b, "SELECT f, s FROM cpu WHERE host = 'h3'").unwrap();
            let expected = (0..5).map(|n| 3 + 8 * n);
            let expected = expected.map(|n| format!("cpu {n} Float({n}.0) String(\"x{n}\")"));
            assert_eq!(rows, expected.collect::<Vec<_>>(), "{shards} shards, {round}");
            let shown = ask(&mut world, &b, "SHOW TAG VALUES WITH KEY = host").unwrap();
            assert_eq!(shown.len(), 8, "{shown:?}");
            for id in world.shard_ids() {
                world.crash(&tidemark_engine::protocol::call::Address::Shard(id));
            }
            if round == 1 {
                world.settle();
            }
        }
    }
}

#[test]
fn equal_columns_share_their_values() {
    let mut world = World::new(3, real_shard::make);
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    world.run(&edge, write("db", "m f=1,s=\"x\" 1\nm f=2 2")).unwrap();
    for text in ["SELECT f, s, f FROM m", "SELECT sum(f), max(f), sum(f) FROM m"] {
        let chunks = world.run_statement(&edge, "db", text).unwrap();
        let [_, ResultColumn::Values(a), ResultColumn::Values(b), ResultColumn::Values(c)] =
            chunks[0].values.as_slice()
        else {
            panic!("{chunks:?}")
        };
        assert!(Rc::ptr_eq(a, c) && !Rc::ptr_eq(a, b), "{text}");
    }
}

#[test]
fn stale_schema_sees_acknowledged_writes() {
    let mut world = World::new(2, real_shard::make);
    let (a, b) = (Edge::default(), Edge::default());
    world.run(&a, create("db", 4, None)).unwrap();
    assert_eq!(ask(&mut world, &b, "SELECT f FROM m").unwrap(), [""; 0]);
    world.run(&a, write("db", "m,host=a f=1 1")).unwrap();
    assert_eq!(ask(&mut world, &b, "SELECT f FROM m").unwrap(), ["m 1 Float(1.0)"]);
    world.run(&a, write("db", "m,host=b g=2 2\nother h=3i 3")).unwrap();
    let both = ["m 1 Float(1.0) null", "m 2 null Float(2.0)"];
    assert_eq!(ask(&mut world, &b, "SELECT f, g FROM m").unwrap(), both);
    assert_eq!(ask(&mut world, &b, "SELECT h FROM other").unwrap(), ["other 3 Integer(3)"]);
    world.run(&a, write("db", "third h=3i 3")).unwrap();
    let shown = ask(&mut world, &b, "SHOW MEASUREMENTS").unwrap();
    assert_eq!(shown.len(), 3, "{shown:?}");
}

/// The default policy has measurements that sort before those of the other policy, so their names
/// are shown first.
#[test]
fn show_over_two_policies_sees_acknowledged_writes() {
    let mut world = World::new(2, real_shard::make);
    let (a, b) = (Edge::default(), Edge::default());
    world.run(&a, create("db", 2, None)).unwrap();
    let policy = "CREATE RETENTION POLICY other ON db DURATION 0s REPLICATION 1";
    ask(&mut world, &a, policy).unwrap();
    world.run(&a, write("db", "a,t=x f=1 1\nb,t=x f=1 1")).unwrap();
    world.run(&a, write_to_other("c,t=x f=1 1")).unwrap();
    let statements =
        ["SHOW MEASUREMENTS", "SHOW TAG KEYS", "SHOW TAG VALUES WITH KEY = t", "SHOW MEASUREMENTS"];
    for (number, text) in statements.into_iter().enumerate() {
        let shown = ask(&mut world, &b, text).unwrap();
        assert_eq!(shown.len(), 3 + number, "{text}: {shown:?}");
        world.run(&a, write_to_other(&format!("d{number},t=x f=1 1"))).unwrap();
        let shown = ask(&mut world, &b, text).unwrap();
        assert_eq!(shown.len(), 4 + number, "{text}: {shown:?}");
    }
}

#[test]
fn select_over_many_measurements_sees_acknowledged_writes() {
    let mut world = World::new(2, real_shard::make);
    let (a, b) = (Edge::default(), Edge::default());
    world.run(&a, create("db", 1, None)).unwrap();
    let policy = "CREATE RETENTION POLICY other ON db DURATION 0s REPLICATION 1";
    ask(&mut world, &a, policy).unwrap();
    let lines: Vec<String> = (0..300).map(|number| format!("a{number} f=1 1")).collect();
    world.run(&a, write("db", &lines.join("\n"))).unwrap();
    world.run(&a, write_to_other("y f=1 1")).unwrap();
    let text = "SELECT count(f) FROM /./, db.other././";
    assert_eq!(ask(&mut world, &b, text).unwrap().len(), 301);
    world.run(&a, write_to_other("z f=1 1")).unwrap();
    assert_eq!(ask(&mut world, &b, text).unwrap().len(), 302);
}

fn write_to_other(lines: &str) -> Task<WriteOutcome> {
    let mut request = write_request("db", lines);
    request.policy = Some("other".to_owned());
    Task::new(|io| async move { write::write(&io, request).await })
}

#[test]
fn recreated_database_starts_empty() {
    let mut world = World::new(3, real_shard::make);
    let (a, b) = (Edge::default(), Edge::default());
    world.run(&a, create("db", 2, None)).unwrap();
    world.run(&a, write("db", "m f=1 1")).unwrap();
    assert_eq!(ask(&mut world, &b, "SELECT f FROM m").unwrap().len(), 1);
    world.run(&a, drop_database("db")).unwrap();
    let missing = Err(Error::DatabaseNotFound("db".into()));
    assert_eq!(ask(&mut world, &b, "SELECT f FROM m"), missing);
    world.run(&a, create("db", 2, None)).unwrap();
    assert_eq!(ask(&mut world, &b, "SELECT f FROM m").unwrap(), [""; 0]);
    world.run(&b, write("db", "m f=\"text\" 1")).unwrap();
    assert_eq!(ask(&mut world, &a, "SELECT f FROM m").unwrap(), ["m 1 String(\"text\")"]);
    world.settle();
    assert_eq!(ask(&mut world, &a, "SELECT f FROM m").unwrap(), ["m 1 String(\"text\")"]);
}
