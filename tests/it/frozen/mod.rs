//! Tests that this build can read the stored data and the messages of each release.
//! `tests/data/format` contains one folder per release.
//!
//! `RECORD_FORMAT=1 cargo test --test it frozen` creates a missing folder for the version in
//! `Cargo.toml`. The folder of a released version never changes (`docs/UPGRADING.md`).

mod messages;
mod sampler;
mod stored;

use std::path::PathBuf;

const OWN: &str = env!("CARGO_PKG_VERSION");

fn folder(release: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/format").join(release)
}

fn releases() -> Vec<String> {
    let entries = std::fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert!(names.iter().any(|name| name == "0.1.0"), "0.1.0 is not recorded: {names:?}");
    names
}

/// If the file is missing and recording is enabled, `record` creates it.
fn recorded(name: &str, record: impl FnOnce() -> String) {
    let file = folder(OWN).join(name);
    if std::env::var_os("RECORD_FORMAT").is_some() && !file.exists() {
        std::fs::create_dir_all(folder(OWN)).unwrap();
        // Other tests read the file as soon as it exists, so a complete file is renamed.
        let unfinished = file.with_extension(format!("{:?}", std::thread::current().id()));
        std::fs::write(&unfinished, record()).unwrap();
        std::fs::rename(&unfinished, &file).unwrap();
    }
}

fn read(release: &str, name: &str) -> String {
    let file = folder(release).join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}
