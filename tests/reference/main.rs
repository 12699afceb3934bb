//! Compares the generated pages of docs/reference with the tables in the code. With `UPDATE=1` in the environment, the tests
//! write the pages (`npm run reference`).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use tidemark_model::configurable_limits::SETTABLE;

mod commands;
mod errors;
mod json;
mod limits;
mod markdown;
mod metrics;
mod repository;
mod routes;

/// Compares a page with its generated text, or writes the page.
fn check(path: &str, generated: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(repository::root().join(path), generated).unwrap();
    }
    let found = repository::text(path);
    let differs =
        found.lines().zip(generated.lines()).find(|(found, generated)| found != generated);
    assert!(
        found == generated,
        "{path} is outdated: run `npm run reference`. The first difference: {differs:?}"
    );
}

#[test]
fn commands_page_matches_help() {
    check("docs/reference/cli.md", &commands::page());
}

#[test]
fn errors_page_matches_error_types() {
    check("docs/reference/errors.md", &errors::page());
}

#[test]
fn limits_page_matches_limits() {
    check("docs/reference/limits.md", &limits::page());
}

/// `npm start` and `tidemark deploy` pass the settings with these names to the Worker.
#[test]
fn scripts_have_names_of_settable_limits() {
    let names: Vec<String> = SETTABLE.iter().map(|limit| format!("  \"{}\"", limit.name)).collect();
    check("scripts/settable_limits.json", &format!("[\n{}\n]\n", names.join(",\n")));
}

#[test]
fn metrics_page_matches_metrics() {
    check("docs/reference/metrics.md", &metrics::page());
}

#[test]
fn routes_page_matches_openapi() {
    check("docs/reference/http.md", &routes::page());
}

#[test]
fn descriptions_and_error_texts_are_readable() {
    let lines = [" The size of", " [`X`](crate::x) and [`Y`]. See `crate::z::Z`."];
    assert_eq!(
        markdown::one_line(lines.map(str::to_owned).into_iter()),
        "The size of `X` and `Y`."
    );
    let text = errors::readable("{0} of {name} {size:?}, {BODY_STALL_S_MAX} s, {{}} {.0} {}");
    assert_eq!(text, "… of {name} {size}, 60 s, {} … …");
    let source = syn::parse_file(
        "enum E { /// First.\n #[error(\"a \\\n  \\\"b\\\" {0}\")] One(u8), #[error(transparent)] Two, #[error(\"{0}\")] Three }",
    );
    let variants = errors::variants(&source.unwrap(), "E");
    assert_eq!(variants.len(), 1);
    assert_eq!(
        (variants[0].message.as_str(), variants[0].description.as_str()),
        ("a \"b\" {0}", "First.")
    );
}
