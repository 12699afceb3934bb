//! Parses JSON and keeps two things that `serde_json::Value` does not: the text of every number,
//! and the order of members.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    /// A number, `true`, `false` or `null`, as its text.
    Literal(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The error is the expected token and the remaining text.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { rest: text };
    let value = reader.value()?;
    reader.rest = reader.rest.trim_start();
    if reader.rest.is_empty() { Ok(value) } else { reader.fail("the end") }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, expected: &str) -> Result<T, String> {
        let found: String = self.rest.chars().take(20).collect();
        Err(format!("expected {expected}, found {found:?}"))
    }

    fn take(&mut self, mark: char) -> bool {
        let rest = self.rest.trim_start();
        self.rest = rest.strip_prefix(mark).unwrap_or(rest);
        self.rest.len() < rest.len()
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { self.fail(&format!("{mark:?}")) }
    }

    fn value(&mut self) -> Result<Json, String> {
        if self.take('{') {
            return self.members();
        }
        if self.take('[') {
            return self.elements();
        }
        if self.rest.starts_with('"') {
            return self.string().map(Json::String);
        }
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (literal, rest) = self.rest.split_at(end);
        if serde_json::from_str::<serde_json::Value>(literal).is_err() {
            return self.fail("a value");
        }
        self.rest = rest;
        Ok(Json::Literal(literal.to_owned()))
    }

    fn string(&mut self) -> Result<String, String> {
        self.rest = self.rest.trim_start();
        let Some((literal, rest)) = split_string(self.rest) else { return self.fail("a string") };
        let text = serde_json::from_str(literal).or_else(|_| self.fail("a string"))?;
        self.rest = rest;
        Ok(text)
    }

    fn members(&mut self) -> Result<Json, String> {
        let mut members: Vec<(String, Json)> = Vec::new();
        if self.take('}') {
            return Ok(Json::Object(members));
        }
        loop {
            let key = self.string()?;
            self.expect(':')?;
            let value = self.value()?;
            if members.iter().any(|(other, _)| *other == key) {
                return Err(format!("two members {key:?}"));
            }
            members.push((key, value));
            if self.take('}') {
                return Ok(Json::Object(members));
            }
            self.expect(',')?;
        }
    }

    fn elements(&mut self) -> Result<Json, String> {
        let mut elements = Vec::new();
        if self.take(']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.take(']') {
                return Ok(Json::Array(elements));
            }
            self.expect(',')?;
        }
    }
}

/// The literal includes its quotes.
pub(super) fn split_string(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let body = text.strip_prefix('"')?;
    for (at, char) in body.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at_checked(at + 2),
            _ => {}
        }
    }
    None
}
