//! Exports and imports the databases, policies, continuous queries, tokens and users of a
//! deployment as lines of JSON:
//!
//! ```text
//! {"kind":"database","name":"plant"}
//! {"kind":"policy","database":"plant","name":"year","duration":"8760h0m0s",…}
//! {"kind":"query","database":"plant","text":"CREATE CONTINUOUS QUERY …"}
//! {"kind":"token","name":"sensors","hash":"…",…}
//! {"kind":"user",…}
//! ```
//!
//! A policy also has the members "shard_duration" ("168h0m0s"), "replication" (1) and "default"
//! (false), and the members "future_limit" and "past_limit" if a policy of its database has such a
//! limit. Tokens and users have the format of /api/v3/configure/access.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::http_client::{JSON, Request, Server};
use super::json::{array, number, text, texts};
use super::{print, quoted};
use crate::Failure;

/// The maximum number of tokens and users in one request.
const ROWS_PER_REQUEST: usize = 10;
/// The maximum size of a record in a file, in bytes.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// The column of SHOW RETENTION POLICIES, the member of a record, and the option of CREATE
/// RETENTION POLICY for each limit.
const LIMITS: [(&str, &str, &str); 2] = [
    ("futureWriteLimit", "future_limit", "FUTURE LIMIT"),
    ("pastWriteLimit", "past_limit", "PAST LIMIT"),
];
const ACCESS: &str = "/api/v3/configure/access";

/// Runs a statement and returns its rows as objects. The keys are the column names. The member `of`
/// contains the name of the series.
fn rows_of(server: &Server, q: &str) -> Result<Vec<Value>, Failure> {
    let response = server.query(q, None, None, JSON)?.json()?;
    let result = array(&response, "results").first().unwrap_or(&Value::Null);
    if let Some(error) = result.get("error").and_then(Value::as_str) {
        return Err(Failure(format!("{q}: {error}")));
    }
    let mut rows = Vec::new();
    for series in array(result, "series") {
        let columns = array(series, "columns").iter().filter_map(Value::as_str);
        let columns: Vec<_> = columns.collect();
        for values in array(series, "values") {
            let mut row = json!({ "of": series.get("name") });
            for (at, column) in columns.iter().enumerate() {
                row[*column] = values.get(at).cloned().unwrap_or_default();
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Passes all records to `write`, in the order that an import requires.
fn records(
    server: &Server,
    mut write: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let databases = rows_of(server, "SHOW DATABASES")?;
    for database in &databases {
        write(&json!({ "kind": "database", "name": database["name"] }))?;
    }
    for database in databases.iter().map(|database| text(database, "name")) {
        let q = format!("SHOW RETENTION POLICIES ON {}", quoted(database));
        for policy in rows_of(server, &q)? {
            let mut record = json!({
                "kind": "policy", "database": database, "name": policy["name"],
                "duration": policy["duration"], "shard_duration": policy["shardGroupDuration"],
                "replication": policy["replicaN"], "default": policy["default"],
            });
            for (column, member, _) in LIMITS {
                if let Some(limit) = policy.get(column) {
                    record[member] = limit.clone();
                }
            }
            write(&record)?;
        }
    }
    for query in rows_of(server, "SHOW CONTINUOUS QUERIES")? {
        write(&json!({ "kind": "query", "database": query["of"], "text": query["query"] }))?;
    }
    let mut next = json!({ "kind": "token", "after": 0 });
    while next.is_object() {
        let path = format!("{ACCESS}?kind={}&after={}", text(&next, "kind"), next["after"]);
        let mut page = server.must(&Request::new("GET", path))?.json()?;
        array(&page, "rows").iter().try_for_each(&mut write)?;
        next = page.get_mut("next").map(Value::take).unwrap_or_default();
    }
    Ok(())
}

/// Exports all records to a file. Only the current user may read the file, because it contains
/// password hashes. The file gets its final name only after it is complete.
pub fn export_deployment(server: &Server, path: &Path) -> Result<(), Failure> {
    let part = PathBuf::from(format!("{}.part", path.display()));
    // Other users may be able to read a file that an earlier run left behind.
    let _ = remove_file(&part);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let cannot_write = |reason: std::io::Error| Failure::file("written", path, reason);
    let mut file = BufWriter::new(options.open(&part).map_err(cannot_write)?);
    let kinds = ["database", "policy", "query", "token", "user"];
    let mut counts: BTreeMap<_, u64> = kinds.iter().map(|kind| ((*kind).to_owned(), 0)).collect();
    let written = records(server, |record| {
        *counts.entry(text(record, "kind").to_owned()).or_default() += 1;
        writeln!(file, "{record}").map_err(cannot_write)
    });
    let written = written
        .and_then(|()| file.flush().and_then(|()| rename(&part, path)).map_err(cannot_write));
    if written.is_err() {
        let _ = remove_file(&part);
    }
    written?;
    let counted: Vec<_> = kinds.iter().map(|kind| format!("{kind} {}", counts[*kind])).collect();
    stderr_line!("{} contains these records: {}.", path.display(), counted.join(", "));
    Ok(())
}

/// Converts a duration such as `168h0m0s` to InfluxQL. The duration `0s` becomes `INF`.
fn duration_of(duration: &str) -> String {
    if duration == "0s" {
        return "INF".to_owned();
    }
    // InfluxQL has no fractions, and µ instead of µs.
    if let Some(ns) = duration.contains(['.', 'µ']).then(|| nanoseconds(duration)).flatten() {
        return format!("{ns}ns");
    }
    let short = duration.replace("h0m", "h");
    match short.strip_suffix("0s").filter(|rest| rest.ends_with(['h', 'm'])) {
        Some(rest) => rest.to_owned(),
        None => short,
    }
}

/// Parses a duration in the format of Go, such as `1m1.5s`.
fn nanoseconds(duration: &str) -> Option<i64> {
    let (mut rest, mut total_ns) = (duration, 0_i64);
    while !rest.is_empty() {
        let number;
        (number, rest) = rest.split_at(rest.find(char::is_alphabetic)?);
        let unit;
        (unit, rest) = rest.split_at(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()));
        let unit_ns: i64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let fraction_ns = fraction.parse::<i64>().ok()?.checked_mul(unit_ns)?;
        let fraction_ns = fraction_ns / 10_i64.checked_pow(fraction.len().try_into().ok()?)?;
        let whole_ns = whole.parse::<i64>().ok()?.checked_mul(unit_ns)?;
        total_ns = total_ns.checked_add(whole_ns)?.checked_add(fraction_ns)?;
    }
    Some(total_ns)
}

fn error_of(server: &Server, q: &str) -> Result<Option<String>, Failure> {
    let response = server.query(q, None, None, JSON)?.json()?;
    let result = array(&response, "results").first();
    Ok(result.and_then(|result| result.get("error")?.as_str().map(str::to_owned)))
}

/// The names of the policies of each database that has measurements.
type Kept = BTreeMap<String, BTreeSet<String>>;

fn kept_policies(server: &Server) -> Result<Kept, Failure> {
    let mut kept = Kept::new();
    for database in rows_of(server, "SHOW DATABASES")? {
        let name = text(&database, "name");
        let on = quoted(name);
        if !rows_of(server, &format!("SHOW MEASUREMENTS ON {on} LIMIT 1"))?.is_empty() {
            let policies = rows_of(server, &format!("SHOW RETENTION POLICIES ON {on}"))?;
            let names = policies.iter().map(|policy| text(policy, "name").to_owned()).collect();
            kept.insert(name.to_owned(), names);
        }
    }
    Ok(kept)
}

/// Creates the definition in a record that is neither a token nor a user. Does not change the
/// policies `kept`. Returns the error, if any.
fn create(server: &Server, record: &Value, kept: &Kept) -> Result<Option<String>, Failure> {
    let (kind, name) = (text(record, "kind"), text(record, "name"));
    let error = match kind {
        "database" => error_of(server, &format!("CREATE DATABASE {}", quoted(name)))?,
        "query" => error_of(server, text(record, "text"))?,
        "policy" => {
            let database = text(record, "database");
            let policy = format!("RETENTION POLICY {} ON {}", quoted(name), quoted(database));
            let mut settings = format!(
                "{policy} DURATION {} REPLICATION {} SHARD DURATION {}",
                duration_of(text(record, "duration")),
                record.get("replication").and_then(Value::as_u64).unwrap_or(1),
                duration_of(text(record, "shard_duration")),
            );
            for (_, member, option) in LIMITS {
                if let Some(limit) = record.get(member).and_then(Value::as_str) {
                    settings += &format!(" {option} {}", duration_of(limit));
                }
            }
            let is_default = record.get("default") == Some(&Value::Bool(true));
            let default = if is_default { " DEFAULT" } else { "" };
            match kept.get(database) {
                // The policy may exist since CREATE DATABASE or an interrupted import.
                None => match error_of(server, &format!("CREATE {settings}{default}"))? {
                    None => None,
                    Some(_) => error_of(server, &format!("ALTER {settings}{default}"))?,
                },
                // A shorter duration would delete points.
                Some(policies) if policies.contains(name) => {
                    let error = error_of(server, &format!("CREATE {settings}{default}"))?;
                    error.map(|error| {
                        format!(
                            "{error}; the existing policy stays unchanged: to change it, run \
                             `ALTER {settings}{default}`"
                        )
                    })
                }
                // Writes and queries without a policy use the default policy.
                Some(_) => match error_of(server, &format!("CREATE {settings}"))? {
                    None if is_default => Some(format!(
                        "the policy was created, but the default policy stays unchanged: to \
                         change it, run `ALTER {policy} DEFAULT`"
                    )),
                    error => error,
                },
            }
        }
        _ => {
            return Err(Failure(format!(
                "Unknown kind \"{kind}\": the file is not an output of tidemark export --access."
            )));
        }
    };
    let name = if name.is_empty() { text(record, "text") } else { name };
    Ok(error.map(|error| format!("{kind} {name}: {error}")))
}

/// The numbers of imported tokens and users, and the list of rejected tokens and users.
#[derive(Debug, Default)]
struct Access {
    made: u64,
    widened: u64,
    unchanged: u64,
    refused: Vec<String>,
}

impl Access {
    /// Adds the counts of a response.
    fn add(&mut self, given: &Value) {
        self.made += number(given, "made");
        self.widened += number(given, "widened");
        self.unchanged += number(given, "unchanged");
        self.refused.extend(texts(given, "refused"));
    }

    /// Prints the counts, and the rejected tokens and users.
    fn show(&self) -> Result<(), Failure> {
        for reason in &self.refused {
            print(format!("{reason}\n"))?;
        }
        stderr_line!(
            "Tokens and users: {} created, {} received permissions, {} unchanged, {} rejected.",
            self.made,
            self.widened,
            self.unchanged,
            self.refused.len()
        );
        Ok(())
    }
}

fn import_access(server: &Server, rows: &mut Vec<Value>, sums: &mut Access) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let body = json!({ "rows": std::mem::take(rows) }).to_string();
    sums.add(&server.must(&Request::post(ACCESS, JSON, body.as_bytes()))?.json()?);
    Ok(())
}

/// Imports all records in a file. Does not change existing definitions, except for policies of
/// databases without measurements.
pub fn import_deployment(server: &Server, path: &Path) -> Result<(), Failure> {
    let file = File::open(path).map_err(|reason| Failure::file("read", path, reason))?;
    let mut reader = BufReader::new(file);
    let kept = kept_policies(server)?;
    let (mut created, mut failures) = (0, Vec::new());
    let (mut rows, mut sums) = (Vec::new(), Access::default());
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(RECORD_BYTES_MAX).read_line(&mut line);
        if read.map_err(|reason| Failure::file("read", path, reason))? == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let record: Value = serde_json::from_str(&line).map_err(|reason| {
            Failure(format!(
                "Line {number} of {} is not an output of tidemark export --access: {reason}.",
                path.display()
            ))
        })?;
        if matches!(text(&record, "kind"), "token" | "user") {
            rows.push(record);
            if rows.len() == ROWS_PER_REQUEST {
                import_access(server, &mut rows, &mut sums)?;
            }
        } else if let Some(reason) = create(server, &record, &kept)? {
            failures.push(reason);
        } else {
            created += 1;
        }
    }
    import_access(server, &mut rows, &mut sums)?;
    for reason in &failures {
        print(format!("{reason}\n"))?;
    }
    sums.show()?;
    stderr_line!("{created} databases, policies and queries match {}.", path.display());
    if !failures.is_empty() {
        let count = failures.len();
        return Err(Failure(format!(
            "{count} databases, policies and queries were rejected, see above."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_converted_to_influxql() {
        for (given, expected) in [
            ("0s", "INF"),
            ("168h0m0s", "168h"),
            ("1h30m0s", "1h30m"),
            ("20m0s", "20m"),
            ("10s", "10s"),
            ("1h0m10s", "1h10s"),
            ("1.5s", "1500000000ns"),
            ("1h0m0.000000001s", "3600000000001ns"),
            ("2.05µs", "2050ns"),
            ("20ms", "20ms"),
        ] {
            assert_eq!(duration_of(given), expected);
        }
    }
}
