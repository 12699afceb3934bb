//! Imports the tokens and users of another deployment. The import removes no permission.
//!
//! Two tokens are the same if their hashes are equal, even if their names differ. Two users are the
//! same if name and password are equal. If an existing user has the same name but another password,
//! the imported user gets no permissions.

use super::error::{Error, Result};
use super::{Io, Task};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::ACCESS_NAMES_MAX;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::grants::Grantee;
use crate::protocol::host::Unavailable;

/// The outcome of an import of tokens and users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedAccess {
    /// The number of created tokens and users.
    pub made: u64,
    /// The number of existing tokens and users that got further permissions.
    pub widened: u64,
    /// The number of tokens and users that needed no change or have expired.
    pub unchanged: u64,
    /// The refused tokens and users, with the reasons.
    pub refused: Vec<String>,
}

/// Imports `rows` in their order. Ignores their ids and versions.
pub fn grant_access(rows: Vec<Grantee>) -> Task<GrantedAccess> {
    Task::new(|io| async move {
        let mut given = GrantedAccess::default();
        for row in rows {
            let now_ns = io.now_ns()?;
            if row.expires_ns <= now_ns {
                given.unchanged += 1;
                continue;
            }
            let reply = io.call_catalog(&ToCatalog::Identify { keys: vec![row.key()] }).await?;
            match one(reply)? {
                Some(known) if row.user && !is_same_user(&known, &row) => {
                    let reason = format!("user \"{}\" exists with another password", row.name);
                    given.refused.push(reason);
                }
                Some(known) if known.grants.include(&row.grants) => given.unchanged += 1,
                Some(known) => {
                    widen(&io, known, &row).await?;
                    given.widened += 1;
                }
                None => match free_name(&io, &row).await? {
                    Some(name) => {
                        put(&io, Grantee { id: 0, version: 0, name, ..row }).await?;
                        given.made += 1;
                    }
                    None => {
                        let reason = format!("too many tokens have the name \"{}\"", row.name);
                        given.refused.push(reason);
                    }
                },
            }
        }
        Ok(given)
    })
}

async fn widen(io: &Io, known: Grantee, row: &Grantee) -> Result<()> {
    let message = ToCatalog::Grantee { user: known.user, name: known.name };
    // Another request has removed the token or user, so the client must repeat the request.
    let mut known = one(io.call_catalog(&message).await?)?.ok_or(Unavailable::Changing)?;
    known.grants.admin |= row.grants.admin;
    for permission in row.grants.permissions.iter().filter(|held| held.read || held.write) {
        give(&mut known.grants, permission);
    }
    put(io, known).await
}

/// Returns the name in `row`, or that name with a number if another token has it. Returns `None` if
/// all these names are taken.
async fn free_name(io: &Io, row: &Grantee) -> Result<Option<String>> {
    if row.user {
        return Ok(Some(row.name.clone()));
    }
    for tried in 0..ACCESS_NAMES_MAX {
        let name = match tried {
            0 => row.name.clone(),
            tried => format!("{} ({})", row.name, tried + 1),
        };
        let message = ToCatalog::Grantee { user: false, name: name.clone() };
        if one(io.call_catalog(&message).await?)?.is_none() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn put(io: &Io, row: Grantee) -> Result<()> {
    let reply = io.call_catalog(&ToCatalog::PutGrantee(Box::new(row))).await;
    // A previously refused caller may exist now, even after an error.
    io.with(|context| context.cache.callers.forget_refused())?;
    match reply? {
        FromCatalog::Granted { .. } => Ok(()),
        _ => Err(Error::unexpected_reply()),
    }
}

fn is_same_user(known: &Grantee, row: &Grantee) -> bool {
    (&known.name, &known.hash, &known.salt) == (&row.name, &row.hash, &row.salt)
}

fn give(grants: &mut Grants, right: &Permission) {
    let place = (&right.database, &right.policy);
    match grants.permissions.iter_mut().find(|held| (&held.database, &held.policy) == place) {
        Some(held) => {
            held.read |= right.read;
            held.write |= right.write;
        }
        None => grants.permissions.push(right.clone()),
    }
}

fn one(reply: FromCatalog) -> Result<Option<Grantee>> {
    match reply {
        FromCatalog::Grantees { rows, .. } | FromCatalog::Identified { found: rows, .. } => {
            Ok(rows.into_iter().next())
        }
        _ => Err(Error::unexpected_reply()),
    }
}
