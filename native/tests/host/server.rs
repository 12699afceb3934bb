//! Provides a server under test, and a small client.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const TOKEN: &str = "token-of-the-tests";

/// The maximum time that a test waits for an event.
const WAIT: Duration = Duration::from_secs(90);

/// A folder that is deleted after the test.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidemark-host-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the command of a server on a free port.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.env("ADMIN_TOKEN", TOKEN).env("LOG_REQUESTS", "none").env("THREADS", "2");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a server with its data in a new folder, and with these environment variables.
pub(crate) fn started(variables: &[(&str, &str)]) -> (Place, Server) {
    let place = Place::new();
    let mut command = command(&place.0);
    command.envs(variables.iter().copied());
    let server = Server::of(command);
    (place, server)
}

/// Returns the command of a server that a shell starts after the commands `before`.
pub(crate) fn command_after(before: &str, data: &Path) -> Command {
    let plain = command(data);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#"{before} && exec "$0" "$@""#)]).arg(plain.get_program());
    shell.args(plain.get_args());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Compiles a library that a server loads with LD_PRELOAD. Returns the path of the library.
#[cfg(target_os = "linux")]
pub(crate) fn library(folder: &Path, name: &str) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    let source = format!("{}/tests/host/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().unwrap().success());
    library
}

/// A running server, which is killed at the end of the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// The address of `--flight`, or an empty text.
    pub(crate) flight: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::of(command(data))
    }

    pub(crate) fn of(command: Command) -> Self {
        Self::started(command).unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// Starts a server. If the server ends before it is ready, returns its error message.
    pub(crate) fn started(mut command: Command) -> Result<Self, String> {
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let Ok(started) = serde_json::from_str::<serde_json::Value>(&line) else {
            let errors = child.wait_with_output().unwrap().stderr;
            return Err(String::from_utf8_lossy(&errors).into_owned());
        };
        let address = |key: &str| {
            let url = started[key].as_str().and_then(|url| url.split_once("://"));
            url.map_or_else(String::new, |(_, address)| address.to_owned())
        };
        Ok(Self { child, address: address("url"), flight: address("flight"), output })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server with a signal. Returns its exit code and its last line.
    pub(crate) fn end(&mut self, signal: &str) -> (Option<i32>, String) {
        let number = self.child.id().to_string();
        Command::new("kill").args([signal, &number]).status().unwrap();
        eventually("the server ended", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }

    /// Sends a request and returns the status and the body.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &[u8]) -> (u16, String) {
        let (head, body) = self.exchange(method, target, body).unwrap();
        (status(&head), String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends a request and returns the head and the body.
    pub(crate) fn exchange(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> std::io::Result<(String, Vec<u8>)> {
        let mut response = Vec::new();
        self.send(method, target, body)?.read_to_end(&mut response)?;
        let end = response.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or_else(|| std::io::Error::other("no response"))?;
        let head = String::from_utf8_lossy(&response[..end]).into_owned();
        Ok((head, response.split_off(end + 4)))
    }

    /// Sends a request. Returns the connection, from which the response can be read.
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> std::io::Result<TcpStream> {
        Self::send_to(&self.address, method, target, body)
    }

    /// Sends a request to one of the server's addresses.
    pub(crate) fn send_to(
        address: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WAIT))?;
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.0\r\nHost: tests\r\nAuthorization: Token {TOKEN}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        Ok(stream)
    }

    pub(crate) fn query(&self, database: &str, statement: &str) -> String {
        let target = format!("/query?db={database}&epoch=ns&q={}", encode(statement));
        let (status, body) = self.ask("POST", &target, b"");
        assert_eq!(status, 200, "{body}");
        body.trim_end().to_owned()
    }

    pub(crate) fn create(&self, database: &str) {
        let body = self.query("", &format!("CREATE DATABASE {database}"));
        assert_eq!(body, r#"{"results":[{"statement_id":0}]}"#);
    }

    pub(crate) fn write(&self, database: &str, lines: &str) {
        let (status, body) = self.ask("POST", &format!("/write?db={database}"), lines.as_bytes());
        assert_eq!(status, 204, "{body}");
    }

    /// Returns the number of points in a measurement that have field `v`.
    pub(crate) fn count(&self, database: &str, measurement: &str) -> u64 {
        let body = self.query(database, &format!("SELECT count(v) FROM {measurement}"));
        let number = body.rsplit_once("[0,").map_or("0", |(_, rest)| rest);
        number.split(']').next().unwrap().parse().unwrap()
    }

    /// Returns a column of `SHOW STATS` for the first shard.
    pub(crate) fn shard_statistic(&self, column: &str) -> u64 {
        let body = self.query("", "SHOW STATS FOR 'shard'");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let series = &body["results"][0]["series"][0];
        let columns = series["columns"].as_array().unwrap();
        let index = columns.iter().position(|name| name == column).unwrap();
        series["values"][0][index].as_u64().unwrap()
    }
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Encodes a text for a URL.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Runs curl, which the test set-up installs. Returns its output.
pub(crate) fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "-m", "60"]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `is_so` returns true.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < WAIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends one write over a separate connection. Returns whether the server acknowledged the write.
pub(crate) fn write_at(address: &str, database: &str, lines: &str) -> bool {
    let send = || -> std::io::Result<bool> {
        let target = format!("/write?db={database}");
        let mut head = [0; 12];
        Server::send_to(address, "POST", &target, lines.as_bytes())?.read_exact(&mut head)?;
        Ok(&head[9..] == b"204")
    };
    send().unwrap_or(false)
}
