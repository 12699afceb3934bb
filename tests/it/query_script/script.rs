//! Parses the text of a query script into its steps.

use super::QueryRequest;
use super::answer::Answer;

/// The steps of a script, each with the line number and the text of its first line.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<(usize, String, Step)>,
}

#[derive(Debug)]
pub(super) enum Step {
    Write(Write),
    Query(Query),
    Drain,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) db: String,
    pub(super) rp: String,
    pub(super) precision: String,
    pub(super) body: String,
    pub(super) status: u16,
}

#[derive(Debug)]
pub(super) struct Query {
    pub(super) request: QueryRequest,
    /// Whether the order of rows with the same time is ignored.
    pub(super) unordered: bool,
    pub(super) is_text: bool,
    pub(super) answer: Answer,
}

impl Script {
    /// The error is `LINE: what is wrong`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut lines = text.lines().enumerate().peekable();
        let mut may_indent = false;
        while let Some((index, head)) = lines.next() {
            let number = index + 1;
            if head.is_empty() {
                continue;
            }
            if head.starts_with('#') {
                may_indent = false;
                continue;
            }
            if head.starts_with(' ') {
                let what =
                    if may_indent { "bad indentation" } else { "an indented line of no step" };
                return Err(format!("{number}: {what}"));
            }
            let mut body = Vec::new();
            while let Some((_, line)) =
                lines.next_if(|(_, line)| line.is_empty() || line.starts_with("  "))
            {
                body.push(line.strip_prefix("  ").unwrap_or(line));
            }
            while body.last().is_some_and(|line| line.is_empty()) {
                body.pop();
            }
            may_indent = true;
            let step = parse_step(head, &body).map_err(|error| format!("{number}: {error}"))?;
            steps.push((number, head.to_owned(), step));
        }
        Ok(Self { steps })
    }
}

fn parse_step(head: &str, body: &[&str]) -> Result<Step, String> {
    let (word, rest) = head.split_once(' ').unwrap_or((head, ""));
    match word {
        "drain" if rest.is_empty() && body.is_empty() => Ok(Step::Drain),
        "write" => parse_write(rest, body).map(Step::Write),
        "query" => parse_query(rest, body, false).map(Step::Query),
        "query-unordered" => parse_query(rest, body, true).map(Step::Query),
        _ => Err("expected a comment, write, query, query-unordered or drain".to_owned()),
    }
}

fn parse_write(rest: &str, body: &[&str]) -> Result<Write, String> {
    let mut words = rest.split(' ');
    let db = words.next().filter(|db| !db.is_empty()).ok_or("write needs a database")?;
    let (mut rp, mut precision) = ("", "");
    for option in words {
        match option.split_once('=') {
            Some(("rp", value)) => rp = value,
            Some(("precision", value)) => precision = value,
            _ => return Err(format!("unknown option {option}")),
        }
    }
    let (mut lines, mut status) = (body, 204);
    if let Some((last, before)) = body.split_last()
        && let Some(expected) = last.strip_prefix("=> http ")
    {
        status = expected.parse().map_err(|_| format!("bad status {expected}"))?;
        lines = before;
    }
    Ok(Write {
        db: db.to_owned(),
        rp: rp.to_owned(),
        precision: precision.to_owned(),
        body: lines.join("\n"),
        status,
    })
}

fn parse_query(rest: &str, body: &[&str], unordered: bool) -> Result<Query, String> {
    let (db, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if db.is_empty() {
        return Err("query needs a database, or -".to_owned());
    }
    let mut params = Vec::new();
    let mut push = |key: &str, value: &str| params.push((key.to_owned(), value.to_owned()));
    if db != "-" {
        push("db", db);
    }
    let (mut method, mut accept, mut is_text) = ("POST", None, false);
    loop {
        let (option, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match option.split_once('=') {
            Some((key @ ("epoch" | "rp" | "params"), value)) => push(key, value),
            Some(("chunked", rows)) => {
                push("chunked", "true");
                push("chunk_size", rows);
                is_text = true;
            }
            Some(("accept", kind)) => {
                accept = Some(kind.to_owned());
                is_text = true;
            }
            None if option == "chunked" || option == "pretty" => {
                push(option, "true");
                is_text = true;
            }
            None if option == "text" => is_text = true,
            None if option == "get" => method = "GET",
            None if option == "by-hand" => {}
            _ => break,
        }
        rest = after;
    }
    push("q", rest);
    let answer = Answer::from_lines(is_text, body)?;
    let request = QueryRequest { method, params, accept };
    Ok(Query { request, unordered, is_text, answer })
}
