//! Runs scripts in the test language of Prometheus: the scripts in this folder, and optionally
//! those of Prometheus.

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
    for path in paths {
        for (line, outcome) in run_file(&path) {
            assert_eq!(outcome, Outcome::Passed, "{}:{line}", path.display());
        }
    }
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
        for (line, outcome) in run_file(&path) {
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
