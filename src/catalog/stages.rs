//! Moves the row of a database to the next stage while the database is being created or dropped.

use super::lifecycle::{self, EntryStage};
use super::{Catalog, CatalogWork, Result, Turn};
use crate::protocol::call::{Address, CallFailure};
use crate::protocol::catalog::FromCatalog;
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Next, Request};
use crate::store::Store;

impl<S: Store> Catalog<S> {
    pub(super) fn drive(&mut self, work: &mut CatalogWork, number: u64) -> Turn {
        let Some(entry) = self.entries()?.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        let message = match entry.stage {
            EntryStage::Creating if work.creation.initialised => {
                let page = self.creation_page(work, &entry.create.name)?;
                page.ok_or(Unavailable::Changing)?
            }
            EntryStage::Creating => ToDatabase::Initialise(entry.create.clone()),
            EntryStage::Dropping => ToDatabase::Drop,
            EntryStage::Ready => {
                let object = entry.object;
                return Ok(Next::Reply(FromCatalog::Created { object, existed: true }));
            }
        };
        Ok(Next::Calls(vec![Request {
            to: Address::Database(entry.object.clone()),
            location: entry.create.location.clone(),
            message: envelope::encode(&message),
        }]))
    }

    /// Processes the Database's reply to the request of the row's stage. A row in a later stage
    /// stays unchanged.
    pub(super) fn on_reply(
        &mut self,
        work: &mut CatalogWork,
        reply: Result<FromDatabase, CallFailure>,
    ) -> Result<()> {
        let reply = reply.map_err(Unavailable::from)?;
        let entry = self.entries()?.get(work.entry);
        let stage = entry.map(|entry| entry.stage);
        let name = entry.map(|entry| entry.create.name.clone()).unwrap_or_default();
        if let (Some(EntryStage::Creating), FromDatabase::Done) = (stage, &reply) {
            work.creation.answered();
            // The Database must receive its tokens and users before any client may use it.
            if self.creation_page(work, &name)?.is_some() {
                return Ok(());
            }
        }
        let Some(entries) = &mut self.entries else { return Ok(()) };
        match (stage, reply) {
            (Some(EntryStage::Creating), FromDatabase::Done) => {
                Ok(entries.set_ready(&self.store, work.entry)?)
            }
            (Some(EntryStage::Creating), FromDatabase::Late) => Ok(()),
            (Some(EntryStage::Creating), FromDatabase::Refused(refusal)) => {
                entries.remove(&self.store, work.entry)?;
                Err(lifecycle::translate(refusal).into())
            }
            (Some(EntryStage::Dropping), FromDatabase::Done | FromDatabase::NotOpen) => {
                self.forget_dropped(work.entry)
            }
            (Some(EntryStage::Ready), FromDatabase::Refused(refusal)) => {
                Err(lifecycle::translate(refusal).into())
            }
            (stage, FromDatabase::Unavailable(reason)) => {
                if (stage, &reason) == (Some(EntryStage::Dropping), &Unavailable::Changing) {
                    entries.keep_dropping(&self.store, work.entry)?;
                }
                Err(reason.into())
            }
            // The row has changed or is already ready, so the task reads the row again.
            (None, _) | (Some(EntryStage::Ready), FromDatabase::Done) => Ok(()),
            (Some(_), _) => Err(Unavailable::Changing.into()),
        }
    }
}

impl<S: Store> Catalog<S> {
    /// Deletes the row and frees the name. As in 1.x, users lose their permissions on the database.
    /// Tokens keep their permissions, because a token may name databases that do not exist.
    fn forget_dropped(&mut self, number: u64) -> Result<()> {
        let named = self.entries()?.get(number).map(|entry| entry.create.name.clone());
        let (grantees, store) = self.grantees()?;
        grantees.revoke_users(store, &named.unwrap_or_default())?;
        if let Some(entries) = &mut self.entries {
            self.recoveries.remove(&self.store, number)?;
            entries.remove(&self.store, number)?;
        }
        Ok(())
    }
}
