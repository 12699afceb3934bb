//! What the platform keeps of each object: its storage at every time that it changed, so that the
//! next life of one can begin with what it was then.

use std::collections::BTreeMap;

use tidemark::model::time::S_NS;
use tidemark::protocol::call::{Address, Call, CallFailure};
use tidemark::protocol::envelope;
use tidemark::protocol::recovery::{FromStorage, ToStorage};
use tidemark::store::memory::MemoryStore;

use super::World;

/// How long after an object was made its past begins, as somebody has measured, nanoseconds.
const BEGINS_LATER_NS: i64 = 50 * S_NS;

/// The past of all objects but the Catalog, which never goes back.
#[derive(Default)]
pub(super) struct Past {
    /// Ascending in time.
    was: BTreeMap<Address, Vec<(i64, MemoryStore)>>,
    lives: BTreeMap<Address, u64>,
    /// To when an object's next life goes back.
    armed: BTreeMap<Address, i64>,
    /// How many lives began with what was.
    pub(super) count: u64,
    /// An object that was not there at a time can go back to that, and is empty then.
    pub(super) is_endless: bool,
    /// No shard goes back to this time any more.
    pub(super) lost_ns: Option<i64>,
}

impl World {
    /// From now on the past is kept.
    pub(crate) fn keep_past(&mut self) {
        self.past = Some(Past::default());
    }

    /// Objects have a past of times at which they were not there.
    pub(crate) fn keep_endless_past(&mut self) {
        self.past = Some(Past { is_endless: true, ..Past::default() });
    }

    /// From now on no shard goes back to this time.
    pub(crate) fn lose_past(&mut self, time_ns: i64) {
        self.past.iter_mut().for_each(|past| past.lost_ns = Some(time_ns));
    }

    /// How many lives of objects began with what they were before.
    pub(crate) fn went_back(&self) -> u64 {
        self.past.as_ref().map_or(0, |past| past.count)
    }

    /// Keeps what an object has stored by now.
    pub(super) fn note(&mut self, address: &Address) {
        if self.past.is_none() || *address == Address::Catalog {
            return;
        }
        let store = match address {
            Address::Shard(id) => self.shard(id).stored(),
            _ => Some(self.store(address).inner.snapshot()),
        };
        let now_ns = self.platform.time_ns();
        if let (Some(past), Some(store)) = (&mut self.past, store) {
            let was = past.was.entry(address.clone()).or_default();
            if was.last().is_some_and(|(time_ns, _)| *time_ns == now_ns) {
                was.pop();
            }
            was.push((now_ns, store));
        }
    }

    /// What the storage of an object says to a message about its lives; `None` of any other one.
    pub(super) fn ask_past(&mut self, call: &Call) -> Option<Result<Vec<u8>, CallFailure>> {
        let (_, message) = envelope::decode::<ToStorage>(&call.message).ok()?;
        assert_ne!(call.to, Address::Catalog, "the Catalog never goes back");
        let past = self.past.as_mut()?;
        let own = past.lives.get(&call.to).copied().unwrap_or(0);
        let made_ns = past.was.get(&call.to).and_then(|was| was.first()).map(|(at_ns, _)| *at_ns);
        let begins_ns = made_ns.map_or(i64::MAX, |made_ns| made_ns + BEGINS_LATER_NS);
        let is_young = |time_ns: i64| time_ns < begins_ns && !past.is_endless;
        let answer = match message {
            ToStorage::Look { time_ns } if is_young(time_ns) => young(),
            ToStorage::Arm { life, time_ns } if life == own && is_young(time_ns) => young(),
            ToStorage::Look { time_ns }
                if past.lost_ns == Some(time_ns) && matches!(call.to, Address::Shard(_)) =>
            {
                FromStorage::Failed("too long ago".to_owned())
            }
            ToStorage::Look { .. } => FromStorage::Looked { life: own },
            ToStorage::Arm { life, .. } | ToStorage::Restart { life } if life != own => {
                FromStorage::Another
            }
            ToStorage::Arm { time_ns, .. } => {
                past.armed.insert(call.to.clone(), time_ns);
                FromStorage::Armed
            }
            ToStorage::Restart { .. } => {
                self.crash(&call.to);
                return Some(Err(CallFailure::Failed("the life has ended".to_owned())));
            }
        };
        Some(Ok(envelope::encode(&answer)))
    }

    /// A life ends: what the next one begins with, if that is not what there is.
    pub(super) fn end_life(&mut self, address: &Address) {
        let Some(past) = &mut self.past else { return };
        *past.lives.entry(address.clone()).or_default() += 1;
        let Some(time_ns) = past.armed.remove(address) else { return };
        past.count += 1;
        let was = past.was.get(address).into_iter().flatten();
        let then = was.take_while(|(at_ns, _)| *at_ns <= time_ns).last();
        let store = then.map_or_else(MemoryStore::new, |(_, store)| store.snapshot());
        match address {
            Address::Shard(id) => self.shard(id).go_back(store),
            _ => {
                let mut own = self.store(address);
                own.inner = store;
                self.stores.insert(address.clone(), own);
            }
        }
        self.note(address);
    }
}

fn young() -> FromStorage {
    FromStorage::Young("Requested time is before this database existed.".to_owned())
}
