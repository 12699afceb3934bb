//! Implements `tidemark restore`: restores a backup under a new name or into an empty database.

use std::process::ExitCode;

use serde_json::Value;

use super::command_line::Arguments;
use super::http_client::{Server, form};
use super::json::number;
use super::steps::{bytes_text, finish};
use super::{CONNECTION, Command};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "restore",
    help: include_str!("restore.txt"),
    connection: CONNECTION,
    values: &["database"],
    switches: &[],
    run,
};

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    let id = line.only_word("backup")?;
    let database = line.value("database").unwrap_or_else(|| database_of(id));
    let server = Server::of(line)?;
    let (last, sums) = finish(
        &server,
        "POST",
        |_| format!("/api/v3/restore?{}", form(&[("db", Some(database)), ("from", Some(id))])),
        |sums, last| {
            let shards = number(last, "shards");
            format!(
                "{database}: {} of {shards} shards, {} values, {}",
                (shards + 1).saturating_sub(number(last, "remaining")),
                sums.values,
                bytes_text(sums.bytes)
            )
        },
    )?;
    if last.get("already_restored") == Some(&Value::Bool(true)) && sums.values == 0 {
        stderr_line!(
            "{database} already contains the restore of {id}; this command wrote nothing. Points \
             that were deleted after the restore are not restored: restore under a new name, or \
             drop the database first."
        );
        return Ok(ExitCode::SUCCESS);
    }
    stderr_line!(
        "{database} is restored: {} values with {} were written.",
        sums.values,
        bytes_text(sums.bytes)
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns the name of the database in the ID of a backup, such as `plant.1795300000`.
fn database_of(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((database, time)) if !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()) => {
            database
        }
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_id_contains_database_name() {
        assert_eq!(database_of("plant.1795300000"), "plant");
        assert_eq!(database_of("a.b.1"), "a.b");
        assert_eq!(database_of("plant.x1"), "plant.x1");
    }
}
