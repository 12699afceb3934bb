#![doc = include_str!("../README.md")]
//! Parses InfluxQL statements ([`parse`]) and prints their canonical form (`Display`).
//!
//! The parser does not resolve names or check functions. The reference, including for unusual
//! behaviour, is package `influxql` of InfluxDB 1.x.

pub mod ast;
pub mod bound_params;
pub mod duration;
pub mod error;
pub mod expr;
pub mod lexer;
pub mod outline;
pub mod quote;
pub mod time_literal;
pub mod token;

mod clause;
mod databases_and_policies;
mod delete_and_drop;
mod expr_parser;
mod operator;
mod parser;
mod select;
mod show;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod users;

use tidemark_model::configurable_limits::{Limit, Limits};

use ast::Statement;
use bound_params::Params;
use error::ParseError;
use expr::Expr;
use parser::{Parser, unexpected};
use token::TokenKind;

/// Parses all statements of `text`, separated by `;`. After an error, the caller must not execute
/// any of the statements.
pub fn parse(text: &str, params: &Params) -> Result<Vec<Statement>, ParseError> {
    parse_within(text, params, Limits::default())
}

/// Parses all statements of `text` like [`parse`], with the given limits.
pub fn parse_within(
    text: &str,
    params: &Params,
    limits: Limits,
) -> Result<Vec<Statement>, ParseError> {
    let mut parser = parser(text, params, limits)?;
    let statements = statements(&mut parser);
    match parser.too_long {
        Some(exceeded) => Err(exceeded.into()),
        None => statements,
    }
}

fn statements(p: &mut Parser<'_>) -> Result<Vec<Statement>, ParseError> {
    let mut statements = vec![];
    let mut separated = true;
    loop {
        let token = p.next();
        match token.kind {
            TokenKind::Eof => return Ok(statements),
            TokenKind::Semicolon => separated = true,
            _ if !separated => return Err(unexpected(&token, ";")),
            _ => {
                let there = statements.len();
                p.limits.check(Limit::Statements, there, there + 1)?;
                p.unscan();
                p.sources = 0;
                statements.push(statement::parse(p)?);
                separated = false;
            }
        }
    }
}

/// Parses the first statement of `text` and ignores the rest. An empty text is an error.
pub fn parse_statement(text: &str, params: &Params) -> Result<Statement, ParseError> {
    statement::parse(&mut parser(text, params, Limits::default())?)
}

/// Parses the expression at the start of `text` and ignores the rest.
pub fn parse_expr(text: &str, params: &Params) -> Result<Expr, ParseError> {
    expr_parser::parse(&mut parser(text, params, Limits::default())?)
}

fn parser<'a>(text: &'a str, params: &'a Params, limits: Limits) -> Result<Parser<'a>, ParseError> {
    limits.check(Limit::QueryTextBytes, 0, text.len())?;
    if text.contains('\0') {
        return Err(ParseError::Nul);
    }
    Ok(Parser::new(text, params, limits))
}
