//! Serves `GET /metrics?db=…`, which formats the series of SHOW STATS for Prometheus, and
//! `GET /metrics/targets`. InfluxDB 1.x has neither.
//!
//! ```text
//! # TYPE tidemark_points_written counter
//! # HELP tidemark_points_written Points accepted.
//! tidemark_points_written_total{database="db",retention_policy="autogen",shard="1"} 20
//! # EOF
//! ```
//!
//! Prometheus scrapes each database separately, because a scrape of all databases would wake all
//! objects at the same time. `/metrics/targets` is the service discovery of Prometheus
//! (`http_sd_configs`). The response lists a target for each database whose metrics the caller may
//! read.

use std::fmt::Write;

use serde::Serialize;

use crate::error::{ApiResult, invalid};
use crate::http::Response;
use crate::latencies::{BOUNDS_NS, DatabaseDurations, Histogram};
use crate::routes::handler::{PendingRequest, Request, json_line};
use tidemark_coordinator::Io;
use tidemark_coordinator::database_lists::list_databases;
use tidemark_coordinator::diagnostics::diagnostics;
use tidemark_coordinator::grants::Principal;
use tidemark_influxql::ast::Statement;
use tidemark_model::grant::PermissionKind;
use tidemark_model::time::S_NS;
use tidemark_model::value::FieldValue;
use tidemark_query::result::{ResultColumn, SeriesChunk};
use tidemark_query::work::Work;
use tidemark_response::accept;

/// The work of writing a line, in the units of [`Work`].
const LINE_WORK: usize = 40;

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let missing = "name the database with the parameter db; /metrics/targets lists the \
                   databases whose metrics the caller may read";
    let database = request.required("db", missing)?;
    let name = database.clone();
    let pending = PendingRequest::with_body(|request, _| async move {
        let exposition = Exposition::negotiate(request.head.header("accept"));
        let statement = Statement::ShowStats { database: Some(name.clone()), module: None };
        let (mut pieces, mut chunks) = (diagnostics(statement), Vec::new());
        while let Some(chunk) = request.io.next(&mut pieces).await? {
            chunks.push(chunk);
        }
        let work = Work::default();
        let text = request.io.in_turns(&work, exposition.families(&chunks, &work)).await?;
        let durations = request.isolate.durations.as_ref();
        let durations = durations.and_then(|all| all.borrow_mut().of(&name));
        let timed = durations.as_ref().map(|own| (name.as_str(), own));
        let failures = request.io.with(|context| context.platform.commit_failures())?;
        let body = exposition.finish(text, timed, failures.map(|failures| failures.count));
        Ok(Response::ok(exposition.content_type(), body))
    });
    Ok(pending.on(&database, None))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own format, 0.0.4, which other scrapers also read.
    Prometheus,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that only increases. The row counts of an object restart at 0 after an eviction.
    Counter,
    /// A value that increases and decreases.
    Gauge,
}

/// The series of SHOW STATS, its column, the metric's name without `_total`, the kind and the help.
pub type Metric = (&'static str, &'static str, &'static str, Kind, &'static str);

/// All metrics. The page `docs/reference/metrics.md` is generated from this table.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    ("database", "diskBytes", "tidemark_database_stored_bytes", Kind::Gauge,
        "Bytes stored in the database's own object."),
    ("database", "lastBackup", "tidemark_last_backup_seconds", Kind::Gauge,
        "Unix time of the last complete scheduled backup; 0 before the first backup."),
    ("database", "numMeasurements", "tidemark_measurements", Kind::Gauge,
        "Measurements of all policies."),
    ("database", "rowsRead", "tidemark_database_storage_rows_read", Kind::Counter,
        "Storage rows billed as read by the database's own object."),
    ("database", "rowsWritten", "tidemark_database_storage_rows_written", Kind::Counter,
        "Storage rows billed as written by the database's own object."),
    ("database", "shardsSilent", "tidemark_shards_silent", Kind::Gauge,
        "Shards that did not respond; their metrics are missing."),
    ("database", "troubles", "tidemark_database_troubles", Kind::Gauge,
        "Failed jobs of the database's own object; SHOW DIAGNOSTICS lists them."),
    ("quota", "allowed", "tidemark_quota_allowed", Kind::Gauge,
        "The configured value of the quota."),
    ("quota", "used", "tidemark_quota_used", Kind::Gauge,
        "The current use of the quota; for a rate, the use in the current minute."),
    ("shard", "writePointsOk", "tidemark_points_written", Kind::Counter,
        "Points accepted."),
    ("shard", "writeReqOk", "tidemark_frames_written", Kind::Counter,
        "Batches accepted: one or more per request for each shard that receives points."),
    ("shard", "rowsRead", "tidemark_storage_rows_read", Kind::Counter,
        "Storage rows billed as read."),
    ("shard", "rowsWritten", "tidemark_storage_rows_written", Kind::Counter,
        "Storage rows billed as written."),
    ("shard", "flushes", "tidemark_flushes", Kind::Counter,
        "Flushes of the memtable to a part."),
    ("shard", "compactions", "tidemark_compactions", Kind::Counter,
        "Merges of parts."),
    ("shard", "diskBytes", "tidemark_stored_bytes", Kind::Gauge,
        "Bytes of storage."),
    ("shard", "memoryBytes", "tidemark_memory_bytes", Kind::Gauge,
        "Bytes held by memtable and caches."),
    ("shard", "parts", "tidemark_parts", Kind::Gauge,
        "Sorted parts in storage."),
    ("shard", "tombstones", "tidemark_pending_deletes", Kind::Gauge,
        "Deletes whose rows still occupy storage."),
    ("shard", "walBytes", "tidemark_wal_bytes", Kind::Gauge,
        "Bytes of the log that are not flushed yet."),
    ("shard", "walFrames", "tidemark_wal_frames", Kind::Gauge,
        "Batches of the log that are not flushed yet."),
    ("shard", "troubles", "tidemark_troubles", Kind::Gauge,
        "Failed jobs and damaged blocks; SHOW DIAGNOSTICS lists them."),
    ("usage", "requests", "tidemark_usage_object_requests", Kind::Gauge,
        "Requests and alarms of the database's objects today and yesterday (UTC)."),
    ("usage", "rowsRead", "tidemark_usage_rows_read", Kind::Gauge,
        "Storage rows billed as read today and yesterday (UTC)."),
    ("usage", "rowsWritten", "tidemark_usage_rows_written", Kind::Gauge,
        "Storage rows billed as written today and yesterday (UTC)."),
    ("usage", "objectSecondsEstimate", "tidemark_usage_object_seconds_estimate", Kind::Gauge,
        "Estimated object time today and yesterday (UTC): 50 ms for each request."),
];

impl Exposition {
    fn negotiate(accept: Option<&str>) -> Self {
        let known = |media_type: String| match media_type.as_str() {
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Some(Self::Prometheus),
            _ => None,
        };
        let accepted = accept::media_types(accept.unwrap_or_default());
        accepted.into_iter().find_map(known).unwrap_or(Self::Prometheus)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Formats the metrics in SHOW STATS. Awaits only [`Work::spend`].
    async fn families(self, chunks: &[SeriesChunk], work: &Work) -> String {
        let mut text = String::new();
        for metric in METRICS {
            self.family(metric, chunks, &mut text, work).await;
        }
        text
    }

    /// Adds the durations of requests, the failed commits and the end.
    fn finish(
        self,
        mut text: String,
        timed: Option<(&str, &DatabaseDurations)>,
        failed_commits: Option<u64>,
    ) -> String {
        if let Some(count) = failed_commits {
            let name = "tidemark_failed_commits";
            let family =
                if self == Self::OpenMetrics { name } else { "tidemark_failed_commits_total" };
            // Writing to a string never fails.
            let _ = write!(
                text,
                "# TYPE {family} counter\n# HELP {family} Failed commits of all databases since the \
                 start of the server.\n{name}_total {count}\n"
            );
        }
        if let Some((database, durations)) = timed {
            let DatabaseDurations { writes, queries } = durations;
            for (what, histogram) in [("write", writes), ("query", queries)] {
                histogram_family(what, database, histogram, &mut text);
            }
        }
        if self == Self::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    async fn family(self, metric: &Metric, chunks: &[SeriesChunk], text: &mut String, work: &Work) {
        let (series, column, name, kind, help) = *metric;
        let (kind, total) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        let family = match self {
            Self::OpenMetrics => name.to_owned(),
            Self::Prometheus => format!("{name}{total}"),
        };
        let mut head = format!("# TYPE {family} {kind}\n# HELP {family} {help}\n");
        for chunk in chunks {
            work.spend(1).await;
            if chunk.name.as_deref() != Some(series) {
                continue;
            }
            for row in 0..chunk.rows {
                work.spend(LINE_WORK).await;
                let Some(FieldValue::Integer(number)) = value(chunk, column, row) else {
                    continue;
                };
                let Some(labels) = labels(chunk, row) else { continue };
                text.push_str(&std::mem::take(&mut head));
                // Writing to a string never fails.
                let _ = writeln!(text, "{name}{total}{labels} {number}");
            }
        }
    }
}

fn histogram_family(what: &str, database: &str, histogram: &Histogram, text: &mut String) {
    let name = format!("tidemark_{what}_duration_seconds");
    let database = format!("database=\"{}\"", escaped(database));
    let mut reached = 0;
    let bounds = BOUNDS_NS.map(seconds).into_iter().chain(["+Inf".to_owned()]);
    let buckets = bounds.zip(histogram.counts).map(|(bound, count)| {
        reached += count;
        format!("{name}_bucket{{{database},le=\"{bound}\"}} {reached}\n")
    });
    let buckets: String = buckets.collect();
    let sum = seconds(i64::try_from(histogram.sum_ns).unwrap_or(i64::MAX));
    // Writing to a string never fails.
    let _ = write!(
        text,
        "# TYPE {name} histogram\n# HELP {name} Seconds from the first byte of the request to the \
         last byte of the response.\n{buckets}{name}_sum{{{database}}} \
         {sum}\n{name}_count{{{database}}} {reached}\n"
    );
}

/// Formats a duration as seconds, such as `0.005` or `2.0`.
fn seconds(duration_ns: i64) -> String {
    let digits = format!("{:09}", duration_ns % S_NS);
    let trimmed = digits.trim_end_matches('0');
    format!("{}.{}", duration_ns / S_NS, if trimmed.is_empty() { "0" } else { trimmed })
}

fn value(chunk: &SeriesChunk, column: &str, row: usize) -> Option<FieldValue> {
    let at = chunk.columns.iter().position(|name| name == column)?;
    match chunk.values.get(at)? {
        ResultColumn::Values(column) => column.get(row),
        _ => None,
    }
}

/// Returns labels such as `{database="db",shard="1"}`. The labels are the tags of the series, the
/// name of a quota's limit and the day of usage. Returns `None` for usage of earlier days.
fn labels(chunk: &SeriesChunk, row: usize) -> Option<String> {
    let tags = chunk.tags.iter().filter_map(|(key, value)| {
        let key = match key.as_str() {
            "id" => "shard",
            "retentionPolicy" => "retention_policy",
            // These two tags only repeat the shard's id.
            "engine" | "path" => return None,
            other => other,
        };
        Some(format!("{key}=\"{}\"", escaped(value)))
    });
    let limit = match value(chunk, "limit", row) {
        Some(FieldValue::String(limit)) => Some(format!("limit=\"{}\"", escaped(&limit))),
        _ => None,
    };
    let day = match chunk.name.as_deref() {
        Some("usage") => match chunk.rows.saturating_sub(row) {
            1 => Some("day=\"today\"".to_owned()),
            2 => Some("day=\"yesterday\"".to_owned()),
            _ => return None,
        },
        _ => None,
    };
    Some(format!("{{{}}}", tags.chain(limit).chain(day).collect::<Vec<_>>().join(",")))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(super) fn begin_targets(request: &Request) -> ApiResult<PendingRequest> {
    let Some(host) = request.head.header("host").map(str::to_owned) else {
        return invalid("the request has no header Host: the list of targets needs this header");
    };
    let principal = request.caller().clone();
    Ok(PendingRequest::run(|io| list(io, host, principal)))
}

async fn list(io: Io, host: String, principal: Principal) -> ApiResult<Response> {
    let mut names = list_databases(&io, None).await?;
    // `GET /metrics` checks the same permission on the whole database.
    let grants = principal.grants.sorted();
    names.retain(|name| grants.covers_all(PermissionKind::Metrics, name));
    names.sort();
    // Labels that begin with two underscores define the request, and `instance` distinguishes the
    // databases of a host. The scrape configuration defines the scheme.
    let target = |name: String| {
        let instance = format!("{host}/{name}");
        let labels = Labels { metrics_path: "/metrics", database: name, instance };
        Target { labels, targets: [&host] }
    };
    let targets: Vec<Target<'_>> = names.into_iter().map(target).collect();
    Ok(json_line(200, &targets))
}

/// A target as the server sends it. Building a JSON value for each database would take much longer.
#[derive(Serialize)]
struct Target<'a> {
    labels: Labels,
    targets: [&'a str; 1],
}

#[derive(Serialize)]
struct Labels {
    #[serde(rename = "__metrics_path__")]
    metrics_path: &'static str,
    #[serde(rename = "__param_db")]
    database: String,
    instance: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::batch::column::Values;
    use tidemark_query::work::{complete, run_measured};

    fn text(
        exposition: Exposition,
        chunks: &[SeriesChunk],
        timed: Option<(&str, &DatabaseDurations)>,
    ) -> String {
        let work = Work::default();
        exposition.finish(complete(exposition.families(chunks, &work), &work), timed, None)
    }

    fn numbers(name: &str, tags: &[(&str, &str)], columns: &[(&str, i64)]) -> SeriesChunk {
        let names: Vec<&str> = columns.iter().map(|&(name, _)| name).collect();
        let values = columns.iter().map(|&(_, number)| Values::Integer(vec![number]));
        let tags = tags.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        SeriesChunk { tags, ..SeriesChunk::of_columns(Some(name), &names, values) }
    }

    #[test]
    fn failed_commits_of_host_are_counted() {
        let name = "tidemark_failed_commits";
        for (exposition, family, end) in [
            (Exposition::OpenMetrics, name.to_owned(), "# EOF\n"),
            (Exposition::Prometheus, format!("{name}_total"), ""),
        ] {
            let text = exposition.finish(String::new(), None, Some(3));
            assert!(
                text.starts_with(&format!("# TYPE {family} counter\n# HELP {family} ")),
                "{text}"
            );
            assert!(text.ends_with(&format!("\n{name}_total 3\n{end}")), "{text}");
        }
    }

    #[test]
    fn metrics_print_in_both_formats() {
        let tags = [("database", "a\"b\\c\nd"), ("engine", "tidemark"), ("id", "3"), ("path", "x")];
        let chunks = [
            numbers("shard", &tags, &[("writePointsOk", 20), ("diskBytes", 4096)]),
            numbers("shard", &[("id", "4")], &[("writePointsOk", 1)]),
        ];
        let open = "\
# TYPE tidemark_points_written counter
# HELP tidemark_points_written Points accepted.
tidemark_points_written_total{database=\"a\\\"b\\\\c\\nd\",shard=\"3\"} 20
tidemark_points_written_total{shard=\"4\"} 1
# TYPE tidemark_stored_bytes gauge
# HELP tidemark_stored_bytes Bytes of storage.
tidemark_stored_bytes{database=\"a\\\"b\\\\c\\nd\",shard=\"3\"} 4096
# EOF
";
        assert_eq!(text(Exposition::OpenMetrics, &chunks, None), open);
        let plain = open
            .replace("# EOF\n", "")
            .replace("TYPE tidemark_points_written ", "TYPE tidemark_points_written_total ")
            .replace("HELP tidemark_points_written ", "HELP tidemark_points_written_total ");
        assert_eq!(text(Exposition::Prometheus, &chunks, None), plain);
    }

    #[test]
    fn many_series_take_several_turns() {
        let series = |id: usize| {
            let id = id.to_string();
            let tags = [("database", "d"), ("id", &*id)];
            numbers("shard", &tags, &[("writePointsOk", 20), ("diskBytes", 4096)])
        };
        let chunks: Vec<SeriesChunk> = (0..10_000).map(series).collect();
        let work = Work::default();
        let families = Exposition::Prometheus.families(&chunks, &work);
        let (text, pauses) = run_measured(&work, LINE_WORK, families);
        assert_eq!(text.lines().count(), 2 * (2 + 10_000));
        assert!(pauses >= 4, "{pauses} pauses");
    }

    #[test]
    fn durations_are_cumulative_buckets_in_seconds() {
        let mut durations = DatabaseDurations::default();
        durations.writes.counts = [4, 0, 1, 0, 0, 0, 0, 2];
        durations.writes.sum_ns = 121_500_000_000;
        let text = text(Exposition::OpenMetrics, &[], Some(("a\"", &durations)));
        let buckets = [
            ("0.005", 4),
            ("0.02", 4),
            ("0.1", 5),
            ("0.5", 5),
            ("2.0", 5),
            ("10.0", 5),
            ("60.0", 5),
            ("+Inf", 7),
        ];
        let name = "tidemark_write_duration_seconds";
        let line =
            |(le, count)| format!("{name}_bucket{{database=\"a\\\"\",le=\"{le}\"}} {count}\n");
        let buckets: String = buckets.map(line).concat();
        let expected = format!(
            "# TYPE {name} histogram\n# HELP {name} Seconds from the first byte of the request to \
             the last byte of the response.\n{buckets}{name}_sum{{database=\"a\\\"\"}} 121.5\n\
             {name}_count{{database=\"a\\\"\"}} 7\n"
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("query_duration_seconds_count{database=\"a\\\"\"} 0\n# EOF\n"));
    }

    #[test]
    fn usage_metrics_cover_two_days() {
        let mut chunk = numbers("usage", &[("database", "d")], &[("requests", 0)]);
        chunk.rows = 3;
        chunk.values = vec![ResultColumn::full(Values::Integer([5, 7, 9].into()))];
        let text = text(Exposition::OpenMetrics, &[chunk], None);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let sample =
            |day, n| format!("tidemark_usage_object_requests{{database=\"d\",day=\"{day}\"}} {n}");
        assert_eq!(samples, [sample("yesterday", 7), sample("today", 9)]);
    }

    #[test]
    fn quota_metrics_name_their_limit() {
        let mut chunk =
            numbers("quota", &[("database", "d"), ("token", "t")], &[("allowed", 5), ("used", 2)]);
        let limit = Values::String(["points_per_minute"].into_iter().collect());
        chunk.columns = ["limit", "allowed", "used"].map(str::to_owned).into();
        chunk.values.insert(0, ResultColumn::full(limit));
        let text = text(Exposition::OpenMetrics, &[chunk], None);
        let labels = "{database=\"d\",token=\"t\",limit=\"points_per_minute\"}";
        assert!(text.contains(&format!("tidemark_quota_allowed{labels} 5\n")), "{text}");
        assert!(text.contains(&format!("tidemark_quota_used{labels} 2\n")), "{text}");
    }

    #[test]
    fn metric_names_follow_conventions() {
        for (.., name, _, help) in METRICS {
            assert!(name.starts_with("tidemark_") && !name.ends_with("_total"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
            let same = METRICS.iter().filter(|other| other.2 == *name).count();
            assert_eq!(same, 1, "{name}");
        }
        let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5";
        assert_eq!(Exposition::negotiate(Some(accept)), Exposition::OpenMetrics);
        assert_eq!(Exposition::negotiate(Some("text/plain")), Exposition::Prometheus);
        let plain = "application/openmetrics-text;q=0.1, text/plain;q=0.9";
        assert_eq!(Exposition::negotiate(Some(plain)), Exposition::Prometheus);
        assert_eq!(Exposition::negotiate(None), Exposition::Prometheus);
    }
}
