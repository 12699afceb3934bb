//! Exports a database as Parquet files through SQL, one file per measurement and day. A repeated
//! export skips existing files, and so continues an interrupted export.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidemark_influxql::time_literal::{self, format_utc};

use super::command_line::Arguments;
use super::http_client::{JSON, Request, Response, Server};
use super::json::{array, number, text};
use super::replace_file;
use super::steps::{Progress, bytes_text};
use crate::Failure;
use crate::platform::now_ns;

/// The name of the file that is written when the export is complete.
const MANIFEST: &str = "manifest.json";
/// The name of the file that has one line for each finished file. An interrupted export continues
/// after these files.
const FILES: &str = "files.jsonl";
/// The maximum size of a line in [`FILES`], in bytes.
const ENTRY_BYTES_MAX: u64 = 1 << 20;
/// The maximum number of repeated requests for a day to which points were written during the
/// export.
const REPEATS_MAX: u32 = 3;
const PIECE_BYTES: usize = 64 << 10;
const DAY_NS: i64 = 86_400_000_000_000;

/// A day of a measurement: its date, its number of rows, and the first and last time of the rows.
struct Day {
    date: String,
    rows: u64,
    from: Value,
    until: Value,
}

/// Exports a database or a retention policy to a folder, and prints a summary.
pub fn export_parquet(
    server: &Server,
    line: &Arguments,
    database: &str,
    folder: &Path,
) -> Result<(), Failure> {
    let policy = line.value("policy");
    let export = Export {
        server,
        folder,
        database: policy.map_or(database.to_owned(), |policy| format!("{database}/{policy}")),
        start: line.value("start"),
        end: line.value("end"),
    };
    fs::create_dir_all(folder).map_err(|reason| Failure::file("written", folder, reason))?;
    let known = finished_files(folder, database, policy)?;
    let (mut files, mut new) = (Vec::new(), 0);
    let mut progress = Progress::new();
    for measurement in export.measurements(line.value("measurement"))? {
        for day in export.days(&measurement)? {
            let (file, is_new) = export.day(&measurement, day, &known)?;
            new += u64::from(is_new);
            let count = files.len() + 1;
            progress.show(&format!(
                "{measurement} {}: {count} files, {new} of them new",
                text(&file, "day")
            ));
            files.push(file);
        }
    }
    drop(progress);
    let sum = |name| files.iter().map(|file| number(file, name)).sum::<u64>();
    let (count, rows, bytes) = (files.len(), sum("rows"), bytes_text(sum("bytes")));
    let manifest = json!({
        "version": 1, "database": database, "policy": policy, "start": export.start,
        "end": export.end, "made_at": format_utc(now_ns()), "files": files,
    });
    // The manifest is written last.
    let path = folder.join(MANIFEST);
    replace_file(&path, &format!("{manifest:#}\n"))?;
    let _ = fs::remove_file(folder.join(FILES));
    stderr_line!(
        "{count} files with {rows} rows, {bytes}; {new} of them are new. {} lists them.",
        path.display()
    );
    Ok(())
}

/// Returns the files of earlier exports by path. Rejects a folder with an export of another
/// database or policy, whose files could have the same names and numbers of rows.
fn finished_files(
    folder: &Path,
    database: &str,
    policy: Option<&str>,
) -> Result<HashMap<String, Value>, Failure> {
    let mut known = HashMap::new();
    let mut add = |file: Value| known.insert(text(&file, "path").to_owned(), file);
    let path = folder.join(MANIFEST);
    if let Ok(manifest) = File::open(&path) {
        let parsed = serde_json::from_reader::<_, Value>(BufReader::new(manifest));
        let manifest = parsed.map_err(|reason| Failure::file("read", &path, reason))?;
        let exported = [text(&manifest, "database"), text(&manifest, "policy")];
        if exported != [database, policy.unwrap_or_default()] {
            return Err(Failure(format!(
                "{} belongs to an export of {}: choose another FOLDER.",
                path.display(),
                exported.join(" ").trim_end()
            )));
        }
        array(&manifest, "files").iter().cloned().for_each(|file| _ = add(file));
    }
    if let Ok(files) = File::open(folder.join(FILES)) {
        let mut reader = BufReader::new(files);
        let mut line = String::new();
        // An interrupted run may have left an incomplete last line.
        while let Ok(1..) = reader.by_ref().take(ENTRY_BYTES_MAX).read_line(&mut line) {
            if let Ok(file) = serde_json::from_str(&line) {
                add(file);
            }
            line.clear();
        }
    }
    Ok(known)
}

/// Returns the folder of a measurement. Replaces each byte that is unsafe in file names with `=`
/// and two hexadecimal digits.
fn folder_of(measurement: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let characters = measurement.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("={byte:02x}"),
    });
    characters.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Export<'a> {
    server: &'a Server,
    folder: &'a Path,
    database: String,
    start: Option<&'a str>,
    end: Option<&'a str>,
}

impl Export<'_> {
    fn sql(&self, q: &str, format: &str) -> Result<Response, Failure> {
        let body = json!({ "db": self.database, "q": q, "format": format }).to_string();
        self.server.must(&Request::post("/api/v3/query_sql", JSON, body.as_bytes()))
    }

    fn rows(&self, q: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.sql(q, "json")?.json()?.as_array().cloned().unwrap_or_default())
    }

    /// Returns only the measurement `wanted`. Without `wanted`, returns all measurements of the
    /// policy.
    fn measurements(&self, wanted: Option<&str>) -> Result<Vec<String>, Failure> {
        if let Some(measurement) = wanted {
            return Ok(vec![measurement.to_owned()]);
        }
        let q = "SELECT table_name AS name FROM information_schema.tables \
                 WHERE table_schema = 'iox' ORDER BY table_name";
        Ok(self.rows(q)?.iter().map(|row| text(row, "name").to_owned()).collect())
    }

    /// Returns the text `and`, followed by the condition for the requested time range.
    fn within(&self, and: &str) -> String {
        let start = self.start.map(|start| format!("time >= '{start}'"));
        let end = self.end.map(|end| format!("time < '{end}'"));
        let bounds: Vec<_> = start.into_iter().chain(end).collect();
        match bounds.is_empty() {
            true => String::new(),
            false => format!(" {and} {}", bounds.join(" AND ")),
        }
    }

    /// Returns the days of a measurement that have rows, in order.
    fn days(&self, measurement: &str) -> Result<Vec<Day>, Failure> {
        let q = format!(
            "SELECT date_bin(interval '1 day', time) AS day, count(*) AS rows, \
             min(time) AS from_time, max(time) AS until_time FROM {}{} GROUP BY day ORDER BY day",
            quoted(measurement),
            self.within("WHERE")
        );
        let day = |row: &Value| Day {
            date: text(row, "day").chars().take("2026-01-31".len()).collect(),
            rows: number(row, "rows"),
            from: row.get("from_time").cloned().unwrap_or_default(),
            until: row.get("until_time").cloned().unwrap_or_default(),
        };
        Ok(self.rows(&q)?.iter().map(day).collect())
    }

    /// Exports one day of a measurement, unless a file with the same number of rows already exists.
    /// Returns the file's entry in the manifest, and whether the file is new.
    fn day(
        &self,
        measurement: &str,
        mut wanted: Day,
        known: &HashMap<String, Value>,
    ) -> Result<(Value, bool), Failure> {
        let path = format!("{}/{}.parquet", folder_of(measurement), wanted.date);
        let file = self.folder.join(&path);
        if let (Some(entry), Ok(stored)) = (known.get(&path), fs::metadata(&file))
            && number(entry, "rows") == wanted.rows
            && number(entry, "bytes") == stored.len()
        {
            return Ok((entry.clone(), false));
        }
        let mut repeats = 0;
        loop {
            let made = self.fetch(measurement, &wanted, &path)?;
            if number(&made, "rows") == wanted.rows || repeats == REPEATS_MAX {
                self.append(&made)?;
                return Ok((made, true));
            }
            repeats += 1;
            // A client is writing points of this day, so this code queries the day's row count and
            // times again.
            let again = self.days(measurement)?.into_iter().find(|day| day.date == wanted.date);
            wanted = again.unwrap_or(wanted);
        }
    }

    fn append(&self, file: &Value) -> Result<(), Failure> {
        let path = self.folder.join(FILES);
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let written = opened.and_then(|mut files| files.write_all(format!("{file}\n").as_bytes()));
        written.map_err(|reason| Failure::file("written", &path, reason))
    }

    /// Downloads the rows of one day to a file. The file gets its final name only after it is
    /// complete.
    fn fetch(&self, measurement: &str, day: &Day, path: &str) -> Result<Value, Failure> {
        let Day { date, from, until, .. } = day;
        let first_ns = time_literal::parse(&format!("{date}T00:00:00Z"), |_| 0).ok();
        let next = first_ns.and_then(|first_ns| first_ns.checked_add(DAY_NS)).map(format_utc);
        let next = next.map(|next| format!(" AND time < '{next}'")).unwrap_or_default();
        let q = format!(
            "SELECT * FROM {} WHERE time >= '{date}T00:00:00Z'{next}{}",
            quoted(measurement),
            self.within("AND")
        );
        let response = self.sql(&q, "parquet")?;
        let target = self.folder.join(path);
        let part = target.with_extension("parquet.part");
        let cannot_write = |reason: std::io::Error| Failure::file("written", &target, reason);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(cannot_write)?;
        }
        let mut file = BufWriter::new(File::create(&part).map_err(cannot_write)?);
        let (bytes, sha256) = copy(response, &mut file, &target)?;
        file.flush().map_err(cannot_write)?;
        let rows = rows_of(&part)?;
        fs::rename(&part, &target).map_err(cannot_write)?;
        Ok(json!({
            "path": path, "measurement": measurement, "day": date, "from": from, "until": until,
            "rows": rows, "bytes": bytes, "sha256": sha256,
        }))
    }
}

/// Writes a response to a file. Returns the number of bytes and their SHA-256 hash.
fn copy(
    response: Response,
    file: &mut BufWriter<File>,
    target: &Path,
) -> Result<(u64, String), Failure> {
    let mut reader = response.reader();
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = reader.read(&mut piece);
        let length = read.map_err(|reason| {
            Failure(format!("The response for {} is incomplete: {reason}.", target.display()))
        })?;
        let piece = piece.get(..length).unwrap_or_default();
        if piece.is_empty() {
            let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((bytes, hex));
        }
        hash.update(piece);
        bytes += length as u64;
        file.write_all(piece).map_err(|reason| Failure::file("written", target, reason))?;
    }
}

#[cfg(feature = "sql")]
fn rows_of(path: &Path) -> Result<u64, Failure> {
    let broken = |reason: &dyn std::fmt::Display| {
        Failure(format!("{} is not a complete Parquet file: {reason}.", path.display()))
    };
    let file = File::open(path).map_err(|reason| broken(&reason))?;
    let read = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file);
    let rows = read.map_err(|reason| broken(&reason))?.file_metadata().num_rows();
    u64::try_from(rows).map_err(|reason| broken(&reason))
}

#[cfg(not(feature = "sql"))]
fn rows_of(_: &Path) -> Result<u64, Failure> {
    Err(Failure::of("This program was built without SQL, so it cannot read Parquet files."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parquet_folder_names_are_escaped() {
        assert_eq!(folder_of("öl 1_a-B"), "=c3=b6l=201_a-B");
        assert_eq!(folder_of("../x"), "=2e=2e=2fx");
    }

    #[test]
    fn folder_belongs_to_one_database() {
        let folder = std::env::temp_dir().join(format!("tidemark-manifest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = json!([{ "path": "m/2026-01-31.parquet" }]);
        let manifest = json!({ "database": "d", "policy": null, "files": files });
        fs::write(folder.join(MANIFEST), manifest.to_string()).unwrap();
        assert_eq!(finished_files(&folder, "d", None).unwrap().len(), 1);
        for (database, policy) in [("e", None), ("d", Some("p"))] {
            let Failure(reason) = finished_files(&folder, database, policy).unwrap_err();
            assert!(reason.ends_with("belongs to an export of d: choose another FOLDER."));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(feature = "sql")]
    #[test]
    fn incomplete_parquet_file_is_reported() {
        let path = std::env::temp_dir().join(format!("tidemark-footer-{}", std::process::id()));
        let long = format!("PAR1{}\0\0\0\0PAR1", "x".repeat(40));
        for bytes in ["", "PAR1", &long, "PAR1xxxxxxxxxxxxxxxx"] {
            fs::write(&path, bytes).unwrap();
            let Err(Failure(reason)) = rows_of(&path) else { panic!("it has rows: {bytes}") };
            assert!(reason.contains("is not a complete Parquet file"), "{reason}");
        }
        fs::remove_file(&path).unwrap();
    }
}
