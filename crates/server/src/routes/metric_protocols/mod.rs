//! Serves the metric protocols: selects the database, and passes the decoded samples to the write
//! path of line protocol.

pub(crate) mod otlp;
pub(super) mod remote_write;

use crate::error::{ApiError, ApiResult};
use crate::headers::CREATED;
use crate::http::{Parameters, Response};
use crate::params::ParamsError;
use crate::routes::handler::{BodyBytes, Request, RequestTarget};
use crate::routes::write::{self, StoreOptions, created_header};
use tidemark_coordinator::write::WriteOutcome;
use tidemark_metric_protocols::{
    DecodeError, Malformed, Mapping, Refused, SampleWriter, WrittenSamples,
};
use tidemark_model::grant::PermissionKind;
use tidemark_model::limits::REJECTED_LINES_NAMED_MAX;
use tidemark_model::name;
use tidemark_query::admission::Permit;

/// Returns the database of a write: the parameter `db` (with `rp`) or `bucket`, or the only database
/// to which the caller may write.
fn target(request: &Request) -> ApiResult<RequestTarget> {
    let url = &request.url;
    let caller = request.caller();
    let (database, policy) = match (url.filled("db"), url.filled("bucket")) {
        (Some(database), _) => (database, url.filled("rp")),
        (None, Some(bucket)) => name::split_bucket(bucket),
        (None, None) => {
            let only = caller.grants.only_database(PermissionKind::Write);
            (only.ok_or(ParamsError::MissingTarget)?, url.filled("rp"))
        }
    };
    name::check(database)
        .map_err(|reason| ParamsError::DatabaseName { name: database.to_owned(), reason })?;
    let policy = policy.filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(RequestTarget { database: database.to_owned(), policy, policy_id: None })
}

/// Returns the mapping that the parameter `metric` selects.
fn mapping(url: &Parameters) -> ApiResult<Mapping> {
    let Some(value) = url.filled("metric") else { return Ok(Mapping::default()) };
    let (name, expected) = ("metric", "measurement or field".to_owned());
    let unknown = || ParamsError::Value { name, value: value.to_owned(), expected };
    Ok(Mapping::of_name(value).ok_or_else(unknown)?)
}

/// Returns the body, and the permit for its memory.
fn bytes_and_permit(request: &Request, body: BodyBytes) -> (Vec<u8>, Permit) {
    let (bytes, permit) = body.into_parts();
    let database = request.record.borrow().database.clone().unwrap_or_default();
    (bytes, permit.unwrap_or_else(|| request.isolate.admission.permit_for(&database)))
}

/// Returns the writer of a body of `input_bytes`.
fn writer(
    request: &Request,
    mapping: Mapping,
    permit: Permit,
    input_bytes: usize,
) -> ApiResult<SampleWriter> {
    let (seed, limits) = (request.isolate.hash_seed, request.settings()?.limits);
    Ok(SampleWriter::new(mapping, permit, input_bytes, seed, limits))
}

fn malformed(error: Malformed) -> ApiError {
    ApiError::Invalid(error.to_string())
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(error) => malformed(error),
            DecodeError::Overloaded(error) => error.into(),
        }
    }
}

/// The result of a write of samples.
struct Stored {
    outcome: WriteOutcome,
    refused: Refused,
    /// The series and the causes of the first samples that are not stored.
    named: Vec<(String, String)>,
}

/// Stores the samples of a body. `drops_429` is a member of [`StoreOptions`].
async fn store(
    request: &Request,
    target: RequestTarget,
    samples: WrittenSamples,
    drops_429: bool,
) -> ApiResult<Stored> {
    let WrittenSamples { batch, mut refused, permit: _permit, series } = samples;
    let mut outcome = WriteOutcome::default();
    if !batch.measurements.is_empty() {
        let options = StoreOptions { all_or_nothing: false, drops_429, may_create: true };
        outcome = write::store(request, target, batch, options).await?;
    }
    let mut named = std::mem::take(&mut refused.named);
    let rejected = outcome.rejected.named.iter();
    named
        .extend(rejected.map(|line| (series.get(line.line).to_owned(), write::cause(&line.cause))));
    named.truncate(REJECTED_LINES_NAMED_MAX);
    let stored = Stored { outcome, refused, named };
    let refusal = stored.refusal().is_some().then_some("rejected samples");
    request.log_write(stored.outcome.points_written, refusal);
    Ok(stored)
}

impl Stored {
    /// Returns the number of samples that are not stored.
    fn rejected_samples(&self) -> u64 {
        self.refused.samples + self.outcome.rejected.total
    }

    /// Describes the data that is not stored, in one line; `None` if everything is stored.
    fn refusal(&self) -> Option<String> {
        let Refused { exemplars, histograms, .. } = self.refused;
        let (stored, samples) = (self.outcome.points_written, self.rejected_samples());
        let mut parts = Vec::new();
        for (count, what) in [
            (samples, "samples rejected"),
            (exemplars, "exemplars rejected (exemplars are not supported)"),
            (histograms, "native histograms rejected (send classic histograms)"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if parts.is_empty() {
            return None;
        }
        let named = self.named.iter().map(|(series, cause)| format!("; {series}: {cause}"));
        Some(format!("{stored} samples stored, {}{}", parts.join(", "), named.collect::<String>()))
    }

    /// Adds the header that names a created database.
    fn with_created(&self, database: &str, response: Response) -> Response {
        match &self.outcome.created {
            Some(created) => response.with_header(CREATED, created_header(database, created)),
            None => response,
        }
    }
}
