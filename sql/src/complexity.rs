//! Rejects statements with deeply nested expressions before any recursive code runs.
//!
//! DataFusion's parser, planner and optimizer traverse the expression tree recursively, and a stack
//! overflow terminates the whole instance. The tokens of a statement give an upper bound for the
//! depth of the tree: each operator in a chain and each bracket adds one level. A clause ends a
//! chain. The parser accepts most keywords as names, and a keyword that is a name ends no chain.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;
use crate::limits::{
    DEPTH_MAX, PARENTHESES_DEPTH_MAX, REPEATED_DEPTH_MAX, TEXT_BYTES_MAX, TOKENS_MAX,
};

/// The meaning of the previous token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PreviousToken {
    /// An operand may end here.
    Operand,
    /// An operand follows.
    Operator,
    /// A name follows.
    Qualifier,
    /// The operator IS DISTINCT, which ends with FROM.
    Distinct,
    /// The first word of AT TIME ZONE or OPERATOR(…), or an operand with the same name.
    OperatorOrOperand,
    /// The start of an expression or of a clause.
    Start,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The number of operators in the current expression.
    operators: usize,
    /// The number of set operations between the queries on this level.
    set_operations: usize,
    /// The number of operands that the parser may parse twice: this level, and the operands of
    /// INTERVAL in the current expression.
    repeated: usize,
    is_case: bool,
    /// Whether the level is the operator in OPERATOR(…).
    is_operator: bool,
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
    let mut previous = PreviousToken::Start;
    let (mut last, mut keyword) = (&Token::EOF, Keyword::NoKeyword);
    for token in tokens.iter().filter(is_word) {
        let is_name = previous == PreviousToken::Qualifier || *last == Token::DoubleColon;
        previous = follow(token, previous, &mut levels);
        if is_parsed_twice(keyword, token) {
            top(&mut levels, |level| level.repeated += 1);
        }
        keyword = match token {
            Token::Word(word) if !is_name => word.keyword,
            _ => Keyword::NoKeyword,
        };
        last = token;
        if levels.iter().map(|level| level.repeated).sum::<usize>() > REPEATED_DEPTH_MAX {
            return Err(QueryError::invalid(format!(
                "more than {REPEATED_DEPTH_MAX} expressions such as CAST, NOT, CASE, FLOOR and \
                 INTERVAL are nested: simplify the expression"
            )));
        }
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

/// Whether the parser may parse the operand that starts with `token` twice. If the operand of
/// `keyword` is invalid, the parser tries to read the keyword as the name of a type or a function.
fn is_parsed_twice(keyword: Keyword, token: &Token) -> bool {
    match keyword {
        Keyword::INTERVAL => !matches!(
            token,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        ),
        Keyword::CASE
        | Keyword::CAST
        | Keyword::CEIL
        | Keyword::CONVERT
        | Keyword::CURRENT_DATE
        | Keyword::CURRENT_TIME
        | Keyword::CURRENT_TIMESTAMP
        | Keyword::EXTRACT
        | Keyword::FLOOR
        | Keyword::LOCALTIME
        | Keyword::LOCALTIMESTAMP
        | Keyword::MATCH
        | Keyword::NOT
        | Keyword::OVERLAY
        | Keyword::POSITION
        | Keyword::SAFE_CAST
        | Keyword::SUBSTR
        | Keyword::SUBSTRING
        | Keyword::TRIM
        | Keyword::TRY_CAST
        | Keyword::TRY_CONVERT => *token == Token::LParen,
        _ => false,
    }
}

fn follow(token: &Token, previous: PreviousToken, levels: &mut Vec<Level>) -> PreviousToken {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => {
            let is_operator = previous == PreviousToken::OperatorOrOperand;
            levels.push(Level { is_operator, ..Level::default() });
            PreviousToken::Start
        }
        Token::RParen | Token::RBracket | Token::RBrace => {
            let is_operator = levels.last().is_some_and(|level| level.is_operator);
            close(levels);
            if is_operator { PreviousToken::Operator } else { PreviousToken::Operand }
        }
        Token::Comma | Token::SemiColon => {
            start_expression(levels);
            PreviousToken::Start
        }
        Token::Word(word) if previous == PreviousToken::Qualifier || word.quote_style.is_some() => {
            PreviousToken::Operand
        }
        Token::Word(word) => follow_word(word.keyword, previous, levels),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::Placeholder(_)
        | Token::EOF => PreviousToken::Operand,
        // All other tokens are unary or binary operators, except a star without a left operand.
        _ => {
            top(levels, |level| level.operators += 1);
            match token {
                Token::Mul
                    if matches!(previous, PreviousToken::Start | PreviousToken::Qualifier) =>
                {
                    PreviousToken::Operand
                }
                Token::Period => PreviousToken::Qualifier,
                _ => PreviousToken::Operator,
            }
        }
    }
}

fn follow_word(
    keyword: Keyword,
    previous: PreviousToken,
    levels: &mut Vec<Level>,
) -> PreviousToken {
    let is_in_case = levels.last().is_some_and(|level| level.is_case);
    match keyword {
        Keyword::CASE => {
            levels.push(Level { is_case: true, ..Level::default() });
            PreviousToken::Start
        }
        Keyword::END
            if is_in_case
                && matches!(
                    previous,
                    PreviousToken::Operand | PreviousToken::OperatorOrOperand
                ) =>
        {
            close(levels);
            PreviousToken::Operand
        }
        Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
            top(levels, |level| level.set_operations += 1);
            PreviousToken::Start
        }
        Keyword::FROM if previous == PreviousToken::Distinct => PreviousToken::Operator,
        Keyword::DISTINCT if previous == PreviousToken::Operator => PreviousToken::Distinct,
        Keyword::SELECT
        | Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::LIMIT
            if previous != PreviousToken::Operator =>
        {
            start_expression(levels);
            PreviousToken::Start
        }
        Keyword::WHEN | Keyword::THEN | Keyword::ELSE
            if is_in_case && previous != PreviousToken::Operator =>
        {
            start_expression(levels);
            PreviousToken::Start
        }
        Keyword::AND
        | Keyword::OR
        | Keyword::XOR
        | Keyword::NOT
        | Keyword::IS
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::RLIKE
        | Keyword::REGEXP
        | Keyword::SIMILAR
        | Keyword::MATCH
        | Keyword::MEMBER
        | Keyword::OVERLAPS
        | Keyword::BETWEEN
        | Keyword::COLLATE
        | Keyword::INTERVAL
        | Keyword::DIV => {
            top(levels, |level| level.operators += 1);
            PreviousToken::Operator
        }
        Keyword::AT | Keyword::OPERATOR => {
            top(levels, |level| level.operators += 1);
            PreviousToken::OperatorOrOperand
        }
        Keyword::TIME if previous == PreviousToken::OperatorOrOperand => previous,
        Keyword::ZONE if previous == PreviousToken::OperatorOrOperand => PreviousToken::Operator,
        Keyword::JOIN => {
            top(levels, |level| level.operators += 1);
            PreviousToken::Qualifier
        }
        Keyword::EXPLAIN => {
            top(levels, |level| level.operators += 1);
            PreviousToken::Start
        }
        Keyword::ALL | Keyword::ANY | Keyword::SOME if previous == PreviousToken::Operator => {
            previous
        }
        Keyword::BY
        | Keyword::CONNECT_BY_ROOT
        | Keyword::OF
        | Keyword::ON
        | Keyword::PRIOR
        | Keyword::TO => PreviousToken::Operator,
        Keyword::AS | Keyword::OVER | Keyword::WITHIN => PreviousToken::Qualifier,
        _ => PreviousToken::Operand,
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

/// Starts a new expression on the current level, after a comma or the first word of a clause. The
/// operand of an earlier INTERVAL has ended. The level itself may still be an operand that the
/// parser parses twice.
fn start_expression(levels: &mut [Level]) {
    top(levels, |level| {
        level.operators = 0;
        level.repeated = level.repeated.min(1);
    });
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
        let cases = vec!["CASE WHEN a = 1 THEN b * 2 ELSE count(*) END AS end"; 500].join(", ");
        assert_eq!(refusal(&format!("SELECT {cases} FROM cpu")), "");
        let cases = vec!["CASE WHEN a THEN E'x' END || CASE WHEN b THEN X'00' END"; 500].join(", ");
        assert_eq!(refusal(&format!("SELECT {cases} FROM cpu")), "");
        let cases = ["at", "notnull", "a::timestamp with time zone"].map(|last| {
            vec![format!("max(CASE WHEN a AT TIME ZONE 'UTC' > b THEN {last} END)"); 50].join(", ")
        });
        assert_eq!(refusal(&format!("SELECT {} FROM cpu", cases.join(", "))), "");
        let clauses = "FROM cpu WHERE a IS DISTINCT FROM 1 GROUP BY a HAVING b > 1 ORDER BY a";
        let subqueries = vec![format!("(SELECT *, cpu.* {clauses} LIMIT 1 + 1)"); 100].join(", ");
        assert_eq!(refusal(&format!("SELECT DISTINCT * {clauses}")), "");
        assert_eq!(refusal(&format!("SELECT {subqueries} {clauses}")), "");
        let casts =
            "CAST(a AS INTERVAL) + b::interval + INTERVAL '1 hour' + INTERVAL -1 DAY + floor(c)";
        let casts = vec![casts; 500].join(", ");
        assert_eq!(refusal(&format!("SELECT {casts} FROM cpu")), "");
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
            vec!["1"; 200].join(" MINUS SELECT "),
            // The keywords in these chains are names.
            vec!["values"; 200].join(" + "),
            vec!["where"; 200].join(" + "),
            vec!["cpu.limit"; 200].join(" + "),
            vec!["1 * from"; 200].join(" * "),
            vec!["values"; 200].join(" IS DISTINCT FROM "),
            vec!["1"; 200].join(" XOR "),
            vec!["where"; 200].join(" SIMILAR TO "),
            vec!["where"; 200].join(" LIKE ANY "),
            vec!["where"; 200].join(" AT TIME ZONE "),
            vec!["where"; 200].join(" OPERATOR(pg_catalog.+) "),
            format!("1 FROM cpu {}", "CROSS JOIN limit ".repeat(200)),
            vec!["count(*) OVER limit"; 200].join(" + "),
            vec!["median(a) WITHIN GROUP (ORDER BY a)"; 200].join(" + "),
            format!("{}1", "CASE WHEN end THEN 1 + ".repeat(200)),
            format!("{}1", "CASE WHEN 1 + end + ".repeat(200)),
            vec!["(SELECT 1) AS limit"; 200].join(" CROSS JOIN "),
            vec!["(SELECT 1) a"; 200].join(" JOIN (SELECT 1) then ON where = "),
            format!("a FROM cpu CONNECT BY a = {}", vec!["PRIOR limit"; 200].join(" + ")),
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

    /// The parser would need 2^30 steps or more to find the error in these statements, or more
    /// stack than a process has.
    #[test]
    fn repeated_parsing_is_limited() {
        for chain in [
            "INTERVAL ".repeat(200),
            "INTERVAL - ".repeat(30),
            "INTERVAL (".repeat(30),
            "CAST(".repeat(30),
            "floor(1 + substr(".repeat(15),
            "NOT (".repeat(30),
            "CASE (".repeat(30),
            "current_time(position(".repeat(15),
        ] {
            let message = refusal(&format!("SELECT {chain}"));
            assert!(message.starts_with("more than 8 expressions such as CAST"), "{chain:.40}");
        }
    }
}
