//! Tests that an export contains all written points and can be imported without changes.

use tidemark_server::http::Response;

use crate::product::{AUTHORIZATION, Product};

fn export(product: &mut Product, query: &str) -> Response {
    product.send("GET", &format!("/api/v3/export?{query}"), &[AUTHORIZATION], "")
}

fn text(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    String::from_utf8(response.body.clone()).unwrap()
}

/// The lines contain the extreme values of every type, every character that must be escaped, and
/// names that InfluxQL must quote.
const HARD: &str = r#"a\ b\,c=d,t\ a\,g\==v\ a\,l\=ue f\ i\,e\=ld=1i 1
all b=false,f=1.5,i=-9223372036854775808i,s="q\"b\\s, = é",t=true,u=18446744073709551615u 1700000000123456789
all f=1e+300,i=9223372036854775807i 1700000000123456790
all f=-0.1,s="two
lines" 1700000000123456791
all,host=b f=5e-324 -9223372036854775806
back\slash,k\ey=v\al f="\\" 9223372036854775806
back\\=m\\"n,k\"l=v\"w f\\"g=1 7
both,x=tag x=1i,y=2i 3
se"lect,from="quoted" select="" 5
sparse a=1 1
sparse b=2 2"#;

fn whole(product: &mut Product, db: &str) -> String {
    text(&export(product, &format!("db={db}")))
}

#[test]
fn reimported_export_is_unchanged() {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "none")]);
    let wrote = |product: &mut Product, db: &str, lines: &str| {
        let response = product.post(&format!("/write?db={db}"), lines);
        assert_eq!(response.status, 204, "{}", String::from_utf8_lossy(&response.body));
    };
    wrote(&mut product, "from", HARD);
    let exported = whole(&mut product, "from");
    let (mut expected, mut lines): (Vec<&str>, Vec<&str>) =
        (HARD.split('\n').collect(), exported.trim_end().split('\n').collect());
    expected.sort_unstable();
    lines.sort_unstable();
    assert_eq!(lines, expected);
    product.rest();
    product.sleep();
    assert_eq!(whole(&mut product, "from"), exported, "at rest");
    wrote(&mut product, "into", &exported);
    assert_eq!(whole(&mut product, "into"), exported);
    for q in [
        "SELECT * FROM /.*/",
        "SHOW SERIES",
        "SHOW FIELD KEYS",
        "SHOW TAG VALUES FROM /.*/ WITH KEY =~ /.*/",
    ] {
        assert_eq!(product.query("from", q), product.query("into", q), "{q}");
    }
}

#[test]
fn export_parameters_select_points() {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "none")]);
    product.write("db", "a v=1 1\na v=2 2\na v=3 3\nb v=4 2");
    let _made =
        product.post("/query", "q=CREATE RETENTION POLICY old ON db DURATION INF REPLICATION 1");
    assert_eq!(product.post("/write?db=db&rp=old", "c v=1i 7").status, 204);
    let mut asked = |query: &str| text(&export(&mut product, query));
    let second = 1_000_000_000_i64;
    assert_eq!(asked("db=db&measurement=b"), format!("b v=4 {}\n", 2 * second));
    assert_eq!(asked("db=db&rp=old"), "c v=1i 7\n");
    let two = format!("a v=2 {0}\nb v=4 {0}\n", 2 * second);
    assert_eq!(asked("db=db&start=2000000000&end=3000000000"), two);
    assert_eq!(asked("db=db&start=1970-01-01T00:00:02Z&end=1970-01-01T00:00:03Z"), two);
    assert_eq!(asked("db=db&end=1"), "");
}

#[test]
fn large_export_is_chunked_and_complete() {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "none"), ("DEFAULT_SHARDS", "2")]);
    for batch in 0..4 {
        let line = |n: i64| format!("m,host=h{} v={n}i,w=\"some text to fill it\" {n}\n", n % 7);
        let lines: String = (batch * 5_000..(batch + 1) * 5_000).map(line).collect();
        product.write("db", &lines);
        product.rest();
    }
    let exported = whole(&mut product, "db");
    assert!(exported.len() > 1_000_000, "{}", exported.len());
    assert_eq!(exported.lines().count(), 20_000);
    assert_eq!(product.post("/write?db=copy", &exported).status, 204);
    for q in ["SELECT count(v), sum(v), last(w) FROM m GROUP BY host", "SHOW SERIES"] {
        assert_eq!(product.query("db", q), product.query("copy", q));
    }
}

/// Some statements create names that line protocol cannot represent.
#[test]
fn unexportable_names_are_rejected() {
    const LETTERS: [&str; 13] =
        ["a", "#", ",", "=", " ", "\t", "\\n", "\\\\", "\\\"", "'", "é", "\u{feff}", ":"];
    let mut rng = fastrand::Rng::with_seed(3);
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "none")]);
    product.write("from", "src,host=a v=1 1");
    product.query("", "CREATE DATABASE made");
    let (mut refused, mut kept) = (0, 0);
    for _ in 0..300 {
        let mut name =
            || -> String { (0..1 + rng.usize(..3)).map(|_| LETTERS[rng.usize(..13)]).collect() };
        let q =
            format!("SELECT v AS \"{}\" INTO made..\"{}\" FROM src GROUP BY host", name(), name());
        let answer = product.query("from", &q);
        match answer["results"][0]["error"].as_str() {
            None => kept += 1,
            Some(why) => {
                let says = "cannot be written as line protocol, so an export would lose the name: ";
                assert!(why.contains(says), "{q}: {why}");
                refused += 1;
            }
        }
    }
    assert!(refused > 30 && kept > 30, "{refused} {kept}");
    let exported = whole(&mut product, "made");
    assert_eq!(product.post("/write?db=again", &exported).status, 204);
    assert_eq!(whole(&mut product, "again"), exported);
    for q in ["SELECT * FROM /.*/", "SHOW SERIES", "SHOW FIELD KEYS"] {
        assert_eq!(product.query("made", q), product.query("again", q), "{q}");
    }
    let q = "CREATE CONTINUOUS QUERY c ON made BEGIN SELECT mean(v) INTO \"#x\" FROM m \
             GROUP BY time(1m) END";
    let why = "\"#x\" cannot be written as line protocol, so an export would lose the name: a line \
               that begins with # is a comment";
    assert_eq!(product.query("made", q)["results"][0]["error"], why);
}

/// The fields of one point may together exceed the maximum length of a line.
#[test]
fn long_row_exports_as_several_lines() {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "none")]);
    for key in ["a", "b", "c"] {
        product.write("db", &format!("m {key}=\"{}\",n{key}=1i 1", key.repeat(1 << 20)));
    }
    let exported = whole(&mut product, "db");
    assert_eq!(product.post("/write?db=copy", &exported).status, 204);
    assert_eq!(whole(&mut product, "copy"), exported);
}
