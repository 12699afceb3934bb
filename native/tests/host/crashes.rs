//! Tests that an object whose code panics cannot end the program again and again.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::server::{Place, Server, command, eventually, library, started};

/// A stopped server with the databases `d` and `e`, whose next processes panic if they open the
/// file of `d`.
struct Prepared {
    place: Place,
    file: String,
}

impl Prepared {
    /// `prepare` receives the server and may change database `d`.
    fn new(prepare: impl FnOnce(&Server)) -> Self {
        let (place, mut server) = started(&[]);
        let databases = || {
            let files = fs::read_dir(place.0.join("store")).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            let is_database = |name: &String| name.starts_with("database-");
            names.filter(is_database).collect::<BTreeSet<_>>()
        };
        server.create("d");
        server.write("d", "m v=1 1");
        let file = databases().pop_first().unwrap().replace("-wal", "");
        server.create("e");
        server.write("e", "m v=1 1");
        prepare(&server);
        server.end("-TERM");
        Self { place, file }
    }

    fn command(&self) -> Command {
        let mut command = command(&self.place.0);
        command.env("LD_PRELOAD", library(&self.place.0, "crashes"));
        command.env("PANIC_FILE", &self.file);
        command
    }

    /// Starts servers until `work` of the object has ended three of them. An alarm can end a server
    /// before it is ready.
    fn crash(&self, work: &str, attempt: impl Fn(&mut Server)) {
        let crashes = || {
            let lines = fs::read_to_string(self.place.0.join("crashes")).unwrap_or_default();
            lines.lines().filter(|line| line.contains(&format!(" {work} "))).count()
        };
        for _ in 0..12 {
            if crashes() == 3 {
                return;
            }
            if let Ok(mut server) = Server::started(self.command()) {
                attempt(&mut server);
                let (code, log) = server.end("-0");
                assert_eq!(code, None, "{log}");
            }
        }
        panic!("{} crashes", crashes());
    }
}

#[test]
fn repeatedly_panicking_alarm_waits() {
    let it = Prepared::new(|server| {
        let statement = "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT count(v) INTO n FROM m GROUP \
                         BY time(1s) END";
        assert!(!server.query("d", statement).contains("error"));
    });
    // No request opens the file.
    it.crash("alarm", |_| ());
    let mut server = Server::of(it.command());
    assert_eq!(server.count("e", "m"), 1);
    let (_, health) = server.ask("GET", "/health", b"");
    assert!(health.contains(r#""name":"host""#) && health.contains("ended the"), "{health}");
    let (code, log) = server.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    let object = it.file.trim_end_matches(".sqlite");
    let event = format!(r#""event":"refused_after_crashes","object":"{object}""#);
    assert!(log.contains(&event) && log.contains(r#""work":"alarm""#), "{log}");
    // Requests to the database still work.
    let mut server = Server::start(&it.place.0);
    server.write("d", "m v=1 2");
    assert_eq!(server.count("d", "m"), 2);
    server.end("-TERM");
    // Without the file, the alarm runs again at once.
    fs::remove_file(it.place.0.join("crashes")).unwrap();
    let server = Server::start(&it.place.0);
    eventually("the continuous query ran", || {
        server.write("d", "m v=1");
        server.query("d", "SELECT count(count) FROM n").contains("series")
    });
}

#[test]
fn repeatedly_panicking_request_is_refused() {
    let it = Prepared::new(|_| ());
    let target = "/query?db=d&q=SELECT%20v%20FROM%20m";
    it.crash("request", |server| assert!(server.exchange("GET", target, b"").is_err()));
    let mut server = Server::of(it.command());
    let (status, body) = server.ask("GET", target, b"");
    assert!(status == 503 && body.contains("have ended the server repeatedly"), "{status} {body}");
    assert_eq!(server.count("e", "m"), 1);
    assert_eq!(server.end("-TERM").0, Some(0));
}
