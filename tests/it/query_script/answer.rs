//! A response from the indented lines of a script or from a body of `/query`.

use super::json::{self, Json};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The exact body without its last line break.
    Text(String),
    Failed {
        status: u16,
        body: String,
    },
    Results(Vec<StatementResult>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StatementResult {
    pub(super) series: Vec<Series>,
    pub(super) messages: Vec<String>,
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) columns: Vec<String>,
    /// Each row has as many cells as there are columns.
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) partial: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    String(String),
    /// A number, `true`, `false` or `null`, as its JSON text.
    Literal(String),
}

impl Answer {
    /// # Errors
    ///
    /// The body is not JSON, or its members or their order differ from InfluxDB's.
    pub(super) fn from_http(is_text: bool, status: u16, body: &str) -> Result<Self, String> {
        let body = body.strip_suffix('\n').unwrap_or(body);
        if status != 200 {
            return Ok(Self::Failed { status, body: body.to_owned() });
        }
        if is_text {
            return Ok(Self::Text(body.to_owned()));
        }
        let document = json::parse(body)?;
        if let Ok([Some(Json::String(_))]) = members(&document, ["error"]) {
            return Ok(Self::Failed { status, body: body.to_owned() });
        }
        let [results] = members(&document, ["results"])?;
        let results = elements(results)?;
        let results = results.iter().enumerate().map(|(id, result)| read_result(id, result));
        results.collect::<Result<_, _>>().map(Self::Results)
    }

    /// The lines have no indentation. Returns the description of an invalid line as the error.
    pub(super) fn from_lines(is_text: bool, lines: &[&str]) -> Result<Self, String> {
        if let Some((failure, more)) = lines
            .split_first()
            .and_then(|(first, more)| first.strip_prefix("http ").map(|failure| (failure, more)))
        {
            let (status, body) = match failure.split_once(' ') {
                Some((status, body)) => (status, body.to_owned()),
                None => (failure, text_of(more)?),
            };
            let status = status.parse().map_err(|_| format!("bad status {status}"))?;
            return Ok(Self::Failed { status, body });
        }
        if is_text {
            return text_of(lines).map(Self::Text);
        }
        let mut results = Vec::new();
        let mut lines = lines.iter().copied().peekable();
        while let Some(id) = lines.peek().and_then(|line| line.strip_prefix("statement ")) {
            if id != results.len().to_string() {
                return Err(format!("statement {id} comes as number {}", results.len()));
            }
            lines.next();
            results.push(result_from_lines(&mut lines)?);
        }
        if results.is_empty() {
            results.push(result_from_lines(&mut lines)?);
        }
        Ok(Self::Results(results))
    }
}

fn text_of(lines: &[&str]) -> Result<String, String> {
    let text: Option<Vec<_>> = lines.iter().map(|line| line.strip_prefix('|')).collect();
    Ok(text.ok_or("a line of a text answer lacks its |")?.join("\n"))
}

/// The members must be in the order of `allowed`. Any other member is an error.
fn members<'a, const N: usize>(
    object: &'a Json,
    allowed: [&str; N],
) -> Result<[Option<&'a Json>; N], String> {
    let Json::Object(members) = object else {
        return Err(format!("expected an object with {allowed:?}"));
    };
    let find = |key: &str| members.iter().position(|(name, _)| name == key);
    let places = allowed.map(find);
    let known: Vec<usize> = places.iter().copied().flatten().collect();
    if known.len() != members.len() || !known.is_sorted() {
        let names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        return Err(format!("members {names:?} where {allowed:?} are allowed, in this order"));
    }
    Ok(places.map(|place| place.and_then(|at| members.get(at)).map(|(_, value)| value)))
}

fn elements(value: Option<&Json>) -> Result<&[Json], String> {
    match value {
        None => Ok(&[]),
        Some(Json::Array(elements)) if !elements.is_empty() => Ok(elements),
        Some(other) => Err(format!("expected elements, found {other:?}")),
    }
}

fn text(value: &Json) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        other => Err(format!("expected a string, found {other:?}")),
    }
}

fn read_result(id: usize, result: &Json) -> Result<StatementResult, String> {
    let [found, series, messages, error] =
        members(result, ["statement_id", "series", "messages", "error"])?;
    if found != Some(&Json::Literal(id.to_string())) {
        return Err(format!("result {id} has statement_id {found:?}"));
    }
    let series = elements(series)?.iter().map(read_series).collect::<Result<_, _>>()?;
    let messages = elements(messages)?.iter().map(read_message).collect::<Result<_, _>>()?;
    let error = error.map(text).transpose()?;
    Ok(StatementResult { series, messages, error })
}

fn read_message(message: &Json) -> Result<String, String> {
    match members(message, ["level", "text"])? {
        [Some(level), Some(words)] => Ok(format!("{} {}", text(level)?, text(words)?)),
        _ => Err("a message without level or text".to_owned()),
    }
}

fn read_series(series: &Json) -> Result<Series, String> {
    let [name, tags, columns, values, partial] =
        members(series, ["name", "tags", "columns", "values", "partial"])?;
    let name = name.map(text).transpose()?;
    let tags = match tags {
        None => Vec::new(),
        Some(Json::Object(tags)) if !tags.is_empty() => tags
            .iter()
            .map(|(key, value)| Ok((key.clone(), text(value)?)))
            .collect::<Result<_, String>>()?,
        Some(other) => return Err(format!("expected tags, found {other:?}")),
    };
    let columns: Vec<_> = elements(columns)?.iter().map(text).collect::<Result<_, _>>()?;
    // Only SHOW DATABASES has an empty list of values.
    let is_empty = matches!(values, Some(Json::Array(rows)) if rows.is_empty());
    let is_databases = name.as_deref() == Some("databases") && columns == ["name"];
    let values = values.filter(|_| !(is_empty && is_databases));
    let rows = elements(values)?.iter().map(|row| read_row(row, columns.len()));
    let rows = rows.collect::<Result<_, _>>()?;
    let partial = match partial {
        None => false,
        Some(Json::Literal(yes)) if yes == "true" => true,
        Some(other) => return Err(format!("partial is {other:?}")),
    };
    Ok(Series { name, tags, columns, rows, partial })
}

fn read_row(row: &Json, n_columns: usize) -> Result<Vec<Cell>, String> {
    let Json::Array(cells) = row else { return Err(format!("expected a row, found {row:?}")) };
    if cells.len() != n_columns {
        return Err(format!("{} cells under {n_columns} columns", cells.len()));
    }
    let read = |cell: &Json| match cell {
        Json::String(text) => Ok(Cell::String(text.clone())),
        Json::Literal(text) => Ok(Cell::Literal(text.clone())),
        other => Err(format!("{other:?} is no cell")),
    };
    cells.iter().map(read).collect()
}

type Lines<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, &'a str>>>;

fn result_from_lines(lines: &mut Lines<'_>) -> Result<StatementResult, String> {
    let mut result = StatementResult::default();
    while let Some(line) = lines.next_if(|line| !line.starts_with("statement ")) {
        if line.is_empty() {
            continue;
        }
        if let Some(message) = line.strip_prefix("message: ") {
            let (level, text) = message.split_once(' ').ok_or("message: LEVEL TEXT")?;
            result.messages.push(format!("{level} {}", phrase(text)?));
        } else if let Some(error) = line.strip_prefix("error: ") {
            result.error = Some(phrase(error)?);
        } else if result.error.is_some() || !result.messages.is_empty() {
            return Err(format!("{line:?} after a message or an error"));
        } else {
            result.series.push(series_from_lines(line, lines)?);
        }
    }
    Ok(result)
}

/// If the rest of the line is a JSON string, returns the text of the string.
fn phrase(text: &str) -> Result<String, String> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    serde_json::from_str(text).map_err(|_| format!("{text} is no JSON string"))
}

fn series_from_lines(head: &str, lines: &mut Lines<'_>) -> Result<Series, String> {
    let mut series = Series::default();
    for (at, token) in tokens(head)?.into_iter().enumerate() {
        match token.as_slice() {
            [Word::Bare(name)] if at == 0 && name == "-" => {}
            [name] if at == 0 => series.name = Some(name.text()),
            [Word::Bare(mark)] if mark == "(partial)" => series.partial = true,
            [key, value] if at > 0 => series.tags.push((key.text(), value.text())),
            _ => return Err(format!("{head:?} is no series line")),
        }
    }
    let columns = lines.next().ok_or_else(|| format!("no columns below {head:?}"))?;
    for token in tokens(columns)? {
        let [column] = token.as_slice() else { return Err(format!("bad columns {columns:?}")) };
        series.columns.push(column.text());
    }
    let is_row = |line: &&str| {
        let marks = ["statement ", "message: ", "error: "];
        !line.is_empty() && !marks.iter().any(|mark| line.starts_with(mark))
    };
    while let Some(line) = lines.next_if(is_row) {
        let cells = tokens(line)?;
        if cells.len() != series.columns.len() {
            let columns = series.columns.len();
            return Err(format!("{} cells under {columns} columns in {line:?}", cells.len()));
        }
        let row = cells.iter().zip(&series.columns).map(|(cell, column)| cell_of(cell, column));
        series.rows.push(row.collect::<Result<_, _>>()?);
    }
    Ok(series)
}

enum Word {
    Bare(String),
    Quoted(String),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text.clone(),
        }
    }
}

/// Splits a line at its spaces. Splits each token at each `=` outside of quotes.
fn tokens(line: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let mut token = Vec::new();
        loop {
            let (word, after) = match json::split_string(rest) {
                Some((literal, after)) => {
                    let text = serde_json::from_str(literal)
                        .map_err(|_| format!("{literal} is no JSON string"))?;
                    (Word::Quoted(text), after)
                }
                None => {
                    let end = rest.find([' ', '=']).unwrap_or(rest.len());
                    let (bare, after) = rest.split_at(end);
                    (Word::Bare(bare.to_owned()), after)
                }
            };
            token.push(word);
            rest = match after.strip_prefix('=') {
                Some(value) => value,
                None => {
                    if !(after.is_empty() || after.starts_with(' ')) {
                        return Err(format!("expected a space before {after:?}"));
                    }
                    break rest = after.trim_start_matches(' ');
                }
            };
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn cell_of(token: &[Word], column: &str) -> Result<Cell, String> {
    match token {
        [Word::Quoted(text)] => Ok(Cell::String(text.clone())),
        [Word::Bare(text)] => match json::parse(text) {
            Ok(Json::Literal(_)) => Ok(Cell::Literal(text.clone())),
            _ if column == "time" && text.contains('T') => Ok(Cell::String(text.clone())),
            _ => Err(format!("{text} is no cell; are quotes missing?")),
        },
        _ => Err("a cell with = needs quotes".to_owned()),
    }
}
