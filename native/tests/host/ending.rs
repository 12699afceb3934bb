//! Tests signals, kills and restarts: afterwards, all acknowledged points must exist.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::server::{Place, Server, eventually, started};

#[test]
fn data_survives_termination_signal() {
    let (place, mut server) = started(&[]);
    server.create("d");
    server.write("d", "m v=1 1\nm v=2 2");
    let (code, last) = server.end("-TERM");
    assert_eq!(code, Some(0));
    assert!(last.contains(r#""event":"stopped""#), "{last}");
    let server = Server::start(&place.0);
    assert_eq!(server.count("d", "m"), 2);
}

#[test]
fn acknowledged_writes_survive_kills() {
    let place = Place::new();
    let acknowledged: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
    for round in 0..4 {
        let mut server = Server::start(&place.0);
        if round == 0 {
            server.create("d");
        }
        let is_over = AtomicBool::new(false);
        let address = server.address.clone();
        std::thread::scope(|scope| {
            for (writer, done) in acknowledged.iter().enumerate() {
                let (is_over, address) = (&is_over, &address);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let next = done.load(Ordering::Relaxed);
                        let line = format!("w{writer} v={next} {next}\n");
                        if crate::server::write_at(address, "d", &line) {
                            done.store(next + 1, Ordering::Relaxed);
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(700));
            server.end("-KILL");
            is_over.store(true, Ordering::Relaxed);
        });
    }
    let server = Server::start(&place.0);
    for (writer, done) in acknowledged.iter().enumerate() {
        let done = done.load(Ordering::Relaxed);
        assert!(done > 4, "writer {writer} wrote only {done} points");
        let stored = server.count("d", &format!("w{writer}"));
        // The server may have stored one write without acknowledging it.
        assert!(stored == done || stored == done + 1, "writer {writer}: {stored} of {done}");
    }
}

#[test]
fn stored_alarm_fires_after_restart() {
    let (place, mut server) = started(&[]);
    server.create("d");
    let statement =
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT count(v) INTO n FROM m GROUP BY time(1s) END";
    assert!(!server.query("d", statement).contains("error"));
    server.end("-KILL");
    let server = Server::start(&place.0);
    // Only the stored alarm can run the continuous query, because no later request in this test
    // runs it.
    eventually("the continuous query ran", || {
        // A run does not see a point that becomes visible after the end of the point's window, so
        // on a busy machine a single point could be missed.
        let (status, body) = server.ask("POST", "/write?db=d", b"m v=1");
        assert_eq!(status, 204, "{body}");
        server.query("d", "SELECT count(count) FROM n").contains("series")
    });
}

#[test]
fn single_threaded_server_reports_durations() {
    let (_place, server) = started(&[("THREADS", "1")]);
    server.create("d");
    server.write("d", "m v=1 1");
    let (status, body) = server.ask("GET", "/metrics?db=d", b"");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("duration_seconds_bucket"), "{body}");
}
