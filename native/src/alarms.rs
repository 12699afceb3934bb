//! Stores the times of all objects' next alarms in a separate file. At startup, the program reads
//! this file instead of the files of all objects.
//!
//! One thread owns the file. This thread makes the changes of all objects durable in the order of
//! their arrival. One commit can contain several changes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, params};
use tidemark_engine::protocol::call::Address;
use tokio::sync::oneshot;

use crate::failed_commits::FailedCommits;
use crate::folder::Folder;
use crate::limits::{ALARMS_PER_COMMIT_MAX, FIRST_ALARMS_EVERY_NS};
use crate::platform::now_ns;
use crate::store;
use crate::{Failure, address};

struct Change {
    name: String,
    /// The time of the alarm, in nanoseconds since the epoch. `None` removes the alarm.
    due_ns: Option<i64>,
    /// The channel on which the thread reports whether the change is durable.
    done: Option<oneshot::Sender<bool>>,
}

/// The objects with an alarm, and the time of each alarm, in nanoseconds since the epoch.
pub type StoredAlarms = Vec<(Address, i64)>;

#[derive(Clone, Debug)]
pub struct Alarms {
    /// `None` ends the thread.
    changes: Sender<Option<Change>>,
}

impl Alarms {
    /// Opens the file. Returns the file, its thread, and the stored alarms. A new file gets an
    /// alarm for each object of the folder, because an earlier file may have been lost.
    pub fn open(
        folder: &Folder,
        failed_commits: Arc<FailedCommits>,
    ) -> Result<(Self, JoinHandle<()>, StoredAlarms), Failure> {
        let path = folder.alarms();
        let cannot = |reason: rusqlite::Error| {
            Failure(format!(
                "{} cannot be used: {reason}. If the file is damaged, delete it: the next start \
                 creates it again.",
                path.display()
            ))
        };
        let connection = store::open(&path).map_err(cannot)?;
        if !connection.table_exists(None, "alarm").map_err(cannot)? {
            create(&connection, &folder.objects()?).map_err(cannot)?;
        }
        let stored = read(&connection).map_err(cannot)?;
        let (changes, receiver) = channel();
        let keeper = std::thread::Builder::new().name("alarms".to_owned());
        let spawned = keeper.spawn(move || keep(&connection, &receiver, &failed_commits));
        let thread = spawned.map_err(Failure::thread)?;
        Ok((Self { changes }, thread, stored))
    }

    /// Ends the thread. The thread first stores the changes that it has received, and then closes
    /// the file.
    pub fn close(&self) {
        let _ = self.changes.send(None);
    }

    /// Stores the alarm of an object. Returns whether the alarm is durable.
    pub async fn set(&self, to: &Address, due_ns: i64) -> bool {
        let Some(name) = address::name(to) else { return false };
        let (done, is_done) = oneshot::channel();
        let change = Change { name, due_ns: Some(due_ns), done: Some(done) };
        self.changes.send(Some(change)).is_ok() && is_done.await.unwrap_or_default()
    }

    /// Sets or removes the alarm of an object without waiting until the change is durable. If the
    /// change is lost, an alarm fires too early.
    pub fn note(&self, to: &Address, due_ns: Option<i64>) {
        if let Some(name) = address::name(to) {
            let _ = self.changes.send(Some(Change { name, due_ns, done: None }));
        }
    }
}

/// Creates the table with an alarm for each of the objects. An object without due work ignores its
/// alarm.
fn create(connection: &Connection, objects: &[Address]) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN;
         CREATE TABLE alarm (name TEXT PRIMARY KEY, due_ns INTEGER) WITHOUT ROWID",
    )?;
    let names = objects.iter().filter_map(address::name);
    for (name, due_ns) in names.zip((now_ns()..).step_by(FIRST_ALARMS_EVERY_NS)) {
        connection
            .prepare_cached("INSERT INTO alarm VALUES (?, ?)")?
            .execute(params![name, due_ns])?;
    }
    connection.execute_batch("COMMIT")
}

fn read(connection: &Connection) -> rusqlite::Result<StoredAlarms> {
    let mut statement = connection.prepare("SELECT name, due_ns FROM alarm")?;
    let rows = statement.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows
        .into_iter()
        .filter_map(|(name, due_ns)| Some((address::parse(&name)?, due_ns)))
        .collect())
}

fn keep(
    connection: &Connection,
    changes: &Receiver<Option<Change>>,
    failed_commits: &FailedCommits,
) {
    let mut is_open = true;
    while is_open && let Ok(first) = changes.recv() {
        let more = changes.try_iter().take(ALARMS_PER_COMMIT_MAX - 1);
        let received: Vec<Option<Change>> = std::iter::once(first).chain(more).collect();
        is_open = received.iter().all(Option::is_some);
        let batch: Vec<Change> = received.into_iter().flatten().collect();
        let written = write(connection, &batch);
        failed_commits.record("alarms", written.as_ref().map(drop).map_err(ToString::to_string));
        if let Err(reason) = &written {
            // The object finds its due work in its stored data, so its next event sets the alarm
            // again.
            crate::log::message(&format!("alarms could not be stored: {reason}"));
            let _ = connection.execute_batch("ROLLBACK");
        }
        for done in batch.into_iter().filter_map(|change| change.done) {
            let _ = done.send(written.is_ok());
        }
    }
}

fn write(connection: &Connection, batch: &[Change]) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    for Change { name, due_ns, .. } in batch {
        match due_ns {
            Some(due_ns) => connection
                .prepare_cached("INSERT OR REPLACE INTO alarm VALUES (?, ?)")?
                .execute(params![name, due_ns])?,
            None => {
                connection.prepare_cached("DELETE FROM alarm WHERE name = ?")?.execute([name])?
            }
        };
    }
    connection.execute_batch("COMMIT")
}
