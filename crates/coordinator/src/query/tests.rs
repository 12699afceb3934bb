//! Tests how a query is planned.

use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::Task;
use crate::cache::Cache;
use crate::grants::Principal;
use tidemark_engine::protocol::call::{Reply, Step};
use tidemark_engine::protocol::catalog::FromCatalog;
use tidemark_engine::protocol::database::{Description, FromDatabase};
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_influxql::bound_params::Params;
use tidemark_model::ids::{ColumnId, ObjectId, PolicyId};
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark_model::shard_map::Policy;
use tidemark_model::value::FieldType;
use tidemark_query::admission::QueryMemory;

const POLICY: PolicyId = PolicyId(1);

fn object() -> ObjectId {
    ObjectId("database".to_owned())
}

fn description() -> Description {
    Description {
        policies: vec![Policy { id: POLICY, ..Policy::default() }],
        default_policy: Some(POLICY),
        schema_versions: vec![1],
        ..Description::default()
    }
}

/// A schema whose columns are more than a turn of work.
fn large_schema() -> PolicySchema {
    let kind = ColumnKind::Field(FieldType::Float);
    let column = |id| ColumnDefinition { id: ColumnId(id), key: format!("f{id}"), kind };
    let measurement = Arc::new(MeasurementSchema {
        name: "m".to_owned(),
        columns: (0..1_000).map(column).collect(),
        ..MeasurementSchema::default()
    });
    let measurements = (0..250).map(|n| (format!("m{n}"), Arc::clone(&measurement)));
    PolicySchema { version: 1, loaded_version: 1, measurements: measurements.collect() }
}

#[test]
fn rejected_query_pauses_and_is_planned_once() {
    let mut cache = Cache::default();
    cache.put_database("db", object(), description());
    cache.put_schema(&object(), POLICY, Rc::new(large_schema()));
    let parsed = tidemark_influxql::parse("SELECT * FROM /m/", &Params::default()).unwrap().pop();
    let Some(Statement::Select(select)) = parsed else { panic!("{parsed:?}") };
    let (database, principal) = (Some("db".to_owned()), Principal::admin());
    let session = Session { database, principal, ..Session::default() };
    let mut query = Query::select(*select, session).unwrap().execute();
    let mut query = Task::new(|io| async move { io.next(&mut query).await });
    let (queries, platform) = (QueryMemory::default(), LocalPlatform::at(7));
    let (mut called, mut reply) = (Vec::new(), None);
    let result = loop {
        let (cache, queries, platform) = (&mut cache, &queries, &platform);
        let mut context = Context { cache, queries, platform };
        let call = match query.step(&mut context, reply.take()) {
            Step::Calls(mut calls) => calls.pop().unwrap(),
            Step::Done(result) => break result,
        };
        let bytes = match call.to {
            Address::Catalog => envelope::encode(&FromCatalog::Resolved { object: Some(object()) }),
            Address::Database(_) => envelope::encode(&FromDatabase::Description(description())),
            _ => Vec::new(),
        };
        reply = Some(Reply { id: call.id, result: Ok(bytes) });
        called.push(call.to);
    };
    assert_eq!(result.err(), Some(Error::from(QueryError::PlanTooLarge)));
    // The comparison of the types and the plan each read 250,000 columns, in sixteen turns
    // together. A second plan would pause again after the call of the Database.
    let mut expected = vec![Address::Timer { ms: 0 }; 15];
    expected.extend([Address::Catalog, Address::Database(object())]);
    assert_eq!(called, expected);
}
