//! Tests unusable folders and damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use crate::server::library;
use crate::server::{Place, Server, command, command_after, eventually, started};

fn refusal(data: &std::path::Path) -> String {
    let output = command(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn second_server_cannot_share_folder() {
    let (place, mut server) = started(&[]);
    let said = refusal(&place.0);
    assert!(said.contains("is in use by another server"), "{said}");
    server.end("-KILL");
    // The operating system releases the lock when the process ends.
    Server::start(&place.0);
}

#[test]
fn unusable_data_folder_is_reported() {
    let place = Place::new();
    fs::create_dir(&place.0).unwrap();
    let file = place.0.join("file");
    fs::write(&file, "").unwrap();
    let said = refusal(&file.join("data"));
    assert!(said.contains("file/data cannot be created"), "{said}");
    fs::create_dir(place.0.join("objects")).unwrap();
    let said = refusal(&place.0);
    assert!(said.contains("server on workerd"), "{said}");
    // No process may create files in this folder, not even a process of root.
    let said = refusal(std::path::Path::new("/proc/self/fdinfo"));
    assert!(said.contains("/fdinfo cannot be written to"), "{said}");
}

#[test]
fn admin_token_file_is_created_once() {
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
fn invalid_setting_is_reported() {
    let place = Place::new();
    for (name, value) in [("THREADS", "x"), ("SHARD_FULL_BYTES", "-1"), ("ADMIN_TOKEN", "short")] {
        let output = command(&place.0).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(name), "{said}");
    }
}

/// Returns the files of all shards.
fn shards(place: &Place) -> Vec<PathBuf> {
    let files = fs::read_dir(place.0.join("store")).unwrap();
    let mut shards: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    shards.retain(|path| path.to_string_lossy().contains("shard-"));
    shards.retain(|path| path.extension().is_some_and(|end| end == "sqlite"));
    shards
}

#[test]
fn damaged_file_affects_one_database() {
    let (place, mut server) = started(&[]);
    for database in ["d", "e"] {
        server.create(database);
        server.write(database, "m v=1 1");
    }
    server.end("-TERM");
    let shards = shards(&place);
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

/// Points whose values are the squares of their times.
fn squares(times: std::ops::Range<u64>) -> String {
    times.map(|time| format!("m v={}i {time}\n", time * time)).collect()
}

/// The result of a query for the points of [`squares`] before `end`.
fn squares_result(end: u64) -> String {
    let values: Vec<String> = (0..end).map(|time| format!("[{time},{}]", time * time)).collect();
    format!(r#""values":[{}]"#, values.join(","))
}

#[test]
fn flipped_byte_is_reported_or_harmless() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.write("d", &squares(0..300));
    server.end("-TERM");
    // A restarted server flushes the log after the first query. The later points stay in the log.
    let mut server = Server::start(&place.0);
    assert_eq!(server.count("d", "m"), 300);
    eventually("the log is flushed", || server.shard_statistic("parts") == 1);
    server.write("d", &squares(300..400));
    server.end("-TERM");
    let [file] = &shards(&place)[..] else { panic!("not one shard") };
    let whole = fs::read(file).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut reported = 0;
    for at in used.iter().copied().step_by(used.len() / 80) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(file, &damaged).unwrap();
        let mut server = Server::start(&place.0);
        let (status, body) = server.ask("GET", "/query?db=d&epoch=ns&q=SELECT%20v%20FROM%20m", b"");
        let is_right = status == 200 && body.contains(&squares_result(400));
        assert!(is_right || body.contains("error"), "byte {at}: {status} {body}");
        reported += u32::from(!is_right);
        server.end("-KILL");
        let _ = fs::remove_file(file.with_extension("sqlite-wal"));
    }
    assert!(reported > 20, "{reported} errors");
    fs::write(file, &whole).unwrap();
    assert_eq!(Server::start(&place.0).count("d", "m"), 400);
}

#[test]
fn truncated_log_keeps_first_batches() {
    let (place, mut server) = started(&[]);
    server.create("d");
    for batch in 0..40 {
        server.write("d", &squares(batch * 20..batch * 20 + 20));
    }
    server.end("-KILL");
    let [file] = &shards(&place)[..] else { panic!("not one shard") };
    let log = file.with_extension("sqlite-wal");
    let (rows, frames) = (fs::read(file).unwrap(), fs::read(&log).unwrap());
    let mut counts = Vec::new();
    for percent in [30, 50, 70, 90, 99, 100] {
        fs::write(file, &rows).unwrap();
        fs::write(&log, &frames[..frames.len() * percent / 100]).unwrap();
        let mut server = Server::start(&place.0);
        let count = server.count("d", "m");
        assert_eq!(count % 20, 0, "a batch is stored in part");
        let body = server.query("d", "SELECT v FROM m");
        assert!(count == 0 || body.contains(&squares_result(count)), "{percent} %: {body}");
        counts.push(count);
        server.end("-KILL");
    }
    assert!(counts.is_sorted() && counts[0] < counts[2] && counts[4] < 800, "{counts:?}");
    assert_eq!(counts[5], 800);
}

#[test]
fn missing_or_empty_catalog_is_reported() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.write("d", "m v=1 1");
    server.end("-KILL");
    let catalog = place.0.join("store/catalog.sqlite");
    let log = catalog.with_extension("sqlite-wal");
    let (rows, frames) = (fs::read(&catalog).unwrap(), fs::read(&log).unwrap());
    let check = || {
        let said = refusal(&place.0);
        assert!(said.contains("store/catalog.sqlite is missing or empty"), "{said}");
    };
    // The tables are still in the log.
    fs::remove_file(&log).unwrap();
    check();
    fs::write(&catalog, "").unwrap();
    check();
    fs::remove_file(&catalog).unwrap();
    check();
    fs::write(&catalog, rows).unwrap();
    fs::write(&log, frames).unwrap();
    assert_eq!(Server::start(&place.0).count("d", "m"), 1);
}

#[test]
fn damaged_alarms_are_reported() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.write("d", "m v=1 1");
    server.end("-TERM");
    let alarms = place.0.join("alarms.sqlite");
    fs::write(&alarms, vec![7; 20_000]).unwrap();
    assert!(!fs::exists(alarms.with_extension("sqlite-wal")).unwrap(), "the file was not closed");
    let said = refusal(&place.0);
    assert!(said.contains("alarms.sqlite cannot be used: file is not a database"), "{said}");
    // The next start sets the alarms of all objects, without an event of these objects.
    fs::remove_file(&alarms).unwrap();
    Server::start(&place.0).end("-TERM");
    let stored = rusqlite::Connection::open(&alarms).unwrap();
    let databases = "SELECT count(*) FROM alarm WHERE name LIKE 'database-%'";
    assert_eq!(stored.query_row(databases, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
    drop(stored);
    assert_eq!(Server::start(&place.0).count("d", "m"), 1);
}

#[test]
fn full_disk_rejects_writes_without_loss() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.end("-TERM");
    // Limits each file to 512 blocks. A block has 512 bytes, or 1,024 bytes in other shells. The
    // shell ignores the system's signal, so that SQLite gets an error.
    let mut server = Server::of(command_after("trap '' XFSZ; ulimit -f 512", &place.0));
    let mut acknowledged = 0;
    let refusal = loop {
        let point = |row: u64| {
            let noise = (acknowledged + row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("m v=1i,s=\"{noise:016x}{:016x}\" {}\n", !noise, acknowledged + row)
        };
        let lines: String = (0..1_000).map(point).collect();
        let (status, body) = server.ask("POST", "/write?db=d", lines.as_bytes());
        if status != 204 {
            break (status, body);
        }
        acknowledged += 1_000;
        assert!(acknowledged < 1_000_000, "the disk never gets full");
    };
    assert_eq!(refusal.0, 503, "{}", refusal.1);
    assert!(refusal.1.contains("commit failed") || refusal.1.contains("storage"), "{}", refusal.1);
    assert!(acknowledged > 0);
    server.end("-KILL");
    let server = Server::start(&place.0);
    assert_eq!(server.count("d", "m"), acknowledged);
    server.write("d", "m v=1i 9000000");
}

/// The alarm that deletes a dropped database is due after half a minute. The second server's clock
/// is an hour ahead.
#[cfg(target_os = "linux")]
#[test]
fn dropped_database_leaves_no_file() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.write("d", "m v=1 1");
    let files = || {
        let files = fs::read_dir(place.0.join("store")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with("catalog")).collect::<Vec<_>>()
    };
    assert!(!files().is_empty());
    server.query("", "DROP DATABASE d");
    server.end("-TERM");
    let mut command = command(&place.0);
    command.env("LD_PRELOAD", library(&place.0, "steps")).env("CLOCK_SHIFT_S", "3600");
    let _server = Server::of(command);
    eventually("the files are deleted", || files().is_empty());
}
