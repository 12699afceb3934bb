//! Generates the page of metrics and alerts from the table of metrics and from the rules for Prometheus.

use tidemark_server::routes::metrics::{Kind, METRICS};

use crate::markdown::{code, generated_by, table};
use crate::repository::text;

const INTRODUCTION: &str = r#"# Metrics and alerts

This page is for operators who monitor Tidemark with Prometheus. [Alerting](../guides/alerting.md) describes the setup.

## Metrics

`GET /metrics?db=mydb` returns these metrics. The name of a counter ends with `_total` in the output. Counters of the database's own object restart at zero when the object starts again.
"#;

const DURATIONS: &str = r#"The native program also returns `tidemark_failed_commits_total`, the number of failed commits of all databases since the start of the
program. `/health` contains the cause while the last commit failed.

With `COUNT_DURATIONS`, the default of the native program with one thread, the response also contains the histograms `tidemark_write_duration_seconds` and
`tidemark_query_duration_seconds` with the label `database`. The histograms measure the time from the first byte of a request to the last byte of the response.
"#;

const ALERTS: &str = "## Alerts

[`alerts.yml`](../../examples/prometheus/alerts.yml) contains these rules. The annotation `runbook_url` of each alert links to the alert's section on this page.
";

/// Returns the labels of each series of SHOW STATS.
fn labels(series: &str) -> &'static [&'static str] {
    match series {
        "database" => &["database"],
        "quota" => &["database", "limit", "token", "user"],
        "shard" => &["database", "retention_policy", "shard"],
        "usage" => &["database", "day"],
        other => panic!("no labels for {other}"),
    }
}

/// Returns what the table in OPERATING.md says about an alert.
fn action<'a>(page: &'a str, alert: &str) -> &'a str {
    let start = format!("| `{alert}` | ");
    let row = page.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix(" |"));
    row.unwrap_or_else(|| panic!("docs/OPERATING.md has no action for {alert}"))
}

/// Returns the value of a key in one rule of alerts.yml. A value after `>` is on the following lines, up to the key
/// `for:`.
fn value(rule: &str, key: &str) -> String {
    let mut lines = rule.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(key));
    match value.unwrap_or_else(|| panic!("alerts.yml: no {key} in {rule}")).trim() {
        ">" => lines.take_while(|line| !line.starts_with("for:")).collect::<Vec<_>>().join(" "),
        value => value.to_owned(),
    }
}

pub(crate) fn page() -> String {
    let rows = METRICS.iter().map(|(series, _, name, kind, help)| {
        let name =
            if *kind == Kind::Counter { format!("{name}_total") } else { (*name).to_owned() };
        let labels: Vec<String> = labels(series).iter().map(|label| code(label)).collect();
        vec![code(&name), format!("{kind:?}").to_lowercase(), labels.join(", "), (*help).to_owned()]
    });
    let table = table(&["metric", "type", "labels", "meaning"], rows.collect());
    let mut parts = [
        generated_by("the code and the alert rules"),
        INTRODUCTION.to_owned(),
        table,
        DURATIONS.to_owned(),
        ALERTS.to_owned(),
    ]
    .to_vec();
    let (rules, operating) = (text("examples/prometheus/alerts.yml"), text("docs/OPERATING.md"));
    for rule in rules.split("- alert:").skip(1) {
        let alert = rule.lines().next().unwrap_or_default().trim();
        let (condition, period) = (value(rule, "expr:"), value(rule, "for:"));
        let action = action(&operating, alert).replace("](#", "](../OPERATING.md#");
        parts.push(format!("### {alert}\n\n```text\n{condition}\n```\n\nThe condition must be true for {period}. {action}\n"));
    }
    parts.join("\n")
}
