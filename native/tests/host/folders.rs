//! Folders that cannot be used, and damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::server::{Place, Server, command};

fn refusal(data: &std::path::Path) -> String {
    let output = command(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn two_servers_never_share_a_folder() {
    let place = Place::new();
    let mut server = Server::start(&place.0);
    let said = refusal(&place.0);
    assert!(said.contains("is in use by another server"), "{said}");
    server.end("-KILL");
    // The lock ends with its process.
    Server::start(&place.0);
}

#[test]
fn an_unusable_folder_is_named() {
    let place = Place::new();
    fs::create_dir(&place.0).unwrap();
    let file = place.0.join("file");
    fs::write(&file, "").unwrap();
    let said = refusal(&file.join("data"));
    assert!(said.contains("file/data cannot be created"), "{said}");
    fs::create_dir(place.0.join("objects")).unwrap();
    let said = refusal(&place.0);
    assert!(said.contains("server on workerd"), "{said}");
    // No process may write to this folder, not even one of root.
    let said = refusal(std::path::Path::new("/proc/self/fdinfo"));
    assert!(said.contains("/fdinfo cannot be written to"), "{said}");
}

#[test]
fn the_token_is_made_once_and_for_its_owner_alone() {
    let place = Place::new();
    let start = || {
        let mut command = command(&place.0);
        command.env_remove("ADMIN_TOKEN");
        Server::of(command)
    };
    drop(start());
    let file = place.0.join("token");
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(token.trim().len(), 32);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&place.0).unwrap().permissions().mode() & 0o777, 0o700);
    drop(start());
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
}

#[test]
fn an_invalid_setting_is_named() {
    let place = Place::new();
    for (name, value) in [("THREADS", "x"), ("SHARD_FULL_BYTES", "-1"), ("ADMIN_TOKEN", "short")] {
        let output = command(&place.0).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_damaged_file_is_an_error_and_other_databases_work() {
    let place = Place::new();
    let mut server = Server::start(&place.0);
    for database in ["d", "e"] {
        server.create(database);
        server.write(database, "m v=1 1");
    }
    server.end("-TERM");
    let shards = || {
        let files = fs::read_dir(place.0.join("store")).unwrap();
        let mut shards: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        shards.retain(|path| path.to_string_lossy().contains("shard-"));
        shards
    };
    let shards = shards();
    assert_eq!(shards.len(), 2, "{shards:?}");
    fs::write(&shards[0], vec![7; 20_000]).unwrap();
    let server = Server::start(&place.0);
    let read = |database| {
        server.ask("POST", &format!("/query?db={database}&epoch=ns&q=SELECT%20v%20FROM%20m"), b"")
    };
    let results = ["d", "e"].map(read);
    let damaged =
        |(status, body): &&(u16, String)| *status == 503 && body.contains("file is not a database");
    let whole =
        |(status, body): &&(u16, String)| *status == 200 && body.contains(r#""values":[[1,1]]"#);
    assert_eq!(results.iter().filter(damaged).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(whole).count(), 1, "{results:?}");
}
