//! Runs query scripts (`tests/data/query/README.md`) against any [`Server`], and compares its
//! responses with the recorded responses.

mod answer;
mod compare;
mod json;
mod script;
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use answer::Answer;
use script::{Query, Script, Step, Write};

/// The statuses and bodies are those of HTTP.
pub(crate) trait Server {
    /// Sends `POST /write`. `rp` and `precision` are empty if the script omits them.
    fn write(&mut self, db: &str, rp: &str, precision: &str, body: &str) -> (u16, String);

    fn query(&mut self, request: &QueryRequest) -> (u16, String);

    fn reset(&mut self);

    /// Permits the server to flush and to restart. The results must not change.
    fn drain(&mut self) {}
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryRequest {
    pub(crate) method: &'static str,
    /// The decoded parameters in the order in which they are sent.
    pub(crate) params: Vec<(String, String)>,
    pub(crate) accept: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Failure {
    /// The path is relative to the directory of the run, with `/` as the separator.
    pub(crate) file: String,
    /// The line number is counted from 1.
    pub(crate) line: usize,
    pub(crate) head: String,
    pub(crate) difference: String,
}

#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) files: usize,
    pub(crate) passed: usize,
    pub(crate) failures: Vec<Failure>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failure { file, line, head, difference } in &self.failures {
            writeln!(f, "{file}:{line}: {head}\n    {difference}")?;
        }
        let failed = self.failures.len();
        write!(f, "{} scripts: {} steps passed, {failed} failed", self.files, self.passed)
    }
}

/// Runs every `.test` file at or below `dir` on an empty server, ordered by path. Fails if a file
/// is unreadable or is not a query script.
pub(crate) fn run_dir(server: &mut impl Server, dir: &Path) -> Result<Summary, String> {
    let mut summary = Summary::default();
    for path in script_files(dir)? {
        let relative = path.strip_prefix(dir).unwrap_or(&path);
        let file = relative.to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        run_text(server, &file, &text, &mut summary)?;
    }
    Ok(summary)
}

/// The server must be empty. Fails if the text is not a query script.
pub(crate) fn run_text(
    server: &mut impl Server,
    file: &str,
    text: &str,
    summary: &mut Summary,
) -> Result<(), String> {
    let script = Script::parse(text).map_err(|error| format!("{file}:{error}"))?;
    summary.files += 1;
    server.reset();
    for (line, head, step) in script.steps {
        let verdict = match step {
            Step::Write(write) => play_write(server, &write),
            Step::Query(query) => play_query(server, &query),
            Step::Drain => {
                server.drain();
                continue;
            }
        };
        match verdict {
            Ok(()) => summary.passed += 1,
            Err(difference) => {
                summary.failures.push(Failure { file: file.to_owned(), line, head, difference });
            }
        }
    }
    Ok(())
}

fn play_write(server: &mut impl Server, write: &Write) -> Result<(), String> {
    let (status, body) = server.write(&write.db, &write.rp, &write.precision, &write.body);
    if status == write.status {
        return Ok(());
    }
    Err(format!("the write was answered {status} {}, not {}", body.trim(), write.status))
}

fn play_query(server: &mut impl Server, query: &Query) -> Result<(), String> {
    let (status, body) = server.query(&query.request);
    let actual = Answer::from_http(query.is_text, status, &body)
        .map_err(|error| format!("malformed answer: {error} in {}", body.trim()))?;
    compare::answers(&query.answer, &actual, query.unordered)
}

fn script_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", dir.display()))?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "test") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
