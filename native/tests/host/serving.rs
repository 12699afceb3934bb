//! Tests the parts that the host adds to the engine: threads, files, streams, the console.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::server::{
    Place, Server, TOKEN, command_after, curl, encode, eventually, started, status,
};

#[test]
fn databases_work_across_threads() {
    let (_place, server) = started(&[]);
    for number in 0..8 {
        let database = format!("d{number}");
        server.create(&database);
        server.write(&database, &format!("m,host=a v={number} 1\nm,host=b v=2 2"));
    }
    for number in 0..8 {
        let series = server.query(&format!("d{number}"), "SELECT v FROM m WHERE host='a'");
        assert!(series.contains(&format!(r#""values":[[1,{number}]]"#)), "{series}");
    }
    let names = server.query("", "SHOW DATABASES");
    assert!(names.contains(r#"[["d0"],["d1"],["d2"],["d3"],["d4"],["d5"],["d6"],["d7"]]"#));
}

#[test]
fn open_files_exceed_soft_limit() {
    let place = Place::new();
    let server = Server::of(command_after("ulimit -Sn 64", &place.0));
    for number in 0..20 {
        let database = format!("d{number}");
        server.create(&database);
        server.write(&database, "m v=1 1");
    }
}

#[test]
fn streamed_response_has_every_row() {
    let (_place, server) = started(&[]);
    server.create("d");
    for batch in 0..10 {
        let point = |row: u32| format!("m v={row} {}\n", batch * 10_000 + row);
        server.write("d", &(0..10_000).map(point).collect::<String>());
    }
    let (head, body) =
        server.exchange("GET", "/query?db=d&epoch=ns&q=SELECT%20v%20FROM%20m", b"").unwrap();
    assert_eq!(status(&head), 200);
    let rows = body.windows(2).filter(|two| two == b"],").count();
    assert!(rows >= 99_999, "{rows}");
    assert!(body.ends_with(b"]]}]}]}\n"), "{}", String::from_utf8_lossy(&body[body.len() - 40..]));
}

#[test]
fn closed_connection_ends_query() {
    let (_place, server) = started(&[]);
    server.create("d");
    let point = |row: u32| format!("m v={row} {row}\n");
    for _ in 0..3 {
        server.write("d", &(0..50_000).map(point).collect::<String>());
    }
    let statement = "SELECT%20v%20FROM%20m,m,m,m,m,m,m,m,m,m,m,m,m,m,m,m,m,m,m,m";
    let target = format!("/query?db=d&chunked=true&q={statement}");
    let mut stream = server.send("GET", &target, b"").unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    eventually("the query is listed", || server.query("", "SHOW QUERIES").contains("FROM m, m"));
    drop(stream);
    eventually("the query has ended", || !server.query("", "SHOW QUERIES").contains("FROM m, m"));
}

/// Returns a statement that computes for minutes before the server sends the first byte of the
/// response, in an optimised build too. It fits a model to 1,000 windows for each of 98 seasons.
fn endless_statement() -> String {
    let fit = |season| format!("holt_winters(mean(v),10,{season})");
    let fits: Vec<String> = (2..100).map(fit).collect();
    let range = "time >= 0 AND time < 1000ns";
    format!("SELECT {} FROM m WHERE {range} GROUP BY time(1ns)", fits.join(","))
}

fn write_points_for_fits(server: &Server, database: &str) {
    let point = |row: u32| format!("m v={row} {row}\n");
    server.write(database, &(0..1_000).map(point).collect::<String>());
}

#[test]
fn closed_connection_ends_computing_statement() {
    let (_place, mut server) = started(&[("LOG_REQUESTS", "all"), ("QUERY_CPU_MS_MAX", "300000")]);
    server.create("d");
    write_points_for_fits(&server, "d");
    let target = format!("/query?db=d&q={}", encode(&endless_statement()));
    let stream = server.send("GET", &target, b"").unwrap();
    let is_listed = || server.query("", "SHOW QUERIES").contains("holt_winters");
    eventually("the query is listed", is_listed);
    drop(stream);
    eventually("the query has ended", || !is_listed());
    let (_, log) = server.end("-TERM");
    assert!(log.contains("client went away"), "{log}");
}

/// Returns the CPU time of a process, in units of 10 ms.
#[cfg(target_os = "linux")]
fn cpu_ticks(process: u32) -> u64 {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let times: Vec<u64> = state.split(' ').skip(13).take(2).map(|n| n.parse().unwrap()).collect();
    times.iter().sum()
}

/// With two threads, the objects and requests of the databases belong to both threads.
#[cfg(target_os = "linux")]
#[test]
fn long_statement_does_not_delay_other_databases() {
    for threads in ["1", "2"] {
        let (_place, server) = started(&[("THREADS", threads), ("QUERY_CPU_MS_MAX", "300000")]);
        let others = ["b", "c", "d"];
        others.iter().for_each(|database| server.create(database));
        server.create("a");
        write_points_for_fits(&server, "a");
        let used = cpu_ticks(server.id());
        let target = format!("/query?db=a&q={}", encode(&endless_statement()));
        let statement = server.send("GET", &target, b"").unwrap();
        eventually("the statement computes", || cpu_ticks(server.id()) > used + 20);
        for database in others {
            server.write(database, "m v=1 1");
            assert_eq!(server.count(database, "m"), 1);
        }
        let running = server.query("", "SHOW QUERIES");
        assert!(running.contains("holt_winters"), "{threads} threads: other databases waited");
        drop(statement);
    }
}

/// Parsing the body takes most of the time of the request.
#[test]
fn large_body_blocks_nobody() {
    let (_place, server) = started(&[("THREADS", "1")]);
    server.create("d");
    let body = "x\n".repeat(10_000_000);
    std::thread::scope(|scope| {
        let write = scope.spawn(|| {
            let began = Instant::now();
            assert_eq!(server.ask("POST", "/write?db=d", body.as_bytes()).0, 400);
            began.elapsed()
        });
        let mut longest_ping_time = Duration::ZERO;
        while !write.is_finished() {
            let began = Instant::now();
            assert_eq!(server.ask("GET", "/ping", b"").0, 204);
            longest_ping_time = longest_ping_time.max(began.elapsed());
        }
        let body_time = write.join().unwrap();
        assert!(longest_ping_time < body_time / 2, "{longest_ping_time:?} of {body_time:?}");
    });
}

/// `MEMORY_BYTES` limits the memtables of all threads. A memtable that exceeds the memory of its
/// thread is dropped, and the next query reads the points from the log.
#[test]
fn memory_bytes_limits_memtables() {
    for (memory_bytes, threads, is_kept) in
        [("192000000", "8", true), ("1600000", "1", true), ("1600000", "8", false)]
    {
        let (_place, server) = started(&[("MEMORY_BYTES", memory_bytes), ("THREADS", threads)]);
        server.create("d");
        for batch in 0..2 {
            let point = |row: u32| format!("m v={row} {}\n", batch * 10_000 + row);
            server.write("d", &(0..10_000).map(point).collect::<String>());
        }
        let used = server.shard_statistic("memoryBytes");
        assert_eq!(used > 200_000, is_kept, "{used} of {memory_bytes}, {threads} threads");
        assert_eq!(server.count("d", "m"), 20_000);
        server.write("d", "m v=1 20000");
        assert_eq!(server.count("d", "m"), 20_001);
    }
}

/// A pipe has room for a few hundred lines.
#[test]
fn unread_log_does_not_stop_server() {
    let (_place, mut server) = started(&[("LOG_REQUESTS", "all")]);
    for _ in 0..1_200 {
        assert_eq!(server.ask("GET", "/query?q=SHOW%20DATABASES", b"").0, 200);
    }
    let (_, log) = server.end("-TERM");
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    assert_eq!(line["status"], 200);
}

#[test]
fn connections_without_request_are_closed() {
    let (_place, server) = started(&[]);
    let began = Instant::now();
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let starts: [&[u8]; 3] = [b"", b"GET /ping HTTP/1.1\r\nHost: tests\r\n", http2];
    let streams = starts.map(|start| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(start).unwrap();
        stream
    });
    for mut stream in streams {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let waited = began.elapsed();
    assert!((9..20).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn invalid_chunk_returns_400() {
    let (_place, server) = started(&[]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(
            format!(
                "POST /write?db=d HTTP/1.1\r\nHost: tests\r\nAuthorization: Token {TOKEN}\r\n\
                 Transfer-Encoding: chunked\r\n\r\nzz\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    let mut response = [0; 400];
    let length = stream.read(&mut response).unwrap();
    let response = String::from_utf8_lossy(&response[..length]);
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
}

#[test]
fn server_serves_console_or_explains_absence() {
    let (_place, server) = started(&[]);
    let (head, body) = server.exchange("GET", "/", b"").unwrap();
    let body = String::from_utf8_lossy(&body);
    if status(&head) == 200 {
        assert!(body.contains("<html"), "{body}");
        assert!(head.contains("Content-Security-Policy"), "{head}");
        assert!(head.contains("X-Influxdb-Version: 1."), "{head}");
        let tag = head.lines().find_map(|line| line.strip_prefix("Etag: ")).unwrap();
        let known = format!("If-None-Match: {tag}");
        let url = format!("http://{}/", server.address);
        assert!(curl(&["-s", "-i", "-H", &known, &url]).starts_with("HTTP/1.1 304"), "{tag}");
    } else {
        assert!(body.contains("without the console"), "{body}");
    }
    assert_eq!(server.ask("GET", "/_headers", b"").0, 404);
    assert_eq!(server.ask("GET", "/../Cargo.toml", b"").0, 404);
}

#[test]
fn concurrent_writers_lose_no_points() {
    let (_place, server) = started(&[]);
    server.create("d");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for point in 0..50 {
                    server.write("d", &format!("m,w={writer} v=1 {point}"));
                }
            });
        }
    });
    assert_eq!(server.count("d", "m"), 400);
}

#[test]
fn http2_requests_and_head_work() {
    let (_place, server) = started(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    let authorization = format!("Authorization: Token {}", crate::server::TOKEN);
    let own = format!("Origin: http://{}", server.address);
    let mut args = vec!["--http2-prior-knowledge", "-H", &authorization, "-H", &own];
    let create = url("/query?q=CREATE%20DATABASE%20d");
    args.extend(["-X", "POST", &create]);
    assert_eq!(curl(&args).trim_end(), r#"{"results":[{"statement_id":0}]}"#);
    let head = curl(&["--http2-prior-knowledge", "-I", &url("/health")]);
    assert!(head.starts_with("HTTP/2 200"), "{head}");
}

#[test]
fn long_urls_are_accepted_up_to_limit() {
    let (place, server) = started(&[]);
    server.create("d");
    server.write("d", "m,host=h7 v=7 1");
    let condition = |hosts: usize| {
        let hosts = (0..hosts).map(|host| format!("\"host\" = 'h{host}'"));
        format!("SELECT v FROM m WHERE {}", hosts.collect::<Vec<_>>().join(" OR "))
    };
    let target = |hosts| format!("/query?db=d&epoch=ns&q={}", encode(&condition(hosts)));
    let file = place.0.join("url");
    // curl reads the URL from a file, because it is too long for an argument.
    std::fs::write(&file, format!("url = \"http://{}{}\"", server.address, target(900))).unwrap();
    let (authorization, file) = (format!("Authorization: Token {TOKEN}"), file.to_string_lossy());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let found = curl(&[version, "-H", &authorization, "-K", &file, "-w", "%{http_code}"]);
        assert!(found.contains("[[1,7]]") && found.ends_with("200"), "{version}: {found}");
    }
    // 3,000 hosts are almost 64 KB of text, and 180 KB of URL.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let headers = format!("HTTP/1.1\r\nHost: t\r\nAuthorization: Token {TOKEN}\r\n");
    let request = format!("GET {} {headers}\r\n", target(3_000));
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = [0; 4_000];
        let length = stream.read(&mut response).unwrap();
        let response = String::from_utf8_lossy(&response[..length]);
        assert!(response.starts_with("HTTP/1.1 200") && response.contains("[[1,7]]"), "{response}");
    }
}

#[test]
fn too_long_heads_get_json() {
    let (_place, server) = started(&[]);
    let long = "x".repeat(400_000);
    for (target, header, expected) in [
        (format!("/query?q={long}"), "", 414),
        (format!("/{long}"), "", 414),
        ("/ping".to_owned(), long.as_str(), 431),
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: t\r\nX: {header}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert_eq!(status(&response), expected, "{response}");
        let body = response.split("\r\n\r\n").nth(1).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let error = body["error"].as_str().unwrap();
        assert!(error.contains("262144 bytes") && error.contains("httpMode: POST"), "{error}");
    }
}

/// Sends a request over HTTP/2. The libraries of curl send no heads of more than 64 KB.
fn ask_http2(server: &Server, target: &str, headers: &[(String, String)]) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let (executor, stream) = (TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = hyper::Request::get(format!("http://{}{target}", server.address));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn large_heads_of_http2_are_accepted_up_to_limit() {
    let (_place, server) = started(&[]);
    let value = "x".repeat(50_000);
    let headers = |count: usize| -> Vec<(String, String)> {
        (0..count).map(|number| (format!("x-{number}"), value.clone())).collect()
    };
    assert_eq!(ask_http2(&server, "/ping", &headers(5)).0, 204);
    let (status, body) = ask_http2(&server, "/ping", &headers(6));
    assert!(status == 431 && body.contains("httpMode: POST"), "{status} {body}");
}

#[test]
fn rejected_body_keeps_connection_open() {
    let (_place, server) = started(&[]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let body = vec![b'x'; 4_000_000];
    write!(
        stream,
        "POST /write?db=d HTTP/1.1\r\nHost: t\r\nAuthorization: Token wrong\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&response)), 401);
}

#[test]
fn quotes_in_query_are_accepted_after_write() {
    let (_place, server) = started(&[]);
    server.create("d");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let line = "m v=\"text\" 1";
    let length = line.len();
    let headers = format!("HTTP/1.1\r\nHost: t\r\nAuthorization: Token {TOKEN}\r\n");
    let write = format!("POST /write?db=d {headers}Content-Length: {length}\r\n\r\n{line}");
    stream.write_all(write.as_bytes()).unwrap();
    let mut response = [0; 4_000];
    let length = stream.read(&mut response).unwrap();
    let response = String::from_utf8_lossy(&response[..length]);
    assert!(response.starts_with("HTTP/1.1 204"), "{response}");
    let query = format!("GET /query?db=d&q=SELECT+\"v\"+FROM+m {headers}Connection: close\r\n\r\n");
    stream.write_all(query.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200") && response.contains("\"text\""), "{response}");
}

/// A thread with more than 400 objects closes the files of objects that are idle for some seconds.
#[cfg(target_os = "linux")]
#[test]
fn files_of_idle_objects_are_closed() {
    let (_place, server) = started(&[("THREADS", "1"), ("DEFAULT_SHARDS", "32")]);
    let lines: String = (0..400).map(|host| format!("m,host=h{host} v=1 1\n")).collect();
    let databases: Vec<String> = (0..14).map(|number| format!("d{number}")).collect();
    for database in &databases {
        server.create(database);
        server.write(database, &lines);
    }
    let open_files = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
        let paths = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        paths.filter(|path| path.extension().is_some_and(|end| end == "sqlite")).count()
    };
    assert!(open_files() > 420, "{} open files", open_files());
    // The alarms have one more file.
    eventually("files are closed", || open_files() <= 401);
    for database in &databases {
        assert_eq!(server.count(database, "m"), 400, "{database}");
    }
}
