//! Runs the whole product natively for `run.mjs`. Reads one request per line from standard input: a
//! JSON array `[path, query, body]`, optionally with an Accept header. Writes one JSON array
//! `[status, body]` per line.
#![allow(missing_docs, reason = "a program for one script")]

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use tidemark_browser::in_process::InProcess;
use tidemark_server::http::RequestHead;
use tidemark_server::settings::Settings;

/// The value of `now()` and the time of every request.
const NOW_NS: i64 = 1_700_000_000_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let shards = std::env::args().nth(1).unwrap_or_else(|| "1".to_owned());
    let setting = |name: &str| match name {
        "ADMIN_TOKEN" => Some("token-of-the-tests".to_owned()),
        "DEFAULT_SHARDS" => Some(shards.clone()),
        _ => None,
    };
    let mut product = InProcess::new(Settings::read(setting)?, 1);
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let mut asked = serde_json::from_str::<Vec<String>>(&line)?.into_iter();
        let mut next = || asked.next().unwrap_or_default();
        let (path, query, body, accept) = (next(), next(), next(), next());
        let headers = [("authorization", "Token token-of-the-tests"), ("accept", &accept)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let head = RequestHead { method: "POST".to_owned(), path, query, headers };
        let response = product.request(head, body.into_bytes(), NOW_NS);
        let text = String::from_utf8_lossy(&response.body);
        serde_json::to_writer(&mut out, &(response.status, text))?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
