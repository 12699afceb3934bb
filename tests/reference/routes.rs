//! Generates the page of the HTTP API from the OpenAPI document. `tests/it/openapi.rs` compares the document with the table of
//! routes.

use crate::json::Json;
use crate::markdown::{code, generated_by, table};
use crate::repository::text;

const INTRODUCTION: &str = r#"# HTTP API

This page is for authors of clients. It lists every route with its parameters and responses, from the OpenAPI document that each server
returns at `/openapi.json`. [Compatibility](../COMPATIBILITY.md) compares the routes with InfluxDB 1.x and 3, [errors](errors.md) lists
the error texts, and [Security](../SECURITY.md#how-a-token-is-sent) describes the credentials.
"#;

/// The OpenAPI tags and the titles of their groups, in the page's order.
const GROUPS: [(&str, &str); 6] = [
    ("Write", "Writes"),
    ("Query", "Queries"),
    ("Databases", "Databases"),
    ("Tokens", "Tokens"),
    ("v2", "Routes of InfluxDB 2"),
    ("Service", "Service"),
];

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

fn resolved<'a>(document: &'a Json, part: &'a Json) -> &'a Json {
    match part.get("$ref") {
        Some(Json::Text(path)) => path.split('/').skip(1).fold(document, |inner, key| &inner[key]),
        _ => part,
    }
}

fn type_of(document: &Json, schema: &Json) -> String {
    if let Some(Json::List(values)) = schema.get("enum") {
        return values.iter().map(|value| code(&value.to_string())).collect::<Vec<_>>().join(", ");
    }
    let name = match schema.get("type") {
        Some(Json::List(names)) => {
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        }
        Some(name) => name.to_string(),
        None => String::new(),
    };
    if name == "array" {
        return format!("list of {}", type_of(document, resolved(document, &schema["items"])));
    }
    match schema.get("format") {
        Some(format) => format!("{name} ({format})"),
        None => name,
    }
}

fn body_rows(document: &Json, content: &Json) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (media_type, inner) in content.entries() {
        let schema = inner.get("schema").map_or(&Json::Null, |schema| resolved(document, schema));
        let required = schema.get("required").map(Json::items).unwrap_or_default();
        for (name, property) in schema.get("properties").map(Json::entries).unwrap_or_default() {
            let property = resolved(document, property);
            let is_required = required.iter().any(|one| one.to_string() == *name);
            let start = if is_required { "required. " } else { "" };
            let description = format!("{start}{}", property.string("description"));
            rows.push(vec![
                code(name),
                media_type.clone(),
                type_of(document, property),
                description,
            ]);
        }
    }
    rows
}

fn names(entries: &[(String, Json)]) -> String {
    entries.iter().map(|(name, _)| code(name)).collect::<Vec<_>>().join(", ")
}

fn operation(document: &Json, path: &str, method: &str, parameters: &[Json], one: &Json) -> String {
    let mut text = sentence(&one.string("summary"));
    if one.get("description").is_some() {
        text = format!("{text} {}", sentence(&one.string("description")));
    }
    let mut parts = vec![format!("### {} {path}\n", method.to_uppercase()), format!("{text}\n")];
    let own = one.get("parameters").map(Json::items).unwrap_or_default();
    let rows: Vec<Vec<String>> = parameters
        .iter()
        .chain(own)
        .map(|given| {
            let given = resolved(document, given);
            let start =
                if given.get("required") == Some(&Json::Bool(true)) { "required. " } else { "" };
            let schema = given.get("schema").unwrap_or(&Json::Null);
            let description = format!("{start}{}", given.string("description"));
            vec![
                code(&given.string("name")),
                given.string("in"),
                type_of(document, schema),
                description,
            ]
        })
        .collect();
    if !rows.is_empty() {
        parts.push(table(&["parameter", "in", "type", "description"], rows));
    }
    if let Some(body) = one.get("requestBody") {
        let body = resolved(document, body);
        let content = &body["content"];
        let mut line = format!("Body: {}.", names(content.entries()));
        if body.get("description").is_some() {
            line = format!("{line} {}", sentence(&body.string("description")));
        }
        parts.extend([line, String::new()]);
        let rows = body_rows(document, content);
        if !rows.is_empty() {
            parts.push(table(&["key", "in", "type", "description"], rows));
        }
    }
    let rows = one["responses"].entries().iter().map(|(status, response)| {
        let response = resolved(document, response);
        let listed =
            |key| response.get(key).map(|inner| names(inner.entries())).unwrap_or_default();
        vec![
            status.clone(),
            sentence(&response.string("description")),
            listed("content"),
            listed("headers"),
        ]
    });
    parts.push(table(&["status", "meaning", "body", "headers"], rows.collect()));
    parts.join("\n")
}

pub(crate) fn page() -> String {
    let document: Json = serde_json::from_str(&text("www/openapi.json")).unwrap();
    let mut groups = GROUPS.map(|(_, title)| vec![format!("## {title}\n")]);
    for (path, item) in document["paths"].entries() {
        let parameters = item.get("parameters").map(Json::items).unwrap_or_default();
        for (method, one) in item.entries().iter().filter(|(key, _)| key != "parameters") {
            let tag = one["tags"].items()[0].to_string();
            let group = GROUPS.iter().position(|(name, _)| *name == tag);
            let group = group.unwrap_or_else(|| panic!("no group for {path}"));
            groups[group].push(operation(&document, path, method, parameters, one));
        }
    }
    let mut parts = vec![generated_by("the OpenAPI document"), INTRODUCTION.to_owned()];
    parts.extend(groups.map(|sections| sections.join("\n")));
    parts.join("\n")
}
