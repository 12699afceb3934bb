//! Compares the numbers on the pages with the tables and with the code.

use tidemark_model::limits;
use tidemark_server::settings::Settings;

use crate::repository::text;

fn sentences(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the rows of a table, including the header, each as a list of cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let under =
        page.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{heading}"));
    let lines = under.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).filter(|line| !line.contains("---"));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// Returns the numbers in the column `name`, each with the text in the first cell of its row.
fn column(table: &[Vec<String>], name: &str) -> Vec<(String, f64)> {
    let at = table[0].iter().position(|head| head == name).unwrap_or_else(|| panic!("{name}"));
    let number = |row: &Vec<String>| Some((row[0].clone(), row.get(at)?.parse().ok()?));
    table.iter().skip(1).filter_map(number).collect()
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Returns the numbers in the cell `column` of the row whose first cell is `label`.
fn numbers_of_row(page: &str, label: &str, column: usize) -> Vec<String> {
    let start = format!("| {label} | ");
    let row = page.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("no row {label:?}"));
    let cell = row.split(" | ").nth(column).unwrap();
    let words = cell.split(|c: char| !(c.is_ascii_digit() || ".,".contains(c)));
    let numbers = words.map(|word| word.trim_matches(['.', ',']).replace(',', ""));
    numbers.filter(|word| !word.is_empty()).collect()
}

fn least_and_most(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}

/// The hosts in the README's table of benchmarks: the column, and the endings that the host has in
/// the titles of tables and in the names of rows of RESULTS.md.
const HOSTS: [(usize, &str, &str); 2] = [(1, "", ", workerd"), (2, ", native host", "")];

#[test]
fn readme_has_measured_query_times() {
    let (results, readme) = (text("benches/RESULTS.md"), text("README.md"));
    for (at, host, _) in HOSTS {
        let table = table(&results, &format!("Queries{host}"));
        let is_type = |(name, _): &&(String, f64)| name != "empty request";
        let values = |name: &str| -> Vec<f64> {
            column(&table, name).iter().filter(is_type).map(|(_, value)| *value).collect()
        };
        let ours = values(if host.is_empty() { "workerd ms" } else { "native ms" });
        let theirs = values("InfluxDB ms");
        let ratios: Vec<f64> =
            theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
        assert_eq!(ratios.len(), 15);
        let slower = ratios.iter().filter(|ratio| **ratio < 1.0).count();
        let mean = format!("{:.1}", geometric_mean(&ratios));
        let label = "the fifteen TSBS queries, geometric mean";
        let measured = [mean, slower.to_string(), "15".to_owned()];
        assert_eq!(numbers_of_row(&readme, label, at), measured);
    }
    for (at, title) in [(1, "SQL, Worker"), (2, "SQL")] {
        let sql = column(&table(&results, title), "ratio");
        let (_, mean) = sql.iter().find(|(name, _)| name == "geometric mean").unwrap();
        assert_eq!(numbers_of_row(&readme, "the same queries in SQL", at), [format!("{mean:.2}")]);
    }
}

#[test]
fn readme_has_measured_write_rates() {
    let (results, readme) = (text("benches/RESULTS.md"), text("README.md"));
    for (at, host, end) in HOSTS {
        let table = table(&results, &format!("Ingest{host}"));
        let plain = |name: &str, wanted: fn(&str) -> bool| -> Vec<f64> {
            let rows = column(&table, name).into_iter();
            let plain =
                rows.filter_map(|(case, value)| wanted(case.strip_suffix(end)?).then_some(value));
            plain.collect()
        };
        let large = |case: &str| !case.contains("-point batches");
        let (least, most) = least_and_most(&plain("ratio", large));
        let (least_cpu, most_cpu) = least_and_most(&plain("CPU ratio", large));
        let measured = [
            format!("{least:.1}"),
            format!("{most:.1}"),
            format!("{:.0}", 100.0 / most_cpu),
            format!("{:.0}", 100.0 / least_cpu),
        ];
        assert_eq!(numbers_of_row(&readme, "writes in batches of 5,000 points", at), measured);
        let single = plain("ratio", |case| case.contains(" 1-point batches"));
        let (least, most) = least_and_most(&single);
        let mut measured = vec![format!("{least:.1}"), format!("{most:.1}")];
        measured.dedup();
        assert_eq!(numbers_of_row(&readme, "writes of 1 point per request", at), measured);
    }
}

/// The measured shapes, and their names in the table of costs.
const SHAPES: &[(&str, &str)] = &[
    ("cpu integers", "integers on walks (TSBS cpu-only)"),
    ("two decimals", "the same with two decimals"),
    ("full floats", "the same with full-precision floats"),
    ("iot mix", "IoT mix: decimals, integers, booleans, strings, gaps"),
    ("million series", "a million series of one value each"),
];

#[test]
fn costs_page_has_measured_storage() {
    let (results, costs) = (text("benches/RESULTS.md"), text("docs/COSTS.md"));
    let table = table(&results, "At rest");
    let rows = column(&table, "rows written per million");
    let bytes = column(&table, "bytes per value");
    assert_eq!(rows.len(), SHAPES.len());
    for ((measured, shape), ((name, rows), (_, bytes))) in
        SHAPES.iter().zip(rows.iter().zip(&bytes))
    {
        assert_eq!(measured, name);
        let start = format!("| {shape} | ");
        let lines = costs.lines().filter_map(|line| line.strip_prefix(&start));
        let second = lines.filter_map(|rest| rest.split(" | ").next()?.parse::<f64>().ok());
        // The table of writes precedes the table of storage.
        let [said_rows, said_bytes] = second.collect::<Vec<_>>()[..] else {
            panic!("{shape} is not in two tables of docs/COSTS.md")
        };
        assert_eq!(said_rows, *rows, "{shape}: rows written per million points");
        let is_near = (said_bytes / bytes - 1.0).abs() < 0.05;
        assert!(is_near, "{shape}: {said_bytes} bytes, measured {bytes}");
    }
    let shares = column(&self::table(&results, "Shares of a batch"), "workerd serve ms");
    let (_, whole) = shares.last().unwrap();
    let read = column(&self::table(&results, "Rows read"), "SQLite rows read");
    let [(_, first), (_, again), (_, waking)] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(*again, 0.0);
    let costs = sentences(&costs);
    for figure in [format!(" {whole:.1} ms "), format!("**{first} rows**"), format!(" {waking} ")] {
        assert!(costs.contains(&figure), "docs/COSTS.md has not: {figure}");
    }
}

fn has_value(page: &str, name: &str, value: &str) -> bool {
    let (name, value) = (format!("`{name}`"), format!(" {value}"));
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit() || c == ',');
    let has = |sentence: &str| {
        let padded = format!(" {sentence}");
        let mut found = padded.match_indices(&value);
        padded.contains(&name) && found.any(|(at, _)| is_end(&padded[at + value.len()..]))
    };
    let rows = page.lines().filter(|line| line.starts_with('|'));
    rows.chain(sentences(page).split(". ")).any(has)
}

#[test]
fn documented_limits_match_code() {
    let readme = text("README.md");
    let megabytes = |bytes: usize| bytes / 1_000_000;
    for (row, value) in [
        ("request body, compressed", megabytes(limits::BODY_COMPRESSED_BYTES_MAX)),
        ("request body, uncompressed", megabytes(limits::BODY_BYTES_MAX)),
        ("fields per measurement", limits::FIELDS_PER_MEASUREMENT_MAX),
        ("windows per query (`GROUP BY time`)", limits::BUCKETS_PER_QUERY_MAX as usize),
    ] {
        assert_eq!(numbers_of_row(&readme, row, 1), [value.to_string()], "{row}");
    }
    let of_security = [
        "DATABASES_NOTIFIED_AT_ONCE",
        "REVOKE_RETRY_NS_MAX",
        "GRANTEES_PER_PAGE",
        "FAILURES_MAX",
        "ADDRESS_FAILURES_MAX",
        "LOGINS_MAX",
        "PASSWORD_ITERATIONS",
        "GRANTEES_MAX",
        "ADMIN_TOKEN_CHARACTERS_MIN",
    ];
    let of_operating = ["QUERIES_READING_MAX", "PAGES_WAITING_MAX", "BACKUPS_PER_DATABASE_MAX"];
    let names = [("docs/SECURITY.md", &of_security[..]), ("docs/OPERATING.md", &of_operating[..])];
    for (path, names) in names {
        let page = text(path);
        for name in names {
            let value = limit(name);
            assert!(has_value(&page, name, &value), "{path}: {name} is {value}");
        }
    }
    assert_eq!(limits::FAILURE_WINDOW_NS, 60_000_000_000);
}

/// `npm start` passes every setting to the Worker.
#[test]
fn every_setting_is_documented_and_passed() {
    let (code, page) = (text("crates/server/src/settings.rs"), text("docs/SETTINGS.md"));
    let code = code.split("#[cfg(test)]").next().unwrap();
    let is_setting =
        |word: &&str| word.len() > 8 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let names: Vec<&str> = code.split('"').skip(1).step_by(2).filter(is_setting).collect();
    assert!(names.len() > 7, "{names:?}");
    let passed = text("scripts/dev-server.mjs");
    for name in names {
        assert!(page.contains(&format!("| `{name}` | ")), "docs/SETTINGS.md has no row for {name}");
        // The admin token is a secret, and secrets reach the Worker in another way.
        let is_passed = name.starts_with("ADMIN_TOKEN") || passed.contains(&format!("'{name}',"));
        assert!(is_passed, "scripts/dev-server.mjs does not pass {name} on");
    }
}

/// A setting with its documented default value changes nothing.
#[test]
fn settings_page_defaults_match_code() {
    let page = text("docs/SETTINGS.md");
    let rows = table(&page.replacen("| setting |", "## S\n| setting |", 1), "S");
    let mut compared = 0;
    for row in rows.iter().skip(1) {
        let (name, default) = (row[0].trim_matches('`'), row[2].split(';').next().unwrap());
        if default == "none" {
            continue;
        }
        let given = Settings::read(|wanted| (wanted == name).then(|| default.to_owned()));
        assert_eq!(given, Settings::read(|_| None), "{name}: {default}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}

/// Returns a quantity such as `1,000`, `900 KB` or `10 min` as a number of items, bytes or seconds.
fn quantity(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "" | "s" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "min" => 60.0,
        unit => panic!("{unit}"),
    };
    number.replace(',', "").parse::<f64>().unwrap() * factor
}

/// Returns the value of a constant. `npm run reference` writes it to the reference page.
fn limit(name: &str) -> String {
    let (reference, start) = (text("docs/reference/limits.md"), format!("| `{name}` | "));
    let row = reference.lines().find_map(|line| line.strip_prefix(&start));
    let row = row.unwrap_or_else(|| panic!("{name} is no limit"));
    row.split(" |").next().unwrap().to_owned()
}

#[test]
fn settings_page_limits_match_code() {
    let page = text("docs/SETTINGS.md");
    let under = page.split("### Fixed limits").nth(1).unwrap();
    let mut compared = 0;
    for row in under.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = cells[1].split('`').skip(1).step_by(2);
        for (name, value) in names.zip(cells[2].split("; ")) {
            assert_eq!(quantity(value), quantity(&limit(name)), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} limits");
}
