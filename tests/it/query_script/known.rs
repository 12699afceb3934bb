//! Reads a list of known failures in the repository. Failures may only be removed from the list.
//!
//! Each line is `FILE` (a step in the file fails), `FILE: HEAD` (this step fails) or a `#` comment.

use std::collections::BTreeSet;
use std::path::Path;

use super::Summary;

/// With `UPDATE=1` in the environment, removes the steps that pass from the list. The error lists
/// unexpected failures and unexpected successes.
pub(crate) fn check_known(summary: &Summary, path: &Path) -> Result<(), String> {
    let listed = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (unlisted, passing) = against(summary, &listed);
    if !passing.is_empty() && std::env::var_os("UPDATE").is_some() {
        let keep = listed.lines().filter(|line| !passing.contains(line));
        let text: String = keep.map(|line| format!("{line}\n")).collect();
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    } else if !passing.is_empty() {
        let lines: Vec<_> = passing.into_iter().collect();
        return Err(format!("these pass: UPDATE=1 strikes them off\n{}", lines.join("\n")));
    }
    if unlisted.is_empty() { Ok(()) } else { Err(format!("not listed:\n{}", unlisted.join("\n"))) }
}

/// Returns the failures that are not listed, and the listed lines that have no failure.
pub(super) fn against<'a>(summary: &Summary, listed: &'a str) -> (Vec<String>, BTreeSet<&'a str>) {
    let is_entry = |line: &&str| !(line.is_empty() || line.starts_with('#'));
    let mut passing: BTreeSet<&str> = listed.lines().filter(is_entry).collect();
    let entries = passing.clone();
    let mut unlisted = Vec::new();
    for failure in &summary.failures {
        let step = format!("{}: {}", failure.file, failure.head);
        let names = [failure.file.as_str(), step.as_str()];
        if !names.iter().any(|name| entries.contains(name)) {
            unlisted.push(format!("{step}\n    line {}: {}", failure.line, failure.difference));
        }
        for name in names {
            passing.remove(name);
        }
    }
    (unlisted, passing)
}
