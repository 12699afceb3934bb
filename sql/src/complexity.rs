//! Rejects statements with deeply nested expressions before any recursive code runs.
//!
//! DataFusion's parser, planner and optimizer traverse the expression tree recursively, and a stack
//! overflow terminates the whole instance. The tokens of a statement give an upper bound for the
//! depth of the tree: each operator in a chain and each bracket adds one level.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, ObjectNamePart, Query, SetExpr, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;
use crate::limits::{
    COPIES_MAX, COPYING_DEPTH_MAX, DEPTH_MAX, PARENTHESES_DEPTH_MAX, TABLES_MAX, TEXT_BYTES_MAX,
    TOKENS_MAX,
};

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

/// Checks the number of tables that a statement reads. The planner plans a CTE separately for each
/// reference. If each of several CTEs references the previous CTE twice, the number of tables
/// doubles with each CTE. Also checks [`COPYING_DEPTH_MAX`] and [`COPIES_MAX`].
///
/// # Errors
/// Returns an error that contains the limit.
pub(crate) fn check_tables(statement: &Statement) -> Result<(), QueryError> {
    let mut tables =
        Tables { ctes: HashMap::new(), names: HashMap::new(), open: vec![Size::NONE], copying: 0 };
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &explain.statement;
    }
    if let Statement::Statement(statement) = statement
        && let ControlFlow::Break(error) = statement.visit(&mut tables)
    {
        return Err(error);
    }
    if tables.open.first().is_some_and(|size| size.tables > TABLES_MAX) {
        let message = format!(
            "the statement reads more than {TABLES_MAX} tables, counted after the CTEs are expanded"
        );
        return Err(QueryError::invalid(message));
    }
    Ok(())
}

/// The size of a query after the planner has expanded it.
#[derive(Clone, Copy, Debug)]
struct Size {
    tables: usize,
    /// The number of times that an expression of the query may contain the same column of a table.
    copies: usize,
}

impl Size {
    const NONE: Self = Self { tables: 0, copies: 1 };
}

struct Tables {
    /// Maps the name of each CTE to its size.
    ctes: HashMap<String, Size>,
    /// Maps the address of each CTE's body to the CTE's name.
    names: HashMap<*const Query, String>,
    /// The sizes of the sources of the statement and of the queries around the visitor's position.
    open: Vec<Size>,
    /// The number of BETWEEN, CAST and COALESCE around the visitor's position.
    copying: usize,
}

impl Tables {
    fn add(&mut self, size: Size) {
        if let Some(open) = self.open.last_mut() {
            open.tables = open.tables.saturating_add(size.tables);
            open.copies = open.copies.max(size.copies);
        }
    }
}

impl Visitor for Tables {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let body: *const Query = &raw const *cte.query;
            self.names.insert(body, cte.alias.name.value.to_lowercase());
        }
        self.open.push(Size::NONE);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        let mut size = self.open.pop().unwrap_or(Size::NONE);
        size.copies = size.copies.saturating_mul(references(&query.body));
        if size.copies > COPIES_MAX {
            return ControlFlow::Break(QueryError::invalid(format!(
                "nested queries repeat a column more than {COPIES_MAX} times: reference a column of \
                 a subquery less often"
            )));
        }
        match self.names.remove(&(&raw const *query)) {
            // A CTE without tables counts as one table, because each reference must be planned.
            Some(name) => {
                let size = Size { tables: size.tables.max(1), ..size };
                self.ctes.insert(name, size);
            }
            None => self.add(size),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryError> {
        let size = self.ctes.get(&plain_name(relation)).copied();
        self.add(size.unwrap_or(Size { tables: 1, copies: 1 }));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.copying += usize::from(is_copying(expr));
        if self.copying > COPYING_DEPTH_MAX {
            return ControlFlow::Break(QueryError::invalid(format!(
                "more than {COPYING_DEPTH_MAX} BETWEEN, CAST or COALESCE are nested: simplify the \
                 expression"
            )));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.copying -= usize::from(is_copying(expr));
        ControlFlow::Continue(())
    }
}

fn is_copying(expr: &Expr) -> bool {
    match expr {
        Expr::Between { .. } | Expr::Cast { .. } => true,
        Expr::Function(function) => {
            matches!(plain_name(&function.name).as_str(), "coalesce" | "ifnull" | "nvl" | "nvl2")
        }
        _ => false,
    }
}

/// Returns the factor by which the expression increases the work for its operands. For nested casts,
/// a measurement showed a factor of 2.8.
fn factor(expr: &Expr) -> usize {
    if is_copying(expr) { 3 } else { 1 }
}

/// Returns the maximum number of columns in one column of the result. The optimizer replaces each
/// column of a subquery with the subquery's expression.
fn references(body: &SetExpr) -> usize {
    match body {
        SetExpr::Select(select) => {
            let count = |item| {
                let mut references = References { count: 0, copies: 1 };
                let _ = Visit::visit(item, &mut references);
                references.count
            };
            select.projection.iter().map(count).max().unwrap_or(1).max(1)
        }
        SetExpr::SetOperation { left, right, .. } => references(left).max(references(right)),
        _ => 1,
    }
}

struct References {
    count: usize,
    /// The number of copies that the planner makes of the expression at the visitor's position.
    copies: usize,
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.count = self.count.saturating_add(self.copies);
        }
        self.copies = self.copies.saturating_mul(factor(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.copies /= factor(expr);
        ControlFlow::Continue(())
    }
}

/// Returns the name without quotes, in lower case.
pub(crate) fn plain_name(name: &ObjectName) -> String {
    let part = |part: &ObjectNamePart| match part.as_ident() {
        Some(ident) => ident.value.to_lowercase(),
        None => part.to_string(),
    };
    name.0.iter().map(part).collect::<Vec<_>>().join(".")
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
