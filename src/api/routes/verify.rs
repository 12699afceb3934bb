//! Serves `POST /debug/verify?db=…[&resume=…]`, which verifies the checksums of a database. Each
//! request does a bounded amount of work.

use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::coordinator::Io;
use crate::coordinator::verify::{Resume, verify};

/// Parses the request of `POST /debug/verify`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let database = request.required("db", "database is required")?;
    let start = request.url.filled("resume").map(|text| {
        parse(text).ok_or_else(|| {
            let hint = "use the value of resume in the previous response, or omit resume to start";
            ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
        })
    });
    let start = start.transpose()?;
    Ok(PendingRequest::run(move |io| run(io, database, start)))
}

async fn run(io: Io, database: String, start: Option<Resume>) -> ApiResult<Response> {
    let report = io.run(verify(&database, start)).await?;
    let damaged: Vec<Value> =
        report.damaged.iter().map(|(shard, block)| json!([shard, block])).collect();
    let body = json!({
        "db": database,
        "blocks": report.blocks,
        "bytes": report.bytes,
        "damaged": damaged,
        "resume": report.resume.map(print),
    });
    Ok(json_line(200, &body))
}

fn print((shard, page): Resume) -> String {
    page.map_or_else(|| shard.to_string(), |page| format!("{shard}.{page}"))
}

fn parse(text: &str) -> Option<Resume> {
    match text.split_once('.') {
        None => Some((text.parse().ok()?, None)),
        Some((shard, page)) => Some((shard.parse().ok()?, Some(page.parse().ok()?))),
    }
}
