//! Runs scripts in the test language of Prometheus: the scripts in this folder, and optionally
//! those of Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it stands"
)]

mod case;
mod run;
mod script;

use std::path::{Path, PathBuf};

use case::Outcome;

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "test");
    let mut paths: Vec<_> = entries.filter(is_script).collect();
    paths.sort();
    paths
}

/// Runs a script. Returns the outcome of each case.
fn run_file(path: &Path) -> Vec<(usize, Outcome)> {
    let text = std::fs::read_to_string(path).unwrap();
    run::run(&script::parse(&text))
}

#[test]
fn scripts_pass() {
    let paths = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"));
    assert!(!paths.is_empty());
    let mut failures = vec![];
    for path in paths {
        for (line, outcome) in run_file(&path) {
            if outcome != Outcome::Passed {
                failures.push(format!("{}:{line}: {outcome:?}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The beginnings of failures that are known differences from Prometheus.
const KNOWN_DIFFERENCES: [(&str, &str); 9] = [
    // Labels in this crate are UTF-8.
    ("invalid UTF-8", r#"count_values("a\xc5z", version): expected invalid label name"#),
    // Prometheus' interpreter enables the feature `promql-delayed-name-removal`, which is off by
    // default. With it, the end of the query removes the metric's name, and not each function.
    ("delayed name removal", r#"label_replace(rate({env="1"}[10m])"#),
    ("delayed name removal", r#"label_join(rate({env="1"}[10m])"#),
    ("delayed name removal", r#"sum(rate({env="1"}[10m])) by (env)"#),
    ("delayed name removal", r#"label_replace(sum by (__name__) (rate("#),
    ("delayed name removal", r#"sum by (__name__) (metric_total{env="1"} or rate("#),
    (
        "delayed name removal",
        r#"sum by (__name__) (rate(metric_total{env="2"}[5m]) or metric_total"#,
    ),
    (
        "delayed name removal",
        r#"(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}:"#,
    ),
    (
        "delayed name removal",
        r#"(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}:"#,
    ),
];

fn known_difference(outcome: &Outcome) -> Option<&'static str> {
    let Outcome::Failed(text) = outcome else {
        return None;
    };
    let known = KNOWN_DIFFERENCES.iter().find(|(_, start)| text.starts_with(start));
    known.map(|(reason, _)| *reason)
}

/// Runs the scripts in the folder `PROMETHEUS_SCRIPTS`, and prints the number of outcomes by file.
/// The folder is a copy of `promql/promqltest/testdata` in Prometheus' repository.
#[test]
fn scripts_of_prometheus_pass() {
    let Some(folder) = std::env::var_os("PROMETHEUS_SCRIPTS") else {
        return;
    };
    let mut has_failed = false;
    let mut totals = [0; 3];
    for path in scripts(Path::new(&folder)) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut counts = [0; 3];
        for (line, mut outcome) in run_file(&path) {
            if let Some(reason) = known_difference(&outcome) {
                outcome = Outcome::Skipped(reason.to_owned());
            }
            counts[outcome.index()] += 1;
            match outcome {
                Outcome::Passed => {}
                Outcome::Skipped(reason) => println!("skipped {name}:{line}: {reason}"),
                Outcome::Failed(reason) => {
                    has_failed = true;
                    println!("FAILED {name}:{line}: {reason}");
                }
            }
        }
        let [passed, skipped, failed] = counts;
        println!("{name}: {passed} passed, {skipped} skipped, {failed} failed");
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    let [passed, skipped, failed] = totals;
    println!("all: {passed} passed, {skipped} skipped, {failed} failed");
    assert!(!has_failed);
}
