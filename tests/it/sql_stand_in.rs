//! A stand-in for the SQL Worker, which is a separate crate. It supports these statements:
//! - `count NAME` reads every row of a table, one page at a time.
//! - `pages NAME` also returns the number of rows after each page.
//! - `whole N` returns N bytes in one chunk.
//! - `fail STATUS TEXT` fails.
//! - `SELECT rows N` and `SELECT breaks N` return N rows as an Arrow stream in chunks. The second of
//!   these statements then fails.
//! - `trap` aborts.
//!
//! The stand-in replaces `$1` by its value. In a prepared statement, all parameters are integers.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use tidemark_browser::in_process::SqlSession;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::scan_page;
use tidemark_engine::protocol::sql::{
    FromSql, PREPARED_FORMAT, Parameter, ScanRequest, SessionReply, SessionRequest, TableSchema,
    ToSql,
};
use tidemark_engine::scan::page::GroupData;
use tidemark_model::time::TimeRange;

#[derive(Debug, Default)]
struct Count {
    table: String,
    rows: usize,
    pages: usize,
    /// The remaining chunks of a result. `None` marks a failure.
    pieces: VecDeque<Option<Vec<u8>>>,
    /// Whether each page adds a chunk to the result.
    tells: bool,
}

const BATCH_ROWS: i64 = 100;
/// The size of a chunk in bytes. A batch may end in the middle of a chunk.
const PIECE_BYTES: usize = 777;

pub(crate) fn stand_in() -> SqlSession {
    let mut count = Count::default();
    Box::new(move |message| {
        let (_, message) = envelope::decode::<ToSql>(message).unwrap();
        if matches!(&message, ToSql::Open(request) if request.text == "trap") {
            return Err("unreachable".to_owned());
        }
        Ok(envelope::encode(&turn(&mut count, message)))
    })
}

fn turn(count: &mut Count, message: ToSql) -> FromSql {
    match message {
        ToSql::Open(request) => {
            *count = Count::default();
            match request.text.split_once(' ') {
                Some((kind @ ("count" | "pages"), table)) => {
                    (count.table, count.tells) = (table.to_owned(), kind == "pages");
                    wants(SessionRequest::Tables(vec![count.table.clone()]))
                }
                Some(("whole", bytes)) => said("x".repeat(bytes.parse().unwrap())),
                Some(("fail", rest)) => {
                    let (status, message) = rest.split_once(' ').unwrap();
                    failed(status.parse().unwrap(), message)
                }
                Some(("SELECT", rest)) => {
                    let given = match request.parameters.first() {
                        Some((_, Parameter::Integer(number))) => number.to_string(),
                        _ => "0".to_owned(),
                    };
                    count.pieces = rows(&rest.replace("$1", &given));
                    if request.format == PREPARED_FORMAT {
                        count.pieces.push_front(Some(integers(&request.parameters)));
                    }
                    piece(count)
                }
                _ => failed(400, "no statement"),
            }
        }
        ToSql::Rewrite { .. } => failed(400, "it writes nothing anew"),
        ToSql::Turn { .. } if !count.pieces.is_empty() => piece(count),
        ToSql::Turn { replies, lengths, pages } => {
            let replies = ToSql::with_pages(replies, &lengths, &pages).unwrap();
            let mut next = None;
            for reply in replies {
                next = Some(add_reply(count, reply));
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

fn add_reply(count: &mut Count, reply: SessionReply) -> FromSql {
    match reply {
        SessionReply::Tables(tables) => match tables.first() {
            None => failed(400, "table not found"),
            Some(table) => wants(SessionRequest::Scan(ScanRequest {
                scan: 0,
                table: table.name.clone(),
                time: TimeRange::ALL,
                condition: None,
                fields: fields_of(table, count.tells),
                tags: Vec::new(),
                rows_max: None,
                first: None,
                aggregates: None,
                first_of: Vec::new(),
            })),
        },
        SessionReply::Page(page) => {
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
                false => wants(SessionRequest::Page(0)),
            }
        }
        SessionReply::System(..) | SessionReply::Failed { .. } => panic!("{reply:?}"),
    }
}

fn fields_of(table: &TableSchema, all: bool) -> Vec<String> {
    let fields = table.columns.iter().filter(|column| all && column.field_type.is_some());
    fields.map(|column| column.name.clone()).collect()
}

/// Returns the pieces of the rows that the text requests. The rows may be empty.
fn rows(text: &str) -> VecDeque<Option<Vec<u8>>> {
    let (text, is_empty) = match text.strip_prefix("* FROM (\nSELECT ") {
        Some(inner) => (inner.strip_suffix("\n) LIMIT 0").unwrap(), true),
        None => (text, false),
    };
    let (what, number) = text.split_once(' ').unwrap_or((text, "0"));
    let rows: i64 = if is_empty { 0 } else { number.parse().unwrap() };
    let batch = |from: i64, to: i64| {
        let texts = StringArray::from_iter_values((from..to).map(|n| format!("text {n}")));
        let columns = [("n", Arc::new(Int64Array::from_iter_values(from..to)) as _)];
        RecordBatch::try_from_iter(columns.into_iter().chain([("t", Arc::new(texts) as _)]))
            .unwrap()
    };
    let mut stream = StreamWriter::try_new(Vec::new(), &batch(0, 0).schema()).unwrap();
    for from in (0..rows).step_by(BATCH_ROWS as usize) {
        stream.write(&batch(from, rows.min(from + BATCH_ROWS))).unwrap();
    }
    let bytes = stream.into_inner().unwrap();
    let mut pieces: VecDeque<_> = bytes.chunks(PIECE_BYTES).map(|p| Some(p.to_vec())).collect();
    match (what, is_empty) {
        ("breaks", false) => *pieces.back_mut().unwrap() = None,
        // This statement cannot be a subquery.
        ("alone", true) => pieces = VecDeque::from([None]),
        _ => {}
    }
    pieces
}

/// Returns the schema of the parameters as an Arrow message.
fn integers(parameters: &[(String, Parameter)]) -> Vec<u8> {
    let field = |(name, _): &(String, Parameter)| Field::new(name, DataType::Int64, true);
    let schema = Schema::new(parameters.iter().map(field).collect::<Vec<_>>());
    let stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    stream.get_ref().clone()
}

fn piece(count: &mut Count) -> FromSql {
    match count.pieces.pop_front().unwrap() {
        None => failed(if count.pages == 0 { 400 } else { 507 }, "it broke"),
        Some(piece) => {
            count.pages += 1;
            FromSql::Turned {
                wanted: Vec::new(),
                cancelled: Vec::new(),
                has_rows: true,
                can_continue: !count.pieces.is_empty(),
                is_done: count.pieces.is_empty(),
                work: 0,
                piece,
            }
        }
    }
}

fn failed(status: u16, message: &str) -> FromSql {
    FromSql::Failed { status, message: message.to_owned() }
}

fn wants(wanted: SessionRequest) -> FromSql {
    FromSql::Turned {
        wanted: vec![wanted],
        cancelled: Vec::new(),
        has_rows: false,
        can_continue: false,
        is_done: false,
        work: 0,
        piece: Vec::new(),
    }
}

fn said(text: String) -> FromSql {
    FromSql::Turned {
        wanted: Vec::new(),
        cancelled: Vec::new(),
        has_rows: true,
        can_continue: false,
        is_done: true,
        work: 0,
        piece: text.into_bytes(),
    }
}
