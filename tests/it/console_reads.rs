//! Tests texts that the console runs without a user action because they only read. The server must
//! accept every such text.
//!
//! The page calls `browser::influxql_outline`. The server decides independently for
//! `read_only=true`.

use tidemark_browser::in_process::InProcess;
use tidemark_browser::influxql_outline::PageOutline;
use tidemark_server::error::{ApiError, ApiResult};
use tidemark_server::http::{Parameters, RequestHead};
use tidemark_server::params::QueryParams;
use tidemark_server::routes::query::parse;
use tidemark_server::settings::Settings;

use crate::product::{form, head};

const TEXTS: u32 = 60_000;
const THREADS: u32 = 4;
/// The maximum number of characters of a generated text. Longer texts are truncated.
const TEXT_CHARS_MAX: usize = 120;
/// The test also runs one in this number of the texts that only read, and checks that the text
/// changes no data.
const RUN_ONE_IN: u32 = 100;

const STATEMENTS: &[&str] = &[
    // A link that contained one of these texts once created a database.
    "SHOW DATABASES --\r;CREATE DATABASE evil1",
    "SELECT v*1./2 FROM m;CREATE DATABASE evil2 --/",
    "SELECT a, b FROM m WHERE c = 'd' GROUP BY time(1m), * fill(0)",
    "SELECT x FROM /a.*;b/ WHERE h =~ /w\\/e/ LIMIT 1",
    "SELECT mean(v) INTO n FROM m",
    "SELECT v / 2 FROM (SELECT v FROM m) -- rest",
    "EXPLAIN ANALYZE SELECT v INTO n FROM m",
    "EXPLAIN SELECT \"a;b\" FROM \"m\"",
    "SHOW TAG VALUES WITH KEY IN (\"a\", b) /* c */",
    "DELETE FROM m WHERE h = 'x'",
    "DROP MEASUREMENT m",
    "CREATE DATABASE \"e;v\"",
    "KILL QUERY 1",
];

const PIECES: &[&str] = &[
    ";",
    " ; ",
    "--",
    "/*",
    "*/",
    "/",
    "'",
    "\"",
    "\\",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\0",
    " ",
    "1.",
    ".5",
    "$a",
    "$",
    "INTO n ",
    "into",
    "\u{a0}",
    "\u{feff}",
    "é",
    "\u{1F600}",
    "\u{2028}",
    "\u{85}",
    "\u{b}",
    "\u{c}",
    "=~ ",
    "!~ /",
    "1h",
    "::",
    "<>",
    ",",
    "(",
    ")",
    "SELECT ",
    "FROM ",
    "SHOW ",
    "DROP DATABASE d",
    "\\'",
    "\\\"",
    "\\/",
    "\u{17f}elect",
    "%3B",
    "&q=DROP DATABASE d",
    "+",
];

/// Returns two statements or parts of statements with a few mistakes.
fn mutated(random: &mut fastrand::Rng) -> String {
    let mut text: Vec<char> = Vec::new();
    for _ in 0..random.usize(1..=2) {
        let statement = random.choice(STATEMENTS).unwrap();
        text.extend(statement.chars());
        if random.bool() {
            text.push(';');
        }
    }
    for _ in 0..random.usize(0..=3) {
        let at = random.usize(0..=text.len());
        let until = (at + random.usize(0..=3)).min(text.len());
        let piece = random.choice(PIECES).unwrap();
        let with: Vec<char> = if random.bool() { piece.chars().collect() } else { Vec::new() };
        text.splice(at..until, with);
    }
    text.truncate(TEXT_CHARS_MAX);
    text.into_iter().collect()
}

fn asked(text: &str, settings: &Settings) -> ApiResult<()> {
    let query = form(&[("read_only", "true"), ("q", text)]);
    let head = RequestHead { method: "GET".to_owned(), ..RequestHead::default() };
    let params = QueryParams::parse(&head, &Parameters::parse(query.as_bytes()).unwrap(), None);
    parse(&params.map_err(ApiError::from)?, settings).map(drop)
}

#[test]
fn page_and_server_agree_on_reads() {
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..THREADS).map(|seed| scope.spawn(move || texts_agree(u64::from(seed)))).collect();
        parts.into_iter().for_each(|part| part.join().unwrap());
    });
}

fn texts_agree(seed: u64) {
    let texts = TEXTS / THREADS;
    let settings = Settings::read(|_| None).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::new();
    let (mut reading, mut writing) = (0, 0);
    for _ in 0..texts {
        let text = mutated(&mut random);
        match PageOutline::new(&text).does {
            1 | 2 => {
                reading += 1;
                assert!(asked(&text, &settings).is_ok(), "the server refuses {text:?}");
                if reading % RUN_ONE_IN == 0 {
                    server.runs(&text);
                }
            }
            3 => {
                writing += 1;
                let refused = matches!(asked(&text, &settings), Err(ApiError::ReadOnly(_)));
                assert!(refused, "the server lets {text:?} write");
            }
            _ => {}
        }
    }
    assert!(reading > texts / 20 && writing > texts / 20, "{reading} read, {writing} write");
}

#[test]
fn known_write_texts_count_as_writes() {
    let settings = Settings::read(|_| None).unwrap();
    for text in &STATEMENTS[..2] {
        assert_eq!(PageOutline::new(text).does, 3, "{text:?}");
        assert!(matches!(asked(text, &settings), Err(ApiError::ReadOnly(_))), "{text:?}");
    }
}

/// A server to which the test sends the texts by POST. A POST request may write.
struct Server {
    inner: InProcess,
    before: Vec<(String, u64)>,
}

impl Server {
    fn new() -> Self {
        let token = |name: &str| (name == "ADMIN_TOKEN").then(|| "0123456789abcdef".to_owned());
        let mut server =
            Self { inner: InProcess::new(Settings::read(token).unwrap(), 1), before: Vec::new() };
        server.post("CREATE DATABASE d");
        server.before = server.stored();
        server
    }

    fn post(&mut self, text: &str) -> u16 {
        let target = format!("/query?{}", form(&[("db", "d"), ("q", text)]));
        let head = head("POST", &target, &[("authorization", "Token 0123456789abcdef")]);
        self.inner.request(head, Vec::new(), 1).status
    }

    fn stored(&self) -> Vec<(String, u64)> {
        let stored = self.inner.stored_bytes().into_iter();
        stored.map(|(address, bytes)| (format!("{address:?}"), bytes)).collect()
    }

    fn runs(&mut self, text: &str) {
        self.post(text);
        assert_eq!(self.stored(), self.before, "{text:?} changed what is stored");
    }
}
