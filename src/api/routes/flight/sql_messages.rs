//! Defines the supported messages of Flight SQL. The field numbers come from Arrow's
//! `FlightSql.proto`.

use prost::Message;

/// `CommandStatementQuery`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatementQuery {
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) transaction: Option<Vec<u8>>,
}

/// `CommandPreparedStatementQuery`, `TicketStatementQuery`, `ActionClosePreparedStatementRequest`
/// or `DoPutPreparedStatementResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Handle {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) handle: Vec<u8>,
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
