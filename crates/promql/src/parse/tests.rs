use crate::limits::{EXPR_DEPTH_MAX, LABELS_MAX, QUERY_BYTES_MAX};
use crate::query::Query;

fn error(query: &str) -> String {
    Query::parse(query).unwrap_err().to_string()
}

#[test]
fn errors_have_the_text_and_position_of_prometheus() {
    let cases = [
        ("", "1:1: parse error: no expression found in input"),
        ("# comment", "1:1: parse error: no expression found in input"),
        ("up up", "1:4: parse error: unexpected identifier \"up\""),
        ("up +", "1:5: parse error: unexpected end of input"),
        ("up +\n * 2", "2:2: parse error: unexpected <op:*>"),
        ("(up", "1:4: parse error: unclosed left parenthesis"),
        ("up)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("up{{", "1:4: parse error: unexpected left brace '{'"),
        ("up}", "1:3: parse error: unexpected right brace '}'"),
        (
            "up{a}",
            "1:5: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "up{a=b}",
            "1:6: parse error: unexpected identifier \"b\" in label matching, expected string",
        ),
        (
            "up{a=\"b\" c=\"d\"}",
            "1:10: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "up{1=\"b\"}",
            "1:4: parse error: unexpected number \"1\" in label matching, expected identifier or \"}\"",
        ),
        (
            "up{__name__=\"b\"}",
            "1:1: parse error: metric name must not be set twice: \"up\" or \"b\"",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("`a", "1:1: parse error: unterminated raw string"),
        ("\"\\q\"", "1:1: parse error: error unquoting string \"\\\"\\\\q\\\"\": invalid syntax"),
        ("up ? 1", "1:4: parse error: unexpected character: '?'"),
        ("1a", "1:1: parse error: bad number or duration syntax: \"1a\""),
        ("up[5]m", "1:6: parse error: unexpected identifier \"m\""),
        (
            "up[]",
            "1:4: parse error: unexpected \"]\" in subquery or range selector, expected number or duration",
        ),
        ("up[5m", "1:6: parse error: unclosed left bracket"),
        ("up[1s1m]", "1:4: parse error: not a valid duration string: \"1s1m\""),
        ("up[0s]", "1:4: parse error: duration must be greater than 0"),
        ("up[-5m]", "1:4: parse error: duration must be greater than 0"),
        ("up[Inf]", "1:4: parse error: duration out of range"),
        ("up[NaN]", "1:4: parse error: duration out of range"),
        ("up[1e30]", "1:4: parse error: duration out of range"),
        ("up[99999999999y]", "1:4: parse error: duration out of range"),
        ("up offset NaN", "1:11: parse error: duration out of range"),
        ("up @ Inf", "1:6: parse error: timestamp out of bounds for @ modifier: inf"),
        ("up offset 1m offset 1m", "1:1: parse error: offset may not be set multiple times"),
        ("up @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        (
            "(up) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("up offset 1m[5m]", "1:1: parse error: no offset modifiers allowed before range"),
        ("rate(up)[5m]", "1:1: parse error: ranges only allowed for vector selectors"),
        ("(up)[5m]", "1:1: parse error: ranges only allowed for vector selectors"),
        (
            "1[5m:1m]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        ("sum(up,)", "1:7: parse error: trailing commas not allowed in function call args"),
        (
            "sum by (a b) (up)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "sum by up",
            "1:8: parse error: unexpected identifier \"up\" in grouping opts, expected \"(\"",
        ),
        (
            "sum by (1) (up)",
            "1:9: parse error: unexpected number \"1\" in grouping opts, expected label",
        ),
        (
            "topk(up)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("up{a=~\"(\"}", "1:4: parse error: error parsing regexp: missing closing ): `^(?s:()$`"),
        ("up[5m+1m]", "1:4: parse error: experimental duration expression is not supported"),
        (
            "up + fill(0) up",
            "1:6: parse error: binop fill modifiers are experimental and not supported",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(error(query), expected, "{query}");
    }
}

#[test]
fn deep_and_long_queries_are_rejected() {
    let chain = "1+".repeat(EXPR_DEPTH_MAX + 1) + "1";
    let deep = "(".repeat(EXPR_DEPTH_MAX + 1) + "1" + &")".repeat(EXPR_DEPTH_MAX + 1);
    let limit = format!("limit {EXPR_DEPTH_MAX}");
    for query in [chain, deep, "-".repeat(30_000) + "1", "2^".repeat(30_000) + "2"] {
        assert!(error(&query).contains(&limit), "{query:.20}");
    }
    assert!(Query::parse(&("1+".repeat(EXPR_DEPTH_MAX) + "1")).is_ok());
    assert!(error(&" ".repeat(QUERY_BYTES_MAX + 1)).starts_with("the query is too long"));
    assert!(Query::parse(&(" ".repeat(QUERY_BYTES_MAX - 1) + "1")).is_ok());
    let regexes = r#"{a=~"x",a=~"x",a=~"x",a=~"x"} or "#.repeat(26) + "a";
    assert!(error(&regexes).contains("too many or too large regexes"), "{}", error(&regexes));
    let large: String = (0..60).map(|i| format!("{{a=~\"x{i}[a-z]{{1000}}\"}} or ")).collect();
    assert!(error(&(large.clone() + "a")).contains("too large regexes"), "{}", error(&large));
    for list in ["sum by (NAMES) (a)", "a * on(NAMES) b", "a{MATCHERS}"] {
        let long = |count: usize| {
            let matchers = "a=\"\",".repeat(count);
            list.replace("NAMES", &"a,".repeat(count)).replace("MATCHERS", &matchers)
        };
        assert!(Query::parse(&long(LABELS_MAX)).is_ok(), "{list}");
        assert!(error(&long(LABELS_MAX + 1)).contains("too long"), "{list}");
    }
    let selectors = format!("label_join(a, \"a\", \"b\"{})", ", \"c\"".repeat(10_000));
    assert!(Query::parse(&selectors).is_ok());
}

#[test]
fn cut_and_changed_queries_do_not_panic() {
    let query = "sum by (a, \"b\") (rate({\"x.y\", c=~\"d|\\u00e9\"}[5m:1m] @ start() offset -1h)) \
                 * on(a) group_left(b) 1.5e-3 > bool -0x1F ^ 2 # end";
    for end in 0..query.len() {
        let _ = Query::parse(query.get(..end).unwrap());
        for inserted in ["\u{0}", "é", "\"", "(", ")", "[", "{", "1e", "@", "9999999999999999999"]
        {
            let (before, after) = query.split_at(end);
            let _ = Query::parse(&format!("{before}{inserted}{after}"));
        }
    }
}
