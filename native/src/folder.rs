//! Manages the data folder: its lock, its files, and the admin token.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::platform::random_u64;

/// An open data folder. No other process can open the folder until this value is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens and locks the folder. Creates the folder if it is missing. Only its owner has access.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        create(path)?;
        let path = path.canonicalize().map_err(|reason| cannot("be opened", path, &reason))?;
        if path.join("objects").exists() {
            return Err(Failure(format!(
                "{} contains the data of a server on workerd, which this program cannot read: \
                 choose another folder with --data, and move the databases with a backup or an \
                 export.",
                path.display()
            )));
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(|reason| cannot("be written to", &path, &reason))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure(format!(
                    "{} is in use by another server: stop that server, or choose another folder \
                     with --data.",
                    path.display()
                )));
            }
            Err(TryLockError::Error(reason)) => return Err(cannot("be locked", &path, &reason)),
        }
        create(&path.join("store"))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub fn alarms(&self) -> PathBuf {
        self.path.join("alarms.sqlite")
    }

    pub fn crashes(&self) -> PathBuf {
        self.path.join("crashes")
    }

    /// Returns the admin token in the folder. Creates the token if it is missing.
    pub fn admin_token(&self) -> Result<String, Failure> {
        let file = self.path.join("token");
        match std::fs::read_to_string(&file) {
            Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
            // A crash after the creation of the file left the file empty.
            Ok(_) => {
                std::fs::remove_file(&file)
                    .map_err(|reason| cannot("be written", &file, &reason))?;
            }
            Err(reason) if reason.kind() == ErrorKind::NotFound => {}
            Err(reason) => return Err(cannot("be read", &file, &reason)),
        }
        let token = format!("{:016x}{:016x}", random_u64(), random_u64());
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut opened| {
                opened.write_all(format!("{token}\n").as_bytes())?;
                opened.sync_all()
            })
            .map_err(|reason| cannot("be written", &file, &reason))?;
        Ok(token)
    }
}

/// Creates a folder to which only its owner has access. Does nothing if the folder exists.
pub fn create(path: &Path) -> Result<(), Failure> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|reason| cannot("be created", path, &reason))
}

fn cannot(verb: &str, path: &Path, reason: &std::io::Error) -> Failure {
    Failure(format!("{} cannot {verb}: {reason}", path.display()))
}
