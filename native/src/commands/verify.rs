//! Implements `tidemark verify`: checks every object of a backup without restoring the backup.

use std::process::ExitCode;

use serde_json::Value;

use super::command_line::Arguments;
use super::http_client::{Server, form};
use super::json::text;
use super::steps::{bytes_text, finish};
use super::{CONNECTION, Command, print};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "verify",
    help: include_str!("verify.txt"),
    connection: CONNECTION,
    values: &[],
    switches: &[],
    run,
};

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    let id = line.only_word("backup")?;
    let server = Server::of(line)?;
    let (_, sums) = finish(
        &server,
        "POST",
        |last| {
            format!("/api/v3/backup/verify?{}", form(&[("id", Some(id)), ("resume", resume(last))]))
        },
        |sums, _| {
            format!(
                "{} objects, {}, {} damaged",
                sums.objects,
                bytes_text(sums.bytes),
                sums.damaged.len()
            )
        },
    )?;
    for line in &sums.damaged {
        print(format!("{line}\n"))?;
    }
    let read = format!("{} objects with {} were read", sums.objects, bytes_text(sums.bytes));
    if !sums.damaged.is_empty() {
        let count = sums.damaged.len();
        return Err(Failure(format!("{id} is damaged: {read}, {count} were missing or changed.")));
    }
    stderr_line!("{id} is undamaged: {read}.");
    Ok(ExitCode::SUCCESS)
}

/// Returns the position at which the next request continues, or `None` before the first response.
fn resume(last: &Value) -> Option<&str> {
    Some(text(last, "resume")).filter(|resume| !resume.is_empty())
}
