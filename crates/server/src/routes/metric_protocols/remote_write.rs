//! Serves Prometheus remote write.

use super::{bytes_and_permit, malformed, mapping, store, target, writer};
use crate::action::Action;
use crate::content_encoding::Ceiling;
use crate::error::{ApiError, ApiResult};
use crate::http::{RequestHead, Response};
use crate::routes::handler::{BodyBytes, PendingRequest, Request, RequestTarget};
use tidemark_metric_protocols::Mapping;
use tidemark_metric_protocols::remote_write::{self, Version};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::limits::MEDIA_TYPE_CHARS_MAX;
use tidemark_query::work::Work;

const ACCEPTED: &str = "send application/x-protobuf (proto=prometheus.WriteRequest or \
     proto=io.prometheus.write.v2.Request) with Content-Encoding: snappy";

pub(in crate::routes) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let (target, mapping) = (target(request)?, mapping(&request.url)?);
    let version = version(&request.head)?;
    let pending = PendingRequest::stream(move |request, target, body| {
        write(request, target, version, mapping, body)
    });
    Ok(PendingRequest { target: Some(target), ..pending })
}

/// Returns the version that `Content-Type` names. The header with a version number is redundant, so
/// it is ignored.
fn version(head: &RequestHead) -> ApiResult<Version> {
    let excerpt = |text: &str| -> String { text.chars().take(MEDIA_TYPE_CHARS_MAX).collect() };
    let encoding = head.header("content-encoding").unwrap_or_default().trim();
    if !encoding.eq_ignore_ascii_case("snappy") {
        let encoding = excerpt(encoding);
        let text = format!("unsupported content encoding \"{encoding}\": {ACCEPTED}");
        return Err(ApiError::MediaType(text));
    }
    let media_type = head.header("content-type").unwrap_or_default();
    let unsupported = || {
        let media_type = excerpt(media_type);
        ApiError::MediaType(format!("unsupported content type \"{media_type}\": {ACCEPTED}"))
    };
    let mut parts = media_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(unsupported());
    }
    let message = parts.find_map(|part| part.strip_prefix("proto="));
    match message.map(|name| name.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(Version::V1),
        Some("io.prometheus.write.v2.Request") => Ok(Version::V2),
        Some(_) => Err(unsupported()),
    }
}

async fn write(
    request: Request,
    target: RequestTarget,
    version: Version,
    mapping: Mapping,
    body: BodyBytes,
) -> ApiResult<Action> {
    let (compressed, mut permit) = bytes_and_permit(&request, body);
    let message = match compressed.is_empty() {
        true => Vec::new(),
        false => {
            let bytes = remote_write::decompressed_bytes(&compressed).map_err(malformed)?;
            let limit = Limit::BodyBytes;
            let ceiling = Ceiling { limit, bytes: request.settings()?.limits.get(limit) };
            ceiling.check(0, bytes as u64)?;
            permit.grow_to(compressed.len() + bytes)?;
            remote_write::decompress(&compressed).map_err(malformed)?
        }
    };
    drop(compressed);
    let mut samples = writer(&request, mapping, permit, message.len())?;
    let work = Work::default();
    let read = remote_write::read(version, &message, &mut samples, &work);
    request.io.in_turns(&work, read).await??;
    drop(message);
    let database = target.database.clone();
    let stored = store(&request, target, samples.finish()?, true).await?;
    let response = match stored.refusal() {
        None => Response::empty(204),
        Some(refusal) => Response::text(400, &refusal),
    };
    let response = response
        .with_header(
            "X-Prometheus-Remote-Write-Samples-Written",
            stored.outcome.points_written.to_string(),
        )
        .with_header("X-Prometheus-Remote-Write-Histograms-Written", "0")
        .with_header("X-Prometheus-Remote-Write-Exemplars-Written", "0");
    Ok(Action::Respond(stored.with_created(&database, response)))
}
