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
use crate::api::routes::{access, backup_schedule};
use crate::coordinator::Machine;
use crate::coordinator::backup::{
    AccessPosition, AskSchedule, BackUp, BackUpProgress, BackupId, DeleteBackup, ListBackups,
    ListedBackup, Restore, RestoreAccess, RestoreProgress, VerifyBackup, VerifyPosition,
    VerifyProgress,
};
use crate::coordinator::error::Error;
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;

/// What is said where no place for backups is bound.
const NOT_BOUND: &str = "no place for backups is bound here: bind an R2 bucket as BACKUPS \
                         (wrangler.toml), or start `tidemark serve` with --backups FOLDER";
/// What is said of a parameter that is no backup.
const NO_ID: &str = "expected a backup as POST /api/v3/backup and GET /api/v3/backup name it";

/// Where the rights of tokens and users begin, once the database is restored.
const FIRST_ACCESS: &str = "0.0";

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
    /// The backups are known; a database that is there says its schedule.
    ListSchedule(Vec<Value>, Box<AskSchedule>),
    Delete(BackupId, Box<DeleteBackup>),
    Verify(BackupId, Box<VerifyBackup>),
    /// Until the settings are known; whether tokens and users come along.
    ToRestore(BackupId, bool),
    Restore(BackupId, Box<Restore>, bool),
    Access(BackupId, Box<RestoreAccess>),
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
    let machine = Box::new(VerifyBackup::new(id.clone(), resume(request.url)?));
    let (database, asked) = (id.database.clone(), Asked::Verify(id, machine));
    Ok(Box::new(BackupHandler { database, asked }))
}

/// `POST /api/v3/restore`
///
/// # Errors
/// [`ApiError::Invalid`] without `db` or `from`, and for a `from` that is no backup.
pub fn begin_restore(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let (database, from) = (database(request.url)?, backup(request.url, "from")?);
    let with_access = match request.url.filled("access") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let why = format!("access must be true or false, not \"{other}\"");
            return Err(ApiError::Invalid(why));
        }
    };
    let asked = match resume(request.url)?.filter(|_| with_access) {
        Some(position) => {
            let machine = RestoreAccess::new(from.clone(), &database, position);
            Asked::Access(from, Box::new(machine))
        }
        None => Asked::ToRestore(from, with_access),
    };
    Ok(Box::new(BackupHandler { database, asked }))
}

/// Where the request goes on, as the reply before said it.
fn resume(url: &Parameters) -> Result<Option<(u64, u64)>, ApiError> {
    let read = |text: &str| {
        let parsed =
            text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parsed.ok_or_else(|| {
            let hint = "use the resume of the reply before, or leave it out to start";
            ApiError::Invalid(format!("invalid resume \"{text}\": {hint}"))
        })
    };
    url.filled("resume").map(read).transpose()
}

fn database(url: &Parameters) -> Result<String, ApiError> {
    let database = url.filled("db").map(str::to_owned);
    database.ok_or_else(|| ApiError::Invalid("database is required".to_owned()))
}

fn backup(url: &Parameters, name: &str) -> Result<BackupId, ApiError> {
    let id = url.filled(name).and_then(BackupId::parse);
    id.ok_or_else(|| ApiError::Invalid(format!("invalid {name}: {NO_ID}")))
}

/// Refuses what needs a place for backups where none is bound.
///
/// # Errors
/// [`ApiError::NotImplemented`], which says how to have one.
pub(super) fn require_place(isolate: &Isolate<'_>) -> Result<(), ApiError> {
    match isolate.platform.has_backups() {
        true => Ok(()),
        false => Err(ApiError::NotImplemented(NOT_BOUND.to_owned())),
    }
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
        require_place(isolate)?;
        if let Asked::ToRestore(from, with_access) = &self.asked {
            let create = CreateDatabase {
                name: self.database.clone(),
                policy: None,
                shards: isolate.settings()?.default_shards,
                location: None,
                jurisdiction: None,
                creator: 0,
            };
            let machine = Box::new(Restore::new(from.clone(), create));
            self.asked = Asked::Restore(from.clone(), machine, *with_access);
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
            Asked::Make(machine) => {
                turn(&mut **machine, isolate, reply, |made| (made.remaining, made_body(&made)))
            }
            Asked::List(machine) => {
                let listed = match machine.step(&mut isolate.context(), reply) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(listed) => listed?,
                };
                let machine = Box::new(AskSchedule::show(database));
                self.asked = Asked::ListSchedule(listed.iter().map(describe).collect(), machine);
                self.step(isolate, None)
            }
            Asked::ListSchedule(backups, machine) => {
                let schedule = match machine.step(&mut isolate.context(), reply) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    // Backups outlive their database, a schedule does not.
                    Step::Done(Err(Error::DatabaseNotFound(_))) => None,
                    Step::Done(schedule) => schedule?,
                };
                let schedule =
                    schedule.map(|schedule| backup_schedule::describe(database, &schedule));
                let body = json!({ "db": database, "backups": backups, "schedule": schedule });
                Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
            }
            Asked::Delete(id, machine) => turn(&mut **machine, isolate, reply, |remaining| {
                (remaining, json!({ "id": id.to_string(), "remaining": remaining }))
            }),
            Asked::Verify(id, machine) => {
                turn(&mut **machine, isolate, reply, |checked| checked_body(id, &checked))
            }
            Asked::ToRestore(..) => Ok(Action::End),
            Asked::Access(from, machine) => turn(&mut **machine, isolate, reply, |done| {
                let resume = done.resume.map(|(a, b): AccessPosition| format!("{a}.{b}"));
                let body = json!({
                    "db": database,
                    "from": from.to_string(),
                    "access": access::describe(&done.given),
                    "resume": resume,
                });
                (u64::from(resume.is_some()), body)
            }),
            Asked::Restore(from, machine, with_access) => {
                turn(&mut **machine, isolate, reply, |restored| {
                    restore_body(database, from, *with_access, restored)
                })
            }
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

fn made_body(made: &BackUpProgress) -> Value {
    json!({
        "id": made.id.to_string(),
        "shards": made.shards,
        "remaining": made.remaining,
        "objects": made.objects,
        "bytes": made.bytes,
    })
}

fn checked_body(id: &BackupId, checked: &VerifyProgress) -> (u64, Value) {
    let resume = checked.resume.map(|(a, b): VerifyPosition| format!("{a}.{b}"));
    let body = json!({
        "id": id.to_string(),
        "objects": checked.objects,
        "bytes": checked.bytes,
        "damaged": checked.damaged,
        "resume": resume,
    });
    (u64::from(resume.is_some()), body)
}

fn restore_body(
    database: &str,
    from: &BackupId,
    with_access: bool,
    restored: RestoreProgress,
) -> (u64, Value) {
    let mut body = json!({
        "db": database,
        "from": from.to_string(),
        "shards": restored.shards,
        "remaining": restored.remaining,
        "values": restored.values,
        "bytes": restored.bytes,
    });
    if with_access && restored.remaining == 0 {
        // The points are there: rights are next, and who has them sees all of it.
        body["resume"] = FIRST_ACCESS.into();
        return (1, body);
    }
    (restored.remaining, body)
}

fn describe(backup: &ListedBackup) -> Value {
    let state = match (backup.is_going, backup.is_whole) {
        (true, _) => "being deleted",
        (_, true) => "whole",
        _ => "unfinished",
    };
    json!({ "id": backup.id.to_string(), "begun_s": backup.id.begun_s, "state": state })
}
