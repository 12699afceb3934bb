use super::*;
use crate::bound_params::Params;
use crate::parse_expr;
use crate::tests as check;

fn expr(text: &str) -> Expr {
    parse_expr(text, &Params::default()).unwrap()
}

fn shape(expr: &Expr) -> String {
    match expr {
        Expr::Binary { op, left, right } => format!("[{} {op} {}]", shape(left), shape(right)),
        Expr::Paren(inner) => format!("({})", shape(inner)),
        other => other.to_string(),
    }
}

#[test]
fn expressions_follow_operator_precedence() {
    for (text, expected) in [
        ("1+2*3", "[1 + [2 * 3]]"),
        ("1*2+3", "[[1 * 2] + 3]"),
        ("1-2-3", "[[1 - 2] - 3]"),
        ("1-2+3|4^5", "[[[[1 - 2] + 3] | 4] ^ 5]"),
        ("1+2&3%4/5", "[1 + [[[2 & 3] % 4] / 5]]"),
        ("a = 1 AND b > 2 + 3 OR c", "[[[a = 1] AND [b > [2 + 3]]] OR c]"),
        ("a OR b AND c OR d", "[[a OR [b AND c]] OR d]"),
        ("a = b = c", "[[a = b] = c]"),
        ("(1+2)*3", "[([1 + 2]) * 3]"),
        ("-a * b", "[[-1 * a] * b]"),
        ("x + -a * b", "[x + [[-1 * a] * b]]"),
        ("a =~ /x/ AND b", "[[a =~ /x/] AND b]"),
    ] {
        assert_eq!(shape(&expr(text)), expected, "{text}");
    }
}

#[test]
fn expressions_parse_literals_and_signs() {
    check::expressions(&[
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("+5", "5"),
        ("+1.50", "1.5"),
        ("-1h", "-1h"),
        ("-(5)", "-1 * (5)"),
        ("+a", "1 * a"),
        ("-f(a)", "-1 * f(a)"),
        ("1000000000000000000000000.5", "1000000000000000000000000.0"),
        ("60m", "1h"),
        ("'2000-01-01'", "'2000-01-01'"),
        ("TRUE", "true"),
    ]);
    assert_eq!(expr("9223372036854775808"), Expr::UnsignedLiteral(1 << 63));
    assert_eq!(expr("-9223372036854775808"), Expr::IntegerLiteral(i64::MIN));
    assert_eq!(expr("2."), Expr::NumberLiteral(2.0));
}

#[test]
fn expressions_parse_references_and_calls() {
    check::expressions(&[
        ("a.b.c", "\"a.b.c\""),
        ("\"a b\"::Field", "\"a b\"::field"),
        ("a::UNSIGNED", "a::unsigned"),
        ("Mean(a, *, /x/, 'y', distinct b)", "mean(a, *, /x/, 'y', DISTINCT b)"),
        ("DISTINCT(a)", "distinct(a)"),
        ("distinct \"a b\"", "DISTINCT \"a b\""),
        ("count( )", "count()"),
        ("*::field", "*::field"),
        ("f(/a/, 1)", "f(/a/, 1)"),
        ("f(g(1, 2 + 3))", "f(g(1, 2 + 3))"),
    ]);
}

#[test]
fn expression_errors_match_influxdb_1() {
    for (text, expected) in [
        ("", "found EOF, expected identifier, string, number, bool at line 1, char 1"),
        ("1 +", "found EOF, expected identifier, string, number, bool at line 1, char 4"),
        ("(1", "found EOF, expected ) at line 1, char 3"),
        ("f(1", "found EOF, expected ) at line 1, char 4"),
        ("f(1 2)", "found 2, expected ) at line 1, char 5"),
        ("f(,)", "found ,, expected identifier, string, number, bool at line 1, char 3"),
        ("--1", "found EOF, expected identifier, string, number, bool at line 1, char 5"),
        ("- -1", "found -, expected identifier, number, duration, ( at line 1, char 3"),
        ("-'a'", "found a, expected identifier, number, duration, ( at line 1, char 1"),
        ("-9223372036854775809", "constant -9223372036854775809 underflows int64"),
        ("99999999999999999999", "unable to parse integer at line 1, char 1"),
        ("1y", "invalid duration"),
        ("15251w", "overflowed duration 15251w: choose a smaller duration or INF"),
        (
            "a::x",
            "found x, expected float, integer, unsigned, string, boolean, field, tag at line 1, char 4",
        ),
        (
            "a:: tag",
            "found  , expected float, integer, string, boolean, field, tag at line 1, char 4",
        ),
        ("*::x", "found x, expected field, tag at line 1, char 4"),
        ("a =~ 'x'", "found x, expected regex at line 1, char 5"),
        ("a =~ /(/", "error parsing regexp: missing closing ): `(` at line 1, char 5"),
        ("a =~ /x", "bad regex:  at line 1, char 5"),
        ("a.b.c.d", "too many segments in \"a\".\"b\".\"c\".d at line 1, char 1"),
        ("'a\nb'", "found a, expected identifier, string, number, bool at line 1, char 1"),
        ("distinct", "found EOF, expected (, identifier at line 1, char 10"),
        ("distinct 'a'", "found a, expected identifier at line 1, char 9"),
    ] {
        let error = parse_expr(text, &Params::default()).map_err(|error| error.to_string());
        assert_eq!(error, Err(expected.to_owned()), "{text}");
    }
    let digits = format!("{}.0", "9".repeat(400));
    let error = parse_expr(&digits, &Params::default()).map_err(|error| error.to_string());
    assert_eq!(error, Err("unable to parse number at line 1, char 1".to_owned()));
}

fn height(expr: &Expr) -> usize {
    1 + match expr {
        Expr::Binary { left, right, .. } => height(left).max(height(right)),
        Expr::Paren(inner) => height(inner),
        Expr::Call { args, .. } => args.iter().map(height).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn long_conditions_form_balanced_trees() {
    for n in [2, LEFT_CHAIN_MAX, LEFT_CHAIN_MAX + 1, 3000] {
        let text = (0..n).map(|i| format!("h = '{i}'")).collect::<Vec<_>>().join(" OR ");
        let tree = expr(&text);
        assert_eq!(tree.to_string(), text);
        let low = if n <= LEFT_CHAIN_MAX { n + 1 } else { n.ilog2() as usize + 3 };
        assert!(height(&tree) <= low, "{n}: {}", height(&tree));
    }
}

#[test]
fn expression_tree_height_is_bounded() {
    let chain = |n: usize| parse_expr(&vec!["a"; n].join("+"), &Params::default());
    assert_eq!(height(&chain(EXPR_DEPTH_MAX).unwrap()), EXPR_DEPTH_MAX);
    for n in [EXPR_DEPTH_MAX + 1, 20_000] {
        assert!(matches!(chain(n), Err(ParseError::ChainTooLong { .. })), "{n}");
    }
    let inner = vec!["a"; EXPR_DEPTH_MAX - 10].join("+");
    let outer = format!("({inner}){}", "+a".repeat(20));
    let error = parse_expr(&outer, &Params::default());
    assert!(matches!(error, Err(ParseError::ChainTooLong { .. })));
}
