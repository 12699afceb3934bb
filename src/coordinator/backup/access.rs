//! Tokens and users that a backup has: what they may do on its database, and the hashes that they
//! are found by, never a secret.
//!
//! They are given to who restores it only when that is asked for, and only on the database that it
//! is restored as: nobody becomes an administrator by a backup, and a right on every database
//! becomes one on this one.

use super::error::BackupError;
use super::place::{self, BackupId, Mark};
use crate::coordinator::error::Error;
use crate::coordinator::give_access::{GiveAccess, GivenAccess};
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::ACCESS_ROWS_PER_REQUEST;
use crate::protocol::backup::{BackedUpMap, BackupManifest, ObjectKind, open_metadata};
use crate::protocol::grants::Grantee;
use crate::protocol::round::{Next, Replies, Round};

/// Where the next request goes on: a page of tokens and users, and a row of it.
pub type AccessPosition = (u64, u64);

/// What a request has given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessProgress {
    /// To whom.
    pub given: GivenAccess,
    /// Where to go on; `None` at the end.
    pub resume: Option<AccessPosition>,
}

/// What a backup of `database` keeps of a token or user; `None` of one that has no right of its own
/// there.
pub(super) fn kept(row: Grantee, database: &str) -> Option<Grantee> {
    let permissions = row.grants.on(database).permissions;
    let permissions: Vec<Permission> =
        permissions.into_iter().filter(|held| held.read || held.write).collect();
    let grants = Grants { admin: false, permissions };
    let row = Grantee { id: 0, version: 0, rotated_ns: 0, earlier: None, grants, ..row };
    Some(row).filter(|row| !row.grants.permissions.is_empty())
}

/// The same on the database that the backup is restored as.
fn renamed(row: Grantee, database: &str) -> Grantee {
    let named = |held: Permission| Permission { database: Some(database.to_owned()), ..held };
    let permissions = row.grants.permissions.into_iter().map(named).collect();
    Grantee { grants: Grants { admin: false, permissions }, ..row }
}

/// Tokens and users of a backup on their way in.
#[derive(Debug)]
pub struct RestoreAccess {
    stage: Stage,
    from: BackupId,
    database: String,
    position: AccessPosition,
    manifest: Option<BackupManifest>,
    map: BackedUpMap,
    resume: Option<AccessPosition>,
    round: Round,
}

#[derive(Debug)]
enum Stage {
    Start,
    Map,
    Page,
    Give(Box<GiveAccess>),
}

impl RestoreAccess {
    /// Gives what `from` has of them on `database`, from a position on.
    pub fn new(from: BackupId, database: &str, position: AccessPosition) -> Self {
        Self {
            stage: Stage::Start,
            from,
            database: database.to_owned(),
            position,
            manifest: None,
            map: BackedUpMap::default(),
            resume: None,
            round: Round::default(),
        }
    }

    fn get(&mut self, stage: Stage, key: String) -> Turn<AccessProgress> {
        self.stage = stage;
        Ok(place::get(key))
    }

    fn page_key(&self) -> Option<String> {
        let name = self.map.access.get(usize::try_from(self.position.0).ok()?)?;
        Some(self.from.access_page(name))
    }

    fn next_page(&mut self) -> Turn<AccessProgress> {
        match self.page_key() {
            Some(key) => self.get(Stage::Page, key),
            None => Ok(Next::Reply(AccessProgress::default())),
        }
    }

    fn give(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<AccessProgress> {
        let Stage::Give(give) = &mut self.stage else { return Err(Error::unexpected_reply()) };
        match give.go_on(context, replies)? {
            Next::Calls(requests) => Ok(Next::Calls(requests)),
            Next::Reply(given) => {
                Ok(Next::Reply(AccessProgress { given, resume: self.resume.take() }))
            }
        }
    }

    /// Takes the next rows of a page.
    fn learn_page(&mut self, object: &[u8]) -> Result<GiveAccess, Error> {
        let key = self.page_key().unwrap_or_default();
        place::check_name(&key, object)?;
        let rows: Result<Vec<Grantee>, _> = open_metadata(ObjectKind::Access, object);
        let rows = rows.map_err(|why| BackupError::damaged(&key, why))?;
        let (page, from) = self.position;
        let next = from.saturating_add(ACCESS_ROWS_PER_REQUEST as u64);
        self.resume = match next < rows.len() as u64 {
            true => Some((page, next)),
            false => Some((page + 1, 0)).filter(|(page, _)| *page < self.map.access.len() as u64),
        };
        let skipped = usize::try_from(from).unwrap_or(usize::MAX);
        let rows = rows.into_iter().skip(skipped).take(ACCESS_ROWS_PER_REQUEST);
        Ok(GiveAccess::new(rows.map(|row| renamed(row, &self.database)).collect()))
    }
}

impl RoundMachine for RestoreAccess {
    type Reply = AccessProgress;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<AccessProgress> {
        if matches!(self.stage, Stage::Give(_)) {
            return self.give(context, replies);
        }
        let Some(reply) = replies.pop() else {
            return self.get(Stage::Start, self.from.mark(Mark::Done));
        };
        match self.stage {
            Stage::Start => {
                self.manifest = Some(place::open_manifest(&self.from, reply)?);
                self.get(Stage::Map, self.from.map())
            }
            Stage::Map => {
                self.map = place::open_map(&self.from, self.manifest.as_ref(), reply)?;
                self.next_page()
            }
            Stage::Page | Stage::Give(_) => {
                let key = self.page_key().unwrap_or_default();
                let object = place::object(reply)?;
                let object = object.ok_or_else(|| BackupError::missing_object(&key))?;
                self.stage = Stage::Give(Box::new(self.learn_page(&object)?));
                self.give(context, Replies::default())
            }
        }
    }
}
