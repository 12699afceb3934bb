//! Parses selectors, ranges and their modifiers.

use super::lexer::Kind;
use super::{Node, Parsed, Parser, SyntaxError, Type, literals};
use crate::error::Error;
use crate::expr::{At, Expr, Subquery, TimeShift, VectorSelector};
use crate::format::quote;
use crate::labels::METRIC_NAME;
use crate::matcher::{MatchOp, Matcher};

const EXPERIMENTAL_DURATION: &str = "experimental duration expression is not supported";

impl Parser<'_> {
    /// Parses a selector: a metric, braces, or both.
    pub(super) fn selector(&mut self) -> Parsed<Node> {
        let start = self.peek().start;
        let index = self.count_selector(start)?;
        let name = match self.peek().kind {
            Kind::Word => self.next().text.to_owned(),
            _ => String::new(),
        };
        let mut matchers = if self.peek().is("{") { self.matchers()? } else { vec![] };
        self.check_matchers(start, &name, &matchers);
        if !name.is_empty() {
            let (label, op) = (METRIC_NAME.to_owned(), MatchOp::Equal);
            matchers.push(self.matcher(start, label, op, name.clone())?);
        }
        let time = TimeShift::default();
        self.node(Expr::Vector(VectorSelector { index, name, matchers, time }), start, &[])
    }

    fn matchers(&mut self) -> Parsed<Vec<Matcher>> {
        const CONTEXT: &str = "label matching";
        self.next();
        let mut matchers = vec![];
        loop {
            if self.take("}") {
                return Ok(matchers);
            }
            let token = self.peek();
            let label = match token.kind {
                Kind::Word => token.text.to_owned(),
                Kind::Text => self.unquoted(token)?,
                _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
            };
            self.next();
            self.check_labels(token.start, matchers.len() + 1)?;
            let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
            let op = ops.into_iter().find(|op| self.peek().is(op.as_str()));
            let ends = self.peek().is(",") || self.peek().is("}");
            matchers.push(match op {
                Some(op) => {
                    self.next();
                    if self.peek().kind != Kind::Text {
                        return Err(self.unexpected(CONTEXT, "string"));
                    }
                    let value = self.unquoted(self.peek())?;
                    self.next();
                    self.matcher(token.start, label, op, value)?
                }
                // A quoted name of a metric.
                None if token.kind == Kind::Text && ends => {
                    self.matcher(token.start, METRIC_NAME.to_owned(), MatchOp::Equal, label)?
                }
                None => return Err(self.unexpected(CONTEXT, "label matching operator")),
            });
            if !self.take(",") && !self.peek().is("}") {
                return Err(self.unexpected(CONTEXT, "\",\" or \"}\""));
            }
        }
    }

    fn matcher(
        &mut self,
        start: usize,
        label: String,
        op: MatchOp,
        value: String,
    ) -> Parsed<Matcher> {
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            self.count_regex(start, 1, 0)?;
        }
        let text = |error| match error {
            Error::Parse(text) | Error::Execution(text) | Error::TooMuch(text) => text,
        };
        let matcher = Matcher::with_work(label, op, value, &self.regex_work);
        let matcher = matcher.map_err(|error| self.error(start, text(error)))?;
        self.count_regex(start, 0, matcher.compiled_bytes())?;
        Ok(matcher)
    }

    /// Parses the ranges and modifiers after an operand.
    pub(super) fn postfix(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            let token = self.peek();
            if token.is("[") {
                node = self.range(node)?;
            } else if token.is("@") {
                self.next();
                let at = self.at()?;
                self.set_at(&mut node, at)?;
            } else if token.is_keyword("offset") {
                self.next();
                let offset_ms = self.signed_duration_ms()?;
                self.set_offset(&mut node, offset_ms)?;
            } else if token.is_keyword("anchored") || token.is_keyword("smoothed") {
                let message = format!("{} modifier is experimental and not supported", token.text);
                return Err(self.error(token.start, message));
            } else {
                return Ok(node);
            }
        }
    }

    /// Parses `[range]` or `[range:step]`.
    fn range(&mut self, node: Node) -> Parsed<Node> {
        self.next();
        let range_ms = self.positive_duration_ms("subquery or range selector")?;
        if self.take(":") {
            let step_ms = match self.peek() {
                token if token.is("]") => None,
                _ => Some(self.positive_duration_ms("subquery selector")?),
            };
            if !self.take("]") {
                return Err(self.unexpected("subquery selector", "\"]\""));
            }
            return self.subquery(node, range_ms, step_ms);
        }
        if !self.take("]") {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        match node.expr {
            Expr::Vector(selector) => {
                let error =
                    |what| self.error(node.start, format!("no {what} allowed before range"));
                if selector.time.offset_ms != 0 {
                    return Err(error("offset modifiers"));
                }
                if selector.time.at.is_some() {
                    return Err(error("@ modifiers"));
                }
                self.node(Expr::Matrix { selector, range_ms }, node.start, &[])
            }
            _ => Err(self.error(node.start, "ranges only allowed for vector selectors")),
        }
    }

    fn subquery(&mut self, node: Node, range_ms: i64, step_ms: Option<i64>) -> Parsed<Node> {
        if node.result_type != Type::Vector {
            let names = ["scalar", "string", "vector", "matrix"];
            let name = names.get(node.result_type as usize).copied().unwrap_or_default();
            let message = format!("subquery is only allowed on instant vector, got {name} instead");
            self.note(node.start, message);
        }
        let time = TimeShift::default();
        let subquery = Subquery { expr: node.expr, range_ms, step_ms, time };
        self.node(Expr::Subquery(Box::new(subquery)), node.start, &[node.depth])
    }

    /// Parses a number of seconds or a duration.
    fn duration(&mut self, context: &str) -> Parsed<i64> {
        let token = self.peek();
        let ms = match token.kind {
            Kind::Duration => self.duration_ms(token)?,
            Kind::Number => {
                let seconds = literals::number(token.text).unwrap_or(f64::NAN);
                let ms = literals::seconds_ms(seconds);
                ms.map_err(|message| self.error(token.start, message))?
            }
            _ => return Err(self.duration_expected(context)),
        };
        self.next();
        match self.peek() {
            next if ["+", "-", "*", "/", "%", "^"].iter().any(|op| next.is(op))
                && context != "offset" =>
            {
                Err(self.error(token.start, EXPERIMENTAL_DURATION))
            }
            _ => Ok(ms),
        }
    }

    /// Returns the error for a token that is no duration.
    fn duration_expected(&self, context: &str) -> SyntaxError {
        let token = self.peek();
        let words = ["step", "range", "max_of", "min_of"];
        if token.is("(") || token.is("+") || words.iter().any(|word| token.is_keyword(word)) {
            return self.error(token.start, EXPERIMENTAL_DURATION);
        }
        self.unexpected(context, "number or duration")
    }

    fn positive_duration_ms(&mut self, context: &str) -> Parsed<i64> {
        let start = self.peek().start;
        let is_negative = self.take("-");
        match self.duration(context)? {
            ms if ms > 0 && !is_negative => Ok(ms),
            _ => Err(self.error(start, "duration must be greater than 0")),
        }
    }

    fn signed_duration_ms(&mut self) -> Parsed<i64> {
        let is_minus = self.take("-");
        if !is_minus {
            self.take("+");
        }
        let ms = self.duration("offset")?;
        Ok(if is_minus { -ms } else { ms })
    }

    /// Parses the time after `@`.
    fn at(&mut self) -> Parsed<At> {
        let token = self.peek();
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if token.is_keyword(word) && self.peek_at(1).is("(") && self.peek_at(2).is(")") {
                self.at += 3;
                return Ok(at);
            }
        }
        let is_minus = self.take("-");
        if !is_minus {
            self.take("+");
        }
        let number = self.peek();
        let seconds = match number.kind {
            Kind::Number => literals::number(number.text).unwrap_or(f64::NAN),
            Kind::Duration => self.duration_ms(number)? as f64 / 1000.0,
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        self.next();
        let ms = if is_minus { -seconds } else { seconds } * 1000.0;
        // Times outside of Go's range of nanoseconds are invalid.
        if ms.is_nan() || ms.abs() >= (i64::MAX / 1000) as f64 {
            let message = format!("timestamp out of bounds for @ modifier: {seconds:.6}");
            return Err(self.error(token.start, message));
        }
        Ok(At::TimeMs(ms.round() as i64))
    }

    fn set_at(&self, node: &mut Node, at: At) -> Parsed<()> {
        let time = self.time_of(node, "@ modifier")?;
        if time.at.is_some() {
            let message = "@ <timestamp> may not be set multiple times";
            return Err(self.error(node.start, message));
        }
        time.at = Some(at);
        Ok(())
    }

    fn set_offset(&self, node: &mut Node, offset_ms: i64) -> Parsed<()> {
        let time = self.time_of(node, "offset modifier")?;
        if time.offset_ms != 0 {
            return Err(self.error(node.start, "offset may not be set multiple times"));
        }
        time.offset_ms = offset_ms;
        Ok(())
    }

    fn time_of<'n>(
        &self,
        node: &'n mut Node,
        modifier: &str,
    ) -> Result<&'n mut TimeShift, SyntaxError> {
        match &mut node.expr {
            Expr::Vector(selector) | Expr::Matrix { selector, .. } => Ok(&mut selector.time),
            Expr::Subquery(subquery) => Ok(&mut subquery.time),
            _ => Err(self.error(
                node.start,
                format!(
                    "{modifier} must be preceded by an instant vector selector or range vector \
                     selector or a subquery"
                ),
            )),
        }
    }

    fn check_matchers(&mut self, start: usize, name: &str, matchers: &[Matcher]) {
        if name.is_empty() {
            if matchers.iter().all(|matcher| matcher.matches("")) {
                let message = "vector selector must contain at least one non-empty matcher";
                self.note(start, message);
            }
        } else if let Some(other) = matchers.iter().find(|other| other.label == METRIC_NAME) {
            let names = format!("{} or {}", quote(name), quote(&other.value));
            self.note(start, format!("metric name must not be set twice: {names}"));
        }
    }
}
