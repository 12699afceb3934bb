//! Runs every case of `tests/edge/flight_cases.mjs` with the Flight SQL client of arrow-rs, and
//! prints the results as JSON. Arguments: the port of `tidemark flight`, a token, a token for
//! another database.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_flight::FlightInfo;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables, SqlInfo};
use arrow_json::writer::{JsonArray, WriterBuilder};
use arrow_schema::SchemaRef;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

type Client = FlightSqlServiceClient<Channel>;
type Seen<T> = Result<T, Box<dyn Error>>;

const MILLION: &str = "SELECT host, v, w, i, time FROM million";
const PATIENCE: Duration = Duration::from_secs(60);
/// 50 ms. A channel's deadline applies only until the headers of a response arrive.
const LATE: &str = "50m";

struct Server {
    port: String,
}

impl Server {
    async fn client(&self, token: &str, timeout: Duration) -> Seen<Client> {
        let address = format!("http://127.0.0.1:{}", self.port);
        let channel = Endpoint::new(address)?.timeout(timeout).connect().await?;
        let mut client = FlightSqlServiceClient::new(channel);
        client.set_token(token.to_owned());
        client.set_header("database", "d");
        Ok(client)
    }
}

async fn read(client: &mut Client, info: FlightInfo) -> Seen<(SchemaRef, Vec<RecordBatch>)> {
    let said = Arc::new(arrow_schema::Schema::try_from(info.clone())?);
    let ticket = info.endpoint[0].ticket.clone().ok_or("no ticket")?;
    let mut stream = client.do_get(ticket).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    let schema = stream.schema().ok_or("no schema")?.clone();
    if schema != said {
        return Err(format!("the stream has {schema}, and {said} was said").into());
    }
    Ok((schema, batches))
}

async fn ask(client: &mut Client, q: &str) -> Seen<(SchemaRef, Vec<RecordBatch>)> {
    let info = client.execute(q.to_owned(), None).await?;
    read(client, info).await
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn plain((schema, batches): (SchemaRef, Vec<RecordBatch>)) -> Seen<Value> {
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    let bytes = writer.into_inner();
    let found: Value = if bytes.is_empty() { json!([]) } else { serde_json::from_slice(&bytes)? };
    let column =
        |field: &Arc<arrow_schema::Field>| json!([field.name(), field.data_type().to_string()]);
    let columns: Vec<Value> = schema.fields().iter().map(column).collect();
    Ok(json!([columns, found]))
}

async fn failure(client: &mut Client, q: &str) -> Value {
    ask(client, q).await.err().map_or(Value::Null, |error| json!(text_of(&*error)))
}

fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn bound(client: &mut Client) -> Seen<Value> {
    let q = "SELECT count(*) AS n FROM types WHERE host = $1 AND i = $2 AND f > $3 AND b = $4";
    let mut statement = client.prepare(q.to_owned(), None).await?;
    let names: Vec<String> =
        statement.parameter_schema()?.fields().iter().map(|field| field.name().clone()).collect();
    let values: [ArrayRef; 4] = [
        Arc::new(StringArray::from(vec!["a"])),
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(Float64Array::from(vec![0.5])),
        Arc::new(BooleanArray::from(vec![true])),
    ];
    statement.set_parameters(RecordBatch::try_from_iter(names.iter().zip(values))?)?;
    let info = statement.execute().await?;
    let found = plain(read(client, info).await?)?;
    statement.close().await?;
    Ok(json!([names, found[1]]))
}

async fn lists(client: &mut Client) -> Seen<Value> {
    let tables = CommandGetTables {
        db_schema_filter_pattern: Some("iox".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let infos = [
        client.get_catalogs().await?,
        client.get_db_schemas(CommandGetDbSchemas::default()).await?,
        client.get_table_types().await?,
        client.get_tables(tables).await?,
        client
            .get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly])
            .await?,
    ];
    let mut counts = Vec::new();
    for info in infos {
        counts.push(rows(&read(client, info).await?.1));
    }
    Ok(json!(counts))
}

async fn cases(server: &Server, token: &str, other: &str) -> Seen<Value> {
    let mut client = server.client(token, PATIENCE).await?;
    let (schema, batches) = ask(&mut client, MILLION).await?;
    let sum: f64 = batches
        .iter()
        .flat_map(|b| b.column(1).as_primitive::<Float64Type>().values().to_vec())
        .sum();
    let million = json!([rows(&batches), schema.fields().len(), sum]);
    drop(batches);

    // If a client stops reading, the call is cancelled.
    let info = client.execute(MILLION.to_owned(), None).await?;
    let ticket = info.endpoint[0].ticket.clone().ok_or("no ticket")?;
    let mut stream = client.do_get(ticket).await?;
    let begun = stream.try_next().await?.map_or(0, |batch| batch.num_rows());
    drop(stream);
    let cancelled = json!([begun, rows(&ask(&mut client, "SELECT 1 AS one").await?.1)]);

    let (mut one, mut two) = (client.clone(), client.clone());
    let (one, two) = futures::join!(
        ask(&mut one, "SELECT v FROM many WHERE v >= 0"),
        ask(&mut two, "SELECT v FROM many WHERE v >= 1000")
    );
    let started = Instant::now();
    let mut late = server.client(token, PATIENCE).await?;
    late.set_header("grpc-timeout", LATE);
    let deadline = json!([failure(&mut late, MILLION).await, started.elapsed() < PATIENCE / 6]);
    // A handshake with a name and a password returns a token. The client then sends this token.
    let mut shaken = server.client("none", PATIENCE).await?;
    shaken.clear_token();
    shaken.handshake("", token).await?;
    Ok(json!({
        "types": plain(ask(&mut client, "SELECT * FROM types ORDER BY time").await?)?,
        "empty": plain(ask(&mut client, "SELECT f, host FROM types WHERE i > 1000").await?)?,
        "wrong": failure(&mut client, "SELEC 1").await,
        "unknown": failure(&mut client, "SELECT * FROM nothing").await,
        "token": failure(&mut server.client("wrong", PATIENCE).await?, "SELECT 1").await,
        "other": failure(&mut server.client(other, PATIENCE).await?, "SELECT 1").await,
        "two": [rows(&one?.1), rows(&two?.1)],
        "million": million,
        "cancelled": cancelled,
        "deadline": deadline,
        "handshake": rows(&ask(&mut shaken, "SELECT 1 AS one").await?.1),
        "bound": bound(&mut client).await?,
        "lists": lists(&mut client).await?,
    }))
}

/// Waits for a line of input before each query except the first one.
async fn restarted(server: &Server, token: &str) -> Seen<Value> {
    let mut client = server.client(token, PATIENCE).await?;
    let mut seen = Vec::new();
    for word in ["away", "back", ""] {
        seen.push(match ask(&mut client, "SELECT 1 AS one").await {
            Ok((_, batches)) => json!(rows(&batches)),
            Err(error) => json!(text_of(&*error)),
        });
        if !word.is_empty() {
            println!("{word}");
            std::io::stdin().read_line(&mut String::new())?;
        }
    }
    Ok(json!(seen))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Seen<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [action, port, token, other] = words.as_slice() else {
        return Err("expected: cases|restarted PORT TOKEN OTHER_TOKEN".into());
    };
    let server = Server { port: port.clone() };
    let seen = match action.as_str() {
        "restarted" => restarted(&server, token).await?,
        _ => cases(&server, token, other).await?,
    };
    println!("{seen}");
    Ok(())
}
