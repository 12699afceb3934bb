//! Serves `/api/v3/backup`: POST makes a backup of a database or goes on with it, GET lists them,
//! DELETE deletes one; `/api/v3/backup/verify` checks one, `/api/v3/restore` takes one in.
//!
//! Each request does a bounded amount of work. Answered 202 it is to be repeated, until nothing
//! remains.

use serde_json::{Value, json};

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::{Parameters, Response};
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::coordinator::Machine;
use crate::coordinator::backup::{
    BackUp, BackupId, DeleteBackup, ListBackups, ListedBackup, Restore, VerifyBackup,
    VerifyPosition,
};
use crate::coordinator::error::Error;
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;

/// What is said where no place for backups is bound.
const NOT_BOUND: &str = "no place for backups is bound here: bind an R2 bucket as BACKUPS \
                         (wrangler.toml), or start `tidemark serve` with --backups FOLDER";
/// What is said of a parameter that is no backup.
const NO_ID: &str = "expected a backup as POST /api/v3/backup and GET /api/v3/backup name it";

/// A request in progress.
#[derive(Debug)]
struct BackupHandler {
    database: String,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Make(Box<BackUp>),
    List(Box<ListBackups>),
    Delete(BackupId, Box<DeleteBackup>),
    Verify(BackupId, Box<VerifyBackup>),
    /// Until the settings are known.
    ToRestore(BackupId),
    Restore(BackupId, Box<Restore>),
}

/// `POST`, `GET` and `DELETE /api/v3/backup`
///
/// # Errors
/// [`ApiError::Invalid`] without `db`, for DELETE without `id`, and for an `id` that is none.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    if request.head.method == "DELETE" {
        let id = backup(request.url, "id")?;
        let machine = Box::new(DeleteBackup::new(id.clone()));
        let (database, asked) = (id.database.clone(), Asked::Delete(id, machine));
        return Ok(Box::new(BackupHandler { database, asked }));
    }
    let database = database(request.url)?;
    let asked = match request.head.method.as_str() {
        "GET" => Asked::List(Box::new(ListBackups::new(&database))),
        _ => Asked::Make(Box::new(BackUp::new(&database))),
    };
    Ok(Box::new(BackupHandler { database, asked }))
}

/// `POST /api/v3/backup/verify`
///
/// # Errors
/// [`ApiError::Invalid`] without `id`, for one that is none, and for a `resume` that no reply gave.
pub fn begin_verify(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let id = backup(request.url, "id")?;
    let resume = request.url.filled("resume").map(|text| {
        let parsed =
            text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parsed.ok_or_else(|| {
            let hint = "use the resume of the reply before, or leave it out to start";
            ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
        })
    });
    let machine = Box::new(VerifyBackup::new(id.clone(), resume.transpose()?));
    let (database, asked) = (id.database.clone(), Asked::Verify(id, machine));
    Ok(Box::new(BackupHandler { database, asked }))
}

/// `POST /api/v3/restore`
///
/// # Errors
/// [`ApiError::Invalid`] without `db` or `from`, and for a `from` that is no backup.
pub fn begin_restore(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let (database, from) = (database(request.url)?, backup(request.url, "from")?);
    Ok(Box::new(BackupHandler { database, asked: Asked::ToRestore(from) }))
}

fn database(url: &Parameters) -> Result<String, ApiError> {
    let database = url.filled("db").map(str::to_owned);
    database.ok_or_else(|| ApiError::Invalid("database is required".to_owned()))
}

fn backup(url: &Parameters, name: &str) -> Result<BackupId, ApiError> {
    let id = url.filled(name).and_then(BackupId::parse);
    id.ok_or_else(|| ApiError::Invalid(format!("invalid {name}: {NO_ID}")))
}

impl Handler for BackupHandler {
    fn database(&self) -> Option<&str> {
        Some(&self.database)
    }

    fn start(
        &mut self,
        _request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        _body: Received,
    ) -> Result<(), ApiError> {
        if !isolate.platform.has_backups() {
            return Err(ApiError::NotImplemented(NOT_BOUND.to_owned()));
        }
        if let Asked::ToRestore(from) = &self.asked {
            let create = CreateDatabase {
                name: self.database.clone(),
                policy: None,
                shards: isolate.settings()?.default_shards,
                location: None,
                jurisdiction: None,
                creator: 0,
            };
            let machine = Box::new(Restore::new(from.clone(), create));
            self.asked = Asked::Restore(from.clone(), machine);
        }
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let database = &self.database;
        match &mut self.asked {
            Asked::Make(machine) => turn(&mut **machine, isolate, reply, |made| {
                let body = json!({
                    "id": made.id.to_string(),
                    "shards": made.shards,
                    "remaining": made.remaining,
                    "objects": made.objects,
                    "bytes": made.bytes,
                });
                (made.remaining, body)
            }),
            Asked::List(machine) => turn(&mut **machine, isolate, reply, |listed| {
                let backups: Vec<Value> = listed.iter().map(describe).collect();
                (0, json!({ "db": database, "backups": backups }))
            }),
            Asked::Delete(id, machine) => turn(&mut **machine, isolate, reply, |remaining| {
                (remaining, json!({ "id": id.to_string(), "remaining": remaining }))
            }),
            Asked::Verify(id, machine) => turn(&mut **machine, isolate, reply, |checked| {
                let resume = checked.resume.map(|(a, b): VerifyPosition| format!("{a}.{b}"));
                let body = json!({
                    "id": id.to_string(),
                    "objects": checked.objects,
                    "bytes": checked.bytes,
                    "damaged": checked.damaged,
                    "resume": resume,
                });
                (u64::from(resume.is_some()), body)
            }),
            Asked::ToRestore(_) => Ok(Action::End),
            Asked::Restore(from, machine) => turn(&mut **machine, isolate, reply, |restored| {
                let body = json!({
                    "db": database,
                    "from": from.to_string(),
                    "shards": restored.shards,
                    "remaining": restored.remaining,
                    "values": restored.values,
                    "bytes": restored.bytes,
                });
                (restored.remaining, body)
            }),
        }
    }
}

/// A step of a machine; `answer` says of what it comes to how much remains, and the body.
fn turn<T, M: Machine<Answer = Result<T, Error>>>(
    machine: &mut M,
    isolate: &mut Isolate<'_>,
    reply: Option<Reply>,
    answer: impl FnOnce(T) -> (u64, Value),
) -> Result<Action, ApiError> {
    match machine.step(&mut isolate.context(), reply) {
        Step::Calls(calls) => Ok(Action::Calls(calls)),
        Step::Done(done) => {
            let (remaining, body) = answer(done?);
            let status = if remaining == 0 { 200 } else { 202 };
            Ok(Action::Respond(Response::json(status, format!("{body}\n"))))
        }
    }
}

fn describe(backup: &ListedBackup) -> Value {
    let state = match (backup.is_going, backup.is_whole) {
        (true, _) => "being deleted",
        (_, true) => "whole",
        _ => "unfinished",
    };
    json!({ "id": backup.id.to_string(), "begun_s": backup.id.begun_s, "state": state })
}
