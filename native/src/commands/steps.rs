//! Repeats a request for work that a server performs in steps. The request is repeated while the
//! status is 202, and after temporary failures. The server stores finished steps, so a repeated
//! command continues the work.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http_client::{Request, Response, Server};
use super::json::{number, texts};
use crate::Failure;
use crate::printable::printable;

const FAILURES_MAX: u32 = 8;
/// The pause before the first retry. The pause doubles with each retry.
const PAUSE: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(10);

pub fn bytes_text(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// A progress line on standard error, which the next progress line overwrites. If standard error is
/// not a terminal, a new line is printed at intervals.
pub struct Progress {
    last: Instant,
    is_open: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { last: Instant::now(), is_open: false }
    }

    pub fn show(&mut self, text: &str) {
        if stderr().is_terminal() {
            let _ = write!(stderr(), "\r\x1b[K{}", printable(text));
            self.is_open = true;
        } else if self.last.elapsed() > LINE_EVERY {
            self.last = Instant::now();
            stderr_line!("{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_open {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// Checks that the server responds. Without this check, a command would report an unreachable
/// server only after all its retries, which take half a minute.
pub fn must_respond(server: &Server) -> Result<(), Failure> {
    server.send(&Request::new("GET", "/ping")).map(drop)
}

/// Sends a request until it succeeds, and reads the response. Repeats the request after a temporary
/// failure: status 429 or 503, or an incomplete response.
pub fn until_success<T>(
    server: &Server,
    request: &Request<'_>,
    mut read: impl FnMut(Response) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut failures = 0;
    loop {
        let failure = match server.send(request) {
            Ok(response) if response.is_success() => match read(response) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            },
            Ok(response) if matches!(response.status(), 429 | 503) => response.failure(),
            Ok(response) => return Err(response.failure()),
            Err(failure) => failure,
        };
        failures += 1;
        if failures == FAILURES_MAX {
            return Err(failure);
        }
        sleep(PAUSE * 2_u32.pow(failures - 1));
    }
}

#[derive(Debug, Default)]
pub struct Sums {
    pub objects: u64,
    pub values: u64,
    pub bytes: u64,
    pub damaged: Vec<String>,
}

/// Repeats a request until no work remains. `path` returns the path of the next request and
/// receives the last response, which is null before the first request. `text` returns the progress
/// line. Returns the last response and the totals.
pub fn finish(
    server: &Server,
    method: &'static str,
    path: impl Fn(&Value) -> String,
    text: impl Fn(&Sums, &Value) -> String,
) -> Result<(Value, Sums), Failure> {
    must_respond(server)?;
    let mut progress = Progress::new();
    let mut sums = Sums::default();
    let mut last = Value::Null;
    loop {
        let request = Request::new(method, path(&last));
        let (is_last, body) = until_success(server, &request, |response| {
            Ok((response.status() != 202, response.json()?))
        })?;
        sums.objects += number(&body, "objects");
        sums.values += number(&body, "values");
        sums.bytes += number(&body, "bytes");
        sums.damaged.extend(texts(&body, "damaged"));
        if is_last {
            return Ok((body, sums));
        }
        progress.show(&text(&sums, &body));
        last = body;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreachable_server_is_reported_immediately() {
        let server = Server::at("http://127.0.0.1:1", LINE_EVERY, LINE_EVERY);
        let began = Instant::now();
        let done = finish(&server, "POST", |_| "/".to_owned(), |_, _| String::new());
        assert!(done.is_err() && began.elapsed() < LINE_EVERY);
    }

    #[test]
    fn bytes_are_shown_in_their_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 KB"),
            (2_340_000, "2.3 MB"),
            (12_000_000_000_000, "12000.0 GB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }
}
