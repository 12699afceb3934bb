//! Generates the page of errors from the error types in the code. The texts and descriptions of errors are only in the
//! source, so that this module reads the source with syn.

use std::collections::HashMap;

use syn::visit::{self, Visit};
use tidemark_model::limits::SECTIONS;

use crate::markdown::{code, generated_by, one_line};
use crate::repository::text;

const INTRODUCTION: &str = r#"# Errors

This page is for users who search for an error text, and for authors of clients. Each section has a stable anchor.

## What a client should do

| status | meaning | action |
|---|---|---|
| 204, 200 | the request succeeded. A query can contain an `error` for one of its statements | read `results` |
| 400 | a line, a parameter or a statement is invalid. A write stores its valid lines | correct the lines in the error; do not send the request again unchanged |
| 401 | the request has no credentials, or its credentials are unknown, expired or revoked | check the token |
| 403 | the token or user has no permission for the request, or a page from another origin sent the request | grant the permission, or set `CORS_ORIGINS` |
| 404 | the path, the database, the retention policy or the resource does not exist | check the name |
| 405 | the path does not support the method | use an HTTP method that the header `Allow` lists |
| 408 | the client stopped sending the body | send the request again |
| 409 | another operation must end first, or the request conflicts with the stored state | wait until the other operation ends, or follow the instruction in the text of the error |
| 413 | the body is too large | send smaller batches |
| 415 | the route does not support the encoding or the media type | use a supported type |
| 422 | the request exceeds a limit, and a retry does not help | follow the instruction in the text of the error |
| 429 | the client has reached a limit per minute | wait for the seconds in `Retry-After` |
| 500 | the server has an internal fault, or stored data is damaged | [check the stored data](../OPERATING.md#checking-stored-data), and report the fault |
| 501 | InfluxDB supports the request, but Tidemark does not | use the alternative in the text of the error |
| 503 | the server cannot process the request now. After a write, the points may be stored, unless the error says otherwise | send the request again after `Retry-After` |
| 504 | the client's deadline has passed | allow more time, or narrow the query |
| 507 | the query needs more memory or time than the server provides | narrow the time range, or aggregate the values |

A write returns its errors as JSON with `code`, `message`, `error` and `line` ([bodies](../COMPATIBILITY.md#responses-to-writes)). If the
text of a query does not parse, `/query` returns 400. If a single statement fails, the status is 200, and the result of the statement contains the
text as `error`, even if the section below states 400, 404, 422 or 500. Only errors of statements with the status 401, 403, 429 or 503 set the status
of the response, and only before its first byte. In the texts below, words in braces and `…` stand for values.
"#;

/// The errors of one type. `usual` is the status of every error that the code does not map to another status.
struct Group {
    title: &'static str,
    /// The beginning of the sections' anchors.
    prefix: &'static str,
    path: &'static str,
    enumeration: &'static str,
    usual: Option<&'static str>,
}

#[rustfmt::skip]
const GROUPS: &[Group] = &[
    Group { title: "Requests", prefix: "request", path: "crates/server/src/error.rs", enumeration: "ApiError", usual: None },
    Group { title: "Permissions and logins", prefix: "auth", path: "crates/server/src/auth.rs", enumeration: "AuthError", usual: None },
    Group { title: "Settings", prefix: "setting", path: "crates/server/src/settings.rs", enumeration: "SettingsError", usual: Some("503") },
    Group { title: "Parameters", prefix: "parameter", path: "crates/server/src/params.rs", enumeration: "ParamsError", usual: Some("400") },
    Group { title: "Bodies", prefix: "body", path: "crates/server/src/content_encoding/mod.rs", enumeration: "BodyError", usual: None },
    Group { title: "Lines of a write", prefix: "line", path: "crates/line-protocol/src/error.rs", enumeration: "Cause", usual: Some("400; the line is rejected, and the other lines are stored") },
    Group { title: "Lines that do not fit the database", prefix: "write", path: "crates/coordinator/src/write/rejections.rs", enumeration: "LineRefusal", usual: Some("400; the line is rejected") },
    Group { title: "Columns and measurements", prefix: "schema", path: "crates/engine/src/protocol/database.rs", enumeration: "RegisterRefusal", usual: Some("400; the line is rejected") },
    Group { title: "Syntax of InfluxQL", prefix: "syntax", path: "crates/influxql/src/error.rs", enumeration: "ParseError", usual: Some("400") },
    Group { title: "Statements", prefix: "statement", path: "crates/query/src/error.rs", enumeration: "QueryError", usual: Some("200 with the statement's `error` on `/query`; 400 on `/api/v3/query_influxql`") },
    Group { title: "Databases, tokens and users", prefix: "catalog", path: "crates/engine/src/protocol/catalog.rs", enumeration: "CatalogRefusal", usual: None },
    Group { title: "Retention policies and continuous queries", prefix: "policy", path: "crates/engine/src/protocol/database.rs", enumeration: "PolicyRefusal", usual: Some("400") },
    Group { title: "Restores", prefix: "restore", path: "crates/engine/src/protocol/database.rs", enumeration: "DatabaseRefusal", usual: None },
    Group { title: "Backups", prefix: "backup", path: "crates/coordinator/src/backup/store.rs", enumeration: "BackupError", usual: None },
    Group { title: "Point-in-time recovery", prefix: "recovery", path: "crates/engine/src/protocol/recovery.rs", enumeration: "RecoveryRefusal", usual: None },
    Group { title: "Overload and storage", prefix: "unavailable", path: "crates/engine/src/protocol/event.rs", enumeration: "Unavailable", usual: Some("503") },
    Group { title: "Other errors of the server", prefix: "server", path: "crates/coordinator/src/error.rs", enumeration: "Error", usual: None },
];

/// The actions for a client or an operator, by HTTP status.
const ACTIONS: &[(&str, &str)] = &[
    (
        "400",
        "Correct the request as the text of the error describes. Do not repeat the request unchanged.",
    ),
    ("401", "Check the credentials."),
    ("403", "Use a token that has the permission, or add the permission to the token."),
    ("404", "Check the name in the request."),
    ("405", "Use one of the HTTP methods that the header `Allow` lists."),
    ("408", "Send the request again."),
    (
        "409",
        "If another operation is running, wait until it ends. Otherwise follow the instruction in the text of the error.",
    ),
    ("413", "Send smaller batches."),
    ("415", "Use a supported type."),
    ("422", "Follow the instruction in the text of the error. A retry does not help."),
    ("429", "Wait for the seconds in `Retry-After`."),
    ("500", "[Check the stored data](../OPERATING.md#checking-stored-data), and report the fault."),
    ("501", "Use the alternative in the text of the error."),
    ("503", "Send the request again after the seconds in `Retry-After`."),
    ("504", "Allow more time, or narrow the query."),
    ("507", "Narrow the time range, or aggregate the values."),
];

#[rustfmt::skip]
/// The actions for single errors, which replace the action for the status.
const OWN_ACTIONS: &[(&str, &str)] = &[
    ("ApiError::ForeignOrigin", "If the page may call the server, add its origin to `CORS_ORIGINS`."),
    ("ApiError::ReadOnly", "Send the statement with `POST`, and without `read_only=true`."),
    ("ApiError::DatabaseNotFound", "Create the database, or check its name."),
    ("AuthError::NotConfigured", "Set the secret `ADMIN_TOKEN`."),
    ("AuthError::InUrl", "Send the credentials in the header `Authorization`."),
    ("Unavailable::Full", "[Delete data or shorten the retention](../OPERATING.md#a-full-shard)."),
    ("Unavailable::Behind", "Repeat the write after a second. If the error persists, see [capacity](../guides/capacity.md)."),
    ("RegisterRefusal::TypeConflict", "Write the field with its existing type, or use another field's name."),
    ("LineRefusal::Retention", "Check the precision of the times, or [change the retention policy](../guides/retention.md)."),
    ("LineRefusal::Window", "Check the precision of the times, or [change the limits](../guides/retention.md) of the retention policy."),
    ("LineRefusal::Stored", "[Delete data](../guides/retention.md#delete-points), or [raise the quota](../OPERATING.md#quotas)."),
    ("LineRefusal::Series", "Drop series, or [raise the quota](../OPERATING.md#quotas)."),
    ("Error::NotEverywhere", "Repeat the statement until it returns no warning. Do not repeat `DROP USER`, because it then returns `user not found`."),
    ("Error::PartlyApplied", "Repeat the statement."),
    ("QueryError::Page", "Report the fault. Run `SHOW DIAGNOSTICS` to check whether all objects run the same release."),
    ("Error::RateExceeded", "Wait for the seconds in `Retry-After`, or [raise the quota](../OPERATING.md#quotas)."),
    ("Error::Interrupted", "No action: a user or an operator ended the query."),
];

/// The action for each group of errors about the caller's input.
const GROUP_ACTIONS: &[(&str, &str)] = &[
    ("setting", "Correct the [setting](../SETTINGS.md)."),
    ("line", "Correct the line, and send it again."),
    ("syntax", "Correct the statement at the position that the error names."),
    ("statement", "Correct or narrow the statement as the text of the error describes."),
];

#[rustfmt::skip]
/// The statuses of single errors, which replace the status of the group.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("LineRefusal::Retention", "400; 422 if every line is older than the retention period, except on `/write`"),
    ("LineRefusal::Window", "400; 422 if the policy accepts the time of no line, except on `/write`"),
    ("Error::Forbidden", "403"),
    ("Error::Revoked", "401"),
    ("Error::NotEverywhere", "200, as a warning in `messages`"),
];

fn find<'a>(table: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    table.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// The pairs of type and variant in a pattern or an expression, such as `Self::Auth(AuthError::InUrl)`.
#[derive(Default)]
struct Paths(Vec<(String, String)>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|one| one.ident.to_string()).collect();
        if let [.., owner, variant] = names.as_slice() {
            let owner = if owner == "Self" { "ApiError" } else { owner };
            self.0.push((owner.to_owned(), variant.clone()));
        }
        visit::visit_path(self, path);
    }
}

fn paths_of_pattern(pattern: &syn::Pat) -> Vec<(String, String)> {
    let mut paths = Paths::default();
    paths.visit_pat(pattern);
    paths.0
}

fn name_of((owner, variant): &(String, String)) -> String {
    format!("{owner}::{variant}")
}

/// Finds the arms of a `match` and of the matches in it. The first path of an arm's expression, and its first number, are its
/// result.
#[derive(Default)]
struct Arms(Vec<Arm>);

struct Arm {
    paths: Vec<(String, String)>,
    result: Option<(String, String)>,
    number: Option<String>,
}

struct FirstNumber(Option<String>);

impl<'ast> Visit<'ast> for FirstNumber {
    fn visit_lit_int(&mut self, number: &'ast syn::LitInt) {
        self.0.get_or_insert_with(|| number.base10_digits().to_owned());
    }
}

impl<'ast> Visit<'ast> for Arms {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !matches!(*arm.body, syn::Expr::Match(_)) {
            let (mut paths, mut number) = (Paths::default(), FirstNumber(None));
            paths.visit_expr(&arm.body);
            number.visit_expr(&arm.body);
            let result = paths.0.into_iter().find(|(owner, _)| owner == "ApiError");
            self.0.push(Arm { paths: paths_of_pattern(&arm.pat), result, number: number.0 });
        }
        visit::visit_arm(self, arm);
    }
}

/// Returns the statuses by error, from the functions that convert errors to statuses.
fn statuses(file: &syn::File) -> HashMap<String, String> {
    let (mut of_api, mut converted) = (Arms::default(), Arms::default());
    for item in &file.items {
        let syn::Item::Impl(item) = item else { continue };
        let is_conversion = item.trait_.as_ref().is_some_and(|(path, _)| {
            name_and_argument(path) == ("From".to_owned(), Some("Error".to_owned()))
        });
        for inner in &item.items {
            let syn::ImplItem::Fn(function) = inner else { continue };
            if function.sig.ident == "status_and_class" {
                of_api.visit_block(&function.block);
            } else if is_conversion {
                converted.visit_block(&function.block);
            }
        }
    }
    let mut found: HashMap<String, String> = HashMap::new();
    for Arm { paths, number, .. } in of_api.0 {
        let Some(number) = number else { continue };
        for name in paths.iter().map(name_of) {
            found
                .entry(name)
                .and_modify(|known| *known = format!("{known} or {number}"))
                .or_insert_with(|| number.clone());
        }
    }
    // An error such as `ApiError::Auth(AuthError::InUrl)` has the status of its inner variant.
    for outer in ["ApiError::Auth", "ApiError::Body", "ApiError::Overloaded"] {
        found.remove(outer);
    }
    for Arm { paths, result, .. } in converted.0 {
        let status = result.and_then(|result| found.get(&name_of(&result)).cloned());
        for name in paths.iter().map(name_of) {
            if let Some(status) = &status {
                found.entry(name).or_insert_with(|| status.clone());
            }
        }
    }
    found
}

/// Returns the last name of a path, and the name of its type argument.
fn name_and_argument(path: &syn::Path) -> (String, Option<String>) {
    let Some(last) = path.segments.last() else { return Default::default() };
    let argument = match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => arguments.args.first(),
        _ => None,
    };
    let argument = match argument {
        Some(syn::GenericArgument::Type(syn::Type::Path(argument))) => {
            argument.path.get_ident().map(ToString::to_string)
        }
        _ => None,
    };
    (last.ident.to_string(), argument)
}

pub(crate) struct Variant {
    name: String,
    pub(crate) message: String,
    pub(crate) description: String,
}

/// Returns the variants that have a text of their own.
pub(crate) fn variants(file: &syn::File, enumeration: &str) -> Vec<Variant> {
    let mut all = file.items.iter().filter_map(|item| match item {
        syn::Item::Enum(item) if item.ident == enumeration => Some(item),
        _ => None,
    });
    let item = all.next().unwrap_or_else(|| panic!("no enum {enumeration}"));
    let described = |variant: &syn::Variant| {
        let error = variant.attrs.iter().find(|one| one.path().is_ident("error"))?;
        let tokens = &error.meta.require_list().ok()?.tokens;
        let first = tokens.clone().into_iter().next()?.to_string();
        let message = syn::parse_str::<syn::LitStr>(&first).ok()?.value().replace('\n', " ");
        let inner = message.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let is_other_text =
            inner.is_some_and(|inner| inner.chars().all(|c| c.is_alphanumeric() || c == '_'));
        if is_other_text {
            return None;
        }
        let lines = variant.attrs.iter().filter_map(|one| {
            let syn::Meta::NameValue(pair) = &one.meta else { return None };
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &pair.value else {
                return None;
            };
            pair.path.is_ident("doc").then(|| line.value())
        });
        let description = one_line(lines);
        Some(Variant { name: variant.ident.to_string(), message, description })
    };
    item.variants.iter().filter_map(described).collect()
}

/// Replaces constants with their values, and unnamed arguments with an ellipsis.
pub(crate) fn readable(message: &str) -> String {
    let limits = SECTIONS.iter().flat_map(|(_, limits)| *limits);
    let values: HashMap<&str, String> =
        limits.map(|limit| (limit.name, format!("{:?}", limit.value))).collect();
    let mut out = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            out.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        let end = at + rest[at..].find('}').unwrap_or_else(|| panic!("{message}"));
        let name = rest[at + 1..end].split(':').next().unwrap_or_default();
        match values.get(name) {
            Some(value) => out.push_str(value),
            None if name.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                || name.is_empty() =>
            {
                out.push('…')
            }
            None => out.push_str(&format!("{{{name}}}")),
        }
        rest = &rest[end + 1..];
    }
    out + rest
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Returns a sentence for a description of rejected lines that contains only examples.
fn sentence(description: &str, prefix: &str) -> String {
    let outside: String = description.split('`').step_by(2).collect();
    let is_example = prefix == "line"
        && description.starts_with('`')
        && outside.replace(", ", "").replace(" or ", "").is_empty();
    if is_example { format!("An example is {description}.") } else { description.to_owned() }
}

/// Returns the first number of three digits that begins with 4 or 5.
fn status_in(line: &str) -> Option<&str> {
    let words = line.split(|c: char| !c.is_alphanumeric());
    words.into_iter().find(|word| {
        word.len() == 3 && word.starts_with(['4', '5']) && word.chars().all(|c| c.is_ascii_digit())
    })
}

fn section(group: &Group, variant: &Variant, statuses: &HashMap<String, String>) -> String {
    let key = format!("{}::{}", group.enumeration, variant.name);
    let known = find(EXCEPTIONS, &key).or(statuses.get(&key).map(String::as_str)).or(group.usual);
    let description = &variant.description;
    let line = match description.strip_prefix("Status ").and_then(|rest| rest.split_once(": ")) {
        Some((number, rest)) if number.len() == 3 => {
            let mut letters = rest.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            format!("Status {number}. {}{}", first.collect::<String>(), letters.as_str())
        }
        // The description names the status of one route.
        _ if description.starts_with("Status ") => description.clone(),
        _ => {
            let status = known.map(|status| format!("Status {status}."));
            let parts =
                [status, Some(sentence(description, group.prefix)).filter(|text| !text.is_empty())];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    };
    let action = find(OWN_ACTIONS, &key).or(find(GROUP_ACTIONS, group.prefix));
    let action = action.or(status_in(&line).and_then(|number| find(ACTIONS, number)));
    let action = action.unwrap_or_else(|| panic!("no action for {key}"));
    let message = code(&readable(&variant.message));
    format!(
        "### {}-{}\n\n> {message}\n\n{line}\n\nAction: {action}\n",
        group.prefix,
        kebab(&variant.name)
    )
}

pub(crate) fn page() -> String {
    let parse =
        |path: &str| syn::parse_file(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let statuses = statuses(&parse("crates/server/src/error.rs"));
    let mut seen = Vec::new();
    let mut parts = vec![generated_by("the error types in the code"), INTRODUCTION.to_owned()];
    for group in GROUPS {
        let mut sections = vec![format!("## {}\n", group.title)];
        for variant in variants(&parse(group.path), group.enumeration) {
            seen.push(format!("{}::{}", group.enumeration, variant.name));
            sections.push(section(group, &variant, &statuses));
        }
        parts.push(sections.join("\n"));
    }
    for (name, _) in [OWN_ACTIONS, EXCEPTIONS].concat() {
        assert!(seen.iter().any(|one| one == name), "no error has the name {name}");
    }
    parts.join("\n")
}
