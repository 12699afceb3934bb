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

/// The number of periods in a usual operand: `catalog.schema.table.column`. Each further period may
/// double the number of times that the parser reads the rest of the operand.
const PERIODS_USUAL: usize = 3;

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
    /// The base-2 logarithm of the number of times that the parser may read this level while it
    /// reads the outer level once.
    repeated: usize,
    /// The same number for the operands of NOT, CASE and INTERVAL in the current expression.
    repeated_operands: usize,
    /// The number of periods in the current operand, such as 2 in `a.b.c`.
    periods: usize,
    /// The number of parentheses directly before the parenthesis of this level.
    parentheses: usize,
    /// Whether the parser may read the words since the parenthesis as a query and as a table.
    may_be_table: bool,
    is_case: bool,
    /// Whether the level is the operator in OPERATOR(…).
    is_operator: bool,
}

impl Level {
    fn depth(self) -> usize {
        1 + self.operators + self.set_operations
    }

    /// Updates the counters for a query in parentheses, and for the periods of an operand.
    ///
    /// In FROM, the parser reads each parenthesis first as the start of a query, and then as the
    /// start of a join. The parser therefore reads the query in `((SELECT …` once for each
    /// parenthesis. It also reads a word such as SELECT as the name of a table.
    fn count_repetitions(&mut self, token: &Token, last: &Token) {
        match token {
            Token::Period => self.periods += 1,
            Token::LParen
            | Token::LBracket
            | Token::LBrace
            | Token::RParen
            | Token::RBracket
            | Token::RBrace => {}
            _ if *last == Token::Period => {}
            _ => self.periods = 0,
        }
        let is_first = *last == Token::LParen;
        match token {
            Token::LParen => {
                let is_table = self.may_be_table && may_precede_arguments(keyword(last));
                // Without a parenthesis, VALUE is the name of a column.
                let is_value = keyword(last) == Keyword::VALUE;
                self.repeated += if is_table && is_value { self.parentheses } else { 0 };
                self.repeated += usize::from(is_table);
                self.may_be_table &= !is_table;
            }
            Token::Word(_) if is_first => {
                let word = keyword(token);
                self.may_be_table = starts_query(word);
                let is_query = self.may_be_table && word != Keyword::VALUE;
                self.repeated += if is_query { self.parentheses } else { 0 };
            }
            Token::Word(_) => {
                let word = keyword(token);
                let joins = [Keyword::JOIN, Keyword::APPLY, Keyword::STRAIGHT_JOIN].contains(&word);
                self.repeated += usize::from(self.may_be_table && joins);
                self.may_be_table &= !joins && word != Keyword::FROM;
            }
            Token::SingleQuotedString(_) | Token::RParen => {}
            _ => self.may_be_table = false,
        }
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
    let (mut last, mut keyword, mut is_infix) = (&Token::EOF, Keyword::NoKeyword, false);
    for token in tokens.iter().filter(is_word) {
        let is_name = previous == PreviousToken::Qualifier || *last == Token::DoubleColon;
        let follows_operand = keyword == Keyword::IS
            || matches!(previous, PreviousToken::Operand | PreviousToken::OperatorOrOperand);
        top(&mut levels, |level| level.count_repetitions(token, last));
        let (outer, depth) = (levels.last().copied().unwrap_or_default(), levels.len());
        previous = follow(token, previous, &mut levels);
        let has_opened = levels.len() > depth;
        let repeated = repetitions(keyword, is_infix, token);
        top(&mut levels, |level| match (has_opened, token) {
            (false, _) => level.repeated_operands += repeated,
            // The parser reads the subscripts of a chain again for each period before them.
            (true, Token::LBracket) => level.repeated += repeated + outer.periods,
            (true, Token::LParen) if *last == Token::LParen => {
                level.parentheses = outer.parentheses + 1;
            }
            (true, _) => level.repeated += repeated,
        });
        keyword = match token {
            Token::Word(word) if !is_name => word.keyword,
            _ => Keyword::NoKeyword,
        };
        is_infix = keyword == Keyword::NOT && follows_operand;
        last = token;
        let periods = levels.last().map_or(0, |level| level.periods);
        let repeated = levels.iter().map(|level| level.repeated + level.repeated_operands);
        if repeated.sum::<usize>() + periods.saturating_sub(PERIODS_USUAL) > REPEATED_DEPTH_MAX {
            return Err(QueryError::invalid(format!(
                "more than {REPEATED_DEPTH_MAX} expressions such as CAST, NOT, CASE, IN (…) and \
                 ((SELECT …)) are nested: simplify the expression"
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

/// Returns the keyword of a word without quotes.
fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Whether a query may start with this keyword.
fn starts_query(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::DELETE
            | Keyword::FROM
            | Keyword::INSERT
            | Keyword::MERGE
            | Keyword::SELECT
            | Keyword::TABLE
            | Keyword::UPDATE
            | Keyword::VALUE
            | Keyword::VALUES
            | Keyword::WITH
    )
}

/// Whether the parser may read a parenthesis after this keyword as the arguments of a table.
fn may_precede_arguments(keyword: Keyword) -> bool {
    starts_query(keyword)
        || matches!(
            keyword,
            Keyword::MATCH_RECOGNIZE
                | Keyword::PARTITION
                | Keyword::PIVOT
                | Keyword::SAMPLE
                | Keyword::TABLESAMPLE
                | Keyword::UNPIVOT
        )
}

/// Returns the base-2 logarithm of the number of times that the parser may read the operand of
/// `keyword`. `token` is the first token of the operand. If the operand is invalid, the parser
/// tries to read the keyword as the name of a type, a column or a function, and the list of IN as
/// expressions. `is_infix` is whether the keyword is a NOT that follows an operand.
fn repetitions(keyword: Keyword, is_infix: bool, token: &Token) -> usize {
    match keyword {
        Keyword::INTERVAL => usize::from(!matches!(
            token,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        )),
        Keyword::CASE | Keyword::NOT | Keyword::PRIOR => match token {
            // The parser may read the operator as a name, and then the next operator.
            Token::Word(word) if is_operator(word.keyword) && !is_infix => 2,
            _ => usize::from(is_symbol(token)),
        },
        Keyword::ARRAY => usize::from(matches!(token, Token::LParen | Token::LBracket)),
        Keyword::POSITION if *token == Token::LParen => 2,
        Keyword::CAST
        | Keyword::CEIL
        | Keyword::CONVERT
        | Keyword::CURRENT_DATE
        | Keyword::CURRENT_TIME
        | Keyword::CURRENT_TIMESTAMP
        | Keyword::EXTRACT
        | Keyword::FLOOR
        | Keyword::IN
        | Keyword::LOCALTIME
        | Keyword::LOCALTIMESTAMP
        | Keyword::MATCH
        | Keyword::NESTED
        | Keyword::OVERLAY
        | Keyword::SAFE_CAST
        | Keyword::SUBSTR
        | Keyword::SUBSTRING
        | Keyword::TABLE
        | Keyword::TRIM
        | Keyword::TRY_CAST
        | Keyword::TRY_CONVERT => usize::from(*token == Token::LParen),
        _ => 0,
    }
}

/// Whether the parser may read the keyword as an operator after an operand.
fn is_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::AT
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::DIV
            | Keyword::ILIKE
            | Keyword::IN
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::MATCH
            | Keyword::MEMBER
            | Keyword::NOTNULL
            | Keyword::NULL
            | Keyword::OPERATOR
            | Keyword::OR
            | Keyword::OVERLAPS
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::SIMILAR
            | Keyword::XOR
    )
}

/// Whether the token is an opening bracket, or an operator that is not a word.
fn is_symbol(token: &Token) -> bool {
    let is_other = matches!(
        token,
        Token::Word(_)
            | Token::Comma
            | Token::SemiColon
            | Token::RParen
            | Token::RBracket
            | Token::RBrace
    );
    !is_other && !is_value_or_end(token)
}

/// Whether the token is a constant, a placeholder or the end of the statement.
fn is_value_or_end(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::Placeholder(_)
            | Token::EOF
    )
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
        token if is_value_or_end(token) => PreviousToken::Operand,
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
/// operands of earlier keywords have ended.
fn start_expression(levels: &mut [Level]) {
    top(levels, |level| {
        level.operators = 0;
        level.repeated_operands = 0;
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
        let derived = "SELECT max(a) AS a FROM (".repeat(20);
        assert_eq!(refusal(&format!("{derived}SELECT a FROM iox.cpu{}", ") b".repeat(20))), "");
        let conditions =
            ["a NOT LIKE b AND a IS NOT NULL AND a.b.c.d NOT IN (1) AND NOT EXISTS (b)"; 6];
        assert_eq!(refusal(&format!("SELECT {}", conditions.join(" AND "))), "");
        let nested = format!("{}value{}", "(".repeat(20), " + 1)".repeat(20));
        assert_eq!(refusal(&format!("SELECT 1, {nested}")), "");
        assert_eq!(refusal("SELECT 'a string that does not end"), "");
    }

    /// The statements have the forms of Superset, Metabase, SQLAlchemy, Grafana and DBeaver.
    #[test]
    fn statements_of_tools_are_accepted() {
        let joins: String = (0..20).map(|at| format!(" JOIN t{at} ON a.id = t{at}.id)")).collect();
        for text in [
            "SELECT DATE_TRUNC('day', CAST(time AS TIMESTAMP)) AS __timestamp, SUM(CASE WHEN NOT \
             (host IS NULL) AND host NOT IN ('a', 'b') THEN usage ELSE 0 END) AS x FROM (SELECT * \
             FROM (SELECT * FROM iox.cpu) AS virtual_table) AS inner_qry JOIN (SELECT host AS \
             host__, SUM(usage) AS y FROM iox.cpu GROUP BY host ORDER BY y DESC LIMIT 10) AS \
             series_limit ON host = host__ WHERE ((time >= '2024-01-01') AND (NOT ((usage < 1) OR \
             (host IN (SELECT host FROM (SELECT (1 + 2) AS n, host FROM iox.cpu) AS b)))))",
            "SELECT \"source\".\"h\" AS \"h\", COUNT(*) AS \"count\" FROM (SELECT \
             CAST(FLOOR((\"public\".\"iox\".\"cpu\".\"usage\" / 10.0)) * 10.0 AS DOUBLE) AS \"h\", CASE \
             WHEN (\"public\".\"iox\".\"cpu\".\"usage\" > 1) AND NOT (CAST(EXTRACT(dow FROM \
             \"public\".\"iox\".\"cpu\".\"time\") AS integer) IN (-1, 7)) THEN -1 ELSE CASE WHEN \
             (COALESCE(\"public\".\"iox\".\"cpu\".\"host\", '') <> '') THEN 2 END END AS \"c\" FROM \
             \"public\".\"iox\".\"cpu\") AS \"source\" GROUP BY \"source\".\"h\"",
            "SELECT a.x FROM ((((a JOIN b ON a.id = b.id) LEFT OUTER JOIN (SELECT c.id FROM (c JOIN \
             d ON c.id = d.id)) AS e ON e.id = a.id) JOIN f ON a.id = f.id)) WHERE (a.x IN ((1), \
             (2))) AND (EXISTS (SELECT 1 FROM g WHERE g.id = a.id)) AND a.x NOT LIKE 'y'",
            "((((SELECT 1) UNION (SELECT 2)) UNION (SELECT 3)) UNION ALL (SELECT (4))) ORDER BY 1",
            "SELECT date_bin(INTERVAL '30 seconds', time, '1970-01-01T00:00:00Z'::timestamp), host \
             FROM cpu WHERE time >= to_timestamp(1) AND NOT (host IN ('a')) AND NOT (host IN ('b'))",
            "SELECT count(*) FROM (SELECT [[1], [2, 3]], ARRAY[ARRAY[ARRAY[1]], ARRAY[ARRAY[2]]], \
             t.a.b[1].c[2], public.iox.t.a.b FROM t) dbvrcnt",
            &format!("SELECT a.id FROM {}a{joins}", "(".repeat(20)),
        ] {
            assert_eq!(refusal(text), "", "{text:.80}");
        }
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
            "1 FROM ((SELECT ".repeat(15),
            "1 FROM (((SELECT ".repeat(10),
            "1 FROM a, (b JOIN ((SELECT ".repeat(10),
            "a FROM (SELECT JOIN FROM (SELECT ".repeat(15),
            "a FROM (SELECT JOIN WHERE ON + (SELECT ".repeat(15),
            "* FROM (FROM (VALUES (SELECT ".repeat(10),
            "1 FROM (SELECT (SELECT ".repeat(15),
            "1 FROM (UPDATE (SELECT ".repeat(15),
            "1 FROM ((VALUE (SELECT ".repeat(12),
            "1 IN (SELECT + ".repeat(15),
            "1 IN ((SELECT ".repeat(15),
            format!("{}+", "a.".repeat(30)),
            "a.b[".repeat(20),
            "ARRAY[".repeat(20),
            "ARRAY(SELECT - ".repeat(15),
            "CASE [".repeat(20),
            "CASE - ".repeat(20),
            "NOT - ".repeat(20),
            "NOT [".repeat(20),
            "NOT LIKE ".repeat(20),
            "NESTED(a OR CHECK (".repeat(15),
        ] {
            let message = refusal(&format!("SELECT {chain}"));
            assert!(message.starts_with("more than 8 expressions such as CAST"), "{chain:.40}");
        }
    }
}
