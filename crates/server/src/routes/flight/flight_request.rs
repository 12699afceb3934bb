//! Interprets the tickets and commands of Flight from all supported clients.

use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::listings::{self, BASE_TABLE};
use super::messages::{
    Any, BytesValue, GetDbSchemas, GetSqlInfo, GetTables, GetXdbcTypeInfo, ParamKind, QueryParam,
    ReadInfo, StatementQuery,
};
use super::prepared::Prepared;
use crate::error::{ApiError, ApiResult, invalid};
use crate::http::RequestHead;
use crate::params::database_and_policy;
use crate::routes::query_v3::{QueryRequest, values};
use crate::settings::Settings;
use tidemark_engine::protocol::sql::Parameter;
use tidemark_response::table::TableFormat;

/// The headers that name a database, as in InfluxDB.
const DATABASE_HEADERS: [&str; 4] = ["database", "bucket", "bucket-name", "iox-namespace-name"];
/// InfluxDB's message.
const NO_DATABASE: &str = "no 'database' header in request";
/// InfluxDB's message.
const NO_TICKET: &str = "Invalid ticket. Error: Invalid ticket";

#[derive(Clone, Debug)]
pub(super) struct Metadata<'a> {
    /// The database, or `database/policy`.
    pub(super) database: Option<String>,
    pub(super) is_influxql: bool,
    /// The type of the measurements in lists of tables. ODBC clients support only `TABLE`.
    pub(super) base_table: &'static str,
    pub(super) settings: &'a Settings,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(head: &RequestHead, settings: &'a Settings) -> ApiResult<Self> {
        let mut database: Option<&str> = None;
        for name in DATABASE_HEADERS {
            let Some(value) = head.header(name).filter(|value| !value.is_empty()) else { continue };
            if database.is_some_and(|known| known != value) {
                return invalid(format!(
                    "More than one headers are found in request: {} name different databases",
                    DATABASE_HEADERS.join(", ")
                ));
            }
            database = Some(value);
        }
        let language = head.header("x-influxdata-query-language").unwrap_or_default();
        Ok(Self {
            database: database.map(str::to_owned),
            is_influxql: language.eq_ignore_ascii_case("influxql"),
            base_table: match head.header("x-influxdata-base-table-type") {
                Some("TABLE") => "TABLE",
                _ => BASE_TABLE,
            },
            settings,
        })
    }

    pub(super) fn sql_query(
        &self,
        text: &str,
        params: Vec<(String, Parameter)>,
    ) -> ApiResult<QueryRequest> {
        let (database, policy) = database_and_policy(self.database.as_deref().unwrap_or_default());
        if database.is_none() {
            return invalid(NO_DATABASE);
        }
        Ok(QueryRequest {
            database,
            policy,
            q: text.trim().to_owned(),
            format: TableFormat::Arrow,
            params,
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum FlightRequest {
    Sql(QueryRequest),
    Influxql(QueryRequest),
    /// A complete list as an Arrow stream.
    Made(Vec<u8>),
    /// A list of tables. The server runs a statement that reads the tables, and
    /// [`listings::TableList`] converts the rows to the list.
    Tables {
        query: QueryRequest,
        include_schema: bool,
    },
}

impl FlightRequest {
    pub(super) fn of_ticket(ticket: &[u8], metadata: &Metadata<'_>) -> ApiResult<Self> {
        if ticket.trim_ascii_start().starts_with(b"{") {
            return Self::of_json(ticket, metadata);
        }
        // A ticket is an `Any` with a command, or a `ReadInfo`. Both decode as `Any`, but a
        // `ReadInfo` has the database's name where an `Any` has the name of its type.
        if let Ok(any) = Any::decode(ticket)
            && any.is_named()
        {
            return match any.type_url.as_str() {
                ReadInfo::TYPE_URL => Self::of_read_info(&any.value, metadata),
                _ if any.sql_name() == Some("TicketStatementQuery") => {
                    let BytesValue { value: handle } = decode(&any.value)?;
                    Self::of_read_info(&handle, metadata)
                }
                _ => Self::of_command(&any, metadata),
            };
        }
        Self::of_read_info(ticket, metadata).map_err(|error| match error {
            ApiError::Invalid(text) if text.starts_with(NOT_DECODED) => {
                ApiError::Invalid(NO_TICKET.to_owned())
            }
            error => error,
        })
    }

    fn of_json(ticket: &[u8], metadata: &Metadata<'_>) -> ApiResult<Self> {
        let ticket: JsonTicket = serde_json::from_slice(ticket)
            .map_err(|error| ApiError::Invalid(format!("{NO_TICKET}: {error}")))?;
        let metadata = Metadata {
            database: ticket.database.or_else(|| metadata.database.clone()),
            is_influxql: match ticket.query_type.as_deref() {
                None | Some("sql") => false,
                Some("influxql") => true,
                Some(other) => {
                    return invalid(format!(
                        "{NO_TICKET}: query_type is \"{other}\", not sql, influxql"
                    ));
                }
            },
            ..*metadata
        };
        let params = values(ticket.params.unwrap_or_default())?;
        Self::statement(&metadata, &ticket.sql_query, params)
    }

    fn of_read_info(bytes: &[u8], metadata: &Metadata<'_>) -> ApiResult<Self> {
        let read: ReadInfo = decode(bytes)?;
        let database = Some(read.database).filter(|name| !name.is_empty());
        let metadata = Metadata {
            database: database.or_else(|| metadata.database.clone()),
            is_influxql: read.query_type == ReadInfo::INFLUXQL,
            ..*metadata
        };
        match read.query_type {
            ReadInfo::FLIGHT_SQL => Self::of_command(&decode(&read.command)?, &metadata),
            _ if read.query.is_empty() => invalid(NO_TICKET),
            _ => {
                let params = read.params.into_iter().map(named).collect();
                Self::statement(&metadata, &read.query, params)
            }
        }
    }

    pub(super) fn of_command(any: &Any, metadata: &Metadata<'_>) -> ApiResult<Self> {
        let made = match any.sql_name() {
            Some("CommandStatementQuery") => {
                let StatementQuery { query, transaction } = decode(&any.value)?;
                no_transaction(transaction)?;
                return Self::statement(metadata, &query, Vec::new());
            }
            Some("CommandPreparedStatementQuery") => {
                let BytesValue { value: handle } = decode(&any.value)?;
                let prepared = Prepared::of_handle(&handle, metadata.settings)?;
                let params = prepared.params.into_iter().map(named).collect();
                return Ok(Self::Sql(metadata.sql_query(&prepared.query, params)?));
            }
            Some("CommandGetTables") => {
                let list: GetTables = decode(&any.value)?;
                let query = listings::list_statement(&list, metadata)?;
                return Ok(Self::Tables { query, include_schema: list.include_schema });
            }
            Some("CommandGetCatalogs") => listings::catalogs(),
            Some("CommandGetDbSchemas") => listings::schemas(&decode::<GetDbSchemas>(&any.value)?),
            Some("CommandGetTableTypes") => listings::table_types(metadata.base_table),
            Some("CommandGetSqlInfo") => {
                listings::sql_info(&decode::<GetSqlInfo>(&any.value)?.info)
            }
            Some("CommandGetXdbcTypeInfo") => {
                listings::xdbc_types(decode::<GetXdbcTypeInfo>(&any.value)?.data_type)
            }
            Some("CommandGetPrimaryKeys") => listings::primary_keys(),
            Some(
                "CommandGetExportedKeys" | "CommandGetImportedKeys" | "CommandGetCrossReference",
            ) => listings::foreign_keys(),
            _ => return not_known(any),
        };
        listings::stream(&made?).map(Self::Made)
    }

    fn statement(
        metadata: &Metadata<'_>,
        text: &str,
        params: Vec<(String, Parameter)>,
    ) -> ApiResult<Self> {
        let query = metadata.sql_query(text, params)?;
        Ok(if metadata.is_influxql { Self::Influxql(query) } else { Self::Sql(query) })
    }
}

pub(super) fn not_known<T>(any: &Any) -> ApiResult<T> {
    let name: String = any.type_url.chars().take(COMMAND_CHARS_MAX).collect();
    invalid(format!("\"{name}\" is not supported"))
}

/// Refuses a statement within a transaction, since the server does not support transactions.
pub(super) fn no_transaction(transaction: Option<Vec<u8>>) -> ApiResult<()> {
    match transaction.is_none_or(|id| id.is_empty()) {
        true => Ok(()),
        false => invalid("transactions are not supported: send statements without a transaction"),
    }
}

const COMMAND_CHARS_MAX: usize = 100;
const NOT_DECODED: &str = "the message cannot be decoded";

pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> ApiResult<M> {
    M::decode(bytes).map_err(|error| ApiError::Invalid(format!("{NOT_DECODED}: {error}")))
}

/// The JSON ticket of InfluxDB 3's own clients.
#[derive(Debug, Deserialize)]
struct JsonTicket {
    #[serde(alias = "namespace_name", alias = "bucket", alias = "bucket-name")]
    database: Option<String>,
    sql_query: String,
    query_type: Option<String>,
    params: Option<Map<String, Value>>,
}

fn named(param: QueryParam) -> (String, Parameter) {
    (param.name, param.value.map_or(Parameter::Null, Parameter::from))
}

impl From<ParamKind> for Parameter {
    fn from(value: ParamKind) -> Self {
        match value {
            ParamKind::Null(_) => Self::Null,
            ParamKind::Boolean(value) => Self::Boolean(value),
            ParamKind::Unsigned(value) => Self::Unsigned(value),
            ParamKind::Integer(value) => Self::Integer(value),
            ParamKind::Float(value) => Self::Float(value),
            ParamKind::String(text) => Self::String(text),
            ParamKind::Time(time_ns) => Self::Time(time_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(headers: &[(&str, &str)]) -> ApiResult<Metadata<'static>> {
        let settings = Box::leak(Box::new(Settings::read(|_| None).unwrap()));
        Metadata::of(&RequestHead::with_headers(headers), settings)
    }

    fn nothing() -> Metadata<'static> {
        metadata(&[]).unwrap()
    }

    fn any(value: &impl Message) -> Vec<u8> {
        let type_url = ReadInfo::TYPE_URL.to_owned();
        Any { type_url, value: value.encode_to_vec() }.encode_to_vec()
    }

    #[test]
    fn every_ticket_form_parses_equally() {
        let query = QueryRequest {
            database: Some("d".into()),
            policy: Some("p".into()),
            q: "SELECT $a".into(),
            format: TableFormat::Arrow,
            params: vec![("a".into(), Parameter::Unsigned(7))],
        };
        let param = QueryParam { name: "a".into(), value: Some(ParamKind::Unsigned(7)) };
        let read = ReadInfo {
            database: "d/p".into(),
            query: " SELECT $a".into(),
            params: vec![param],
            ..ReadInfo::default()
        };
        let influxql = ReadInfo { query_type: ReadInfo::INFLUXQL, ..read.clone() };
        let handle =
            Any::of_sql("TicketStatementQuery", &BytesValue { value: read.encode_to_vec() });
        let json = |name: &str, of: &str| {
            format!(r#" {{"{name}":"d/p","sql_query":"SELECT $a","params":{{"a":7}}{of}}}"#)
        };
        let mut sql = vec![read.encode_to_vec(), any(&read), handle.encode_to_vec()];
        for name in ["database", "namespace_name", "bucket", "bucket-name"] {
            sql.push(json(name, "").into());
            sql.push(json(name, r#","query_type":"sql","is_debug":false"#).into());
        }
        for ticket in sql {
            let flight_request = FlightRequest::of_ticket(&ticket, &nothing());
            assert_eq!(flight_request, Ok(FlightRequest::Sql(query.clone())), "{ticket:?}");
        }
        let of_influxql = json("bucket", r#","query_type":"influxql""#).into();
        for ticket in [influxql.encode_to_vec(), any(&influxql), of_influxql] {
            let flight_request = FlightRequest::of_ticket(&ticket, &nothing());
            assert_eq!(flight_request, Ok(FlightRequest::Influxql(query.clone())), "{ticket:?}");
        }
    }

    #[test]
    fn flight_database_from_headers_or_ticket() {
        let query = StatementQuery { query: "SELECT 1".into(), transaction: None };
        let command = Any::of_sql("CommandStatementQuery", &query);
        let read = ReadInfo {
            database: "d".into(),
            query_type: ReadInfo::FLIGHT_SQL,
            command: command.encode_to_vec(),
            ..ReadInfo::default()
        };
        let headers = metadata(&[("bucket-name", "d"), ("database", "d")]).unwrap();
        let expected = FlightRequest::Sql(headers.sql_query("SELECT 1", Vec::new()).unwrap());
        assert_eq!(FlightRequest::of_command(&command, &headers), Ok(expected.clone()));
        let ticket = command.encode_to_vec();
        assert_eq!(FlightRequest::of_ticket(&ticket, &headers), Ok(expected.clone()));
        assert_eq!(FlightRequest::of_ticket(&any(&read), &nothing()), Ok(expected));
        let influxql = metadata(&[("database", "d"), ("x-influxdata-query-language", "InfluxQL")]);
        let flight_request = FlightRequest::of_command(&command, &influxql.unwrap()).unwrap();
        assert!(matches!(flight_request, FlightRequest::Influxql(_)), "{flight_request:?}");
    }

    #[test]
    fn invalid_flight_ticket_is_rejected() {
        let none = nothing();
        let text = |ticket: &[u8]| FlightRequest::of_ticket(ticket, &none).unwrap_err().to_string();
        let empty = ReadInfo { database: "d".into(), ..ReadInfo::default() };
        for ticket in [&b""[..], b"nonsense", &[0xff; 9], &empty.encode_to_vec(), b"{", b"{}"] {
            assert!(text(ticket).starts_with(NO_TICKET), "{ticket:?}: {}", text(ticket));
        }
        let other = br#"{"database":"d","sql_query":"x","query_type":"flux"}"#;
        assert!(text(other).contains("query_type is \"flux\""));
        assert_eq!(text(br#"{"sql_query":"SELECT 1"}"#), NO_DATABASE);
        let unknown = Any::of_sql("CommandStatementUpdate", &empty).encode_to_vec();
        assert!(text(&unknown).contains("CommandStatementUpdate\" is not supported"));
        let two = metadata(&[("database", "d"), ("bucket", "e")]).unwrap_err();
        assert!(two.to_string().starts_with("More than one headers are found in request"));
    }
}
