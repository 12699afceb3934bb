//! Implements `DoAction` and `DoPut`: preparing and closing statements, and binding parameters.
//!
//! A handle contains the prepared statement, its bound parameters and a signature. Any instance can
//! therefore execute the statement, and a client cannot forge a handle.

use std::collections::HashSet;

use arrow_schema::{DataType, Field, Schema};
use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use sha2::Sha256;

use crate::error::{ApiError, ApiResult, invalid};
use crate::routes::flight::flight_request::{
    FlightRequest, Metadata, decode, no_transaction, not_known,
};
use crate::routes::flight::listings::encoded;
use crate::routes::flight::messages::{
    Any, BytesValue, FlightAction as ActionMessage, FlightData, QueryParam, StatementQuery,
};
use crate::routes::flight::parameters::first_row;
use crate::routes::flight::reading::Purpose;
use crate::routes::handler::Request;
use crate::routes::query_v3::{QueryRequest, sql};
use crate::settings::Settings;
use tidemark_engine::protocol::sql::Parameter;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::{PLACEHOLDERS_MAX, PREPARED_TEXT_BYTES_MAX};

/// The signature precedes the signed data.
const SIGNATURE_BYTES: usize = 32;
/// The prefix of the signed data, so that a signature is valid for prepared statements only.
const CONTEXT: &[u8] = b"tidemark: a prepared statement of Flight SQL, 1";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Prepared {
    /// The text, with each `?` replaced by `$1`, `$2` and so on.
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) params: Vec<QueryParam>,
}

impl Prepared {
    pub(super) fn handle(&self, settings: &Settings) -> ApiResult<Vec<u8>> {
        let statement = self.encode_to_vec();
        let Some(signing) = signatures(settings, &statement).next() else {
            let text = "the server cannot sign the handle, because no admin token is configured";
            return Err(ApiError::Internal(text.to_owned()));
        };
        let mut handle = signing.finalize().into_bytes().to_vec();
        handle.extend(statement);
        Ok(handle)
    }

    pub(super) fn of_handle(handle: &[u8], settings: &Settings) -> ApiResult<Self> {
        let known = handle.split_at_checked(SIGNATURE_BYTES).filter(|(signature, statement)| {
            signatures(settings, statement).any(|mac| mac.verify_slice(signature).is_ok())
        });
        match known.map(|(_, statement)| Self::decode(statement)) {
            Some(Ok(prepared)) => Ok(prepared),
            _ => invalid(
                "this server did not sign the handle of the prepared statement: prepare the \
                 statement again",
            ),
        }
    }
}

/// Returns one signature for each configured admin token. During a rotation, two tokens are
/// configured: a new handle has the first signature, and a handle with either signature is valid.
fn signatures<'a>(
    settings: &'a Settings,
    statement: &'a [u8],
) -> impl Iterator<Item = Hmac<Sha256>> + 'a {
    settings.admin_tokens.iter().filter_map(move |token| {
        let mut mac = Hmac::<Sha256>::new_from_slice(token.as_key()).ok()?;
        mac.update(CONTEXT);
        mac.update(statement);
        Some(mac)
    })
}

/// An encoded `CloseSessionResult` with the status "closed".
const CLOSED: [u8; 2] = [0x08, 0x01];

/// The effect of `DoAction`.
pub(super) enum FlightAction {
    Prepare(QueryRequest),
    /// Closes a statement or the session. The response contains this message, if any.
    Close(Option<Vec<u8>>),
}

pub(super) fn act(message: &[u8], metadata: &Metadata<'_>) -> ApiResult<FlightAction> {
    let ActionMessage { kind, body } = decode(message)?;
    match kind.as_str() {
        "CreatePreparedStatement" => {
            let any: Any = decode(&body)?;
            if any.sql_name() != Some("ActionCreatePreparedStatementRequest") {
                return not_known(&any);
            }
            let StatementQuery { query, transaction } = decode(&any.value)?;
            no_transaction(transaction)?;
            if metadata.is_influxql {
                let text = "InfluxQL statements cannot be prepared: send the statement without \
                            preparation";
                return Err(ApiError::NotImplemented(text.to_owned()));
            }
            Ok(FlightAction::Prepare(metadata.sql_query(&query, Vec::new())?))
        }
        "ClosePreparedStatement" => Ok(FlightAction::Close(None)),
        "CloseSession" => {
            Ok(FlightAction::Close(Some(BytesValue { value: CLOSED.to_vec() }.encode_to_vec())))
        }
        _ => invalid(format!(
            "the server supports the actions CreatePreparedStatement, ClosePreparedStatement and \
             CloseSession, not \"{}\"",
            kind.chars().take(100).collect::<String>()
        )),
    }
}

/// Checks the caller's permission, and then finds the placeholders of a statement. The response
/// contains the statement's columns.
pub(super) async fn prepare(
    request: &Request,
    query: QueryRequest,
) -> ApiResult<(FlightRequest, Purpose)> {
    request.log_database(&query.database);
    let database = query.database.as_deref().unwrap_or_default();
    sql::authorise(request, database, query.policy.as_deref()).await?;
    let places = Placeholders::of(&query.q)?;
    let prepared = Prepared { query: places.text, params: Vec::new() };
    let handle = prepared.handle(request.settings()?)?;
    // If the SQL Worker does not describe the parameters, clients send them as text.
    let nulls = places.names.iter().map(|name| (name.clone(), Parameter::Null)).collect();
    let query = QueryRequest { q: prepared.query, params: nulls, ..query };
    let field = |name: &String| Field::new(format!("${name}"), DataType::Utf8, true);
    let parameters = encoded(&Schema::new(places.names.iter().map(field).collect::<Vec<_>>()))?;
    let awaits_parameters = !places.names.is_empty();
    let purpose = Purpose::Prepared { handle, parameters, awaits_parameters };
    Ok((FlightRequest::Sql(query), purpose))
}

/// Binds the values of a `DoPut` to the statement of its handle. The response contains a new
/// handle.
pub(super) fn bind(messages: &[Vec<u8>], settings: &Settings) -> ApiResult<Vec<u8>> {
    let messages: Vec<FlightData> =
        messages.iter().map(|message| decode(message)).collect::<Result<_, _>>()?;
    let descriptor = messages.first().and_then(|message| message.descriptor.clone());
    let any: Any = decode(&descriptor.unwrap_or_default().command)?;
    if any.sql_name() != Some("CommandPreparedStatementQuery") {
        return invalid(
            "DoPut supports only values for a prepared query: to write points, send line protocol \
             to /api/v3/write_lp",
        );
    }
    let BytesValue { value: handle } = decode(&any.value)?;
    let mut prepared = Prepared::of_handle(&handle, settings)?;
    if let Some(row) = first_row(&messages)? {
        let (names, values): (Vec<String>, Vec<_>) = row.into_iter().unzip();
        let names = Placeholders::of(&prepared.query)?.bind(&names)?;
        let param = |(name, value)| QueryParam { name, value: Some(value) };
        prepared.params = names.into_iter().zip(values).map(param).collect();
    }
    let handle = BytesValue { value: prepared.handle(settings)? };
    Ok(BytesValue { value: handle.encode_to_vec() }.encode_to_vec())
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placeholders {
    /// The text, with each `?` replaced by `$1`, `$2` and so on.
    pub(super) text: String,
    /// The unique names without `$`: numbers in ascending order, then other names in order of
    /// occurrence.
    pub(super) names: Vec<String>,
}

impl Placeholders {
    /// Finds the placeholders of a statement: `?`, `$1` and `$name` outside of strings, quoted
    /// names and comments.
    pub(super) fn of(statement: &str) -> ApiResult<Self> {
        if statement.len() > PREPARED_TEXT_BYTES_MAX {
            return invalid(format!(
                "the statement has {} bytes, and a prepared statement can have at most \
                 {PREPARED_TEXT_BYTES_MAX} (PREPARED_TEXT_BYTES_MAX)",
                statement.len()
            ));
        }
        let (mut found, mut known) = (Self::default(), HashSet::new());
        let mut rest = statement;
        let mut questions = 0;
        while let Some(first) = rest.chars().next() {
            let skipped = match first {
                '\'' | '"' => rest.get(1..).and_then(|inner| inner.find(first)).map(|at| at + 2),
                '-' if rest.starts_with("--") => rest.find('\n'),
                '/' if rest.starts_with("/*") => {
                    rest.get(2..).and_then(|inner| inner.find("*/")).map(|at| at + 4)
                }
                '?' => {
                    questions += 1;
                    found.text.push_str(&format!("${questions}"));
                    found.note(questions.to_string(), &mut known)?;
                    rest = rest.get(1..).or_bug();
                    continue;
                }
                '$' => {
                    let name: String = (rest.chars().skip(1))
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    let bytes = 1 + name.len();
                    if !name.is_empty() {
                        found.note(name, &mut known)?;
                    }
                    Some(bytes)
                }
                first => Some(first.len_utf8()),
            };
            // An unterminated string or comment extends to the end of the text.
            let (passed, behind) = rest.split_at(skipped.unwrap_or(rest.len()).min(rest.len()));
            found.text.push_str(passed);
            rest = behind;
        }
        // A stable sort keeps the order of names that are not numbers.
        found.names.sort_by_key(|name| name.parse().unwrap_or(u32::MAX));
        Ok(found)
    }

    fn note(&mut self, name: String, known: &mut HashSet<String>) -> ApiResult<()> {
        if known.insert(name.clone()) {
            self.names.push(name);
        }
        if self.names.len() > PLACEHOLDERS_MAX {
            return invalid(format!(
                "the statement has more than {PLACEHOLDERS_MAX} parameters (PLACEHOLDERS_MAX): \
                 write some of the values as literals in the statement"
            ));
        }
        Ok(())
    }

    /// Assigns each column of values to a placeholder. The assignment is by name if every column
    /// has the name of a placeholder, else by position.
    pub(super) fn bind(&self, columns: &[String]) -> ApiResult<Vec<String>> {
        let bare = |name: &String| name.trim_start_matches('$').to_owned();
        let named: Vec<String> = columns.iter().map(bare).collect();
        let known: HashSet<&String> = self.names.iter().collect();
        if !named.is_empty() && named.iter().all(|name| known.contains(name)) {
            return Ok(named);
        }
        if columns.len() != self.names.len() {
            return invalid(format!(
                "the statement has {} parameters, and the request contains {} values",
                self.names.len(),
                columns.len()
            ));
        }
        Ok(self.names.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(tokens: [&str; 2]) -> Settings {
        let given = |name: &str| match name {
            "ADMIN_TOKEN" => Some(tokens[0].to_owned()),
            "ADMIN_TOKEN_NEXT" => Some(tokens[1].to_owned()),
            _ => None,
        };
        Settings::read(given).unwrap()
    }

    #[test]
    fn prepared_handles_are_authenticated() {
        let [one, two, none] =
            [["number-one-of-them", ""], ["number-two-of-them", "number-one-of-them"], ["", ""]];
        let prepared = Prepared { query: "SELECT $1".into(), params: Vec::new() };
        let handle = prepared.handle(&settings(one)).unwrap();
        assert_eq!(Prepared::of_handle(&handle, &settings(one)), Ok(prepared.clone()));
        assert_eq!(Prepared::of_handle(&handle, &settings(two)), Ok(prepared.clone()));
        let other = settings(["number-two-of-them", ""]);
        assert!(Prepared::of_handle(&handle, &other).is_err());
        assert!(prepared.handle(&settings(none)).is_err());
        for at in 0..handle.len() {
            let mut forged = handle.clone();
            forged[at] ^= 1;
            assert!(Prepared::of_handle(&forged, &settings(one)).is_err(), "byte {at}");
            assert!(Prepared::of_handle(&handle[..at], &settings(one)).is_err(), "cut at {at}");
        }
        let unsigned = prepared.encode_to_vec();
        assert!(Prepared::of_handle(&unsigned, &settings(one)).is_err());
    }

    #[test]
    fn placeholders_ignore_strings_and_comments() {
        let names = |text: &str| Placeholders::of(text).unwrap().names;
        assert_eq!(names("SELECT $2, $b, $1, $b, $10 FROM t"), ["1", "2", "10", "b"]);
        let found =
            Placeholders::of("SELECT '?', \"?$a\", ? -- ? $c\n/* $d ? */ + ? + 'it''s ?'").unwrap();
        assert_eq!(found.names, ["1", "2"]);
        assert_eq!(found.text, "SELECT '?', \"?$a\", $1 -- ? $c\n/* $d ? */ + $2 + 'it''s ?'");
        for whole in ["", "SELECT 'a", "SELECT 1 -- ?", "/* ?", "/*/ ? */", "é$", "SELECT 1"] {
            let found = Placeholders::of(whole).unwrap();
            assert_eq!((found.text.as_str(), found.names.len()), (whole, 0));
        }
    }

    #[test]
    fn placeholders_bind_by_name_or_position() {
        let places = Placeholders::of("SELECT $2, $1").unwrap();
        let bound = |names: &[&str]| {
            places.bind(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(bound(&["2", "1"]).unwrap(), ["2", "1"]);
        assert_eq!(bound(&["$2", "$1"]).unwrap(), ["2", "1"]);
        // ADBC's Python driver numbers parameters from 0.
        assert_eq!(bound(&["0", "1"]).unwrap(), ["1", "2"]);
        assert_eq!(bound(&["a", "b"]).unwrap(), ["1", "2"]);
        assert!(bound(&["a"]).is_err() && bound(&["a", "b", "c"]).is_err());
        assert_eq!(Placeholders::of("SELECT 1").unwrap().bind(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn prepared_statement_size_is_limited() {
        let error = |text: &str| Placeholders::of(text).unwrap_err().to_string();
        assert_eq!(Placeholders::of(&"?".repeat(PLACEHOLDERS_MAX)).unwrap().names.len(), 1_000);
        for many in ["?".repeat(40_000), (0..20_000).map(|n| format!("$n{n} ")).collect()] {
            assert!(error(&many).contains("more than 1000 parameters (PLACEHOLDERS_MAX)"));
        }
        let long = " ".repeat(PREPARED_TEXT_BYTES_MAX + 1);
        assert!(error(&long).starts_with("the statement has 256001 bytes"), "{}", error(&long));
    }
}
