//! Serves `/api/v3/configure/table`: creates and deletes tables, as InfluxDB 3 does. A table is a
//! measurement.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::Response;
use crate::routes::databases::check_deletes_immediately;
use crate::routes::handler::{PendingRequest, Request, json_line};
use tidemark_coordinator::Io;
use tidemark_coordinator::create_drop::{Change, execute};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::load_schemas::{Load, SchemaSelection};
use tidemark_engine::protocol::database::{ColumnSet, FromDatabase, RegisterRefusal, ToDatabase};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_model::name::{NameKind, check_writable};
use tidemark_model::value::FieldType;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    table: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    fields: Vec<Field>,
    /// A setting of InfluxDB 3 Enterprise. Only null is permitted.
    retention_period: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    field_type: NamedType,
}

/// A field type, with the names of InfluxDB 3.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NamedType {
    Utf8,
    Int64,
    UInt64,
    Float64,
    Bool,
}

impl From<NamedType> for FieldType {
    fn from(named: NamedType) -> Self {
        match named {
            NamedType::Utf8 => Self::String,
            NamedType::Int64 => Self::Integer,
            NamedType::UInt64 => Self::Unsigned,
            NamedType::Float64 => Self::Float,
            NamedType::Bool => Self::Boolean,
        }
    }
}

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    if request.head.method == "DELETE" {
        let database = request.required("db", "name the database with the parameter db")?;
        let table = request.required("table", "name the table with the parameter table")?;
        if request.url.get("data_only") == Some("true") {
            return invalid(
                "data_only is not supported: delete the data with DELETE FROM at /query, which \
                 keeps the table",
            );
        }
        check_deletes_immediately(&request.url, "table")?;
        return Ok(PendingRequest::run(|io| delete(io, database, table)));
    }
    Ok(PendingRequest::with_body(|request, body| async move {
        let body: Body = body.json()?;
        create(request.io, body.db.clone(), body.columns()?).await
    }))
}

impl Body {
    /// Returns the columns to register. Line protocol must permit every name.
    fn columns(self) -> ApiResult<ColumnSet> {
        if self.retention_period.is_some() {
            return invalid(
                "a table has no retention_period: set the retention_period of its database",
            );
        }
        let check = |name: &str, kind| {
            check_writable(name, kind).or_else(|error| invalid(error.to_string()))
        };
        check(&self.table, NameKind::Measurement)?;
        let tags = self.tags.iter().map(|key| (key, NameKind::TagKey));
        let fields = self.fields.iter().map(|field| (&field.name, NameKind::FieldKey));
        let mut keys = HashSet::new();
        for (key, kind) in tags.chain(fields) {
            check(key, kind)?;
            if !keys.insert(key.clone()) {
                return invalid(format!("the request contains the column \"{key}\" twice"));
            }
        }
        let field = |field: Field| (field.name, FieldType::from(field.field_type));
        let fields = self.fields.into_iter().map(field).collect();
        Ok(ColumnSet { measurement: self.table, tags: self.tags, fields })
    }
}

/// Registers the columns in the default policy.
async fn create(io: Io, database: String, columns: ColumnSet) -> ApiResult<Response> {
    let loaded = Load::from_owner(&database, SchemaSelection::Policy(None)).run(&io).await?;
    let (policy, schema) = loaded.policy().ok_or_else(Error::unexpected_reply)?;
    let table = columns.measurement.clone();
    if schema.measurements.contains_key(&table) {
        return Err(ApiError::Conflict(format!("table \"{table}\" already exists")));
    }
    let (sets, generation) = (vec![columns], loaded.description.generation);
    let message = ToDatabase::Register { policy: policy.id, sets, generation };
    let reply = io.call_database(&loaded.object, &message).await;
    // The cached state may be outdated even after an error.
    io.with(|context| context.cache.forget(&database))?;
    let refusals = match reply? {
        FromDatabase::Registered { refusals, .. } => refusals,
        // The policy was dropped.
        FromDatabase::UnknownPolicy => return Err(Error::from(Unavailable::Changing).into()),
        reply => return Err(Error::from(reply).into()),
    };
    match refusals.into_iter().flatten().next() {
        None => Ok(json_line(200, &json!({ "db": database, "table": table }))),
        // A concurrent write created the table.
        Some(refusal @ RegisterRefusal::TypeConflict { .. }) => {
            Err(ApiError::Conflict(refusal.to_string()))
        }
        Some(refusal) => Err(ApiError::Limit(refusal.to_string())),
    }
}

async fn delete(io: Io, database: String, table: String) -> ApiResult<Response> {
    let loaded = Load::from_owner(&database, SchemaSelection::All).run(&io).await?;
    if !loaded.schemas.iter().any(|(_, schema)| schema.measurements.contains_key(&table)) {
        return Err(ApiError::NotFound(format!("table not found: \"{table}\"")));
    }
    let message = ToDatabase::DropMeasurement { name: table.clone() };
    execute(&io, Change::within(&database, message)).await?;
    Ok(json_line(200, &json!({ "db": database, "table": table })))
}
