//! Serves `POST /api/v2/delete?bucket=`, the equivalent of DELETE for one bucket.

mod predicate;

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::{Parameters, Response};
use crate::api::isolate_state::Isolate;
use crate::api::params::{Dialect, WriteParams};
use crate::api::routes::bucket_lookup::BucketLookup;
use crate::api::routes::handler::{
    Admitted, BodyBytes, ImmediateResponder, Incoming, PendingRequest, RequestTarget, Responder,
    run,
};
use crate::coordinator::delete::delete;
use crate::coordinator::load_schemas::Want;
use crate::influxql::ast::{
    BinaryOp, Cast, DeleteStatement, Expr, Measurement, MeasurementName, Source, Statement,
};
use crate::influxql::time_literal::{self, InvalidTime};
use crate::model::time::{MAX_TIME_NS, MIN_TIME_NS};
use predicate::Comparison;

const MEASUREMENT: &str = "_measurement";

#[derive(Debug, Deserialize)]
struct Body {
    start: Option<String>,
    stop: Option<String>,
    #[serde(default)]
    predicate: Option<String>,
}

/// Parses the request of `POST /api/v2/delete`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let url = request.url;
    let bucket = url.filled("bucket").or_else(|| url.filled("bucketID"));
    let named = bucket.map(|bucket| ("bucket".to_owned(), bucket.to_owned()));
    let named = Parameters::from_pairs(named.into_iter().collect());
    let WriteParams { database, policy, .. } = WriteParams::parse(Dialect::V2, &named)?;
    let lookup = BucketLookup::by_id(&database).filter(|_| policy.is_none());
    let target = Some(RequestTarget { database, policy });
    Ok(PendingRequest { target, lookup, ..PendingRequest::new(start) })
}

fn start(
    mut admitted: Admitted<'_>,
    isolate: &mut Isolate<'_>,
    body: BodyBytes,
) -> ApiResult<Box<dyn Responder>> {
    let RequestTarget { database, policy } = admitted.take_target()?;
    let body: Body = body.json()?;
    // A range that lies outside the permitted times is empty.
    let start_ns = time_ns("start", body.start, MIN_TIME_NS..=i64::MAX)?;
    let stop_ns = time_ns("stop", body.stop, i64::MIN..=MAX_TIME_NS)?;
    let comparisons = predicate::parse(body.predicate.as_deref().unwrap_or_default())?;
    let done = Response::empty(204);
    let Some(statement) = statement(comparisons, start_ns, stop_ns)? else {
        return Ok(ImmediateResponder::boxed(done));
    };
    let (statement, want) = (Statement::Delete(statement), Want::Policy(policy));
    let task = delete(statement, database, want, isolate.now_ns());
    Ok(run(|io| async move {
        io.run(task).await?;
        Ok(done)
    }))
}

/// Returns the DELETE statement for a predicate. Both ends of the time range are inclusive, and a
/// comparison of a missing tag is false, as in 2.x. Returns `None` if no point can match, because the
/// predicate names two measurements or compares with an empty text, or the time range is empty.
fn statement(
    comparisons: Vec<Comparison>,
    start_ns: i64,
    stop_ns: i64,
) -> ApiResult<Option<DeleteStatement>> {
    if comparisons.iter().any(|c| c.key.contains('\0') || c.value.contains('\0')) {
        let reason = "the predicate contains a control character: remove the byte 0";
        return Err(ApiError::Invalid(reason.to_owned()));
    }
    if let Some(Comparison { key, .. }) = comparisons.iter().find(|c| is_reserved(&c.key)) {
        let reason = "a delete removes whole points: select them by measurement and tags, and by \
                      time with start and stop";
        return Err(ApiError::Invalid(format!("the key {key} is not supported: {reason}")));
    }
    if comparisons.iter().any(|c| c.key == MEASUREMENT && c.negated) {
        let reason = "the operator != is not supported for _measurement: delete from one \
                      measurement at a time";
        return Err(ApiError::Invalid(reason.to_owned()));
    }
    let mut measurements = comparisons.iter().filter(|c| c.key == MEASUREMENT).map(|c| &c.value);
    let measurement = measurements.next();
    let is_contradiction = measurements.any(|other| Some(other) != measurement);
    let equals_nothing = comparisons.iter().any(|c| !c.negated && c.value.is_empty());
    if is_contradiction || equals_nothing || start_ns > stop_ns {
        return Ok(None);
    }
    let name = measurement.map(|name| MeasurementName::Name(name.clone()));
    let source =
        name.map(|name| Source::Measurement(Measurement { database: None, policy: None, name }));
    let time = |op, ns| Expr::binary(op, Expr::var_ref("time"), Expr::IntegerLiteral(ns));
    let mut conditions = vec![time(BinaryOp::Ge, start_ns), time(BinaryOp::Le, stop_ns)];
    for Comparison { key, value, negated } in comparisons {
        if key == MEASUREMENT {
            continue;
        }
        // With the cast, the key never selects a field.
        let tag = Expr::VarRef { name: key, cast: Some(Cast::Tag) };
        if negated {
            let absent = Expr::StringLiteral(String::new());
            conditions.push(Expr::binary(BinaryOp::Ne, tag.clone(), absent));
        }
        let op = if negated { BinaryOp::Ne } else { BinaryOp::Eq };
        conditions.push(Expr::binary(op, tag, Expr::StringLiteral(value)));
    }
    let condition = all_of(&conditions);
    Ok(Some(DeleteStatement { sources: source.into_iter().collect(), condition }))
}

/// Joins the conditions with AND. The tree is balanced, so that recursive walks need little stack.
fn all_of(conditions: &[Expr]) -> Option<Expr> {
    let (left, right) = match conditions {
        [] | [_] => return conditions.first().cloned(),
        _ => conditions.split_at(conditions.len() / 2),
    };
    all_of(left).zip(all_of(right)).map(|(left, right)| Expr::binary(BinaryOp::And, left, right))
}

/// Whether InfluxQL or 2.x does not treat a key as a tag. InfluxQL treats `_name` as the
/// measurement.
fn is_reserved(key: &str) -> bool {
    matches!(key, "_field" | "_value" | "_time" | "_name") || key.eq_ignore_ascii_case("time")
}

/// A time outside the permitted range becomes an end of `limits`. Clients send such times to select
/// all points.
fn time_ns(name: &str, text: Option<String>, limits: RangeInclusive<i64>) -> ApiResult<i64> {
    match time_literal::parse(text.as_deref().unwrap_or_default(), |_| 0) {
        Ok(time_ns) => Ok(time_ns),
        Err(InvalidTime::Overflow(_)) => Ok(*limits.end()),
        Err(InvalidTime::Underflow(_)) => Ok(*limits.start()),
        Err(InvalidTime::Syntax) => Err(ApiError::Invalid(format!(
            "invalid RFC3339Nano for field {name}, please format your time with RFC3339Nano \
             format, example: 2009-01-02T23:00:00Z"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(predicate: &str) -> Result<Option<String>, String> {
        let comparisons = predicate::parse(predicate).map_err(|e| e.to_string())?;
        let statement = statement(comparisons, -5, 7).map_err(|e| e.to_string())?;
        Ok(statement.map(|statement| Statement::Delete(statement).to_string()))
    }

    #[test]
    fn delete_predicate_becomes_statement() {
        for (predicate, expected) in [
            ("", "DELETE WHERE time >= -5 AND time <= 7"),
            ("_measurement=m", "DELETE FROM m WHERE time >= -5 AND time <= 7"),
            (
                "_measurement=\"a \\\"b\\\"\" AND host='it\\'s' and (\"k\"=1.5)",
                "DELETE FROM \"a \\\"b\\\"\" WHERE time >= -5 AND time <= 7 AND \
                 host::tag = 'it\\'s' AND k::tag = '1.5'",
            ),
            ("k!=v", "DELETE WHERE time >= -5 AND time <= 7 AND k::tag != '' AND k::tag != 'v'"),
            ("_measurement=m AND _measurement=m", "DELETE FROM m WHERE time >= -5 AND time <= 7"),
        ] {
            assert_eq!(parsed(predicate), Ok(Some(expected.to_owned())), "{predicate}");
        }
        assert_eq!(parsed("_measurement=a AND _measurement=b"), Ok(None));
        assert_eq!(parsed("k=\"\""), Ok(None));
        assert!(parsed("_measurement!=a").unwrap_err().contains("!= is not supported"));
        for key in ["_field", "_value", "_time", "_name", "time", "TIME"] {
            let reason = parsed(&format!("{key}=\"v\"")).unwrap_err();
            assert!(reason.starts_with(&format!("the key {key} is not supported: ")), "{reason}");
        }
    }
}
