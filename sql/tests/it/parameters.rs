//! Tests statements with parameters such as `$name`.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::ipc::reader::StreamReader;
use tidemark_engine::protocol::envelope;
use tidemark_sql::messages::{
    FromSql, PREPARED_FORMAT, Parameter, QueryRequest, SessionReply, ToSql,
};
use tidemark_sql::output::Format;
use tidemark_sql::{Engine, QuerySession};

use super::database::{Database, Layout, request, written};

fn csv(text: &str, parameters: &[(&str, Parameter)]) -> String {
    let mut database = Database::default();
    database.write("cpu,host=a usage=1.5,n=3i 1641024000000000000");
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    match database.ask_with(text, parameters, Layout::PLAIN) {
        Ok(answered) => String::from_utf8(written(&answered, Format::Csv).unwrap()).unwrap(),
        Err(error) => format!("{}: {error}", error.status()),
    }
}

#[test]
fn parameters_keep_value_types() {
    let host = ("host", Parameter::String("a".into()));
    assert_eq!(csv("SELECT usage FROM cpu WHERE host = $host", &[host]), "usage\n1.5\n");
    let values = [
        ("i", Parameter::Integer(-1)),
        ("u", Parameter::Unsigned(u64::MAX)),
        ("f", Parameter::Float(0.5)),
        ("b", Parameter::Boolean(true)),
        ("s", Parameter::String("it's".into())),
        ("n", Parameter::Null),
        ("t", Parameter::Time(1_641_024_000_000_000_001)),
    ];
    assert_eq!(
        csv("SELECT $i AS i, $u AS u, $f AS f, $b AS b, $s AS s, $n AS n", &values),
        "i,u,f,b,s,n\n-1,18446744073709551615,0.5,true,it's,\n"
    );
    assert_eq!(
        csv("SELECT $t + interval '1 day' AS t, $t - time AS d FROM cpu WHERE time < $t", &values),
        "t,d\n2022-01-02T08:00:00.000000001,PT0.000000001S\n"
    );
    let id = ("id", Parameter::Integer(5));
    assert_eq!(csv("SELECT usage FROM cpu WHERE host != $id", &[id]), "usage\n1.5\n");
    let time = ("from", Parameter::String("2022-01-01T08:00:00Z".into()));
    assert_eq!(csv("SELECT n FROM cpu WHERE time >= $from", &[time]), "n\n3\n");
}

#[test]
fn missing_parameter_is_reported() {
    let expected = "400: Error during planning: No value found for placeholder with name $host";
    assert_eq!(csv("SELECT * FROM cpu WHERE host = $host", &[]), expected);
    let other = ("other", Parameter::Integer(1));
    assert_eq!(csv("SELECT * FROM cpu WHERE host = $host", &[other]), expected);
}

#[test]
fn sql_parameters_are_limited() {
    let names: Vec<String> = (0..1_001).map(|at| format!("p{at}")).collect();
    let parameters: Vec<_> =
        names.iter().map(|name| (name.as_str(), Parameter::Integer(1))).collect();
    assert_eq!(csv("SELECT 1", &parameters), "400: the statement has more than 1000 parameters");
}

/// Returns the types of the parameters `$1`, `$2` and so on, and the names of the columns.
fn described(text: &str, count: usize) -> (Vec<DataType>, Vec<String>) {
    let mut database = Database::default();
    database.write("cpu,host=a usage=1.5,n=3i,u=4u,s=\"x\",ok=true 1641024000000000000");
    let nulls = (1..=count).map(|number| (number.to_string(), Parameter::Null)).collect();
    let text = format!("SELECT * FROM ({text}) LIMIT 0");
    let request = QueryRequest { format: PREPARED_FORMAT.to_owned(), ..request(&text, nulls) };
    let (engine, mut session) = (Engine::default(), QuerySession::default());
    let (mut message, mut stream) = (ToSql::Open(request), Vec::new());
    loop {
        let reply = session.turn(&engine, &envelope::encode(&message));
        let reply = envelope::decode::<FromSql>(&reply).unwrap().1;
        let FromSql::Turned { wanted, is_done, piece, .. } = reply else { panic!("{reply:?}") };
        stream.extend(piece);
        if is_done {
            break;
        }
        let tables = || SessionReply::Tables(vec![database.schema("cpu").unwrap()]);
        message = ToSql::turn(wanted.into_iter().map(|_| tables()).collect());
    }
    let schema = |bytes: &[u8]| StreamReader::try_new(bytes, None).unwrap().schema();
    let header = u32::from_le_bytes(stream[4..8].try_into().unwrap()) as usize;
    let (parameters, columns) = (schema(&stream), schema(&stream[8 + header..]));
    let types = parameters.fields().iter().map(|field| field.data_type().clone()).collect();
    (types, columns.fields().iter().map(|field| field.name().clone()).collect())
}

#[test]
fn prepared_statement_describes_parameters() {
    let condition = "time >= $1 AND usage > $2 AND n IN ($3, $4) AND ok = $5 AND host = $6 \
                     AND u < $7 AND s LIKE $8";
    let text = format!("SELECT usage, n FROM cpu WHERE {condition} LIMIT $9 OFFSET $10");
    let expected = [
        // JDBC binds milliseconds.
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Float64,
        DataType::Int64,
        DataType::Int64,
        DataType::Boolean,
        DataType::Utf8,
        DataType::Int64,
        DataType::Utf8,
        DataType::Int64,
        DataType::Int64,
    ];
    assert_eq!(described(&text, 10), (expected.to_vec(), vec!["usage".to_owned(), "n".to_owned()]));
    for (text, expected) in [
        ("SELECT $1 AS a", DataType::Utf8),
        ("SELECT usage * $1 AS a FROM cpu", DataType::Float64),
        (
            "SELECT n AS a FROM cpu WHERE n > (SELECT max(n) FROM cpu WHERE ok = $1)",
            DataType::Boolean,
        ),
        ("SELECT n AS a FROM cpu WHERE time > CAST($1 AS TIMESTAMP)", DataType::Utf8),
        // The types differ.
        ("SELECT n AS a FROM cpu WHERE n > $1 AND usage > $1", DataType::Utf8),
    ] {
        assert_eq!(described(text, 1), (vec![expected], vec!["a".to_owned()]), "{text}");
    }
    assert_eq!(described("SELECT n AS a FROM cpu", 0), (Vec::new(), vec!["a".to_owned()]));
}
