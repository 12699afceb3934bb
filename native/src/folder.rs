//! Manages the data folder: its lock, its files, and the admin token.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::Store as _;

use crate::platform::random_u64;
use crate::store::SqliteStore;
use crate::{Failure, address};

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
        let path = path.canonicalize().map_err(|reason| Failure::file("opened", path, reason))?;
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
            .map_err(|reason| Failure::file("written to", &path, reason))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure(format!(
                    "{} is in use by another server: stop that server, or choose another folder \
                     with --data.",
                    path.display()
                )));
            }
            Err(TryLockError::Error(reason)) => {
                return Err(Failure::file("locked", &path, reason));
            }
        }
        let folder = Self { path, _lock: lock };
        create(&folder.store())?;
        folder.check_catalog()?;
        Ok(folder)
    }

    /// Checks that the Catalog has data if the folder contains other objects. Only the Catalog
    /// lists the databases, so without its data the server would find none of them.
    fn check_catalog(&self) -> Result<(), Failure> {
        let catalog = self.store().join("catalog.sqlite");
        let is_empty = std::fs::metadata(&catalog).is_ok_and(|file| file.len() == 0);
        // An error of a damaged file is returned for each request.
        if !is_empty && SqliteStore::new(catalog.clone()).is_open() != Ok(false) {
            return Ok(());
        }
        if self.objects()?.iter().all(|object| *object == Address::Catalog) {
            return Ok(());
        }
        Err(Failure(format!(
            "{} is missing or empty, but the folder contains the data of databases, which the \
             server would not find: replace the data folder with a complete copy, or choose a new \
             folder with --data and restore backups.",
            catalog.display()
        )))
    }

    /// Returns the objects whose files are not empty.
    pub fn objects(&self) -> Result<Vec<Address>, Failure> {
        let store = self.store();
        let unreadable = |reason: std::io::Error| Failure::file("read", &store, reason);
        let mut objects = Vec::new();
        for entry in std::fs::read_dir(&store).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".sqlite"));
            if let Some(address) = name.and_then(address::parse)
                && entry.metadata().map_err(unreadable)?.len() > 0
            {
                objects.push(address);
            }
        }
        Ok(objects)
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
                    .map_err(|reason| Failure::file("written", &file, reason))?;
            }
            Err(reason) if reason.kind() == ErrorKind::NotFound => {}
            Err(reason) => return Err(Failure::file("read", &file, reason)),
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
            .map_err(|reason| Failure::file("written", &file, reason))?;
        sync(&self.path);
        Ok(token)
    }
}

/// Creates a folder and its missing parents, to which only their owner has access. Does nothing if
/// the folder exists.
pub fn create(path: &Path) -> Result<(), Failure> {
    let missing = path.ancestors().take_while(|folder| !folder.exists()).count();
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|reason| Failure::file("created", path, reason))?;
    // An existing folder may not be durable, because an earlier run ended before it was synced.
    path.ancestors().take(missing.max(1)).filter_map(Path::parent).for_each(sync);
    Ok(())
}

/// Makes the entries of a folder durable, so that a power failure does not remove a new file or
/// folder. SQLite does this for its own files. As in SQLite, an error has no effect, because some
/// file systems cannot sync folders.
fn sync(folder: &Path) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let _ = File::open(folder).and_then(|opened| opened.sync_all());
}
