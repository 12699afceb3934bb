//! Runs plans step by step.

use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::{FromSql, ToSql};
use tidemark_sql::messages::{Page, SessionReply, SessionRequest};
use tidemark_sql::{Engine, Query, QuerySession, Step};

use super::database::{Database, Layout, request};

fn database(rows: usize) -> Database {
    let mut database = Database::default();
    for at in 0..rows {
        database.write(&format!("cpu,host=h{} usage={at} {at}", at % 10));
    }
    database
}

/// Runs a query until it requests pages, and returns its requests.
fn until_scans(query: &mut Query, database: &Database) -> Vec<SessionRequest> {
    let step = query.step(Vec::new()).unwrap();
    let Some(SessionRequest::Tables(names)) = step.wanted.first() else { panic!("{step:?}") };
    let tables = names.iter().filter_map(|name| database.schema(name)).collect();
    query.step(vec![SessionReply::Tables(tables)]).unwrap().wanted
}

fn open(text: &str) -> Query {
    Engine::default().open(request(text, Vec::new())).unwrap()
}

fn scan(wanted: &SessionRequest) -> u64 {
    match wanted {
        SessionRequest::Scan(request) => request.scan,
        SessionRequest::Page(scan) => *scan,
        other => panic!("{other:?}"),
    }
}

fn page(scan: u64, bytes: Vec<u8>, is_last: bool) -> SessionReply {
    SessionReply::Page(Page { scan, bytes, is_last, ..Page::default() })
}

fn rows(step: &Step) -> usize {
    step.batches.iter().map(|batch| batch.num_rows()).sum()
}

#[test]
fn step_without_reply_requests_nothing() {
    let database = database(10);
    let mut query = open("SELECT * FROM cpu");
    let wanted = until_scans(&mut query, &database);
    assert_eq!(wanted.len(), 1);
    for _ in 0..3 {
        let step = query.step(Vec::new()).unwrap();
        assert!(step.wanted.is_empty() && !step.is_done, "{step:?}");
    }
    let step = query.step(vec![page(scan(&wanted[0]), Vec::new(), true)]).unwrap();
    assert!(step.is_done && step.schema.is_none() && rows(&step) == 0, "{step:?}");
    assert_eq!(query.remaining(), (0, 0));
    assert!(query.step(Vec::new()).unwrap().is_done);
}

/// A page that arrives while encoded bytes wait must not be encoded yet.
#[test]
fn encoded_bytes_do_not_accumulate() {
    let database = database(64_000);
    let (engine, mut session) = (Engine::default(), QuerySession::default());
    let mut turn = |message: &ToSql| {
        let reply = session.turn(&engine, &envelope::encode(message));
        envelope::decode::<FromSql>(&reply).unwrap().1
    };
    let columns: Vec<String> = (0..20).map(|at| format!("usage AS usage_{at}")).collect();
    let text = format!("SELECT {} FROM cpu", columns.join(", "));
    let mut message = ToSql::Open(request(&text, Vec::new()));
    let layout = Layout { shards: 1, page_rows: 8_000 };
    let mut pages = Vec::new().into_iter();
    let (mut pieces, mut pieces_behind_pages) = (0, 0);
    loop {
        let reply = turn(&message);
        let FromSql::Turned { wanted, is_done, piece, .. } = reply else { panic!("{reply:?}") };
        pieces += usize::from(!piece.is_empty());
        pieces_behind_pages += usize::from(!piece.is_empty() && pages.len() == 0);
        if is_done {
            break;
        }
        let answer = |wanted: SessionRequest| match &wanted {
            SessionRequest::Tables(names) => {
                let tables = names.iter().filter_map(|name| database.schema(name)).collect();
                SessionReply::Tables(tables)
            }
            request => {
                if matches!(request, SessionRequest::Scan(_)) {
                    pages = database.pages(request, layout).into_iter();
                    pieces_behind_pages = 0;
                }
                let bytes = pages.next().unwrap_or_default();
                let is_last = pages.len() == 0;
                page(scan(request), bytes, is_last)
            }
        };
        message = ToSql::turn(wanted.into_iter().map(answer).collect());
    }
    assert!(pieces > 30 && pieces_behind_pages < 15, "{pieces_behind_pages} of {pieces}");
}

/// A plan that computes many rows must end its turn, so that the thread can serve other requests.
#[test]
fn large_computations_take_many_turns() {
    let many = "generate_series(1, 3000)";
    for (text, turns) in [
        (
            format!(
                "SELECT count(*) FROM {many} a CROSS JOIN {many} b WHERE a.value + b.value > 0"
            ),
            100,
        ),
        (format!("SELECT count(*) FROM {many} a JOIN {many} b ON a.value < b.value"), 50),
        // This join has no matching pairs.
        (
            "SELECT count(*) FROM generate_series(1, 9000) a JOIN generate_series(1, 9000) b \
          ON a.value + b.value < 0"
                .to_owned(),
            30,
        ),
        // All rows have the same key.
        (
            "SELECT count(*) FROM (SELECT value / 9000 AS k, value FROM generate_series(1, 4000)) a \
             JOIN (SELECT value / 9000 AS k, value FROM generate_series(1, 4000)) b \
             ON a.k = b.k AND a.value + b.value < 0"
                .to_owned(),
            8,
        ),
        ("SELECT count(*) FROM generate_series(1, 5000000)".to_owned(), 60),
        // Each iteration produces one row.
        (
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
             SELECT count(*) FROM n"
                .to_owned(),
            70,
        ),
    ] {
        let mut query = open(&text);
        let (mut steps, mut answered) = (0, 0);
        // The name of a series may also be the name of a table.
        query.step(Vec::new()).unwrap();
        let mut answers = vec![SessionReply::Tables(Vec::new())];
        loop {
            let step = query.step(std::mem::take(&mut answers)).unwrap();
            (steps, answered) = (steps + 1, answered + rows(&step));
            if step.is_done {
                break;
            }
            assert!(step.can_continue, "{text}: {step:?}");
        }
        assert!((turns..20 * turns).contains(&steps), "{steps}: {text}");
        assert_eq!((answered, query.remaining()), (1, (0, 0)), "{text}");
    }
}

#[test]
fn unneeded_scan_is_cancelled() {
    let database = database(100);
    let mut query = open("SELECT usage FROM cpu WHERE usage + 1 > 0 LIMIT 3");
    let wanted = until_scans(&mut query, &database);
    let bytes = database.pages(&wanted[0], Layout { shards: 1, page_rows: 10 }).remove(0);
    let number = scan(&wanted[0]);
    let step = query.step(vec![page(number, bytes.clone(), false)]).unwrap();
    assert_eq!((rows(&step), step.cancelled, step.wanted), (3, vec![number], vec![]));
    // A page that arrives after its scan was cancelled is ignored.
    let late = page(number, bytes, true);
    assert!(step.is_done || query.step(vec![late]).unwrap().is_done);
}

#[test]
fn join_accepts_pages_in_any_order() {
    let mut database = database(30);
    for at in 0..30 {
        database.write(&format!("mem,host=h{} free={at} {at}", at % 10));
        database.write(&format!("disk,host=h{} used={at} {at}", at % 10));
    }
    let text = "SELECT count(*) FROM cpu JOIN mem ON cpu.time = mem.time JOIN disk ON \
                mem.time = disk.time UNION ALL SELECT count(*) FROM disk";
    for order in 0..4 {
        let mut query = open(text);
        let mut open_wants = until_scans(&mut query, &database);
        let mut pages = std::collections::BTreeMap::new();
        let mut answered = 0;
        loop {
            let at = [0, open_wants.len().saturating_sub(1)][order % 2];
            let mut answers = Vec::new();
            if at < open_wants.len() {
                let wanted = open_wants.remove(at);
                let number = scan(&wanted);
                if matches!(wanted, SessionRequest::Scan(_)) {
                    let layout = Layout { shards: 1, page_rows: 4 + order };
                    pages.insert(number, database.pages(&wanted, layout));
                }
                let left = pages.get_mut(&number).unwrap();
                let bytes = left.remove(0);
                answers.push(page(number, bytes, left.is_empty()));
            }
            let step = query.step(answers).unwrap();
            answered += rows(&step);
            open_wants.extend(step.wanted);
            if step.is_done {
                break;
            }
        }
        assert_eq!(answered, 2, "{order}");
        assert_eq!(query.remaining(), (0, 0), "{order}");
    }
}

#[test]
fn source_error_ends_query() {
    let database = database(10);
    let gone = || SessionReply::Failed { status: 503, message: "the shard is away".into() };
    let mut query = open("SELECT sum(usage) FROM cpu");
    until_scans(&mut query, &database);
    let error = query.step(vec![gone()]).unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (503, "the shard is away"));
    assert!(query.step(Vec::new()).unwrap().is_done);
    let mut query = open("SELECT sum(usage) FROM cpu");
    query.step(Vec::new()).unwrap();
    assert_eq!(query.step(vec![gone()]).unwrap_err().status(), 503);
    let mut query = open("SELECT sum(usage) FROM cpu");
    let wanted = until_scans(&mut query, &database);
    let error = query.step(vec![page(scan(&wanted[0]), vec![1, 2, 3], true)]).unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
}

#[test]
fn dropped_query_frees_memory() {
    let database = database(2_000);
    let engine = Engine::default();
    let text = "SELECT host, max(usage) FROM cpu GROUP BY host ORDER BY 2";
    let mut query = engine.open(request(text, Vec::new())).unwrap();
    let wanted = until_scans(&mut query, &database);
    let bytes = database.pages(&wanted[0], Layout::PLAIN).remove(0);
    query.step(vec![page(scan(&wanted[0]), bytes, false)]).unwrap();
    assert!(engine.reserved_bytes() > 0);
    drop(query);
    assert_eq!(engine.reserved_bytes(), 0);
}

#[test]
fn two_queries_run_concurrently() {
    let database = database(40);
    let mut queries = [open("SELECT host FROM cpu"), open("SELECT count(*) FROM cpu")];
    let layout = Layout { shards: 2, page_rows: 7 };
    let mut left: Vec<(u64, Vec<Vec<u8>>)> = queries
        .iter_mut()
        .map(|query| {
            let wanted = until_scans(query, &database);
            (scan(&wanted[0]), database.pages(&wanted[0], layout))
        })
        .collect();
    let mut answered = [0, 0];
    while left.iter().any(|(_, pages)| !pages.is_empty()) {
        for (at, query) in queries.iter_mut().enumerate() {
            let (number, pages) = &mut left[at];
            if pages.is_empty() {
                continue;
            }
            let bytes = pages.remove(0);
            let reply = page(*number, bytes, pages.is_empty());
            answered[at] += rows(&query.step(vec![reply]).unwrap());
        }
    }
    for (at, query) in queries.iter_mut().enumerate() {
        while query.remaining() != (0, 0) {
            answered[at] += rows(&query.step(Vec::new()).unwrap());
        }
    }
    assert_eq!(answered, [40, 1]);
}

/// If a client reads slowly, the plan must slow down.
#[test]
fn slow_reader_slows_plan() {
    let mut query =
        open("SELECT a.value FROM generate_series(1, 100000) a, generate_series(1, 100000) b");
    query.step(Vec::new()).unwrap();
    query.step(vec![SessionReply::Tables(Vec::new())]).unwrap();
    let mut most = 0;
    for _ in 0..20 {
        let step = query.step(Vec::new()).unwrap();
        assert!(!step.is_done, "{step:?}");
        most = most.max(rows(&step));
    }
    assert!(most > 0 && most <= 4 * 8_192, "{most} rows in one step");
}

/// A cross join returns one small batch for each row of its left side.
#[test]
fn small_batches_need_few_turns() {
    let mut query =
        open("SELECT a.value FROM generate_series(1, 5000) a CROSS JOIN generate_series(1, 2) b");
    let mut step = query.step(Vec::new()).unwrap();
    if !step.wanted.is_empty() {
        step = query.step(vec![SessionReply::Tables(Vec::new())]).unwrap();
    }
    let mut count = rows(&step);
    for _ in 0..100 {
        if step.is_done {
            break;
        }
        step = query.step(Vec::new()).unwrap();
        count += rows(&step);
    }
    assert!(step.is_done, "{count}");
    assert_eq!(count, 10_000);
}
