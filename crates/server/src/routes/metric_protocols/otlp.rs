//! Serves OTLP metrics over HTTP.

use super::{bytes_and_permit, malformed, mapping, store, target, writer};
use crate::action::Action;
use crate::content_encoding;
use crate::error::{ApiError, ApiResult};
use crate::http::{Parameters, RequestHead, Response};
use crate::params::ParamsError;
use crate::routes::handler::{BodyBytes, PendingRequest, Request, RequestTarget};
use tidemark_metric_protocols::Mapping;
use tidemark_metric_protocols::otlp::{self, Encoding, Options, ResourceTags};
use tidemark_model::configurable_limits::Exceeded;
use tidemark_model::limits::{MEDIA_TYPE_CHARS_MAX, OTLP_JSON_BYTES_MAX};
use tidemark_query::work::Work;

pub(in crate::routes) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let (target, mapping) = (target(request)?, mapping(&request.url)?);
    let options = options(&request.url)?;
    let media_type = request.head.header("content-type").unwrap_or_default();
    let encoding = encoding(&request.head).ok_or_else(|| {
        let media_type: String = media_type.chars().take(MEDIA_TYPE_CHARS_MAX).collect();
        ApiError::MediaType(format!(
            "unsupported content type \"{media_type}\": send application/x-protobuf or \
             application/json, plain or with Content-Encoding: gzip"
        ))
    })?;
    content_encoding::is_gzip(request.head.header("content-encoding"))?;
    let pending = PendingRequest::stream(move |request, target, body| {
        write(request, target, encoding, mapping, options, body)
    });
    Ok(PendingRequest { target: Some(target), ..pending })
}

/// Returns the encoding of a request; `None` for an unknown media type.
pub(crate) fn encoding(head: &RequestHead) -> Option<Encoding> {
    let kind = head.header("content-type")?.split(';').next()?.trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

/// Parses the parameters that select the rules of the conversion.
fn options(url: &Parameters) -> ApiResult<Options> {
    Ok(Options {
        keeps_names: choice(url, "names", "prometheus", "keep")?,
        resource_tags: match url.filled("resource_attributes") {
            Some("*") => ResourceTags::All,
            keys => {
                let keys = keys.into_iter().flat_map(|keys| keys.split(','));
                ResourceTags::Named(keys.map(|key| key.trim().to_owned()).collect())
            }
        },
        has_scope_tags: !choice(url, "scope_attributes", "true", "false")?,
        keeps_integers: choice(url, "integers", "float", "keep")?,
    })
}

/// Whether a parameter has the value `other` instead of `default`.
fn choice(
    url: &Parameters,
    name: &'static str,
    default: &'static str,
    other: &'static str,
) -> ApiResult<bool> {
    match url.filled(name) {
        None => Ok(false),
        Some(value) if value == default => Ok(false),
        Some(value) if value == other => Ok(true),
        Some(value) => {
            let expected = format!("{default} or {other}");
            Err(ParamsError::Value { name, value: value.to_owned(), expected }.into())
        }
    }
}

async fn write(
    request: Request,
    target: RequestTarget,
    encoding: Encoding,
    mapping: Mapping,
    options: Options,
    body: BodyBytes,
) -> ApiResult<Action> {
    let (mut message, mut permit) = bytes_and_permit(&request, body);
    if encoding == Encoding::Json {
        if message.len() > OTLP_JSON_BYTES_MAX {
            let (fault, name) = ("the JSON body is too large", "OTLP_JSON_BYTES_MAX");
            let exceeded = Exceeded::fixed(fault, name, OTLP_JSON_BYTES_MAX, message.len());
            return Err(content_encoding::BodyError::TooLarge(exceeded).into());
        }
        // The protobuf is shorter than the JSON, but the nested messages exist twice for a moment.
        permit.grow_to(3 * message.len())?;
        message = otlp::to_protobuf(&message).map_err(malformed)?;
    }
    let mut samples = writer(&request, mapping, permit, message.len())?;
    let work = Work::default();
    let read = otlp::read(&message, &options, &mut samples, &work);
    let points = request.io.in_turns(&work, read).await??;
    drop(message);
    let database = target.database.clone();
    let stored = store(&request, target, samples.finish()?, false).await?;
    // A histogram is one data point, but has many samples.
    let rejected = stored.refusal().map(|text| (stored.rejected_samples().min(points), text));
    let response = Response::ok(encoding.media_type(), encoding.success(rejected));
    Ok(Action::Respond(stored.with_created(&database, response)))
}
