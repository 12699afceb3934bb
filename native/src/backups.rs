//! Stores backups in a folder. Each object of a backup is a file, and the object's key is the
//! file's path.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tidemark_engine::protocol::backup::{FromBackups, ToBackups};
use tidemark_engine::protocol::envelope;
use tidemark_model::limits::BACKUP_NAMES_MAX;

use crate::limits::FILE_NAME_BYTES_MAX;
use crate::platform::random_u64;

const UNFINISHED: &str = ".unfinished-";

/// Executes a [`ToBackups`] message.
///
/// # Errors
/// Returns the operating system's error message.
pub fn execute(folder: &Path, message: &[u8]) -> Result<Vec<u8>, String> {
    let (_, message) =
        envelope::decode::<ToBackups>(message).map_err(|reason| reason.to_string())?;
    let reply = handle(folder, message)
        .map_err(|reason| format!("the storage of backups failed: {reason}"))?;
    Ok(envelope::encode(&reply))
}

fn handle(folder: &Path, message: ToBackups) -> std::io::Result<FromBackups> {
    match message {
        ToBackups::Put { key, object } => {
            let path = path(folder, &key)?;
            if !path.exists() {
                put(folder, &path, &object)?;
            }
            Ok(FromBackups::Done)
        }
        ToBackups::Get { key } => match fs::read(path(folder, &key)?) {
            Ok(object) => Ok(FromBackups::Object { object }),
            Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(FromBackups::Missing),
            Err(reason) => Err(reason),
        },
        ToBackups::List { folder: of, after } => {
            let mut names = names(&path(folder, &of)?)?;
            names.retain(|name| after.as_ref().is_none_or(|after| name > after));
            names.sort();
            let more = names.len() > BACKUP_NAMES_MAX;
            names.truncate(BACKUP_NAMES_MAX);
            Ok(FromBackups::Names { names, more })
        }
        ToBackups::Delete { keys } => {
            for key in keys {
                match fs::remove_file(path(folder, &key)?) {
                    Err(reason) if reason.kind() != ErrorKind::NotFound => return Err(reason),
                    _ => {}
                }
            }
            Ok(FromBackups::Done)
        }
    }
}

/// Returns the path for a key. Rejects a key that would lead out of the folder.
///
/// A part with a long name of a database becomes several nested folders. Each of these folders
/// except the last ends with `=`. No part ends with `=`, because two digits follow each `=`.
fn path(folder: &Path, key: &str) -> std::io::Result<PathBuf> {
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if !key.split('/').all(is_plain) {
        let reason = format!("\"{key}\" is not a valid key");
        return Err(std::io::Error::new(ErrorKind::InvalidInput, reason));
    }
    let mut path = folder.to_owned();
    for mut part in key.split('/') {
        while part.len() > FILE_NAME_BYTES_MAX
            && let Some((first, rest)) = part.split_at_checked(FILE_NAME_BYTES_MAX - 1)
        {
            path.push(format!("{first}="));
            part = rest;
        }
        path.push(part);
    }
    Ok(path)
}

/// Writes a file so that it is either complete and durable, or missing. Only the owner has access.
fn put(root: &Path, path: &Path, object: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // A new folder is durable only after its parent folder was synced. The parents are synced even
    // if the folder exists, because another request may have created it without syncing them yet.
    for parent in folder.ancestors().skip(1).take_while(|parent| parent.starts_with(root)) {
        File::open(parent)?.sync_all()?;
    }
    let unfinished = folder.join(format!("{UNFINISHED}{:016x}", random_u64()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(object).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.file_type()?.is_file() && !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn objects_are_stored_listed_and_deleted() {
        let folder = std::env::temp_dir().join(format!("tidemark-backups-{:016x}", random_u64()));
        let put = |key: &str, object: &[u8]| {
            handle(&folder, ToBackups::Put { key: key.into(), object: object.to_vec() }).unwrap()
        };
        let list = |after: Option<&str>| {
            let after = after.map(str::to_owned);
            handle(&folder, ToBackups::List { folder: "a/b".into(), after }).unwrap()
        };
        let names = |names: &[&str]| FromBackups::Names {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            more: false,
        };
        assert_eq!(list(None), names(&[]));
        put("a/b/2", b"two");
        put("a/b/1", b"one");
        put("a/b/1", b"another");
        for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/1", 0o600)] {
            let found = fs::metadata(folder.join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
        assert_eq!(list(None), names(&["1", "2"]));
        assert_eq!(list(Some("1")), names(&["2"]));
        let get = || handle(&folder, ToBackups::Get { key: "a/b/1".into() }).unwrap();
        assert_eq!(get(), FromBackups::Object { object: b"one".to_vec() });
        handle(&folder, ToBackups::Delete { keys: vec!["a/b/1".into(), "a/x".into()] }).unwrap();
        assert_eq!(get(), FromBackups::Missing);
        for key in ["..", "a/../../b", "/a", "", "a//b", ".unfinished-1"] {
            assert!(path(&folder, key).is_err(), "{key}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn long_database_names_are_separate_folders() {
        let folder = std::env::temp_dir().join(format!("tidemark-backups-{:016x}", random_u64()));
        // A name has up to 255 bytes, which a key contains as up to 765 bytes.
        let key = |end: &str| format!("db-{}{end}/begun/1", "=e2=82=ac".repeat(84));
        let keys = ["", "=2e", "=2e=2e", "=2f=2f=2f"].map(key);
        for key in &keys {
            let put = ToBackups::Put { key: key.clone(), object: key.clone().into_bytes() };
            handle(&folder, put).unwrap();
        }
        for key in &keys {
            let object = FromBackups::Object { object: key.clone().into_bytes() };
            assert_eq!(handle(&folder, ToBackups::Get { key: key.clone() }).unwrap(), object);
            let of = key.strip_suffix("/1").unwrap().to_owned();
            let names = FromBackups::Names { names: vec!["1".to_owned()], more: false };
            let list = ToBackups::List { folder: of, after: None };
            assert_eq!(handle(&folder, list).unwrap(), names);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
