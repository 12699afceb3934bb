//! Copies the tokens and users with permissions on a database into a backup, and restores these
//! tokens and users. A backup contains hashes of tokens and passwords, but no secrets.
//!
//! A restore grants permissions only if the request asks for them, and only on the restored
//! database. A restore never grants the admin permission. A permission on every database becomes a
//! permission on the restored database.

use super::error::BackupError;
use super::place::{self, BackupId};
use crate::coordinator::Task;
use crate::coordinator::grant_access::{GrantedAccess, grant_access};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::ACCESS_ROWS_PER_REQUEST;
use crate::protocol::backup::{ObjectKind, open_metadata};
use crate::protocol::grants::Grantee;

/// The position at which the next request continues: a page, and a row in that page.
pub type AccessPosition = (u64, u64);

/// The progress of a restore request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessProgress {
    /// The outcome for the tokens and users in this request.
    pub given: GrantedAccess,
    /// The position at which the next request continues; `None` at the end.
    pub resume: Option<AccessPosition>,
}

/// Returns `None` if the token or user has no permission on exactly that database.
pub(super) fn kept(row: Grantee, database: &str) -> Option<Grantee> {
    let permissions = row.grants.on(database).permissions;
    let permissions: Vec<Permission> =
        permissions.into_iter().filter(|held| held.read || held.write).collect();
    let grants = Grants { admin: false, permissions };
    let row = Grantee { id: 0, version: 0, grants, ..row };
    Some(row).filter(|row| !row.grants.permissions.is_empty())
}

fn renamed(row: Grantee, database: &str) -> Grantee {
    let named = |held: Permission| Permission { database: Some(database.to_owned()), ..held };
    let permissions = row.grants.permissions.into_iter().map(named).collect();
    Grantee { grants: Grants { admin: false, permissions }, ..row }
}

/// Grants the tokens and users in the backup `from` their permissions on `database`, starting at
/// `position`.
pub fn restore_access(
    from: BackupId,
    database: &str,
    position: AccessPosition,
) -> Task<AccessProgress> {
    let database = database.to_owned();
    Task::new(move |io| async move {
        let manifest = place::get_manifest(&io, &from).await?;
        let map = place::get_map(&io, &from, &manifest).await?;
        let (page, first_row) = position;
        let name = usize::try_from(page).ok().and_then(|page| map.access.get(page));
        let Some(name) = name else { return Ok(AccessProgress::default()) };
        let key = from.access_page(name);
        let object = place::get_sealed(&io, &key).await?;
        let rows: Result<Vec<Grantee>, _> = open_metadata(ObjectKind::Access, &object);
        let rows = rows.map_err(|reason| BackupError::damaged(&key, reason))?;
        let next_row = first_row.saturating_add(ACCESS_ROWS_PER_REQUEST as u64);
        let resume = match next_row < rows.len() as u64 {
            true => Some((page, next_row)),
            false => Some((page + 1, 0)).filter(|(page, _)| *page < map.access.len() as u64),
        };
        let skipped = usize::try_from(first_row).unwrap_or(usize::MAX);
        let rows = rows.into_iter().skip(skipped).take(ACCESS_ROWS_PER_REQUEST);
        let rows = rows.map(|row| renamed(row, &database)).collect();
        Ok(AccessProgress { given: io.run(grant_access(rows)).await?, resume })
    })
}
