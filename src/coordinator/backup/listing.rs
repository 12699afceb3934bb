//! Lists the backups of a database, even if the database was dropped.

use super::place::{self, BackupId, Mark};
use crate::coordinator::Task;

/// A backup and its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBackup {
    /// The id of the backup.
    pub id: BackupId,
    /// Whether all objects of the backup are stored.
    pub is_whole: bool,
    /// Whether the mark of an unfinished backup still exists. The mark prevents deletions.
    pub is_begun: bool,
    /// Whether the backup is being deleted.
    pub is_going: bool,
}

/// Lists the backups of a database in the order of their creation.
pub fn list_backups(database: &str) -> Task<Vec<ListedBackup>> {
    let database = database.to_owned();
    Task::new(|io| async move {
        let mut found: Vec<ListedBackup> = Vec::new();
        for mark in [Mark::Done, Mark::Begun, Mark::Going] {
            let names = place::list(&io, place::marks(&database, mark)).await?;
            for id in names.iter().filter_map(|name| BackupId::named(&database, name)) {
                let [is_whole, is_begun, is_going] =
                    [Mark::Done, Mark::Begun, Mark::Going].map(|known| known == mark);
                match found.iter_mut().find(|known| known.id == id) {
                    Some(known) => {
                        known.is_begun |= is_begun;
                        known.is_going |= is_going;
                    }
                    None => found.push(ListedBackup { id, is_whole, is_begun, is_going }),
                }
            }
        }
        found.sort_by_key(|backup| backup.id.begun_s);
        Ok(found)
    })
}
