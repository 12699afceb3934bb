//! Parses expressions.
//!
//! ```text
//! expr  = unary { op unary } ;   ops of equal precedence associate to the left
//! unary = "(" expr ")" | ["+" | "-"] (number | duration | name | call | "(" expr ")") | string
//!       | boolean | regex | DISTINCT name | "*" ["::" (field | tag)] | $param ;
//! ```
//!
//! The parser keeps operators in a vector, so a long chain needs no call stack. `QUERY_DEPTH_MAX`
//! limits the nesting of parentheses and calls. `EXPR_DEPTH_MAX` limits the height of the tree.

use super::duration;
use super::error::{ParseError, Position};
use super::expr::{Cast, Expr, WildcardKind};
use super::operator::BinaryOp;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, Token, TokenKind};
use tidemark_model::limits::EXPR_DEPTH_MAX;

/// The maximum number of operands in an `AND` or `OR` chain that is nested to the left, as in 1.x.
/// Longer chains become balanced trees with the same meaning and text.
const LEFT_CHAIN_MAX: usize = 64;

struct ExprTree {
    expr: Expr,
    height: usize,
}

impl ExprTree {
    fn leaf(expr: Expr) -> Self {
        Self { expr, height: 1 }
    }
}

/// Parses an expression. The token after the expression remains unread.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Expr, ParseError> {
    tree(p).map(|tree| tree.expr)
}

/// Parses `name { "." name } ["::" type]`. The caller must have put back the first name.
fn var_ref(p: &mut Parser<'_>) -> Result<Expr, ParseError> {
    let name = p.segments()?.join(".");
    let cast = if p.scan_if(TokenKind::DoubleColon) { Some(cast(p)?) } else { None };
    Ok(Expr::VarRef { name, cast })
}

fn cast(p: &mut Parser<'_>) -> Result<Cast, ParseError> {
    let token = p.scan();
    match token.kind {
        TokenKind::Keyword(Keyword::Field) => Ok(Cast::Field),
        TokenKind::Keyword(Keyword::Tag) => Ok(Cast::Tag),
        TokenKind::Ident => Ok(match token.text.to_ascii_lowercase().as_str() {
            "float" => Cast::Float,
            "integer" => Cast::Integer,
            "unsigned" => Cast::Unsigned,
            "string" => Cast::String,
            "boolean" => Cast::Boolean,
            _ => {
                let expected = "float, integer, unsigned, string, boolean, field, tag";
                return Err(unexpected(&token, expected));
            }
        }),
        _ => Err(unexpected(&token, "float, integer, string, boolean, field, tag")),
    }
}

fn operator(kind: TokenKind) -> Option<BinaryOp> {
    match kind {
        TokenKind::Operator(operator) => Some(operator),
        TokenKind::Keyword(Keyword::And) => Some(BinaryOp::And),
        TokenKind::Keyword(Keyword::Or) => Some(BinaryOp::Or),
        _ => None,
    }
}

/// The operands and operators that are not yet joined to a tree. The precedence of the operators
/// never decreases from left to right.
struct Pending {
    head: ExprTree,
    tail: Vec<(BinaryOp, ExprTree)>,
}

impl Pending {
    fn reduce_above(&mut self, precedence: u8, at: Position) -> Result<(), ParseError> {
        while let Some(top) = self.tail.last().map(|(op, _)| op.precedence()) {
            if top <= precedence {
                break;
            }
            let chained = self.tail.iter().rev().take_while(|(op, _)| op.precedence() == top);
            let chain = self.tail.split_off(self.tail.len() - chained.count());
            let first = self.tail.last_mut().map_or(&mut self.head, |(_, operand)| operand);
            let taken = std::mem::replace(first, ExprTree::leaf(Expr::NilLiteral));
            *first = join(taken, chain, at)?;
        }
        Ok(())
    }
}

fn tree(p: &mut Parser<'_>) -> Result<ExprTree, ParseError> {
    let mut pending = Pending { head: unary(p)?, tail: vec![] };
    loop {
        let token = p.next();
        let Some(op) = operator(token.kind) else {
            p.unscan();
            pending.reduce_above(0, token.position)?;
            return Ok(pending.head);
        };
        let operand = match op {
            BinaryOp::EqRegex | BinaryOp::NeRegex => ExprTree::leaf(Expr::Regex(p.regex()?)),
            _ => unary(p)?,
        };
        // Operators of equal precedence remain pending, so that a chain is joined as a whole.
        pending.reduce_above(op.precedence(), token.position)?;
        pending.tail.push((op, operand));
    }
}

fn join(
    first: ExprTree,
    chain: Vec<(BinaryOp, ExprTree)>,
    at: Position,
) -> Result<ExprTree, ParseError> {
    match chain.first() {
        Some(&(op @ (BinaryOp::And | BinaryOp::Or), _)) if chain.len() >= LEFT_CHAIN_MAX => {
            let n = chain.len();
            join_balanced(first, &mut chain.into_iter(), n, op, at)
        }
        _ => chain.into_iter().try_fold(first, |left, (op, right)| join_two(op, left, right, at)),
    }
}

/// Joins `first` and the next `n` operands. The recursion depth is log2(n).
fn join_balanced(
    first: ExprTree,
    rest: &mut impl Iterator<Item = (BinaryOp, ExprTree)>,
    n: usize,
    op: BinaryOp,
    at: Position,
) -> Result<ExprTree, ParseError> {
    if n == 0 {
        return Ok(first);
    }
    let left_n = (n - 1) / 2;
    let left = join_balanced(first, rest, left_n, op, at)?;
    let Some((_, right)) = rest.next() else { return Ok(left) };
    let right = join_balanced(right, rest, n - 1 - left_n, op, at)?;
    join_two(op, left, right, at)
}

fn join_two(
    op: BinaryOp,
    left: ExprTree,
    right: ExprTree,
    at: Position,
) -> Result<ExprTree, ParseError> {
    let height = left.height.max(right.height) + 1;
    if height > EXPR_DEPTH_MAX {
        return Err(ParseError::ChainTooLong { position: at });
    }
    Ok(ExprTree { expr: Expr::binary(op, left.expr, right.expr), height })
}

fn unary(p: &mut Parser<'_>) -> Result<ExprTree, ParseError> {
    let token = p.next();
    let expr = match token.kind {
        TokenKind::LeftParen => {
            p.enter(token.position)?;
            let inner = tree(p)?;
            p.expect(TokenKind::RightParen, ")")?;
            p.leave();
            let expr = Expr::Paren(Box::new(inner.expr));
            return Ok(ExprTree { expr, height: inner.height + 1 });
        }
        TokenKind::Ident => {
            if p.scan_if(TokenKind::LeftParen) {
                return call(p, &token.text, token.position);
            }
            p.unscan();
            var_ref(p)?
        }
        TokenKind::Keyword(Keyword::Distinct) => return distinct(p, token.position),
        TokenKind::String => Expr::StringLiteral(token.text.into_owned()),
        TokenKind::Number => number(&token)?,
        TokenKind::Integer => integer(&token)?,
        TokenKind::Keyword(Keyword::True) => Expr::BooleanLiteral(true),
        TokenKind::Keyword(Keyword::False) => Expr::BooleanLiteral(false),
        TokenKind::Duration => Expr::DurationLiteral(duration::parse(&token.text)?),
        TokenKind::Operator(BinaryOp::Mul) => Expr::Wildcard(wildcard_kind(p)?),
        // Only a bound parameter is a regex here. Callers that allow a regex read it themselves.
        TokenKind::Regex => Expr::Regex(p.compile(&token)?),
        TokenKind::BoundParam => return Err(missing(&token)),
        TokenKind::Operator(BinaryOp::Add) => return signed(p, 1),
        TokenKind::Operator(BinaryOp::Sub) => return signed(p, -1),
        _ => return Err(unexpected(&token, "identifier, string, number, bool")),
    };
    Ok(ExprTree::leaf(expr))
}

/// Parses the operand after a sign. A literal includes its sign. Any other operand becomes `-1 * …`
/// or `1 * …`.
fn signed(p: &mut Parser<'_>, sign: i64) -> Result<ExprTree, ParseError> {
    let token = p.next();
    match token.kind {
        TokenKind::Number
        | TokenKind::Integer
        | TokenKind::Duration
        | TokenKind::LeftParen
        | TokenKind::Ident => p.unscan(),
        _ => return Err(unexpected(&token, "identifier, number, duration, (")),
    }
    let operand = unary(p)?;
    let expr = match operand.expr {
        Expr::NumberLiteral(value) if sign < 0 => Expr::NumberLiteral(-value),
        Expr::IntegerLiteral(value) => Expr::IntegerLiteral(value.wrapping_mul(sign)),
        Expr::DurationLiteral(ns) => Expr::DurationLiteral(ns.wrapping_mul(sign)),
        Expr::UnsignedLiteral(magnitude) if sign < 0 => {
            if magnitude != i64::MIN.unsigned_abs() {
                return Err(ParseError::Underflow { magnitude });
            }
            Expr::IntegerLiteral(i64::MIN)
        }
        literal @ (Expr::NumberLiteral(_) | Expr::UnsignedLiteral(_)) => literal,
        other => {
            let factor = ExprTree::leaf(Expr::IntegerLiteral(sign));
            let operand = ExprTree { expr: other, height: operand.height };
            return join_two(BinaryOp::Mul, factor, operand, token.position);
        }
    };
    Ok(ExprTree::leaf(expr))
}

fn number(token: &Token<'_>) -> Result<Expr, ParseError> {
    let value = token.text.parse::<f64>().ok().filter(|value| value.is_finite());
    value.map(Expr::NumberLiteral).ok_or(ParseError::Number { position: token.position })
}

fn integer(token: &Token<'_>) -> Result<Expr, ParseError> {
    if let Ok(value) = token.text.parse() {
        return Ok(Expr::IntegerLiteral(value));
    }
    let value = token.text.parse().map(Expr::UnsignedLiteral);
    value.map_err(|_| ParseError::Integer { position: token.position })
}

fn wildcard_kind(p: &mut Parser<'_>) -> Result<WildcardKind, ParseError> {
    if !p.scan_if(TokenKind::DoubleColon) {
        return Ok(WildcardKind::All);
    }
    let token = p.scan();
    match token.kind {
        TokenKind::Keyword(Keyword::Field) => Ok(WildcardKind::Field),
        TokenKind::Keyword(Keyword::Tag) => Ok(WildcardKind::Tag),
        _ => Err(unexpected(&token, "field, tag")),
    }
}

fn missing(token: &Token<'_>) -> ParseError {
    let name = token.text.strip_prefix('$').unwrap_or(&token.text);
    if name.is_empty() {
        return ParseError::EmptyParameter;
    }
    ParseError::MissingParameter { name: name.to_owned() }
}

fn distinct(p: &mut Parser<'_>, position: Position) -> Result<ExprTree, ParseError> {
    let token = p.scan();
    match token.kind {
        TokenKind::LeftParen => call(p, "distinct", position),
        TokenKind::Whitespace => Ok(ExprTree::leaf(Expr::Distinct(p.ident()?))),
        _ => Err(unexpected(&token, "(, identifier")),
    }
}

fn call(p: &mut Parser<'_>, name: &str, position: Position) -> Result<ExprTree, ParseError> {
    p.enter(position)?;
    let name = name.to_lowercase();
    let mut args = vec![];
    let mut height = 1;
    loop {
        match p.regex_if()? {
            Some(regex) => args.push(Expr::Regex(regex)),
            None if args.is_empty() && p.scan_if(TokenKind::RightParen) => {
                p.leave();
                return Ok(ExprTree::leaf(Expr::Call { name, args }));
            }
            None => {
                let arg = tree(p)?;
                height = height.max(arg.height);
                args.push(arg.expr);
            }
        }
        if !p.next_if(TokenKind::Comma) {
            break;
        }
    }
    let end = p.scan();
    if end.kind != TokenKind::RightParen {
        return Err(unexpected(&end, ")"));
    }
    p.leave();
    Ok(ExprTree { expr: Expr::Call { name, args }, height: height + 1 })
}

#[cfg(test)]
mod tests;
