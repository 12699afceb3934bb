//! Defines the supported messages of Arrow Flight and Flight SQL, and InfluxDB's ticket. The field
//! numbers come from Arrow's `Flight.proto` and `FlightSql.proto`.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// Every message with one field, which contains bytes: `Ticket`, `SchemaResult`, `PutResult`, the
/// `Result` of an action, `CommandPreparedStatementQuery`, `TicketStatementQuery` and
/// `DoPutPreparedStatementResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BytesValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) value: Vec<u8>,
}

const FLIGHT_SQL: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

impl Any {
    pub(super) fn of_sql(name: &str, message: &impl Message) -> Self {
        Self { type_url: format!("{FLIGHT_SQL}{name}"), value: message.encode_to_vec() }
    }

    pub(super) fn is_named(&self) -> bool {
        self.type_url.starts_with("type.googleapis.com/")
    }

    pub(super) fn sql_name(&self) -> Option<&str> {
        self.type_url.strip_prefix(FLIGHT_SQL)
    }
}

/// The handshake request and its response, which have the same fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Handshake {
    #[prost(uint64, tag = "1")]
    pub(super) protocol_version: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightDescriptor {
    /// Kind 2 is a command. Kind 1 is a path, which this server does not support.
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

/// The place from which the client fetches rows: always the server that returned the endpoint.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightEndpoint {
    #[prost(message, optional, tag = "1")]
    pub(super) ticket: Option<BytesValue>,
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
    /// 0 and 1 are SQL, 2 is InfluxQL, and 3 is a Flight SQL command.
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
    pub(super) const TYPE_URL: &'static str =
        "type.googleapis.com/influxdata.iox.querier.v1.ReadInfo";
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QueryParam {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(oneof = "ParamKind", tags = "2, 3, 4, 5, 6, 7, 100")]
    pub(super) value: Option<ParamKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ParamKind {
    /// Protobuf's `NullValue`, an enum with one value.
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
    /// A time in nanoseconds. InfluxDB's message has no times, so only this server sets this field,
    /// in the handles of prepared statements.
    #[prost(int64, tag = "100")]
    Time(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FlightAction {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) body: Vec<u8>,
}

/// `CommandStatementQuery`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatementQuery {
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) transaction: Option<Vec<u8>>,
}

/// `CommandGetSqlInfo`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetSqlInfo {
    /// An empty list requests all numbers.
    #[prost(uint32, repeated, tag = "1")]
    pub(super) info: Vec<u32>,
}

/// `CommandGetXdbcTypeInfo`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetXdbcTypeInfo {
    #[prost(int32, optional, tag = "1")]
    pub(super) data_type: Option<i32>,
}

/// `CommandGetDbSchemas`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetDbSchemas {
    #[prost(string, optional, tag = "1")]
    pub(super) catalog: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) schema_pattern: Option<String>,
}

/// `CommandGetTables`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTables {
    #[prost(string, optional, tag = "1")]
    pub(super) catalog: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) schema_pattern: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) table_pattern: Option<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) table_types: Vec<String>,
    #[prost(bool, tag = "5")]
    pub(super) include_schema: bool,
}

/// `ActionCreatePreparedStatementResult`
#[derive(Clone, PartialEq, Message)]
pub(super) struct CreatedStatement {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) handle: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) dataset_schema: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) parameter_schema: Vec<u8>,
}
