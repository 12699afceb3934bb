//! Tests Flight as gRPC-Web in the whole product: tickets, schemas, status codes, and incomplete
//! results.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, UnionMode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{decode_key, decode_varint, encode_varint};
use tidemark_server::http::Response;

use crate::product::{AUTHORIZATION, Product, TOKEN, header};
use crate::tokens::token;

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

struct Answer {
    response: Response,
    messages: Vec<Vec<u8>>,
    code: u32,
    text: String,
}

/// Encodes a length-delimited protobuf field.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(number << 3 | 2, &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

fn found(mut message: &[u8], number: u32) -> Vec<u8> {
    while !message.is_empty() {
        let (key, kind) = decode_key(&mut message).unwrap();
        let value = decode_varint(&mut message).unwrap();
        if kind != prost::encoding::WireType::LengthDelimited {
            continue;
        }
        let (bytes, behind) = message.split_at(usize::try_from(value).unwrap());
        if key == number {
            return bytes.to_vec();
        }
        message = behind;
    }
    Vec::new()
}

fn any(name: &str, value: &[u8]) -> Vec<u8> {
    let type_url = format!("type.googleapis.com/arrow.flight.protocol.sql.{name}");
    [field(1, type_url.as_bytes()), field(2, value)].concat()
}

fn call(product: &mut Product, method: &str, headers: &[(&str, &str)], message: &[u8]) -> Answer {
    called(product, method, headers, &[message.to_vec()])
}

fn called(
    product: &mut Product,
    method: &str,
    headers: &[(&str, &str)],
    messages: &[Vec<u8>],
) -> Answer {
    let content_type = headers.iter().find(|(name, _)| *name == "content-type");
    let is_text = content_type.is_some_and(|(_, value)| *value == TEXT);
    let mut all = headers.to_vec();
    for default in [("content-type", BINARY), AUTHORIZATION] {
        if !headers.iter().any(|(given, _)| *given == default.0) {
            all.push(default);
        }
    }
    let mut body = Vec::new();
    for message in messages {
        body.push(0);
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
    }
    if is_text {
        body = STANDARD.encode(body).into_bytes();
    }
    let path = format!("/arrow.flight.protocol.FlightService/{method}");
    let response = product.send("POST", &path, &all, body);
    assert_eq!(response.status, 200);
    assert!(product.last_was_streamed(), "{method}");
    let content_type = if is_text { TEXT } else { BINARY };
    assert_eq!(header(&response, "Content-Type"), Some(content_type));
    read(response, is_text)
}

fn read(response: Response, is_text: bool) -> Answer {
    let bytes = if is_text { unpacked(&response.body) } else { response.body.clone() };
    let (mut messages, mut rest) = (Vec::new(), bytes.as_slice());
    loop {
        let (kind, length) = (rest[0], u32::from_be_bytes(rest[1..5].try_into().unwrap()));
        let (bytes, behind) = rest[5..].split_at(length as usize);
        rest = behind;
        if kind == 0 {
            messages.push(bytes.to_vec());
            continue;
        }
        assert_eq!((kind, rest.len()), (0x80, 0), "trailers are the last");
        let trailers = std::str::from_utf8(bytes).unwrap();
        let (status, text) = trailers.split_once("\r\n").unwrap();
        let code = status.strip_prefix("grpc-status:").unwrap().parse().unwrap();
        let text = text.strip_prefix("grpc-message:").unwrap().trim_end().to_owned();
        return Answer { response, messages, code, text };
    }
}

/// Decodes a text of base64 chunks that each have their own padding.
fn unpacked(text: &[u8]) -> Vec<u8> {
    let four = |four: &[u8]| STANDARD.decode(four).unwrap();
    text.chunks(4).flat_map(four).collect()
}

fn batches(answer: &Answer) -> Vec<RecordBatch> {
    assert_eq!((answer.code, answer.text.as_str()), (0, ""));
    let mut stream = Vec::new();
    for message in &answer.messages {
        let (header, body) = (found(message, 2), found(message, 1000));
        stream.extend([[0xff; 4], u32::try_from(header.len()).unwrap().to_le_bytes()].concat());
        stream.extend([header, body].concat());
    }
    StreamReader::try_new(stream.as_slice(), None).unwrap().map(Result::unwrap).collect()
}

fn rows(answer: &Answer) -> usize {
    batches(answer).iter().map(RecordBatch::num_rows).sum()
}

fn json(language: &str, q: &str) -> Vec<u8> {
    let ticket = format!(r#"{{"database":"db","sql_query":"{q}","query_type":"{language}"}}"#);
    field(1, ticket.as_bytes())
}

fn created() -> Product {
    let mut product = Product::with(&[("SQL", "stand-in")]);
    assert_eq!(product.configure("POST", "{\"db\":\"db\"}").0, 200);
    assert_eq!(product.configure("POST", "{\"db\":\"other\"}").0, 200);
    product
}

#[test]
fn flight_returns_sql_and_influxql_rows() {
    let mut product = created();
    let lines: String = (0..3_000).map(|n| format!("cpu,host=h{} v={n} {n}\n", n % 3)).collect();
    product.write("db", &lines);
    for content_type in [BINARY, TEXT] {
        let headers = [("content-type", content_type)];
        for n in [0, 1, 1_000] {
            let ticket = json("sql", &format!("SELECT rows {n}"));
            let answer = call(&mut product, "DoGet", &headers, &ticket);
            let numbers: Vec<i64> = (batches(&answer).iter())
                .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
                .collect();
            assert_eq!(numbers, (0..n).collect::<Vec<_>>());
            // The first message contains the schema, even if the result has no rows.
            assert_eq!(answer.messages.len(), 1 + usize::try_from(n).unwrap().div_ceil(100));
        }
        let ticket = json("influxql", "SELECT v FROM cpu WHERE v < 2000");
        let answer = call(&mut product, "DoGet", &headers, &ticket);
        assert_eq!(rows(&answer), 2_000);
        let ticket = json("influxql", "SELECT v FROM nothing");
        let none = call(&mut product, "DoGet", &headers, &ticket);
        assert_eq!((rows(&none), none.messages.len()), (0, 1));
    }
}

#[test]
fn flight_info_schema_matches_rows() {
    let mut product = created();
    product.write("db", "cpu v=1 1\n");
    let statement = |q: &str| field(2, &any("CommandStatementQuery", &field(1, q.as_bytes())));
    let influxql = ("x-influxdata-query-language", "influxql");
    for (q, more, expected) in [
        ("SELECT rows 250", ("x", ""), 250),
        // The stand-in does not accept this statement as a subquery, so the server runs it
        // unchanged.
        ("SELECT alone 7", ("x", ""), 7),
        ("SELECT v FROM cpu", influxql, 1),
    ] {
        let headers = [("database", "db"), more];
        let info = call(&mut product, "GetFlightInfo", &headers, &statement(q));
        assert_eq!((info.code, info.messages.len()), (0, 1), "{q}: {}", info.text);
        let (schema, endpoint) = (found(&info.messages[0], 1), found(&info.messages[0], 3));
        assert_eq!(found(&info.messages[0], 2), statement(q), "the descriptor comes back");
        let ticket = found(&endpoint, 1);
        let answer = call(&mut product, "DoGet", &[], &ticket);
        assert_eq!(rows(&answer), expected, "{q}");
        let header = found(&answer.messages[0], 2);
        assert_eq!(schema[8..], header, "{q}: the stream's own schema");
        let alone = call(&mut product, "GetSchema", &headers, &statement(q));
        assert_eq!(found(&alone.messages[0], 1), schema);
    }
    let wrong =
        call(&mut product, "GetFlightInfo", &[("database", "db")], &statement("fail 400 no"));
    assert_eq!((wrong.code, wrong.text.as_str(), wrong.messages.len()), (3, "no", 0));
    for name in ["database", "bucket", "bucket-name", "iox-namespace-name"] {
        let info =
            call(&mut product, "GetFlightInfo", &[(name, "db")], &statement("SELECT rows 1"));
        assert_eq!(info.code, 0, "{name}: {}", info.text);
    }
    let none = call(&mut product, "GetFlightInfo", &[], &statement("SELECT rows 1"));
    assert_eq!((none.code, none.text.as_str()), (3, "no 'database' header in request"));
    let path = call(&mut product, "GetFlightInfo", &[], &field(3, b"cpu"));
    assert_eq!(path.code, 12, "{}", path.text);
}

#[test]
fn late_flight_error_uses_trailers() {
    let mut product = created();
    let answer = call(&mut product, "DoGet", &[], &json("sql", "SELECT breaks 1000"));
    assert_eq!((answer.code, answer.text.as_str()), (8, "it broke"));
    // The response has at most eleven messages: the schema and ten batches.
    assert!((2..11).contains(&answer.messages.len()), "{} came", answer.messages.len());
    let line = product.log_line().unwrap();
    assert!(line.contains("too heavy"), "{line}");
    let early = call(&mut product, "DoGet", &[], &json("sql", "fail 507 aggregate first"));
    assert_eq!((early.code, early.text.as_str(), early.messages.len()), (8, "aggregate first", 0));
}

#[test]
fn flight_errors_have_grpc_codes() {
    let mut product = created();
    let ticket = json("sql", "SELECT rows 1");
    let of_other = format!("Bearer {}", token(&mut product, "t", &["other"], &["read"], None));
    let by = |product: &mut Product, method: &str, by: &str, message: &[u8]| {
        let answer = call(product, method, &[("authorization", by)], message);
        (answer.code, answer.messages.len())
    };
    for bad in ["", "Bearer wrong", "Basic eDp5"] {
        for method in ["DoGet", "Handshake", "GetFlightInfo", "ListFlights"] {
            assert_eq!(by(&mut product, method, bad, &ticket), (16, 0), "{bad} {method}");
        }
    }
    assert_eq!(by(&mut product, "DoGet", &of_other, &ticket), (7, 0));
    // The permission is checked first, so only the administrator sees the positions of errors.
    let many =
        any("ActionCreatePreparedStatementRequest", &field(1, "?".repeat(40_000).as_bytes()));
    let many = [field(1, b"CreatePreparedStatement"), field(2, &many)].concat();
    for (by, code, text) in [
        (of_other.as_str(), 7, "is not authorized to do this"),
        (&format!("Bearer {TOKEN}"), 3, "more than 1000 parameters (PLACEHOLDERS_MAX)"),
    ] {
        let headers = [("authorization", by), ("database", "db")];
        let answer = call(&mut product, "DoAction", &headers, &many);
        assert!(
            answer.code == code && answer.text.contains(text),
            "{} {}",
            answer.code,
            answer.text
        );
    }
    let own = field(1, br#"{"database":"other","sql_query":"SELECT rows 1"}"#);
    assert_eq!(by(&mut product, "DoGet", &of_other, &own), (0, 2));
    let hello = call(&mut product, "Handshake", &[("authorization", &of_other)], b"");
    let bearer = header(&hello.response, "Authorization");
    assert_eq!((hello.code, bearer), (0, Some(of_other.as_str())));
    let missing = field(1, br#"{"database":"none","sql_query":"SELECT rows 1"}"#);
    for (method, headers, message, code) in [
        ("DoGet", ("x", ""), missing.as_slice(), 5),
        ("DoGet", ("x", ""), &field(1, b"nonsense"), 3),
        ("DoGet", ("x", ""), b"\xff", 3),
        ("DoGet", ("grpc-timeout", "0n"), &ticket, 4),
        ("DoGet", ("grpc-timeout", "soon"), &ticket, 3),
        ("DoGet", ("x", ""), &json("influxql", "SELECT"), 3),
        ("ListFlights", ("x", ""), b"", 12),
        ("DoExchange", ("x", ""), b"", 12),
    ] {
        let answer = call(&mut product, method, &[headers], message);
        assert_eq!((answer.code, answer.messages.len()), (code, 0), "{method} {}", answer.text);
    }
}

/// Cloudflare converts gRPC-Web to gRPC only if the response has no Content-Length.
#[test]
fn every_flight_response_is_streamed() {
    let mut product = created();
    let grpc = ("content-type", "application/grpc");
    let binary = ("content-type", BINARY);
    for (method, headers, status) in [
        ("POST", &[AUTHORIZATION, binary][..], 200),
        ("POST", &[binary], 200),
        ("POST", &[AUTHORIZATION, grpc], 415),
        ("POST", &[grpc], 401),
        ("GET", &[AUTHORIZATION], 405),
        ("POST", &[AUTHORIZATION, ("origin", "https://a")], 403),
    ] {
        let path = "/arrow.flight.protocol.FlightService/DoGet";
        let response = product.send(method, path, headers, "");
        assert_eq!((response.status, product.last_was_streamed()), (status, true), "{method}");
        assert_eq!(header(&response, "Content-Length"), None, "{method} {status}");
    }
}

/// Encodes the Flight messages for one batch. The first message contains a descriptor.
fn put(command: &[u8], batch: &RecordBatch) -> Vec<Vec<u8>> {
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    let schema = stream.get_ref().len();
    stream.write(batch).unwrap();
    let bytes = stream.get_ref();
    let message = |bytes: &[u8]| {
        let header = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let (header, body) = bytes[8..].split_at(header);
        [field(2, header), field(1000, body)].concat()
    };
    let first = [field(1, &field(2, command)), message(&bytes[..schema])].concat();
    vec![first, message(&bytes[schema..])]
}

#[test]
fn prepared_statement_runs_by_handle() {
    let mut product = created();
    let headers = [("database", "db")];
    let query = any("ActionCreatePreparedStatementRequest", &field(1, b"SELECT rows ?"));
    let action = [field(1, b"CreatePreparedStatement"), field(2, &query)].concat();
    let created = call(&mut product, "DoAction", &headers, &action);
    assert_eq!((created.code, created.messages.len()), (0, 1), "{}", created.text);
    let result = found(&found(&created.messages[0], 1), 2);
    let (handle, dataset, parameters) = (found(&result, 1), found(&result, 2), found(&result, 3));
    let parameters = StreamReader::try_new(parameters.as_slice(), None).unwrap().schema();
    assert!(!dataset.is_empty() && *parameters.field(0).data_type() == DataType::Int64);
    let of_handle = |handle: &[u8]| any("CommandPreparedStatementQuery", &field(1, handle));
    let batch = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    let seven = batch(vec![("0", Arc::new(Int64Array::from(vec![7, 8])) as _)]);
    let answer = called(&mut product, "DoPut", &headers, &put(&of_handle(&handle), &seven));
    assert_eq!((answer.code, answer.messages.len()), (0, 1), "{}", answer.text);
    let bound = found(&found(&answer.messages[0], 1), 1);
    for (handle, expected) in [(&handle, 0), (&bound, 7)] {
        let descriptor = field(2, &of_handle(handle));
        let info = call(&mut product, "GetFlightInfo", &headers, &descriptor);
        assert_eq!(info.code, 0, "{}", info.text);
        assert_eq!(found(&info.messages[0], 1), dataset);
        let ticket = found(&found(&info.messages[0], 3), 1);
        assert_eq!(rows(&call(&mut product, "DoGet", &[], &ticket)), expected);
    }
    let mut forged = bound.clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused = call(&mut product, "DoGet", &headers, &field(1, &of_handle(&forged)));
    assert!(
        refused.code == 3 && refused.text.contains("did not sign the handle"),
        "{}",
        refused.text
    );
    let texts = StringArray::from(vec!["a"]);
    let two = batch(vec![("a", Arc::new(texts.clone()) as _), ("b", Arc::new(texts) as _)]);
    let many = called(&mut product, "DoPut", &headers, &put(&of_handle(&handle), &two));
    assert_eq!(
        (many.code, many.text.as_str()),
        (3, "the statement has 1 parameters, and the request contains 2 values")
    );
    let rows =
        called(&mut product, "DoPut", &headers, &put(&any("CommandStatementIngest", b""), &two));
    assert_eq!(rows.code, 3, "{}", rows.text);
    let close = any("ActionClosePreparedStatementRequest", &field(1, &handle));
    for (kind, body, count) in [
        ("ClosePreparedStatement", close.as_slice(), 0),
        ("ClosePreparedStatement", close.as_slice(), 0),
        ("CloseSession", b"", 1),
    ] {
        let action = [field(1, kind.as_bytes()), field(2, body)].concat();
        let done = call(&mut product, "DoAction", &headers, &action);
        assert_eq!((done.code, done.messages.len()), (0, count), "{kind}");
    }
}

#[test]
fn flight_lists_need_no_database() {
    let mut product = created();
    for (name, command, expected) in [
        ("CommandGetCatalogs", Vec::new(), 1),
        ("CommandGetDbSchemas", field(2, b"i%"), 2),
        ("CommandGetTableTypes", Vec::new(), 2),
        ("CommandGetSqlInfo", vec![0x08, 0, 0x08, 3], 2),
        ("CommandGetXdbcTypeInfo", Vec::new(), 8),
        ("CommandGetPrimaryKeys", field(3, b"cpu"), 0),
        ("CommandGetImportedKeys", field(3, b"cpu"), 0),
    ] {
        let descriptor = field(2, &any(name, &command));
        let info = call(&mut product, "GetFlightInfo", &[], &descriptor);
        assert_eq!(info.code, 0, "{name}: {}", info.text);
        let ticket = found(&found(&info.messages[0], 3), 1);
        let answer = call(&mut product, "DoGet", &[], &ticket);
        assert_eq!(rows(&answer), expected, "{name}");
        assert_eq!(found(&info.messages[0], 1)[8..], found(&answer.messages[0], 2), "{name}");
    }
    let tables = field(2, &any("CommandGetTables", b""));
    let none = call(&mut product, "GetFlightInfo", &[], &tables);
    assert_eq!((none.code, none.text.as_str()), (3, "no 'database' header in request"));
}

/// Returns a field in the notation of `FlightSql.proto`.
fn as_specified(field: &Field) -> String {
    let list = |fields: &[&Field]| {
        fields.iter().map(|field| as_specified(field)).collect::<Vec<_>>().join(", ")
    };
    let data_type = match field.data_type() {
        DataType::Boolean => "bool".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::List(item) => format!("list<{}>", list(&[item])),
        DataType::Union(children, UnionMode::Dense) => {
            let children: Vec<&Field> = children.iter().map(|(_, child)| &**child).collect();
            format!("dense_union<{}>", list(&children))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                format!("map<{}>", list(&pair.iter().map(|field| &**field).collect::<Vec<_>>()))
            }
            other => format!("{other:?}"),
        },
        other => format!("{other:?}").to_lowercase(),
    };
    assert!(field.metadata().is_empty(), "{field}");
    let nullability = if field.is_nullable() { "" } else { " not null" };
    format!("{}: {data_type}{nullability}", field.name())
}

/// Compares the schemas with the specification, because drivers compare them with the responses. As
/// in Arrow's own libraries, the children of the union are not nullable.
#[test]
fn flight_metadata_schemas_match_specification() {
    const TABLES: &str = "catalog_name: utf8; db_schema_name: utf8; table_name: utf8 not null; \
                          table_type: utf8 not null";
    const KEYS: &str = "pk_catalog_name: utf8; pk_db_schema_name: utf8; \
                        pk_table_name: utf8 not null; pk_column_name: utf8 not null; \
                        fk_catalog_name: utf8; fk_db_schema_name: utf8; \
                        fk_table_name: utf8 not null; fk_column_name: utf8 not null; \
                        key_sequence: int32 not null; fk_key_name: utf8; pk_key_name: utf8; \
                        update_rule: uint8 not null; delete_rule: uint8 not null";
    let with_schema = format!("{TABLES}; table_schema: bytes not null");
    let mut product = created();
    for (name, command, expected) in [
        ("CommandGetCatalogs", vec![], "catalog_name: utf8 not null"),
        ("CommandGetDbSchemas", vec![], "catalog_name: utf8; db_schema_name: utf8 not null"),
        ("CommandGetTables", vec![], TABLES),
        ("CommandGetTables", vec![0x28, 1], &with_schema),
        ("CommandGetTableTypes", vec![], "table_type: utf8 not null"),
        (
            "CommandGetPrimaryKeys",
            field(3, b"cpu"),
            "catalog_name: utf8; db_schema_name: utf8; table_name: utf8 not null; \
             column_name: utf8 not null; key_name: utf8; key_sequence: int32 not null",
        ),
        ("CommandGetExportedKeys", field(3, b"cpu"), KEYS),
        ("CommandGetImportedKeys", field(3, b"cpu"), KEYS),
        ("CommandGetCrossReference", field(3, b"cpu"), KEYS),
        (
            "CommandGetSqlInfo",
            vec![],
            "info_name: uint32 not null; value: dense_union<string_value: utf8 not null, \
             bool_value: bool not null, bigint_value: int64 not null, \
             int32_bitmask: int32 not null, string_list: list<string_data: utf8> not null, \
             int32_to_int32_list_map: map<key: int32 not null, \
             value: list<$data$: int32>> not null> not null",
        ),
        (
            "CommandGetXdbcTypeInfo",
            vec![],
            "type_name: utf8 not null; data_type: int32 not null; column_size: int32; \
             literal_prefix: utf8; literal_suffix: utf8; \
             create_params: list<item: utf8 not null>; nullable: int32 not null; \
             case_sensitive: bool not null; searchable: int32 not null; \
             unsigned_attribute: bool; fixed_prec_scale: bool not null; auto_increment: bool; \
             local_type_name: utf8; minimum_scale: int32; maximum_scale: int32; \
             sql_data_type: int32 not null; datetime_subcode: int32; num_prec_radix: int32; \
             interval_precision: int32",
        ),
    ] {
        let descriptor = field(2, &any(name, &command));
        for (method, number) in [("GetSchema", 1), ("GetFlightInfo", 1)] {
            let answer = call(&mut product, method, &[("database", "db")], &descriptor);
            assert_eq!(answer.code, 0, "{name}: {}", answer.text);
            let mut stream = found(&answer.messages[0], number);
            stream.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
            let schema = StreamReader::try_new(stream.as_slice(), None).unwrap().schema();
            assert!(schema.metadata().is_empty(), "{name}");
            let fields: Vec<String> = schema.fields().iter().map(|of| as_specified(of)).collect();
            assert_eq!(fields.join("; "), expected, "{method} {name}");
        }
    }
}

/// For unknown methods and compressed messages, the codes are gRPC's own codes.
#[test]
fn unsupported_flight_calls_are_rejected() {
    let mut product = created();
    let headers = [("database", "db")];
    let mut refused = |method: &str, message: &[u8], text: &str| {
        let answer = call(&mut product, method, &headers, message);
        assert_eq!((answer.code, answer.messages.len()), (3, 0), "{method} {text}");
        assert!(answer.text.contains(text), "{method}: {}", answer.text);
    };
    for name in [
        "CommandStatementUpdate",
        "CommandPreparedStatementUpdate",
        "CommandStatementSubstraitPlan",
        "CommandStatementIngest",
        "Anything",
    ] {
        let descriptor = field(2, &any(name, b""));
        refused("GetFlightInfo", &descriptor, name);
        refused("GetSchema", &descriptor, name);
        refused("DoGet", &field(1, &any(name, b"")), name);
        refused("DoPut", &field(1, &descriptor), "write_lp");
    }
    for kind in [
        "BeginTransaction",
        "EndTransaction",
        "BeginSavepoint",
        "EndSavepoint",
        "CancelQuery",
        "CancelFlightInfo",
        "SetSessionOptions",
        "GetSessionOptions",
        "CreatePreparedSubstraitPlan",
        "Anything",
        "",
    ] {
        refused("DoAction", &field(1, kind.as_bytes()), &format!("\"{kind}\""));
    }
    let within = [field(1, b"SELECT rows 1"), field(2, b"transaction")].concat();
    let statement = field(2, &any("CommandStatementQuery", &within));
    refused(
        "GetFlightInfo",
        &statement,
        "transactions are not supported: send statements without \
                                          a transaction",
    );
    let action = |name: &str, body: &[u8]| {
        [field(1, b"CreatePreparedStatement"), field(2, &any(name, body))].concat()
    };
    let prepare = action("ActionCreatePreparedStatementRequest", &within);
    refused(
        "DoAction",
        &prepare,
        "transactions are not supported: send statements without a \
                                   transaction",
    );
    refused("DoAction", &action("Anything", &field(1, b"SELECT rows 1")), "Anything");
    for (method, text) in [
        ("DoGet", "Invalid ticket"),
        ("GetFlightInfo", "is not supported"),
        ("DoAction", "supports the actions"),
        ("DoPut", "write_lp"),
    ] {
        refused(method, b"", text);
        refused(method, &[0xff; 9], "");
    }
}

#[test]
fn invalid_flight_frames_are_rejected() {
    let mut product = created();
    let ticket = json("sql", "SELECT rows 1");
    let whole = [&[0, 0, 0, 0, u8::try_from(ticket.len()).unwrap()][..], &ticket].concat();
    let mut asked = |content_type: &str, body: Vec<u8>| {
        let path = "/arrow.flight.protocol.FlightService/DoGet";
        let token = format!("token {TOKEN}");
        let headers = [("content-type", content_type), ("authorization", token.as_str())];
        product.send("POST", path, &headers, body)
    };
    let compressed = [&[1][..], &whole[1..]].concat();
    let pieces = [STANDARD.encode(&whole[..7]), STANDARD.encode(&whole[7..])].concat();
    for (content_type, body, code) in [
        (BINARY, whole.clone(), 0),
        ("Application/gRPC-Web", whole.clone(), 0),
        (TEXT, pieces.into_bytes(), 0),
        (BINARY, compressed, 12),
        (BINARY, whole[..whole.len() - 1].to_vec(), 3),
        (BINARY, whole[..4].to_vec(), 3),
        (BINARY, vec![0, 0xff, 0xff, 0xff, 0xff, 1], 3),
        (BINARY, b"GET / HTTP/1.1".to_vec(), 3),
        (BINARY, [whole.clone(), vec![0x80, 0, 0, 0, 0]].concat(), 3),
        (TEXT, whole.clone(), 3),
        (BINARY, [&[0, 0x10, 0, 0, 0][..], &vec![b'A'; 0x10_0000]].concat(), 8),
    ] {
        let answer = read(asked(content_type, body), content_type == TEXT);
        assert_eq!(answer.code, code, "{content_type}: {}", answer.text);
        assert_eq!(answer.messages.is_empty(), code != 0);
    }
    for content_type in ["", "application/grpc", "application/grpc-web+json", "application/json"] {
        let response = asked(content_type, whole.clone());
        assert_eq!(response.status, 415, "{content_type}");
        assert!(String::from_utf8(response.body).unwrap().contains("tidemark flight"));
    }
}
