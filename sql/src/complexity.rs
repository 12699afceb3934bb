//! Rejects statements with deeply nested expressions before any recursive code runs.
//!
//! DataFusion's parser, planner and optimizer traverse the expression tree recursively, and a stack
//! overflow terminates the whole instance. The tokens of a statement give an upper bound for the
//! depth of the tree: each operator in a chain and each bracket adds one level.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;
use crate::limits::{DEPTH_MAX, PARENTHESES_DEPTH_MAX, TEXT_BYTES_MAX, TOKENS_MAX};

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The number of operators in the current expression.
    operators: usize,
    /// The number of set operations between the queries on this level.
    set_operations: usize,
    is_case: bool,
}

impl Level {
    fn depth(self) -> usize {
        1 + self.operators + self.set_operations
    }
}

/// Checks the length and the nesting depth of a statement.
///
/// # Errors
/// Returns an error that contains the exceeded limit.
pub(crate) fn check(text: &str) -> Result<(), QueryError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(QueryError::invalid(format!(
            "the statement has {} bytes; the limit is {TEXT_BYTES_MAX}",
            text.len()
        )));
    }
    // If the tokenizer fails, the parser returns the error with its position.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let is_word = |token: &&Token| !matches!(token, Token::Whitespace(_));
    if tokens.iter().filter(is_word).count() > TOKENS_MAX {
        return Err(QueryError::invalid(format!(
            "the statement has more than {TOKENS_MAX} tokens: use IN with fewer values, a range \
             or a regex"
        )));
    }
    let mut levels = vec![Level::default()];
    for token in tokens.iter().filter(is_word) {
        follow(token, &mut levels);
        let brackets = levels.iter().filter(|level| !level.is_case).count() - 1;
        if brackets > PARENTHESES_DEPTH_MAX {
            return Err(QueryError::invalid(format!(
                "more than {PARENTHESES_DEPTH_MAX} parentheses are nested: simplify the expression"
            )));
        }
        if levels.iter().map(|level| level.depth()).sum::<usize>() > DEPTH_MAX {
            return Err(QueryError::invalid(format!(
                "an expression has more than {DEPTH_MAX} chained operators, or a UNION has more \
                 than {DEPTH_MAX} queries: use IN, a regex or fewer queries"
            )));
        }
    }
    Ok(())
}

fn follow(token: &Token, levels: &mut Vec<Level>) {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => levels.push(Level::default()),
        Token::RParen | Token::RBracket | Token::RBrace => close(levels),
        Token::Comma | Token::SemiColon => top(levels, |level| level.operators = 0),
        Token::Word(word) => follow_word(word.keyword, levels),
        Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::EOF => {}
        // All other tokens are unary or binary operators.
        _ => top(levels, |level| level.operators += 1),
    }
}

fn follow_word(keyword: Keyword, levels: &mut Vec<Level>) {
    match keyword {
        Keyword::CASE => levels.push(Level { is_case: true, ..Level::default() }),
        Keyword::END if levels.last().is_some_and(|level| level.is_case) => close(levels),
        Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
            top(levels, |level| level.set_operations += 1);
        }
        Keyword::SELECT
        | Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::LIMIT
        | Keyword::WHEN
        | Keyword::THEN
        | Keyword::ELSE
        | Keyword::VALUES => top(levels, |level| level.operators = 0),
        Keyword::AND
        | Keyword::OR
        | Keyword::NOT
        | Keyword::IS
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::SIMILAR
        | Keyword::BETWEEN
        | Keyword::AT
        | Keyword::COLLATE
        | Keyword::JOIN
        | Keyword::EXPLAIN
        | Keyword::DIV => top(levels, |level| level.operators += 1),
        _ => {}
    }
}

/// Closes a level. The closed bracket counts as an operator on the outer level, because a subscript
/// or cast may follow the bracket.
fn close(levels: &mut Vec<Level>) {
    if levels.len() > 1 {
        levels.pop();
        top(levels, |level| level.operators += 1);
    }
}

fn top(levels: &mut [Level], change: impl Fn(&mut Level)) {
    if let Some(level) = levels.last_mut() {
        change(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        check(text).err().map(|error| error.message).unwrap_or_default()
    }

    #[test]
    fn flat_statements_are_accepted() {
        let columns = vec!["max(usage) + 1 AS x"; 500].join(", ");
        assert_eq!(refusal(&format!("SELECT {columns} FROM cpu")), "");
        let values = vec!["'a'"; 5_000].join(", ");
        assert_eq!(refusal(&format!("SELECT * FROM cpu WHERE host IN ({values})")), "");
        let cases = vec!["WHEN usage > 1 THEN 2"; 500].join(" ");
        assert_eq!(refusal(&format!("SELECT CASE {cases} END FROM cpu")), "");
        assert_eq!(refusal("SELECT 'a string that does not end"), "");
    }

    #[test]
    fn nested_statements_are_limited() {
        let chains = [
            vec!["host = 'a'"; 200].join(" OR "),
            vec!["1"; 200].join(" + "),
            format!("{}1", "- ".repeat(200)),
            format!("{}true", "NOT ".repeat(200)),
            format!("1{}", "::int".repeat(200)),
            format!("a{}", "[1]".repeat(200)),
            format!("{}1{}", "CASE WHEN true THEN ".repeat(150), " END".repeat(150)),
            vec!["1"; 200].join(" UNION ALL SELECT "),
        ];
        for chain in chains {
            let message = refusal(&format!("SELECT {chain}"));
            assert!(
                message.starts_with("an expression has more than 128 chained"),
                "{message}: {chain:.40}"
            );
        }
        let parentheses = format!("SELECT {}1{}", "(".repeat(45), ")".repeat(45));
        assert!(refusal(&parentheses).starts_with("more than 44 parentheses are nested"));
        let long = format!("SELECT {}", "1, ".repeat(10_001));
        assert!(refusal(&long).starts_with("the statement has more than 20000 tokens"));
        assert!(refusal(&" ".repeat(TEXT_BYTES_MAX + 1)).starts_with("the statement has 262145 "));
    }
}
