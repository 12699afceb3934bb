//! Implements `tidemark backup`: creates, lists and deletes backups, and schedules automatic
//! backups.

use std::process::ExitCode;

use serde_json::{Value, json};
use tidemark_influxql::time_literal::format_utc;

use super::command_line::Arguments;
use super::http_client::{JSON, Request, Server, form};
use super::json::{array, number, text};
use super::steps::{bytes_text, finish};
use super::{CONNECTION, Command, print, table};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "backup",
    help: include_str!("backup.txt"),
    connection: CONNECTION,
    values: &["database", "delete", "schedule", "keep"],
    switches: &["list"],
    run,
};

const CONFIGURE: &str = "/api/v3/configure/backup";

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(word) = line.words.first() {
        return Err(line.unknown(word));
    }
    let (database, id) = (line.value("database"), line.value("delete"));
    let (lists, every) = (line.has("list"), line.value("schedule"));
    if [lists, id.is_some(), every.is_some()].into_iter().filter(|given| *given).count() > 1 {
        return Err(Failure::of("Use only one of --list, --delete and --schedule."));
    }
    match (id, database) {
        (Some(id), _) => remove(&Server::of(line)?, id)?,
        (None, None) => return Err(line.incomplete()),
        (None, Some(database)) if lists => list(&Server::of(line)?, database)?,
        (None, Some(database)) => match every {
            Some("none") => end_schedule(&Server::of(line)?, database)?,
            Some(every) => {
                schedule(&Server::of(line)?, database, every, line.value("keep").unwrap_or("7"))?;
            }
            None => make(&Server::of(line)?, database)?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn path_of(name: &str, value: &str) -> String {
    format!("/api/v3/backup?{}", form(&[(name, Some(value))]))
}

/// Formats the seconds in member `name` as a time. An absent member counts as 0.
fn time_of(value: &Value, name: &str) -> String {
    let seconds = value.get(name).and_then(Value::as_i64).unwrap_or(0);
    format_utc(seconds.saturating_mul(1_000_000_000))
}

fn make(server: &Server, database: &str) -> Result<(), Failure> {
    let (made, sums) = finish(
        server,
        "POST",
        |_| path_of("db", database),
        |sums, last| {
            let shards = number(last, "shards");
            format!(
                "{}: {} of {shards} shards, {} objects, {}",
                text(last, "id"),
                shards.saturating_sub(number(last, "remaining")),
                sums.objects,
                bytes_text(sums.bytes)
            )
        },
    )?;
    // The id is the only text on standard output, so that a script can store it in a variable.
    print(format!("{}\n", text(&made, "id")))?;
    stderr_line!(
        "The backup is complete: {} shards; {} objects with {} were new.",
        number(&made, "shards"),
        sums.objects,
        bytes_text(sums.bytes)
    );
    Ok(())
}

fn show_schedule(schedule: &Value) {
    if !schedule.is_object() {
        stderr_line!("The database has no schedule: `--schedule 1d --keep 7` sets one.");
        return;
    }
    let next = match schedule.get("is_under_way") == Some(&Value::Bool(true)) {
        true => "a backup is running".to_owned(),
        false => format!("the next backup is due {}", time_of(schedule, "due_s")),
    };
    stderr_line!(
        "Schedule: every {}, keeps {}; {next}.",
        text(schedule, "every"),
        number(schedule, "keep")
    );
    let succeeded_s = match schedule.get("last_success").filter(|success| success.is_object()) {
        Some(success) => {
            let (time, id) = (time_of(success, "at_s"), text(success, "id"));
            stderr_line!("The last complete backup was made at {time}: {id}.");
            number(success, "at_s")
        }
        None => {
            stderr_line!("The schedule has made no backup yet.");
            0
        }
    };
    if let Some(failure) = schedule.get("last_failure").filter(|failure| failure.is_object())
        && succeeded_s <= number(failure, "at_s")
    {
        stderr_line!(
            "The last failure was at {}: {}.",
            time_of(failure, "at_s"),
            text(failure, "why")
        );
    }
}

fn list(server: &Server, database: &str) -> Result<(), Failure> {
    let listed = server.must(&Request::new("GET", path_of("db", database)))?.json()?;
    let rows = array(&listed, "backups").iter().map(|backup| {
        let (id, state) = (text(backup, "id").into(), text(backup, "state").into());
        vec![id, time_of(backup, "begun_s").into(), state]
    });
    table::show(&["backup", "begun", "state"], &rows.collect::<Vec<_>>())?;
    show_schedule(listed.get("schedule").unwrap_or(&Value::Null));
    Ok(())
}

fn remove(server: &Server, id: &str) -> Result<(), Failure> {
    let progress = |_: &_, last: &Value| format!("{} steps remain", number(last, "remaining"));
    finish(server, "DELETE", |_| path_of("id", id), progress)?;
    stderr_line!("{id} is deleted. Objects that other backups share remain.");
    Ok(())
}

fn schedule(server: &Server, database: &str, every: &str, keep: &str) -> Result<(), Failure> {
    let keep: u64 = keep
        .parse()
        .map_err(|_| Failure(format!("--keep is \"{keep}\": it must be a number, such as 7.")))?;
    let body = json!({ "db": database, "every": every, "keep": keep }).to_string();
    let made = server.must(&Request::post(CONFIGURE, JSON, body.as_bytes()))?.json()?;
    show_schedule(made.get("schedule").unwrap_or(&Value::Null));
    Ok(())
}

fn end_schedule(server: &Server, database: &str) -> Result<(), Failure> {
    let path = format!("{CONFIGURE}?{}", form(&[("db", Some(database))]));
    server.must(&Request::new("DELETE", path))?;
    stderr_line!("The schedule of {database} is deleted. Existing backups remain.");
    Ok(())
}
