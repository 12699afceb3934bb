//! Provides the clock, random numbers and new object ids of this host.

use std::time::{SystemTime, UNIX_EPOCH};

use tidemark::model::configurable_limits::Limits;
use tidemark::model::ids::ObjectId;
use tidemark::protocol::call::{ObjectKind, PlacementError, Platform};

/// The platform services that the engine's state machines use.
#[derive(Debug)]
pub struct NativePlatform {
    pub limits: Limits,
    pub has_backups: bool,
}

impl Platform for NativePlatform {
    fn now_ns(&self) -> i64 {
        now_ns()
    }

    fn random_u64(&self) -> u64 {
        random_u64()
    }

    fn has_sql(&self) -> bool {
        cfg!(feature = "sql")
    }

    fn has_backups(&self) -> bool {
        self.has_backups
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn new_object_id(
        &self,
        _: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        if let Some(jurisdiction) = jurisdiction {
            return Err(PlacementError::Jurisdiction(jurisdiction.to_owned()));
        }
        Ok(ObjectId(format!("{:016x}{:016x}", random_u64(), random_u64())))
    }
}

pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

pub fn random_u64() -> u64 {
    match getrandom::u64() {
        Ok(bits) => bits,
        Err(reason) => {
            // Ids and seeds that an attacker can guess are unsafe, so the program ends.
            eprintln!("the operating system does not provide random numbers: {reason}");
            std::process::abort()
        }
    }
}
