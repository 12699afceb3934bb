//! Parses PromQL. The messages of errors are those of Prometheus.

mod check;
mod lexer;
mod literals;
mod selectors;

use tidemark_model::limits::{REGEXES_COMPILED_BYTES_MAX, REGEXES_PER_QUERY_MAX};
use tidemark_model::regex::RegexWork;

use self::lexer::{Kind, Token};
use super::error::Error;
use super::expr::{Aggregate, AggregateOp, Binary, BinaryOp, Expr, Group, Matching, Type};
use super::format::quote;
use super::function::{EXPERIMENTAL, Function};
use super::limits::{EXPR_DEPTH_MAX, LABELS_MAX, QUERY_BYTES_MAX, SELECTORS_MAX};

pub(crate) use literals::DURATION_UNITS;

/// An error at a position in the query, in bytes.
#[derive(Debug)]
struct SyntaxError {
    start: usize,
    message: String,
}

type Parsed<T> = Result<T, SyntaxError>;

/// An expression while the query is parsed.
struct Node {
    expr: Expr,
    start: usize,
    result_type: Type,
    depth: usize,
}

/// Parses and checks a query. Each selector has its position among the selectors.
pub(crate) fn parse(query: &str) -> Result<Expr, Error> {
    if query.len() > QUERY_BYTES_MAX {
        let message = "the query is too long: split it into several queries";
        return Err(Error::Parse(format!("{message}: limit {QUERY_BYTES_MAX} bytes")));
    }
    parse_tokens(query).map_err(|error| error.at(query))
}

fn parse_tokens(query: &str) -> Parsed<Expr> {
    let tokens = lexer::tokens(query)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        nesting: 0,
        selectors: 0,
        regexes: 0,
        compiled_bytes: 0,
        regex_work: RegexWork::limited(),
        type_error: None,
    };
    if parser.peek().kind == Kind::End {
        return Err(SyntaxError { start: 0, message: "no expression found in input".to_owned() });
    }
    let node = parser.expr(0)?;
    if parser.peek().kind != Kind::End {
        return Err(parser.unexpected("", ""));
    }
    match parser.type_error {
        Some(error) => Err(error),
        None => Ok(node.expr),
    }
}

impl SyntaxError {
    /// Adds the line and column.
    fn at(self, query: &str) -> Error {
        let before = query.get(..self.start).unwrap_or(query);
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        Error::Parse(format!("{line}:{column}: parse error: {}", self.message))
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// The number of expressions around the current token.
    nesting: usize,
    selectors: usize,
    regexes: usize,
    compiled_bytes: usize,
    /// The steps of slow matches of all regexes.
    regex_work: RegexWork,
    /// The first error of a type. Errors of syntax have precedence.
    type_error: Option<SyntaxError>,
}

/// The precedence of unary operators, which is that of `*`. Their operand has a higher precedence.
const POWER: u8 = 6;

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.peek_at(0)
    }

    fn peek_at(&self, offset: usize) -> Token<'a> {
        let end = Token { kind: Kind::End, text: "", start: usize::MAX };
        self.tokens.get(self.at + offset).or(self.tokens.last()).copied().unwrap_or(end)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, symbol: &str) -> bool {
        let is_found = self.peek().is(symbol);
        self.at += usize::from(is_found);
        is_found
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let is_found = self.peek().is_keyword(keyword);
        self.at += usize::from(is_found);
        is_found
    }

    fn error(&self, start: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { start, message: message.into() }
    }

    /// Returns the error that the next token is unexpected.
    fn unexpected(&self, context: &str, expected: &str) -> SyntaxError {
        let token = self.peek();
        let mut message = format!("unexpected {token}");
        for (word, text) in [(" in ", context), (", expected ", expected)] {
            if !text.is_empty() {
                message.push_str(word);
                message.push_str(text);
            }
        }
        self.error(token.start, message)
    }

    /// Notes an error of types, unless there is an earlier one.
    fn note(&mut self, start: usize, message: impl Into<String>) {
        if self.type_error.is_none() {
            self.type_error = Some(self.error(start, message));
        }
    }

    fn node(&self, expr: Expr, start: usize, children: &[usize]) -> Parsed<Node> {
        let depth = children.iter().max().map_or(0, |depth| depth + 1);
        if depth > EXPR_DEPTH_MAX {
            return Err(self.too_deep(start));
        }
        let result_type = expr.result_type();
        Ok(Node { expr, start, result_type, depth })
    }

    fn too_deep(&self, start: usize) -> SyntaxError {
        let message = "the expression has too many nested or chained operators";
        let advice = "split the query, or match several values with a regex";
        self.error(start, format!("{message}: limit {EXPR_DEPTH_MAX}: {advice}"))
    }

    /// Parses operands and the operators between them that bind at least as strongly as `min`.
    fn expr(&mut self, min: u8) -> Parsed<Node> {
        if self.nesting >= EXPR_DEPTH_MAX {
            return Err(self.too_deep(self.peek().start));
        }
        self.nesting += 1;
        let mut left = self.unary()?;
        while let Some((op, precedence)) = binary_op(self.peek()).filter(|(_, p)| *p >= min) {
            let op_start = self.next().start;
            let returns_bool = self.take_keyword("bool");
            let matching = self.matching()?;
            self.reject_fill()?;
            // `^` is right-associative.
            let right = self.expr(if op == BinaryOp::Pow { precedence } else { precedence + 1 })?;
            left = self.binary(left, (op, op_start), returns_bool, matching, right)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Node> {
        let token = self.peek();
        let is_minus = token.is("-");
        if !is_minus && !token.is("+") {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        self.next();
        let operand = self.expr(POWER)?;
        self.check_unary(token.start, &operand);
        let depth = operand.depth;
        let expr = match operand.expr {
            Expr::Number { value, is_duration } => {
                Expr::Number { value: if is_minus { -value } else { value }, is_duration }
            }
            expr => Expr::Unary { is_minus, expr: Box::new(expr) },
        };
        self.node(expr, token.start, &[depth])
    }

    fn binary(
        &mut self,
        left: Node,
        op: (BinaryOp, usize),
        returns_bool: bool,
        matching: Option<Matching>,
        right: Node,
    ) -> Parsed<Node> {
        self.check_binary(&left, op, returns_bool, matching.as_ref(), &right);
        let (start, depths) = (left.start, [left.depth, right.depth]);
        let matching = matching.unwrap_or_default();
        let (op, left, right) = (op.0, left.expr, right.expr);
        let binary = Binary { op, left, right, returns_bool, matching };
        self.node(Expr::Binary(Box::new(binary)), start, &depths)
    }

    /// Parses `on (…)` or `ignoring (…)`, and `group_left (…)` or `group_right (…)`.
    fn matching(&mut self) -> Parsed<Option<Matching>> {
        let is_on = self.peek().is_keyword("on");
        if !is_on && !self.peek().is_keyword("ignoring") {
            return Ok(None);
        }
        self.next();
        let labels = self.label_names()?;
        let is_left = self.peek().is_keyword("group_left");
        let group = if is_left || self.peek().is_keyword("group_right") {
            self.next();
            let include = if self.peek().is("(") { self.label_names()? } else { vec![] };
            Some(Group { is_left, include })
        } else {
            None
        };
        Ok(Some(Matching { is_on, labels, group }))
    }

    fn reject_fill(&self) -> Parsed<()> {
        let words = ["fill", "fill_left", "fill_right"];
        if self.peek_at(1).is("(") && words.iter().any(|word| self.peek().is_keyword(word)) {
            let message = "binop fill modifiers are experimental and not supported";
            return Err(self.error(self.peek().start, message));
        }
        Ok(())
    }

    /// Parses a list of names in parentheses.
    fn label_names(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        if !self.take("(") {
            return Err(self.unexpected(CONTEXT, "\"(\""));
        }
        let mut names = vec![];
        loop {
            if self.take(")") {
                return Ok(names);
            }
            let token = self.peek();
            let name = match token.kind {
                Kind::Word => token.text.to_owned(),
                Kind::Number if !token.text.starts_with(|c: char| c.is_ascii_digit()) => {
                    token.text.to_owned()
                }
                Kind::Text => self.unquoted(token)?,
                _ => return Err(self.unexpected(CONTEXT, "label")),
            };
            if name.is_empty() || (token.kind == Kind::Word && name.contains(':')) {
                let message = format!("invalid label name for grouping: {}", quote(&name));
                return Err(self.error(token.start, message));
            }
            self.next();
            names.push(name);
            self.check_labels(token.start, names.len())?;
            if !self.take(",") && !self.peek().is(")") {
                return Err(self.unexpected(CONTEXT, "\",\" or \")\""));
            }
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.peek();
        let leaf = |parser: &mut Self, expr| {
            parser.next();
            parser.node(expr, token.start, &[])
        };
        match token.kind {
            Kind::Number => {
                let message =
                    || format!("error parsing number: invalid number {}", quote(token.text));
                let value = literals::number(token.text);
                let value = value.ok_or_else(|| self.error(token.start, message()))?;
                leaf(self, Expr::Number { value, is_duration: false })
            }
            Kind::Duration => {
                let ms = self.duration_ms(token)?;
                leaf(self, Expr::Number { value: ms as f64 / 1000.0, is_duration: true })
            }
            Kind::Text => {
                let text = self.unquoted(token)?;
                leaf(self, Expr::String(text))
            }
            Kind::Symbol if token.text == "(" => {
                self.next();
                let inner = self.expr(0)?;
                if !self.take(")") {
                    return Err(self.unexpected("", ""));
                }
                self.node(Expr::Paren(Box::new(inner.expr)), token.start, &[inner.depth])
            }
            Kind::Symbol if token.text == "{" => self.selector(),
            Kind::Word if token.is_aggregator() && self.is_aggregation() => self.aggregation(),
            Kind::Word if self.peek_at(1).is("(") && !token.is_reserved() => self.call(),
            Kind::Word if !token.is_reserved() => self.selector(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn unquoted(&self, token: Token<'_>) -> Parsed<String> {
        let message = || format!("error unquoting string {}: invalid syntax", quote(token.text));
        literals::unquote(token.text).ok_or_else(|| self.error(token.start, message()))
    }

    fn duration_ms(&self, token: Token<'_>) -> Parsed<i64> {
        literals::duration_ms(token.text).map_err(|message| self.error(token.start, message))
    }

    fn is_aggregation(&self) -> bool {
        let next = self.peek_at(1);
        next.is("(") || next.is_keyword("by") || next.is_keyword("without")
    }

    fn aggregation(&mut self) -> Parsed<Node> {
        let token = self.next();
        let name = token.text.to_ascii_lowercase();
        let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == name) else {
            return Err(self.experimental(token, &format!("{name}()")));
        };
        let mut grouping = self.grouping()?;
        if !self.peek().is("(") {
            return Err(self.unexpected("aggregation", ""));
        }
        let mut args = self.args()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let (is_without, labels) = grouping.unwrap_or_default();
        let expected = 1 + usize::from(op.param_type().is_some());
        if args.is_empty() {
            let message = "no arguments for aggregate expression provided";
            return Err(self.error(token.start, message));
        }
        if args.len() != expected {
            let message = "wrong number of arguments for aggregate expression provided";
            let counts = format!("expected {expected}, got {}", args.len());
            return Err(self.error(token.start, format!("{message}, {counts}")));
        }
        self.check_aggregation(op, &args);
        let depths: Vec<_> = args.iter().map(|arg| arg.depth).collect();
        let last = args.pop();
        let param = args.pop().map(|param| param.expr);
        let Some(expr) = last.map(|last| last.expr) else {
            return Err(self.unexpected("aggregation", ""));
        };
        let aggregate = Aggregate { op, param, expr, is_without, labels };
        self.node(Expr::Aggregate(Box::new(aggregate)), token.start, &depths)
    }

    /// Parses `by (…)` or `without (…)`. Returns whether it is `without`, and the labels.
    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let is_without = self.peek().is_keyword("without");
        if !is_without && !self.peek().is_keyword("by") {
            return Ok(None);
        }
        self.next();
        Ok(Some((is_without, self.label_names()?)))
    }

    fn call(&mut self) -> Parsed<Node> {
        let token = self.next();
        let Some(function) = Function::by_name(token.text) else {
            let name = quote(token.text);
            return Err(if EXPERIMENTAL.contains(&token.text) {
                self.experimental(token, &format!("function {name}"))
            } else {
                self.error(token.start, format!("unknown function with name {name}"))
            });
        };
        let args = self.args()?;
        self.check_call(token.start, function, &args);
        let depths: Vec<_> = args.iter().map(|arg| arg.depth).collect();
        let args = args.into_iter().map(|arg| arg.expr).collect();
        self.node(Expr::Call { function, args }, token.start, &depths)
    }

    fn experimental(&self, token: Token<'_>, what: &str) -> SyntaxError {
        self.error(token.start, format!("{what} is experimental and not supported"))
    }

    /// Parses arguments in parentheses.
    fn args(&mut self) -> Parsed<Vec<Node>> {
        self.next();
        let mut args = vec![];
        if self.take(")") {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            if self.take(")") {
                return Ok(args);
            }
            let comma = self.peek();
            if !self.take(",") {
                return Err(self.unexpected("", ""));
            }
            if self.peek().is(")") {
                let message = "trailing commas not allowed in function call args";
                return Err(self.error(comma.start, message));
            }
        }
    }

    /// Checks the number of labels in a list, or of matchers in a selector.
    fn check_labels(&self, start: usize, count: usize) -> Parsed<()> {
        if count <= LABELS_MAX {
            return Ok(());
        }
        let message = "a list of labels or matchers is too long: use a regex, or fewer labels";
        Err(self.error(start, format!("{message}: limit {LABELS_MAX}")))
    }

    fn count_selector(&mut self, start: usize) -> Parsed<usize> {
        let index = self.selectors;
        self.selectors += 1;
        if self.selectors > SELECTORS_MAX {
            let message = format!("the query has more than {SELECTORS_MAX} selectors: split it");
            return Err(self.error(start, message));
        }
        Ok(index)
    }

    /// Counts a regex, or `bytes` of a compiled regex.
    fn count_regex(&mut self, start: usize, count: usize, bytes: usize) -> Parsed<()> {
        self.regexes += count;
        self.compiled_bytes += bytes;
        if self.regexes > REGEXES_PER_QUERY_MAX || self.compiled_bytes > REGEXES_COMPILED_BYTES_MAX
        {
            let message = "the query has too many or too large regexes";
            let limits =
                format!("limits {REGEXES_PER_QUERY_MAX} and {REGEXES_COMPILED_BYTES_MAX} bytes");
            return Err(self.error(start, format!("{message}: {limits}: split the query")));
        }
        Ok(())
    }
}

/// Returns the operator and its precedence.
fn binary_op(token: Token<'_>) -> Option<(BinaryOp, u8)> {
    use BinaryOp::*;
    const OPS: [(BinaryOp, u8); 16] = [
        (Or, 1),
        (And, 2),
        (Unless, 2),
        (Equal, 3),
        (NotEqual, 3),
        (Greater, 3),
        (Less, 3),
        (GreaterOrEqual, 3),
        (LessOrEqual, 3),
        (Add, 4),
        (Sub, 4),
        (Mul, 5),
        (Div, 5),
        (Mod, 5),
        (Atan2, 5),
        (Pow, POWER),
    ];
    let is_op = |op: BinaryOp| token.is(op.as_str()) || token.is_keyword(op.as_str());
    OPS.into_iter().find(|(op, _)| is_op(*op))
}

#[cfg(test)]
mod tests;
