use super::*;
use crate::limits::REGEXES_COMPILED_BYTES_MAX;

fn error(source: &str) -> String {
    match Regex::new(source) {
        Ok(regex) => format!("accepted: {regex}"),
        Err(error) => error.to_string(),
    }
}

/// The errors of InfluxDB 1.6. Only a bound parameter can contain a trailing backslash.
#[test]
fn regex_errors_match_go() {
    for (source, expected) in [
        ("a(", "missing closing ): `a(`"),
        ("a)", "unexpected ): `a)`"),
        ("[", "missing closing ]: `[`"),
        ("x[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(+?)", "missing argument to repetition operator: `+?`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*?+?", "invalid nested repetition operator: `*?+?`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("a{99999999999999999999}", "invalid repeat count: `{99999999999999999999}`"),
        ("\\q", "invalid escape sequence: `\\q`"),
        ("\\8", "invalid escape sequence: `\\8`"),
        ("\\1", "invalid escape sequence: `\\1`"),
        ("\\C", "invalid escape sequence: `\\C`"),
        ("\\xZ1", "invalid escape sequence: `\\xZ1`"),
        ("\\x{}", "invalid escape sequence: `\\x{}`"),
        ("\\x{110000}", "invalid escape sequence: `\\x{110000`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("\\p{Foo}", "invalid character class range: `\\p{Foo}`"),
        ("\\pX", "invalid character class range: `\\pX`"),
        ("\\p{L", "invalid character class range: `\\p{L`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
    ] {
        assert_eq!(error(source), format!("error parsing regexp: {expected}"), "{source}");
    }
}

#[test]
fn translated_regexes_match_like_go() {
    for (source, matching, other) in [
        ("", "", ""),
        ("b", "abc", "ac"),
        ("^a.c$", "abc", "a\nc"),
        ("(?s)^a.c$", "a\nc", "ac"),
        ("(?m)^b$", "a\nb\nc", "abc"),
        ("^b$", "b", "a\nb\nc"),
        ("a(?i)b", "aB", "AB"),
        ("(a(?i)b)c", "aBc", "aBC"),
        ("(?i:ß|k)", "\u{212A}", "s"),
        ("(?i)a(?-i)b", "Ab", "AB"),
        ("a(?i)*b", "aaab", "ac"),
        ("^\\d+$", "0123456789", "\u{0661}"),
        ("^\\w+$", "aZ_9", "é"),
        ("^\\s$", "\u{C}", "\u{B}"),
        ("^\\S$", "é", " "),
        ("^[\\D]$", "é", "1"),
        ("^[^\\W_]$", "a", "_"),
        ("\\bfoo\\b", "éfooé", "afoo"),
        ("a\\Bb", "ab", "a b"),
        ("^[]a]$", "]", "b"),
        ("^[^]a]$", "b", "]"),
        ("^[a-]$", "-", "b"),
        ("^[-a]$", "-", "b"),
        ("^[a&&b]$", "&", "c"),
        ("^[a~~b-c]$", "~", "d"),
        ("^[[a]$", "[", "]"),
        ("^[[:alpha:]]$", "x", "1"),
        ("^[[:^alpha:]]$", "1", "x"),
        ("^[[:word:]-]$", "-", "é"),
        ("^\\x41\\x{1F600}\\101$", "A\u{1F600}A", "A"),
        ("^\\0$", "\0", "0"),
        ("^\\.\\/\\-\\#\\ $", "./-# ", "x"),
        ("^a{,2}$", "a{,2}", "aa"),
        ("^a{2,3}$", "aaa", "a"),
        ("^a{2,}$", "aaaa", "a"),
        ("^a{x$", "a{x", "a"),
        ("^}$", "}", "{"),
        ("\\Qa.b\\E+c", "a.bbc", "axbc"),
        ("\\Qa.b", "a.b", "axb"),
        ("^\\pL\\p{Greek}\\PN$", "aαb", "1αb"),
        ("^\\p{^Greek}$", "a", "α"),
        ("^[\\p{Lu}\\d]+$", "A1", "a"),
        ("^(?P<n>a|b)(?P<n>c)$", "bc", "c"),
        ("^(a|b|)$", "", "c"),
        ("^(?:a*)*$", "aaa", "b"),
        ("(?U)^a+?$", "aa", "b"),
        ("^*a", "ba", "b"),
        ("(?i)^[^k]$", "x", "\u{212A}"),
        ("(?i)^ÄB$", "äb", "ab"),
        ("(?i)^\\p{Lu}$", "ä", "1"),
        ("(?i)^\\P{Lu}$", "1", "ä"),
        ("(?i)^[[:upper:]]$", "s", "1"),
        ("(?i)^\\w$", "\u{17F}", "ä"),
        ("(?i)^\\W$", "ä", "\u{17F}"),
        ("^\\p{C}$", "\u{7F}", "\u{378}"),
        ("^[\\p{Cs}a]$", "a", "\u{FFFD}"),
        ("^\\x{D800}*$", "", "a"),
        ("^[^\\x{0}-\\x{10FFFF}]*$", "", "a"),
        ("a\\z", "a", "a\n"),
        ("^\\x{D800}$|^a$", "a", "\u{FFFD}"),
        ("^[\\x{D7FF}-\\x{E000}]$", "\u{E000}", "a"),
    ] {
        let pattern = Pattern::new(source, &RegexWork::limited()).unwrap();
        assert!(pattern.is_match(matching), "/{source}/ {matching:?}");
        if !source.is_empty() {
            assert!(!pattern.is_match(other), "/{source}/ {other:?}");
        }
    }
}

#[test]
fn regex_size_is_limited() {
    assert_eq!(
        Regex::new("(((a{10}){10}){10})").map(|regex| regex.to_string()),
        Ok("/(((a{10}){10}){10})/".to_owned())
    );
    assert_eq!(error(&".{1000}".repeat(10)), InvalidRegex::TooLarge.to_string());
    assert_eq!(
        error(&"(".repeat(500)),
        format!("error parsing regexp: missing closing ): `{}`", "(".repeat(500))
    );
    let too_long = error(&"a".repeat((16 << 10) + 1));
    assert!(too_long.ends_with("requested 16385, limit 16384 (REGEX_BYTES_MAX)"), "{too_long}");
    let nested = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(error(&nested), InvalidRegex::TooLarge.to_string());
}

#[test]
fn unicode_classes_are_limited() {
    let too_many = InvalidRegex::TooManyRanges.to_string();
    for source in [
        "\\pL{40}",
        "((\\pL{100}){10}\\pL{1000}){1}",
        "(?i)[^\\pL]{40,}",
        &"\\p{Ogham}".repeat(31),
        &format!("[{}]", "\\PL".repeat(31)),
    ] {
        assert_eq!(error(source), too_many, "{source}");
    }
    for source in
        ["\\pL{20}", "^[^/]{300}\\w{1000}$", &"\\p{Ogham}".repeat(30), &"\\\\p".repeat(40)]
    {
        assert!(Regex::new(source).is_ok(), "{source}");
    }
    // Stored deletes of release 0.1.0 stay valid.
    let source = "\\p{Ogham}".repeat(31);
    assert!(Patterns::of_deletes().get(&source).is_ok());
    let error = Patterns::of_new_delete().get(&source).map(|_| ());
    assert_eq!(error, Err(InvalidRegex::TooManyRanges));
}

#[test]
fn compiled_patterns_count_as_work() {
    let patterns = Patterns::limited();
    for expected in [true, false] {
        patterns.get("^[a-z]{100}$").unwrap();
        assert_eq!(patterns.take_work() > 0, expected);
    }
}

#[test]
fn regexes_print_with_escaped_slashes() {
    assert_eq!(Regex::new("a/b\\.c").unwrap().to_string(), "/a\\/b\\.c/");
}

#[test]
fn slow_matches_are_limited_together() {
    let work = RegexWork::limited();
    let slow = Pattern::new("a[ab]{300}c", &work).unwrap();
    let mut random = 1_u32;
    let mut text = |bytes| {
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if random >> 31 == 0 { 'a' } else { 'b' }
        };
        (0..bytes).map(|_| next()).collect::<String>()
    };
    let log = "2026-11-29T10:00:00Z GET /index.html 200 ".repeat(100_000);
    for (source, matches) in [("GET .*200", true), ("(GET|POST) /login", false), ("é|ü", false)] {
        assert_eq!(Pattern::new(source, &work).unwrap().is_match(&log), matches, "{source}");
    }
    assert!(
        !slow.is_match(&text(10_000))
            && slow.is_match(&(text(10_000) + "ac" + &"a".repeat(301) + "c"))
    );
    assert_eq!(work.check(), Ok(()));
    let unlimited = RegexWork::unlimited();
    let unbounded = Pattern::new("a[ab]{300}c", &unlimited).unwrap();
    let long = text(100_000) + &"a".repeat(301) + "c";
    assert!(unbounded.is_match(&long));
    assert!(!slow.is_match(&long));
    assert_eq!((work.check(), unlimited.check()), (Err(InvalidRegex::TooSlow), Ok(())));
    work.renew();
    assert_eq!(work.check(), Ok(()));
}

#[test]
fn long_alternation_is_fast() {
    // Grafana sends such a regex for a variable with many selected values.
    let name =
        |number: u64| format!("host-{:016x}.lan", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let names: Vec<String> = (1..=600).map(name).collect();
    let source = format!("^({})$", names.join("|").replace('.', "\\."));
    assert!(source.len() > REGEX_BYTES_MAX * 9 / 10);
    let work = RegexWork::limited();
    let pattern = Pattern::new(&source, &work).unwrap();
    for name in &names {
        assert!(pattern.is_match(name), "{name}");
        assert!(!pattern.is_match(&name[1..]), "{name}");
    }
    assert_eq!(work.steps_left.get(), REGEX_STEPS_MAX);
}

#[test]
fn long_alternation_may_ignore_case() {
    let name = |number: u64| {
        let letter = |at: u64| {
            char::from(b'a' + ((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> at) & 15) as u8)
        };
        format!("rack-{}", (0..16).map(|at| letter(4 * at)).collect::<String>())
    };
    let names: Vec<String> = (1..=740).map(name).collect();
    let source = format!("(?i)^({})$", names.join("|"));
    assert!(source.len() > REGEX_BYTES_MAX * 9 / 10 && source.len() <= REGEX_BYTES_MAX);
    let pattern = Pattern::new(&source, &RegexWork::limited()).unwrap();
    assert!(pattern.compiled_bytes() < REGEXES_COMPILED_BYTES_MAX, "{}", pattern.compiled_bytes());
    for name in &names {
        assert!(pattern.is_match(&name.to_uppercase()), "{name}");
        assert!(!pattern.is_match(&name[1..]), "{name}");
    }
    assert_eq!(pattern.check(), Ok(()));
}

#[test]
fn deletes_accept_only_regexes_that_are_always_fast() {
    let list = |from: u64| {
        let name =
            |number: u64| format!("host-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        format!("^({})$", (from..from + 40).map(name).collect::<Vec<_>>().join("|"))
    };
    let fast = ["web", "^$", ".", "^(web|db)-[0-9]+$", "(?i)web.*[0-9]{4}$", "\\bb+\\b", "^a.{9}b"];
    for source in fast.map(str::to_owned).into_iter().chain([list(0)]) {
        let pattern = Patterns::of_new_delete().get(&source);
        assert!(pattern.is_ok(), "{source}: {pattern:?}");
    }
    for source in ["a[ab]{300}c", "(a|b).*a.{20}c", "\\pL{20}"] {
        assert!(
            Patterns::limited().get(source).is_ok() && Patterns::of_deletes().get(source).is_ok()
        );
        let error = Patterns::of_new_delete().get(source).map(|_| ());
        assert_eq!(error, Err(InvalidRegex::NotAlwaysFast), "{source}");
    }
    // The regexes of one delete share the work.
    let patterns = Patterns::of_new_delete();
    let accepted = (0..20).take_while(|n| patterns.get(&list(100 * n)).is_ok()).count();
    assert!((1..20).contains(&accepted), "{accepted}");
    assert!(patterns.get(&list(0)).is_ok(), "a known regex needs no more work");
    patterns.clear_above(usize::MAX);
    assert_eq!(patterns.known.borrow().len(), accepted);
    patterns.clear_above(0);
    assert_eq!(patterns.known.borrow().len(), 0);
}

#[test]
fn replacers_expand_templates_as_go_does() {
    let work = RegexWork::limited();
    let mut replacer = Replacer::new("^(?s:(a+)(?:-)(?P<rest>.*)(x)?)$", &work).unwrap();
    let cases = [
        ("$1", "aa"),
        ("${1}b", "aab"),
        // The longest name counts.
        ("$1b", ""),
        ("$rest/${rest}", "b\nc/b\nc"),
        ("$0", "aa-b\nc"),
        ("$3$4$none", ""),
        ("$$1 $ ${ ${} $-", "$1 $ ${ ${} $-"),
    ];
    for (template, expected) in cases {
        let replaced = replacer.replace("aa-b\nc", template).unwrap();
        assert_eq!(replaced.as_deref(), Some(expected), "{template}");
    }
    assert_eq!(replacer.replace("b", "$1"), Ok(None));
    while work.spend(1_000_000) {}
    assert_eq!(replacer.replace("b", "$1"), Err(InvalidRegex::TooSlow));
}
