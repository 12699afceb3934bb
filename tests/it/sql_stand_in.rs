//! Stands where the Worker of SQL would, which is a crate of its own: it understands `count NAME`,
//! which reads every row of a table page by page, `pages NAME`, which says after each page how many
//! rows there were so far, and `fail STATUS TEXT`.

use tidemark::browser::in_process::SqlSession;
use tidemark::model::time::TimeRange;
use tidemark::protocol::envelope;
use tidemark::protocol::scan_page;
use tidemark::protocol::sql::{Answer, FromSql, ScanRequest, ToSql, Wanted};
use tidemark::scan::page::GroupData;

/// A count in progress.
#[derive(Debug, Default)]
struct Count {
    table: String,
    rows: usize,
    pages: usize,
    /// Each page makes a piece of the answer.
    tells: bool,
}

/// Answers statements one after the other.
pub(crate) fn stand_in() -> SqlSession {
    let mut count = Count::default();
    Box::new(move |message| {
        let (_, message) = envelope::decode::<ToSql>(message).unwrap();
        envelope::encode(&turn(&mut count, message))
    })
}

fn turn(count: &mut Count, message: ToSql) -> FromSql {
    match message {
        ToSql::Open(request) => {
            *count = Count::default();
            match request.text.split_once(' ') {
                Some((kind @ ("count" | "pages"), table)) => {
                    (count.table, count.tells) = (table.to_owned(), kind == "pages");
                    wants(Wanted::Tables(vec![count.table.clone()]))
                }
                Some(("fail", rest)) => {
                    let (status, message) = rest.split_once(' ').unwrap();
                    failed(status.parse().unwrap(), message)
                }
                _ => failed(400, "no statement"),
            }
        }
        ToSql::Turn { answers, lengths, pages } => {
            let answers = ToSql::whole_answers(answers, &lengths, &pages).unwrap();
            let mut next = None;
            for answer in answers {
                next = Some(learn(count, answer));
            }
            let mut next = next.unwrap();
            if let (true, FromSql::Turned { has_rows, piece, .. }) = (count.tells, &mut next) {
                *has_rows = count.pages > 0;
                *piece =
                    if *has_rows { format!("{}\n", count.rows).into_bytes() } else { Vec::new() };
            }
            next
        }
    }
}

fn learn(count: &mut Count, answer: Answer) -> FromSql {
    match answer {
        Answer::Tables(tables) => match tables.first() {
            None => failed(400, "table not found"),
            Some(table) => wants(Wanted::Scan(ScanRequest {
                scan: 0,
                table: table.name.clone(),
                time: TimeRange::ALL,
                condition: None,
                fields: Vec::new(),
                tags: Vec::new(),
                rows_max: None,
                first: None,
                aggregates: None,
            })),
        },
        Answer::Page(page) => {
            count.pages += 1;
            let groups = match page.bytes.is_empty() {
                true => Vec::new(),
                false => scan_page::decode(&page.bytes).unwrap(),
            };
            for group in groups {
                let GroupData::Rows { times_ns, .. } = group.data else { panic!("states") };
                count.rows += times_ns.len();
            }
            match page.is_last {
                true => said(format!("[{{\"rows\":{}}}]", count.rows)),
                false => wants(Wanted::Page(0)),
            }
        }
        Answer::System(..) | Answer::Failed { .. } => panic!("{answer:?}"),
    }
}

fn failed(status: u16, message: &str) -> FromSql {
    FromSql::Failed { status, message: message.to_owned() }
}

fn wants(wanted: Wanted) -> FromSql {
    FromSql::Turned {
        wanted: vec![wanted],
        cancelled: Vec::new(),
        has_rows: false,
        goes_on: false,
        is_done: false,
        piece: Vec::new(),
    }
}

fn said(text: String) -> FromSql {
    FromSql::Turned {
        wanted: Vec::new(),
        cancelled: Vec::new(),
        has_rows: true,
        goes_on: false,
        is_done: true,
        piece: text.into_bytes(),
    }
}
