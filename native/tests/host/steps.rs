//! Tests faults at every write to a database file: kills, power failures, and a disk that becomes
//! full, broken or read-only. Afterwards, all acknowledged points must exist, and no batch may be
//! stored in part.
//!
//! The library steps.c causes the faults in the unchanged program. In each life, the server flushes
//! its log, merges its parts, accepts a batch, and closes its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Place, Server, command, library, status};

/// A shard merges this number of parts.
const PARTS: u64 = 8;
const BATCH: u64 = 30;
/// Each batch overwrites the last points of the previous batch.
const STEP: u64 = 20;
const KILLS: [&str; 4] = ["kill_before", "kill_within", "kill_after", "power"];
const DISKS: [&str; 3] = ["full", "broken", "read_only"];
/// The maximum time until a server without faults has merged the parts.
const MERGE_MAX: Duration = Duration::from_secs(90);
/// The time for which a server with a faulty disk runs.
const FAULTY: Duration = Duration::from_millis(300);

/// The value of each time.
type Points = BTreeMap<u64, u64>;

fn batch(number: u64) -> Points {
    (0..BATCH).map(|row| (number * STEP + row, number * 1_000 + row)).collect()
}

fn lines(points: &Points) -> String {
    points.iter().map(|(time, v)| format!("m,host=h{} v={v}i {time}\n", time % 3)).collect()
}

/// A stopped server, from which each life starts.
struct Prepared {
    place: Place,
    library: PathBuf,
    /// The number of lives until now. Each life has written one batch.
    lives: u64,
    points: Points,
}

impl Prepared {
    fn new(lives: u64) -> Self {
        let place = Place::new();
        fs::create_dir_all(place.0.join("data/store")).unwrap();
        let library = library(&place.0, "steps");
        let mut it = Self { place, library, lives: 0, points: Points::new() };
        for _ in 0..lives {
            let mut server = it.start(&it.data(), None).unwrap();
            server.create("d");
            server.write("d", &lines(&batch(it.lives)));
            it.points.extend(batch(it.lives));
            it.lives += 1;
            server.end("-TERM");
        }
        it
    }

    fn data(&self) -> PathBuf {
        self.place.0.join("data")
    }

    /// The clock of each life is an hour ahead of the clock of the previous life, so that alarms
    /// are due when the server starts. Returns the server's message if the server ends immediately.
    fn start(&self, data: &Path, fault: Option<(u32, &str)>) -> Result<Server, String> {
        let mut command = command(data);
        command.env("LD_PRELOAD", &self.library).env("THREADS", "1");
        command.env("AUTO_CREATE_RETENTION", "INF");
        command.env("CLOCK_SHIFT_S", (self.lives * 3_600).to_string());
        if let Some((step, fault)) = fault {
            command.env("STEP_AT", step.to_string()).env("STEP_FAULT", fault);
        }
        Server::started(command)
    }

    fn copy(&self) -> Place {
        let copy = Place::new();
        fs::create_dir_all(copy.0.join("store")).unwrap();
        for folder in ["", "store"] {
            for file in fs::read_dir(self.data().join(folder)).unwrap() {
                let file = file.unwrap();
                if file.file_type().unwrap().is_file() {
                    fs::copy(file.path(), copy.0.join(folder).join(file.file_name())).unwrap();
                }
            }
        }
        copy
    }

    /// Runs a life with a fault, then checks the data in a life without faults. Returns whether the
    /// server was killed.
    fn run(&self, step: u32, fault: &str) -> bool {
        let what = format!("{fault} at step {step}");
        let copy = self.copy();
        let is_kill = KILLS.contains(&fault);
        let mut is_acknowledged = false;
        let mut was_killed = true;
        match self.start(&copy.0, Some((step, fault))) {
            Ok(mut server) => {
                let _ = ask(&server, "/query?q=CREATE%20DATABASE%20d", "");
                let reply = ask(&server, "/write?db=d", &lines(&batch(self.lives)));
                is_acknowledged = matches!(reply, Some((204, _)));
                if is_kill {
                    let ends_itself = self.has_merged(&server);
                    was_killed = server.end("-TERM").0 != Some(0);
                    assert!(ends_itself || was_killed, "{what}: no merge");
                } else {
                    self.use_faulty_disk(&server, reply, fault, &what);
                    server.end("-KILL");
                }
            }
            Err(said) => {
                assert!(is_kill || said.contains("sqlite cannot be used"), "{what}: {said}")
            }
        }
        let server = self.start(&copy.0, None).unwrap_or_else(|said| panic!("{what}: {said}"));
        server.create("d");
        let found = points(&server).unwrap_or_else(|body| panic!("{what}: {body}"));
        self.check(&found, is_acknowledged, &what);
        server.write("d", "m v=1i 1000000");
        was_killed
    }

    /// The last batch may be missing only if the server has not acknowledged it.
    fn check(&self, found: &Points, is_acknowledged: bool, what: &str) {
        let mut all = self.points.clone();
        all.extend(batch(self.lives));
        let is_right = *found == all || !is_acknowledged && *found == self.points;
        assert!(is_right, "{what}, acknowledged: {is_acknowledged}, found: {found:?}");
    }

    /// Waits until the server has merged the parts of the earlier lives. Returns false if the
    /// server has ended before.
    fn has_merged(&self, server: &Server) -> bool {
        let began = Instant::now();
        while self.lives > 0 && began.elapsed() < MERGE_MAX {
            let Some((_, body)) = ask(server, "/query?q=SHOW%20STATS%20FOR%20'shard'", "") else {
                return false;
            };
            // The first column is the number of merges.
            if body.contains(r#""values":[[1,"#) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.lives == 0
    }

    /// Checks that requests to a server with a faulty disk succeed or return a clear error.
    fn use_faulty_disk(
        &self,
        server: &Server,
        reply: Option<(u16, String)>,
        fault: &str,
        what: &str,
    ) {
        let (status, body) = reply.unwrap();
        let is_acknowledged = status == 204;
        assert!(is_acknowledged || is_disk_error(status, &body), "{what}: {status} {body}");
        let began = Instant::now();
        while began.elapsed() < FAULTY {
            match points(server) {
                Ok(found) => self.check(&found, is_acknowledged, what),
                Err(body) => {
                    let is_clear = fault == "read_only" && is_disk_error(503, &body);
                    assert!(is_clear, "{what}: {body}");
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_disk_error(status: u16, body: &str) -> bool {
    let reasons = ["storage is full", "disk I/O error", "unable to open database file", "readonly"];
    status == 503 && reasons.iter().any(|reason| body.contains(reason))
}

/// Sends a request. Returns `None` if the server has ended.
fn ask(server: &Server, target: &str, body: &str) -> Option<(u16, String)> {
    let (head, body) = server.exchange("POST", target, body.as_bytes()).ok()?;
    Some((status(&head), String::from_utf8(body).unwrap()))
}

/// Returns all points, or the body of the error.
fn points(server: &Server) -> Result<Points, String> {
    let (status, body) = server.ask("GET", "/query?db=d&epoch=ns&q=SELECT%20v%20FROM%20m", b"");
    let result: Value = serde_json::from_str(&body).map_err(|_| body.clone())?;
    if status != 200 || body.contains("error") {
        return Err(body);
    }
    let rows = result["results"][0]["series"][0]["values"].as_array();
    let point = |row: &Value| (row[0].as_u64().unwrap(), row[1].as_u64().unwrap());
    Ok(rows.map(|rows| rows.iter().map(point).collect()).unwrap_or_default())
}

/// Runs a life for each kill at every `stride`-th step. Returns the last step.
fn run_kills(it: &Prepared, stride: usize) -> u32 {
    let mut last = 0;
    for (first, fault) in (1..).zip(KILLS) {
        let steps = (first..).step_by(stride);
        last = last.max(steps.take_while(|step| it.run(*step, fault)).last().unwrap_or_default());
    }
    assert!(last >= 30, "{last} steps");
    last
}

#[test]
fn faults_during_merge_lose_nothing() {
    let it = Prepared::new(PARTS);
    let last = run_kills(&it, 1);
    for fault in DISKS {
        for step in 1..=last {
            it.run(step, fault);
        }
    }
}

#[test]
fn kills_in_new_folder_lose_nothing() {
    run_kills(&Prepared::new(0), 8);
}

#[test]
fn full_disk_is_reported_on_every_connection() {
    for (fault, cause) in [("full", "storage is full"), ("broken", "disk I/O error")] {
        let place = Place::new();
        fs::create_dir_all(place.0.join("data")).unwrap();
        let is_full = place.0.join("is_full");
        let mut command = command(&place.0.join("data"));
        command.env("LD_PRELOAD", library(&place.0, "steps"));
        command.env("STEP_AT", "1").env("STEP_FAULT", fault).env("STEP_WHILE", &is_full);
        let server = Server::of(command);
        // Each connection uses the next thread.
        let checks = || -> Vec<Value> {
            let health = |_| {
                let (status, body) = server.ask("GET", "/health", b"");
                assert_eq!(status, 200, "{body}");
                serde_json::from_str::<Value>(&body).unwrap()
            };
            let all: Vec<Value> = (0..4).map(health).collect();
            assert!(all.iter().all(|health| *health == all[0]), "{all:?}");
            all[0]["checks"].as_array().unwrap().clone()
        };
        let failed_commits = || -> u64 {
            let (_, text) = server.ask("GET", "/metrics?db=d", b"");
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("tidemark_failed_commits_total ")?.parse().ok());
            count.unwrap_or_else(|| panic!("{text}"))
        };
        server.create("d");
        server.write("d", "m v=1 1");
        assert_eq!((checks(), failed_commits()), (Vec::new(), 0));

        fs::write(&is_full, "").unwrap();
        for time in 2..5 {
            let (status, body) =
                server.ask("POST", "/write?db=d", format!("m v=1 {time}").as_bytes());
            assert!(is_disk_error(status, &body), "{status} {body}");
            let failed = checks();
            assert_eq!(
                (&failed[0]["name"], &failed[0]["status"]),
                (&"storage".into(), &"fail".into())
            );
            assert!(failed[0]["message"].as_str().unwrap().contains(cause), "{failed:?}");
        }
        assert_eq!(server.count("d", "m"), 1);
        assert!(failed_commits() >= 3);

        fs::remove_file(&is_full).unwrap();
        server.write("d", "m v=1 9");
        assert_eq!(checks(), Vec::<Value>::new());
        assert_eq!(server.count("d", "m"), 2);
    }
}
