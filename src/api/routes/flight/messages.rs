//! Lists the messages of Arrow Flight and Flight SQL that are read and written here, as arrow's
//! `Flight.proto` and `FlightSql.proto` number them, and InfluxDB's ticket.

use prost::Message;

/// A message, and the name of what it is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// What stands before the name of a message of Flight SQL.
const FLIGHT_SQL: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

impl Any {
    /// A message of Flight SQL under its name.
    pub(super) fn of_sql(name: &str, message: &impl Message) -> Self {
        Self { type_url: format!("{FLIGHT_SQL}{name}"), value: message.encode_to_vec() }
    }

    /// Whether it says what it is.
    pub(super) fn is_named(&self) -> bool {
        self.type_url.starts_with("type.googleapis.com/")
    }

    /// Its name, if it is one of Flight SQL.
    pub(super) fn sql_name(&self) -> Option<&str> {
        self.type_url.strip_prefix(FLIGHT_SQL)
    }
}

/// Both ways alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Handshake {
    #[prost(uint64, tag = "1")]
    pub(super) protocol_version: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightDescriptor {
    /// 2: a command. 1, a path, names nothing here.
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) command: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    pub(super) path: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightInfo {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) schema: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) descriptor: Option<FlightDescriptor>,
    #[prost(message, repeated, tag = "3")]
    pub(super) endpoints: Vec<FlightEndpoint>,
    #[prost(int64, tag = "4")]
    pub(super) total_records: i64,
    #[prost(int64, tag = "5")]
    pub(super) total_bytes: i64,
}

/// Without places: the one that was asked has the rows.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightEndpoint {
    #[prost(message, optional, tag = "1")]
    pub(super) ticket: Option<Ticket>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ticket {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) ticket: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SchemaResult {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) schema: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightData {
    #[prost(message, optional, tag = "1")]
    pub(super) descriptor: Option<FlightDescriptor>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) header: Vec<u8>,
    #[prost(bytes = "vec", tag = "1000")]
    pub(super) body: Vec<u8>,
}

/// InfluxDB's ticket (`influxdata.iox.querier.v1.ReadInfo`).
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadInfo {
    #[prost(string, tag = "1")]
    pub(super) database: String,
    #[prost(string, tag = "2")]
    pub(super) query: String,
    /// 0 and 1: SQL, 2: InfluxQL, 3: a command of Flight SQL.
    #[prost(int32, tag = "3")]
    pub(super) query_type: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) command: Vec<u8>,
    #[prost(message, repeated, tag = "6")]
    pub(super) params: Vec<QueryParam>,
}

impl ReadInfo {
    pub(super) const INFLUXQL: i32 = 2;
    pub(super) const FLIGHT_SQL: i32 = 3;
    /// Its name in an [`Any`].
    pub(super) const TYPE_URL: &'static str =
        "type.googleapis.com/influxdata.iox.querier.v1.ReadInfo";
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QueryParam {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(oneof = "ParamKind", tags = "2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<ParamKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ParamKind {
    /// Google's `NullValue`, which has one value.
    #[prost(int32, tag = "2")]
    Null(i32),
    #[prost(bool, tag = "3")]
    Boolean(bool),
    #[prost(uint64, tag = "4")]
    Unsigned(u64),
    #[prost(int64, tag = "5")]
    Integer(i64),
    #[prost(double, tag = "6")]
    Float(f64),
    #[prost(string, tag = "7")]
    String(String),
}

/// `Action`
#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightAction {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) body: Vec<u8>,
}

/// `Result` of an action, and `PutResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Outcome {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) body: Vec<u8>,
}
