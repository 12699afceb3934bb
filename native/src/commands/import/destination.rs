//! Sends the requests of an import, and creates missing databases and retention policies.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::Failure;
use crate::commands::http_client::{FORM, Request, Server, form};
use crate::commands::json::array;
use crate::commands::quoted;

/// The maximum number of attempts if a request fails temporarily.
const TRIES_MAX: u32 = 10;
/// The maximum pause, in seconds, between two attempts if the response has no `Retry-After` header.
const PAUSE_S_MAX: u64 = 30;

/// The database and the policy into which lines are imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Destination {
    pub database: String,
    /// The name of the retention policy. An empty name means the default policy.
    pub policy: String,
}

/// Sends a request, and retries it after temporary failures. Returns the status and the text of the
/// response.
pub fn send(server: &Server, request: &Request<'_>) -> Result<(u16, String), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut pause_s = 2_u64.pow(tries - 1).min(PAUSE_S_MAX);
        let reason = match server.send(request) {
            Ok(response) if response.is_redirect() => return Err(response.failure()),
            Ok(response) => {
                let status = response.status();
                let wait_s = response.header("Retry-After").and_then(|wait| wait.parse().ok());
                pause_s = wait_s.filter(|wait_s| *wait_s > 0).unwrap_or(pause_s);
                match response.text() {
                    Ok(text) if status != 429 && status < 500 => return Ok((status, text)),
                    Ok(text) => format!("{status} {}", text.trim()),
                    Err(Failure(reason)) => reason,
                }
            }
            Err(Failure(reason)) => reason,
        };
        if tries == TRIES_MAX {
            return Err(Failure(format!("the request failed {TRIES_MAX} times: {reason}")));
        }
        stderr_line!("the request failed, and is sent again in {pause_s} s: {reason}");
        sleep(Duration::from_secs(pause_s));
    }
}

pub struct QueryResult {
    pub status: u16,
    pub error: Option<String>,
    pub rows: Vec<Value>,
}

/// Runs one statement. The error is either the error of the statement, or the status and text of
/// the response.
pub fn query(server: &Server, q: &str) -> Result<QueryResult, Failure> {
    let body = form(&[("q", Some(q))]);
    let (status, text_of) = send(server, &Request::post("/query", FORM, body.as_bytes()))?;
    if status != 200 {
        let error = Some(format!("{status} {}", text_of.trim()));
        return Ok(QueryResult { status, error, rows: Vec::new() });
    }
    let response: Value = serde_json::from_str(&text_of)
        .map_err(|reason| Failure(format!("The response is not JSON: {reason}.")))?;
    let results = array(&response, "results");
    let error = results.iter().find_map(|result| result.get("error")?.as_str().map(str::to_owned));
    let series = results.first().and_then(|result| array(result, "series").first());
    let rows = series.map(|series| array(series, "values").to_vec()).unwrap_or_default();
    Ok(QueryResult { status, error, rows })
}

fn create(server: &Server, what: &str, statement: &str) -> Result<(), Failure> {
    let QueryResult { status, error, .. } = query(server, statement)?;
    match error {
        None => stderr_line!("created {what}, which keeps points permanently"),
        Some(_) if status == 403 => {
            return Err(Failure(format!(
                "{what} does not exist, and this token may not create it: run `{statement}` with \
                 the admin token, then repeat this command"
            )));
        }
        Some(error) => return Err(Failure(format!("{statement}: {error}"))),
    }
    Ok(())
}

/// Ensures that a database and policy exist. A missing database or policy is created with an
/// unlimited duration.
pub fn ensure(server: &Server, destination: &Destination) -> Result<(), Failure> {
    let database = quoted(&destination.database);
    let listed = query(server, "SHOW DATABASES")?;
    if listed.status != 200 {
        return Err(Failure(format!("SHOW DATABASES: {}", listed.error.unwrap_or_default())));
    }
    let cell = |row: &Value, column: usize| {
        row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if !listed.rows.iter().any(|row| cell(row, 0) == destination.database) {
        create(server, &format!("database {database}"), &format!("CREATE DATABASE {database}"))?;
    }
    // A token without read permission cannot list the policies. Without the list, the responses to
    // writes report any problems.
    let shown = query(server, &format!("SHOW RETENTION POLICIES ON {database}"))?;
    if shown.error.is_some() {
        return Ok(());
    }
    let is_wanted = |row: &&Value| match destination.policy.is_empty() {
        // With FUTURE LIMIT or PAST LIMIT, the list has two more columns.
        true => row.as_array().and_then(|row| row.last()) == Some(&Value::Bool(true)),
        false => cell(row, 0) == destination.policy,
    };
    let Some(found) = shown.rows.iter().find(is_wanted) else {
        if destination.policy.is_empty() {
            return Ok(());
        }
        let on = format!("{} ON {database}", quoted(&destination.policy));
        let statement = format!("CREATE RETENTION POLICY {on} DURATION INF REPLICATION 1");
        return create(server, &format!("retention policy {on}"), &statement);
    };
    let duration = cell(found, 1);
    if duration != "0s" {
        let on = format!("{} ON {database}", quoted(&cell(found, 0)));
        stderr_line!(
            "retention policy {on} keeps points for {duration}: the server rejects older lines, \
             unless you first run `ALTER RETENTION POLICY {on} DURATION INF`"
        );
    }
    let limits = [cell(found, 4), cell(found, 5)];
    if limits.iter().any(|limit| !matches!(limit.as_str(), "" | "0s")) {
        let on = format!("{} ON {database}", quoted(&cell(found, 0)));
        let [future, past] = limits;
        stderr_line!(
            "retention policy {on} limits the times of new points (FUTURE LIMIT {future}, PAST \
             LIMIT {past}): the server rejects other lines, unless you first run `ALTER RETENTION \
             POLICY {on} FUTURE LIMIT 0s PAST LIMIT 0s`"
        );
    }
    Ok(())
}
