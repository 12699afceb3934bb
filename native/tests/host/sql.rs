//! Tests the SQL process, and how statements fail when this process ends.

use std::fs;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::server::{Place, Server, encode, eventually, status};

/// A statement that computes for several seconds in a debug build without a pause.
const LONG: &str = "SELECT levenshtein(repeat('a', 9900), repeat('b', 9900)) AS d";
const COUNT: &str = "SELECT count(*) AS c FROM m";

fn target(statement: &str, format: &str) -> String {
    format!("/api/v3/query_sql?db=d&format={format}&q={}", encode(statement))
}

fn ask(server: &Server, statement: &str) -> (u16, String) {
    server.ask("GET", &target(statement, "json"), b"")
}

fn started(more: &[(&str, &str)]) -> (Place, Server) {
    let (place, server) = crate::server::started(more);
    server.create("d");
    server.write("d", "m,host=a v=1.5 1\nm,host=b v=2 2\nm,host=c v=3 3");
    (place, server)
}

/// Returns the ids of the server's SQL processes.
fn processes(server: &Server) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let lists: Vec<String> = tasks.filter_map(Result::ok).filter_map(children).collect();
    lists.iter().flat_map(|line| line.split_whitespace()).map(|id| id.parse().unwrap()).collect()
}

fn process(server: &Server) -> Option<u32> {
    processes(server).first().copied()
}

fn is_running(id: u32) -> bool {
    // The command line of a process that has ended is empty.
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn kill(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

#[test]
fn sql_returns_every_format_or_error() {
    let (_place, server) = started(&[]);
    assert_eq!(process(&server), None, "no statement, no process");
    let rows = "SELECT host, v FROM m WHERE v > 1.6 ORDER BY v DESC";
    let body = r#"[{"host":"c","v":3.0},{"host":"b","v":2.0}]"#;
    assert_eq!(ask(&server, rows), (200, body.to_owned()));
    let csv = server.ask("GET", &target(rows, "csv"), b"");
    assert_eq!(csv, (200, "host,v\nc,3.0\nb,2.0\n".to_owned()));
    let (head, file) = server.exchange("GET", &target(rows, "parquet"), b"").unwrap();
    assert_eq!(status(&head), 200);
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"), "{} bytes", file.len());
    let (code, body) = ask(&server, "SELECT nothing FROM m");
    assert_eq!(code, 400, "{body}");
    assert!(body.contains("No field named nothing"), "{body}");
    // The SQL process must not get the server's environment, which contains the token.
    let environment = fs::read(format!("/proc/{}/environ", process(&server).unwrap())).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "");
    // The priority of the SQL process is lower than that of the server.
    let state = fs::read_to_string(format!("/proc/{}/stat", process(&server).unwrap())).unwrap();
    assert_eq!(state.split(' ').nth(18), Some("10"), "{state}");
    // The condition exceeds the maximum size of a message to shards, so the plan itself evaluates
    // it.
    let texts = "host <> repeat('x', 18000000) AND host <> repeat('y', 18000000)";
    assert_eq!(ask(&server, &format!("{COUNT} WHERE {texts}")), (200, r#"[{"c":3}]"#.to_owned()));
}

#[test]
fn long_sql_statement_stops_without_blocking() {
    let (_place, mut server) = started(&[("SQL_TURN_MS", "1500")]);
    assert_eq!(ask(&server, COUNT), (200, r#"[{"c":3}]"#.to_owned()));
    let first = process(&server).unwrap();
    scope(|scope| {
        let long = scope.spawn(|| ask(&server, LONG));
        sleep(Duration::from_millis(200));
        // Another SQL process runs this statement.
        assert_eq!(ask(&server, COUNT), (200, r#"[{"c":3}]"#.to_owned()));
        assert!(!long.is_finished(), "SQL waits for other SQL");
        let began = Instant::now();
        assert_eq!(server.count("d", "m"), 3);
        assert!(!long.is_finished(), "InfluxQL waits for SQL: {:?}", began.elapsed());
        let (code, body) = long.join().unwrap();
        assert_eq!(code, 507, "{body}");
        let why =
            "the statement was stopped: it computed for more than 1.5 seconds without a pause";
        assert!(body.contains(why), "{body}");
    });
    assert!(!is_running(first), "the process continues");
    let (_, log) = server.end("-TERM");
    assert!(log.contains("sql_stopped"), "{log}");
}

/// Each of the two processes runs two statements. These statements compute for minutes.
#[test]
fn closed_connections_end_computing_sql() {
    let (_place, server) = started(&[]);
    let joined = "SELECT count(*) AS c FROM generate_series(1, 1000) a \
                  JOIN generate_series(1, 10000000) b ON a.value + b.value < 0";
    let send = || server.send("GET", &target(joined, "json"), b"").unwrap();
    let mut streams = vec![send()];
    eventually("a process computes", || processes(&server).len() == 1);
    streams.push(send());
    eventually("another process computes", || processes(&server).len() == 2);
    let counted = (200, r#"[{"c":3}]"#.to_owned());
    // The first two statements are in different processes.
    for number in 0..2 {
        streams.extend((streams.len()..4).map(|_| send()));
        eventually("both processes are busy", || {
            let (code, body) = ask(&server, COUNT);
            code == 503 && body.contains("too many statements are running")
        });
        scope(|scope| {
            let waiting = scope.spawn(|| ask(&server, COUNT));
            sleep(Duration::from_millis(500));
            assert!(!waiting.is_finished());
            drop(streams.remove(0));
            let found = waiting.join().unwrap();
            assert_eq!(found, counted, "a statement waits although statement {number} has ended");
        });
    }
    drop(streams);
    eventually("the statements have ended", || ask(&server, COUNT) == counted);
}

#[test]
fn killed_sql_process_restarts() {
    let (_place, mut server) = started(&[]);
    for (signal, letter, ends) in
        [("-KILL", 'b', (200, r#"[{"d":6000}]"#)), ("-SEGV", 'c', (503, "exhausted its stack"))]
    {
        // This statement computes for more than a second without a pause. Each statement differs
        // from earlier statements, because the plan cache contains the results of their constants.
        let slow = format!("SELECT levenshtein(repeat('a', 6000), repeat('{letter}', 6000)) AS d");
        assert_eq!(ask(&server, COUNT).0, 200);
        let first = process(&server).unwrap();
        let (code, body) = scope(|scope| {
            let running = scope.spawn(|| ask(&server, &slow));
            sleep(Duration::from_millis(300));
            assert!(!running.is_finished(), "the statement is too short for this test");
            kill(signal, first);
            running.join().unwrap()
        });
        assert_eq!(code, ends.0, "{body}");
        assert!(body.contains(ends.1), "{body}");
        assert_eq!(ask(&server, COUNT), (200, r#"[{"c":3}]"#.to_owned()));
        assert_ne!(process(&server), Some(first));
    }
    let last = process(&server).unwrap();
    server.end("-KILL");
    eventually("the process ends with the server", || !is_running(last));
}

/// Returns a statement for a text `s`, whose computation needs more than `megabytes` of memory.
fn large(result: &str, megabytes: usize) -> String {
    let rows = megabytes * 1_000;
    let text = "string_agg(repeat('a', 1000), '') AS s";
    format!("SELECT {result} > 1 AS l FROM (SELECT {text} FROM generate_series(1, {rows}))")
}

#[test]
fn large_statement_ends_sql_process() {
    // The other limits of SQL make statements that exceed the default of 1 GiB unlikely.
    let (_place, mut server) = started(&[("SQL_PROCESS_BYTES", "25165824")]);
    assert_eq!(ask(&server, COUNT).0, 200);
    let first = process(&server);
    // The function computes for longer than the time between two checks of the memory.
    let (code, body) = ask(&server, &large("levenshtein(left(s, 6000), repeat('b', 6000))", 27));
    assert_eq!(code, 507, "{body}");
    assert!(body.contains("it used more than 24 MiB of memory; use simpler functions"), "{body}");
    assert_eq!(ask(&server, COUNT), (200, r#"[{"c":3}]"#.to_owned()));
    assert_ne!(process(&server), first);
    let (_, log) = server.end("-TERM");
    assert!(log.contains("sql_stopped"), "{log}");
}

#[test]
fn large_sql_process_ends_after_statement() {
    let (_place, server) = started(&[]);
    let is_true = (200, r#"[{"l":true}]"#.to_owned());
    assert_eq!(ask(&server, COUNT).0, 200);
    let first = process(&server).unwrap();
    // Below 64 MiB the process continues.
    assert_eq!(ask(&server, &large("max(octet_length(s))", 4)), is_true);
    assert_eq!(process(&server), Some(first));
    assert_eq!(ask(&server, &large("max(octet_length(s))", 27)), is_true);
    eventually("the memory is returned", || !is_running(first));
    assert_eq!(ask(&server, COUNT), (200, r#"[{"c":3}]"#.to_owned()));
}

#[test]
fn unused_sql_process_ends() {
    let (_place, server) = started(&[("SQL_UNUSED_MS", "3000")]);
    let count = (200, r#"[{"c":3}]"#.to_owned());
    assert_eq!(ask(&server, COUNT), count);
    let first = process(&server).unwrap();
    eventually("the unused process ends", || !is_running(first));
    // While the server waits for the end of the first process, a statement starts a process in the
    // other place. Later statements use the first place again.
    assert_eq!(ask(&server, COUNT), count);
    assert_eq!(ask(&server, COUNT), count);
    let used = *processes(&server).last().unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        assert_eq!(ask(&server, COUNT), count);
        sleep(Duration::from_millis(50));
    }
    assert!(processes(&server).contains(&used));
}
