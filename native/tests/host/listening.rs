//! Tests the options `--tls-cert`, `--tls-key` and `--flight`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use crate::server::{Place, Server, TOKEN, command, curl, status};

/// Creates a certificate for 127.0.0.1. Returns the paths of the certificate and of the key.
fn certificate(folder: &Path, name: &str) -> (String, String) {
    certificate_with(folder, name, "CA:FALSE")
}

fn certificate_with(folder: &Path, name: &str, constraint: &str) -> (String, String) {
    fs::create_dir_all(folder).unwrap();
    let path = |end: &str| folder.join(format!("{name}-{end}")).to_string_lossy().into_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", &format!("basicConstraints=critical,{constraint}")]);
    let output = openssl.args(["-keyout", &key, "-out", &cert]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (cert, key)
}

#[test]
fn tls_works_with_both_versions_of_http() {
    let place = Place::new();
    let (cert, key) = certificate(&place.0, "own");
    let mut command = command(&place.0.join("data"));
    command.args(["--tls-cert", &cert, "--tls-key", &key, "--flight", "127.0.0.1:0"]);
    let server = Server::of(command);
    let authorization = format!("Authorization: Token {TOKEN}");
    let https = |option: &str, address: &str, target: &str, more: &[&str]| {
        let url = format!("https://{address}{target}");
        let args = [option, "--cacert", &cert, "-H", &authorization, &url];
        curl(&[&args, more, &["-w", "%{http_version} %{http_code}"]].concat())
    };
    https("--http1.1", &server.address, "/query", &["-d", "q=CREATE DATABASE d"]);
    for address in [&server.address, &server.flight] {
        for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let written = https(option, address, "/write?db=d", &["-d", "m v=7 1"]);
            assert_eq!(written, format!("{version} 204"));
            let read = https(option, address, "/query?db=d&epoch=ns&q=SELECT%20v%20FROM%20m", &[]);
            assert!(read.contains(r#""values":[[1,7]]"#), "{read}");
            assert!(read.ends_with(&format!("{version} 200")), "{read}");
        }
        // A client without TLS gets a TLS alert, and then the end of the connection.
        let mut response = Vec::new();
        let plain = Server::send_to(address, "GET", "/health", b"");
        plain.unwrap().read_to_end(&mut response).unwrap();
        assert_eq!(response.first(), Some(&0x15), "{}", String::from_utf8_lossy(&response));
    }
}

#[test]
fn commands_explain_untrusted_certificates() {
    let place = Place::new();
    let (own, own_key) = certificate(&place.0, "own");
    let (authority, authority_key) = certificate_with(&place.0, "authority", "CA:TRUE");
    let missing = place.0.join("missing.pem").to_string_lossy().into_owned();
    let asked = |cert: &str, key: &str, trusted: &str| {
        let mut command = command(&place.0.join("data"));
        command.args(["--tls-cert", cert, "--tls-key", key]);
        let server = Server::of(command);
        let url = format!("https://{}", server.address);
        let mut query = Command::new(env!("CARGO_BIN_EXE_tidemark"));
        query.args(["query", "--url", &url, "SHOW DATABASES"]);
        query.env("TIDEMARK_TOKEN", TOKEN).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
        let output = query.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(asked(&own, &own_key, &own), (true, String::new()));
    let (of_own, of_authority) = ((&own, &own_key), (&authority, &authority_key));
    for ((cert, key), trusted, remedy) in [
        (
            of_own,
            &authority,
            "not trusted: set SSL_CERT_FILE to a file with the issuer's certificate.",
        ),
        (
            of_authority,
            &authority,
            "the certificate of an authority: create a certificate with CA:FALSE",
        ),
        (of_own, &missing, "This machine has no certificates of authorities ("),
    ] {
        let (is_ok, errors) = asked(cert, key, trusted);
        assert!(!is_ok && errors.contains(remedy), "{trusted}: {errors}");
    }
}

#[test]
fn commands_use_proxy_of_environment() {
    let place = Place::new();
    let (trusted, _) = certificate(&place.0, "own");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut head = lines.map(Result::unwrap).take_while(|line| !line.is_empty());
            sender.send(head.next().unwrap()).unwrap();
            head.for_each(drop);
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let asked = |url: &str, proxy: &str| {
        let mut query = Command::new(env!("CARGO_BIN_EXE_tidemark"));
        query.args(["query", "--url", url, "SHOW DATABASES"]);
        for name in ["ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_DIR"] {
            query.env_remove(name);
        }
        query.env("TIDEMARK_TOKEN", TOKEN).env("SSL_CERT_FILE", &trusted);
        let output = query.env("HTTPS_PROXY", proxy).output().unwrap();
        assert!(!output.status.success());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (heads.try_recv().unwrap_or_default(), errors)
    };
    let connect = "CONNECT tidemark.example:443 HTTP/1.1";
    assert_eq!(asked("https://tidemark.example", &proxy).0, connect);
    assert_eq!(asked("https://127.0.0.1:1", &proxy).0, "");
    assert_eq!(asked("http://[::1]:1", &proxy).0, "");
    // The command ignores a SOCKS proxy, and connects to the server.
    let direct = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://0.0.0.0:{}", direct.local_addr().unwrap().port());
    std::thread::spawn(move || drop(direct.accept()));
    let (_, errors) = asked(&url, "socks5h://127.0.0.1:1");
    assert!(!errors.contains("refused"), "{errors}");
}

#[test]
fn unusable_tls_files_prevent_start() {
    let place = Place::new();
    let (cert, key) = certificate(&place.0, "own");
    let (_, other_key) = certificate(&place.0, "other");
    let absent = place.0.join("absent.pem").to_string_lossy().into_owned();
    let folder = place.0.to_string_lossy().into_owned();
    let unusable = |path: &str| format!("{path} cannot be used for TLS: ");
    for (files, message) in [
        (vec!["--tls-cert", &cert, "--tls-key", &absent], unusable(&absent)),
        (vec!["--tls-cert", &absent, "--tls-key", &key], unusable(&absent)),
        (vec!["--tls-cert", &cert, "--tls-key", &folder], unusable(&folder)),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], unusable(&cert)),
        (vec!["--tls-cert", &cert, "--tls-key", &other_key], unusable(&cert)),
        (vec!["--tls-cert", &cert], "--tls-cert and --tls-key belong together".to_owned()),
    ] {
        let output = command(&place.0.join("data")).args(&files).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with(&message), "{files:?}: {errors}");
        assert_eq!((errors.lines().count(), output.status.code()), (1, Some(1)), "{errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

#[test]
fn both_addresses_accept_http_and_grpc() {
    let place = Place::new();
    let mut command = command(&place.0.join("data"));
    command.env("FLIGHT_PORT", "0");
    let server = Server::of(command);
    server.create("d");
    server.write("d", "m v=7 1");
    // A ticket of `DoGet`, in a message of gRPC.
    let ticket = r#"{"database":"d","query_type":"influxql","sql_query":"SELECT v FROM m"}"#;
    let size = u8::try_from(ticket.len()).unwrap();
    let frame = [&[0, 0, 0, 0, size + 2, 0x0a, size], ticket.as_bytes()].concat();
    let file = place.0.join("message");
    fs::write(&file, frame).unwrap();
    let body = format!("@{}", file.display());
    let message = ["--data-binary", &body];
    let do_get = |version: &str, address: &str, token: &str, body: &[&str]| {
        let url = format!("http://{address}/arrow.flight.protocol.FlightService/DoGet");
        let authorization = format!("Authorization: Bearer {token}");
        let head = [version, "-i", "-H", "Content-Type: application/grpc", "-H", "TE: trailers"];
        curl(&[&head, body, &["-X", "POST", "-H", &authorization, &url]].concat())
    };
    assert_ne!(server.address, server.flight);
    for address in [&server.address, &server.flight] {
        assert_eq!(curl(&[&format!("http://{address}/ping"), "-w", "%{http_code}"]), "204");
        let flight = do_get("--http2-prior-knowledge", address, TOKEN, &message);
        assert!(flight.starts_with("HTTP/2 200"), "{flight}");
        assert!(flight.contains("content-type: application/grpc\r\n"), "{flight}");
        assert!(flight.contains("iox::measurement"), "{flight}");
        assert!(flight.contains("grpc-status: 0\r\n"), "{flight}");
        // curl 7.88 can miss the end of a response that ends before the request, so this request
        // has no message.
        let refused = do_get("--http2-prior-knowledge", address, "wrong", &[]);
        assert!(refused.contains("grpc-status: 16\r\n"), "{refused}");
        assert_eq!(status(&do_get("--http1.1", address, TOKEN, &message)), 505);
    }
}
