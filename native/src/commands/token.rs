//! Implements `tidemark token`: creates, lists and revokes tokens for databases.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::command_line::Arguments;
use super::http_client::{JSON, Request, Server, form};
use super::json::{array, number, text};
use super::{CONNECTION, Command, print, table};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "token",
    help: include_str!("token.txt"),
    connection: CONNECTION,
    values: &["database", "expires"],
    switches: &["read", "write", "metrics"],
    run,
};

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    let words: Vec<_> = line.words.iter().map(String::as_str).collect();
    if let [_, _, more, ..] = words[..] {
        return Err(line.unknown(more));
    }
    match words[..] {
        [] => return Err(line.incomplete()),
        ["create", name] => create(&Server::of(line)?, name, line)?,
        ["list"] => list(&Server::of(line)?)?,
        ["revoke", name] => revoke(&Server::of(line)?, name)?,
        _ => return Err(line.invalid("Use create NAME, list, or revoke NAME")),
    }
    Ok(ExitCode::SUCCESS)
}

fn seconds(duration: &str) -> Result<u64, Failure> {
    let units = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
    let unit = units.into_iter().find(|(letter, _)| duration.ends_with(*letter));
    let seconds = unit.and_then(|(letter, unit_s)| {
        let count = duration.strip_suffix(letter)?;
        let count = count.bytes().all(|byte| byte.is_ascii_digit()).then_some(count)?;
        count.parse::<u64>().ok()?.checked_mul(unit_s)
    });
    seconds.ok_or_else(|| {
        Failure(format!(
            "--expires is \"{duration}\": it has to be a duration such as 12h, 30d or 52w."
        ))
    })
}

fn permissions_of(line: &Arguments) -> Result<Value, Failure> {
    let database = line.value("database").ok_or_else(|| {
        Failure::of(
            "The token needs a database: use --database with NAME, NAME/POLICY, or '*' for all \
             databases.",
        )
    })?;
    let mut actions = vec!["read", "write", "metrics"];
    actions.retain(|action| line.has(action));
    if actions.is_empty() {
        return Err(Failure::of(
            "The token needs a permission: use --read, --write or --metrics, or several of these \
             options.",
        ));
    }
    Ok(json!([{ "resource_type": "db", "resource_identifier": [database], "actions": actions }]))
}

fn create(server: &Server, name: &str, line: &Arguments) -> Result<(), Failure> {
    let mut body = json!({ "token_name": name, "permissions": permissions_of(line)? });
    if let Some(duration) = line.value("expires") {
        body["expiry_secs"] = seconds(duration)?.into();
    }
    let body = body.to_string();
    let path = "/api/v3/enterprise/configure/token";
    let made = server.must(&Request::post(path, JSON, body.as_bytes()))?.json()?;
    // The token is the only text on standard output, so that a script can store it in a variable.
    print(format!("{}\n", text(&made, "token")))?;
    stderr_line!("The token is shown only once.");
    Ok(())
}

fn list(server: &Server) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut after = Some("0".to_owned());
    while let Some(last) = after {
        let path = format!("/api/v3/configure/token?after={last}");
        let response = server.must(&Request::new("GET", path))?;
        after = response.header("x-tidemark-next").map(str::to_owned);
        let tokens = response.json()?;
        rows.extend(tokens.as_array().into_iter().flatten().map(row_of));
    }
    table::show(&["name", "permissions", "expires", "last used"], &rows)
}

fn row_of(token: &Value) -> Vec<Value> {
    let permissions = array(token, "permissions").iter().map(|permission| {
        let actions: Vec<_> =
            array(permission, "actions").iter().filter_map(Value::as_str).collect();
        let database = array(permission, "resource_identifier").first().and_then(Value::as_str);
        format!("{} {}", actions.join(" and "), database.unwrap_or_default())
    });
    let or =
        |name: &str, absent: &str| token.get(name).and_then(Value::as_str).unwrap_or(absent).into();
    let permissions = permissions.collect::<Vec<_>>().join(", ");
    vec![or("name", ""), permissions.into(), or("expiry", "never"), or("last_used", "not yet")]
}

fn revoke(server: &Server, name: &str) -> Result<(), Failure> {
    let path = format!("/api/v3/configure/token?{}", form(&[("token_name", Some(name))]));
    let response = server.must(&Request::new("DELETE", path))?;
    if response.status() == 202 {
        let remaining = number(&response.json()?, "remaining");
        stderr_line!(
            "{name} is revoked, but {remaining} databases have not been notified yet. Repeat the \
             command to check again."
        );
    } else {
        stderr_line!("{name} is revoked everywhere.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_durations_need_number_and_unit() {
        assert_eq!(seconds("30d").unwrap(), 2_592_000);
        for wrong in ["", "d", "1", "1s", "-1d", "+1d", "1.5h", "99999999999999999999w"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
