//! The tokens and users that have rights on the database, page by page, as the Catalog has them.

use super::{BackUp, BackUpProgress, Stage};
use crate::coordinator::Turn;
use crate::coordinator::backup::access::kept;
use crate::coordinator::backup::error::BackupError;
use crate::coordinator::backup::place;
use crate::coordinator::error::Error;
use crate::protocol::backup::{ObjectKind, seal_metadata};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::grants::Grantee;
use crate::protocol::round::{CallResult, Next};

impl BackUp {
    /// The next page: of those that are kept, and then of the Catalog.
    pub(super) fn next_access(&mut self) -> Turn<BackUpProgress> {
        loop {
            let prefix = format!("{:016x}.", self.access.1);
            match self.access.0.iter().find(|name| name.starts_with(&prefix)).cloned() {
                None => {
                    let (database, after) = (self.id.database.clone(), self.access.1);
                    self.stage = Stage::Access;
                    let message = ToCatalog::Concerning { database, after };
                    return Ok(Next::call(Address::Catalog, &message));
                }
                Some(name) => {
                    let last = name.get(prefix.len()..prefix.len() + 16);
                    let last = last.and_then(|last| u64::from_str_radix(last, 16).ok());
                    self.take_access(name, last.unwrap_or(u64::MAX));
                }
            }
        }
    }

    pub(super) fn take_access(&mut self, name: String, last: u64) {
        self.map.access.push(name);
        self.access.1 = last;
    }

    /// Behind the last page the map goes out.
    pub(super) fn learn_access(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let rows = match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Grantees { rows, .. } => rows,
            FromCatalog::Unavailable(why) => return Err(why.into()),
            _ => return Err(Error::unexpected_reply()),
        };
        let Some(last) = rows.last().map(|row| row.id) else { return self.put_map() };
        if !self.objects_left.take() {
            return self.pause();
        }
        let database = &self.id.database;
        let rows: Vec<Grantee> = rows.into_iter().filter_map(|row| kept(row, database)).collect();
        let object = seal_metadata(ObjectKind::Access, &rows);
        let object = object.map_err(|why| BackupError::damaged("access", why))?;
        let name = place::sealed_name(&format!("{:016x}.{last:016x}-", self.access.1), &object);
        let key = self.id.access_page(&name);
        self.put(Stage::PutAccess { name, last }, key, object)
    }
}
