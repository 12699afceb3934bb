//! Creates the lists of Flight SQL.
//!
//! The lists of catalogs, schemas, table types, data types and keys do not depend on the database.
//! A SQL statement on `information_schema` lists the tables for `CommandGetTables`.
//! `CommandGetSqlInfo` returns the server's version and features by number. The JDBC driver
//! requests all numbers, and old versions of the driver fail if a number is missing.

use std::iter::once;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, Int32Builder, ListBuilder, MapBuilder, MapFieldNames,
    StringBuilder,
};
use arrow_array::{
    ArrayRef, BooleanArray, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array, UnionArray, new_empty_array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit, UnionFields};
use serde::Deserialize;

use super::flight_request::Metadata;
use super::messages::{GetDbSchemas, GetTables};
use crate::error::{ApiError, ApiResult, invalid};
use crate::routes::query_v3::QueryRequest;
use tidemark_model::limits::{SCHEMA_PATTERN_BYTES_MAX, SQL_INFO_IDS_MAX};
use tidemark_response::table::TableFormat;

const CATALOG: &str = "public";
pub(super) const BASE_TABLE: &str = "BASE TABLE";
/// The schemas in ascending order.
const SCHEMAS: [&str; 3] = ["information_schema", "iox", "system"];

pub(super) fn stream(batch: &RecordBatch) -> ApiResult<Vec<u8>> {
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    if batch.num_rows() > 0 {
        stream.write(batch)?;
    }
    Ok(stream.into_inner()?)
}

/// Returns a schema in the format of a stream's beginning.
pub(super) fn encoded(schema: &Schema) -> ApiResult<Vec<u8>> {
    let mut stream = StreamWriter::try_new(Vec::new(), schema)?;
    Ok(std::mem::take(stream.get_mut()))
}

/// Creates a batch. Each column has a name, a flag for nulls, and values.
fn table(columns: Vec<(&str, bool, ArrayRef)>) -> ApiResult<RecordBatch> {
    let field = |(name, is_nullable, values): &(&str, bool, ArrayRef)| {
        Field::new(*name, values.data_type().clone(), *is_nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let values = columns.into_iter().map(|(_, _, values)| values).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), values)?)
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn catalogs() -> ApiResult<RecordBatch> {
    table(vec![("catalog_name", false, texts([CATALOG]))])
}

pub(super) fn schemas(flight_request: &GetDbSchemas) -> ApiResult<RecordBatch> {
    let is_here = flight_request.catalog.as_deref().is_none_or(|catalog| catalog == CATALOG);
    let pattern = flight_request.schema_pattern.as_deref().unwrap_or("%");
    if pattern.len() > SCHEMA_PATTERN_BYTES_MAX {
        return invalid(format!(
            "the pattern has {} bytes, and at most {SCHEMA_PATTERN_BYTES_MAX} \
             (SCHEMA_PATTERN_BYTES_MAX) are possible: send a shorter pattern",
            pattern.len()
        ));
    }
    let found = SCHEMAS.into_iter().filter(|name| is_here && is_like(name, pattern));
    let found: Vec<&str> = found.collect();
    let catalogs = texts(found.iter().map(|_| CATALOG));
    table(vec![("catalog_name", true, catalogs), ("db_schema_name", false, texts(found))])
}

pub(super) fn table_types(base_table: &str) -> ApiResult<RecordBatch> {
    table(vec![("table_type", false, texts([base_table, "VIEW"]))])
}

pub(super) fn primary_keys() -> ApiResult<RecordBatch> {
    let text = || new_empty_array(&DataType::Utf8);
    table(vec![
        ("catalog_name", true, text()),
        ("db_schema_name", true, text()),
        ("table_name", false, text()),
        ("column_name", false, text()),
        ("key_name", true, text()),
        ("key_sequence", false, new_empty_array(&DataType::Int32)),
    ])
}

pub(super) fn foreign_keys() -> ApiResult<RecordBatch> {
    let of = |data_type: &DataType| new_empty_array(data_type);
    let (text, number, rule) = (DataType::Utf8, DataType::Int32, DataType::UInt8);
    table(vec![
        ("pk_catalog_name", true, of(&text)),
        ("pk_db_schema_name", true, of(&text)),
        ("pk_table_name", false, of(&text)),
        ("pk_column_name", false, of(&text)),
        ("fk_catalog_name", true, of(&text)),
        ("fk_db_schema_name", true, of(&text)),
        ("fk_table_name", false, of(&text)),
        ("fk_column_name", false, of(&text)),
        ("key_sequence", false, of(&number)),
        ("fk_key_name", true, of(&text)),
        ("pk_key_name", true, of(&text)),
        ("update_rule", false, of(&rule)),
        ("delete_rule", false, of(&rule)),
    ])
}

struct XdbcType {
    name: &'static str,
    number: i32,
    /// The size, in bits or characters.
    size: i32,
    quote: Option<&'static str>,
    radix: Option<i32>,
    /// For time types: the general type number, and the subcode of the type.
    time: Option<(i32, i32)>,
}

const PLAIN: XdbcType =
    XdbcType { name: "", number: 0, size: 0, quote: None, radix: None, time: None };
const NUMBER: XdbcType = XdbcType { radix: Some(2), ..PLAIN };
const QUOTED: XdbcType = XdbcType { size: i32::MAX, quote: Some("'"), ..PLAIN };

/// The types in ascending order of ODBC's type numbers.
const XDBC_TYPES: [XdbcType; 8] = [
    XdbcType { name: "BOOLEAN", number: -7, size: 1, ..PLAIN },
    XdbcType { name: "BIGINT", number: -5, size: 64, ..NUMBER },
    XdbcType { name: "INTEGER", number: 4, size: 32, ..NUMBER },
    XdbcType { name: "FLOAT", number: 6, size: 24, ..NUMBER },
    XdbcType { name: "DOUBLE", number: 8, size: 53, ..NUMBER },
    XdbcType { name: "INTERVAL", number: 10, time: Some((10, 0)), ..QUOTED },
    XdbcType { name: "VARCHAR", number: 12, ..QUOTED },
    XdbcType { name: "TIMESTAMP", number: 93, time: Some((9, 3)), ..QUOTED },
];

/// Lists the type with the number `type_number`, or every type.
pub(super) fn xdbc_types(type_number: Option<i32>) -> ApiResult<RecordBatch> {
    let known = || XDBC_TYPES.iter().filter(move |of| type_number.is_none_or(|n| n == of.number));
    let count = known().count();
    let numbers = |of: fn(&XdbcType) -> Option<i32>| -> ArrayRef {
        Arc::new(Int32Array::from_iter(known().map(of)))
    };
    let switches = |of: fn(&XdbcType) -> Option<bool>| -> ArrayRef {
        Arc::new(BooleanArray::from_iter(known().map(of)))
    };
    let same =
        |number: Option<i32>| -> ArrayRef { Arc::new(Int32Array::from(vec![number; count])) };
    let names = || texts(known().map(|of| of.name));
    let quotes = || -> ArrayRef { Arc::new(StringArray::from_iter(known().map(|of| of.quote))) };
    let item = Field::new("item", DataType::Utf8, false);
    let mut parameters = ListBuilder::new(StringBuilder::new()).with_field(item);
    for of in known() {
        let has_length = of.name == "VARCHAR";
        if has_length {
            parameters.values().append_value("length");
        }
        parameters.append(has_length);
    }
    table(vec![
        ("type_name", false, names()),
        ("data_type", false, numbers(|of| Some(of.number))),
        ("column_size", true, numbers(|of| Some(of.size))),
        ("literal_prefix", true, quotes()),
        ("literal_suffix", true, quotes()),
        ("create_params", true, Arc::new(parameters.finish())),
        // Every type is nullable (1) and allowed in every condition (3).
        ("nullable", false, same(Some(1))),
        ("case_sensitive", false, switches(|of| Some(of.name == "VARCHAR"))),
        ("searchable", false, same(Some(3))),
        ("unsigned_attribute", true, switches(|of| of.radix.map(|_| false))),
        ("fixed_prec_scale", false, switches(|_| Some(false))),
        ("auto_increment", true, switches(|_| Some(false))),
        ("local_type_name", true, names()),
        ("minimum_scale", true, same(None)),
        ("maximum_scale", true, same(None)),
        ("sql_data_type", false, numbers(|of| Some(of.time.map_or(of.number, |time| time.0)))),
        ("datetime_subcode", true, numbers(|of| of.time.map(|time| time.1))),
        ("num_prec_radix", true, numbers(|of| of.radix)),
        ("interval_precision", true, same(None)),
    ])
}

/// Interprets `%` as any text, `_` as any character, and `\` as the escape character.
fn is_like(text: &str, pattern: &str) -> bool {
    // `matches[n]`: whether the part of the pattern read so far matches the first n characters of
    // the text.
    let mut matches: Vec<bool> = once(true).chain(text.chars().map(|_| false)).collect();
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        // `None` stands for any character.
        let literal = match sign {
            '%' => {
                let first = matches.iter().position(|matches| *matches).unwrap_or(matches.len());
                matches.iter_mut().skip(first).for_each(|matches| *matches = true);
                continue;
            }
            '_' => None,
            '\\' => signs.next(),
            sign => Some(sign),
        };
        let longer = matches.iter().zip(text.chars());
        let longer =
            longer.map(|(matches, one)| *matches && literal.is_none_or(|sign| sign == one));
        matches = once(false).chain(longer).collect();
        if !matches.contains(&true) {
            return false;
        }
    }
    matches.last() == Some(&true)
}

/// Returns the statement that lists the tables as JSON lines for [`TableList`]: one line for each
/// table, or for each column if the client requests schemas.
pub(super) fn list_statement(
    flight_request: &GetTables,
    metadata: &Metadata<'_>,
) -> ApiResult<QueryRequest> {
    let mut conditions = Vec::new();
    if let Some(catalog) = &flight_request.catalog {
        conditions.push(format!("t.table_catalog = {}", quoted(catalog)));
    }
    if let Some(pattern) = &flight_request.schema_pattern {
        conditions.push(format!("t.table_schema LIKE {}", quoted(pattern)));
    }
    if let Some(pattern) = &flight_request.table_pattern {
        conditions.push(format!("t.table_name LIKE {}", quoted(pattern)));
    }
    if !flight_request.table_types.is_empty() {
        // Grafana sends both names for regular tables.
        let known = flight_request.table_types.iter().map(|name| match name.to_ascii_uppercase() {
            name if name == "TABLE" => quoted(BASE_TABLE),
            name => quoted(&name),
        });
        let known: Vec<String> = known.collect();
        conditions.push(format!("t.table_type IN ({})", known.join(", ")));
    }
    if conditions.is_empty() {
        conditions.push("true".to_owned());
    }
    let condition = conditions.join(" AND ");
    let base_table = quoted(metadata.base_table);
    let columns = format!(
        "t.table_catalog AS catalog_name, t.table_schema AS db_schema_name, t.table_name AS \
         table_name, CASE WHEN t.table_type = '{BASE_TABLE}' THEN {base_table} ELSE t.table_type \
         END AS table_type"
    );
    let text = if flight_request.include_schema {
        // `_` in a pattern matches any character, and clients use the first table. The table whose
        // name equals the pattern therefore comes first.
        let exact = quoted(flight_request.table_pattern.as_deref().unwrap_or_default());
        format!(
            "SELECT {columns}, c.column_name, c.data_type, c.is_nullable \
             FROM information_schema.tables t JOIN information_schema.columns c \
             ON t.table_schema = c.table_schema AND t.table_name = c.table_name WHERE {condition} \
             ORDER BY t.table_schema, t.table_name <> {exact}, t.table_name, c.ordinal_position"
        )
    } else {
        format!(
            "SELECT {columns} FROM information_schema.tables t WHERE {condition} \
             ORDER BY t.table_schema, t.table_name"
        )
    };
    let query = metadata.sql_query(&text, Vec::new())?;
    Ok(QueryRequest { format: TableFormat::JsonLines, ..query })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A table, and a column of the table if schemas are requested.
#[derive(Debug, Deserialize)]
struct TableLine {
    db_schema_name: String,
    table_name: String,
    table_type: String,
    #[serde(flatten)]
    column: Option<ColumnOfTable>,
}

#[derive(Debug, Deserialize)]
struct ColumnOfTable {
    column_name: String,
    data_type: String,
    is_nullable: String,
}

/// A list of tables, built from the lines of [`list_statement`] in their order.
/// `CommandGetTables` defines the columns of the list, regardless of the nullability in SQL's
/// result.
#[derive(Default)]
pub(super) struct TableList {
    /// Whether the list contains the schemas of the tables.
    include_schema: bool,
    /// The bytes of the incomplete line.
    incomplete: Vec<u8>,
    /// The last line, whose table may have further columns.
    last: Option<TableLine>,
    /// The columns of the last table.
    fields: Vec<Field>,
    names: [StringBuilder; 4],
    schemas: BinaryBuilder,
    /// The number of received bytes.
    pub(super) bytes: usize,
}

impl TableList {
    pub(super) fn new(include_schema: bool) -> Self {
        Self { include_schema, ..Self::default() }
    }

    /// Adds the tables and columns of the complete lines.
    pub(super) fn push(&mut self, bytes: &[u8]) -> ApiResult<()> {
        self.bytes += bytes.len();
        self.incomplete.extend_from_slice(bytes);
        let mut lines = std::mem::take(&mut self.incomplete);
        let end = memchr::memrchr(b'\n', &lines).map_or(0, |at| at + 1);
        self.incomplete = lines.split_off(end);
        self.add_lines(&lines)
    }

    fn add_lines(&mut self, lines: &[u8]) -> ApiResult<()> {
        for line in serde_json::Deserializer::from_slice(lines).into_iter() {
            let line: TableLine = line.map_err(|error| ApiError::Internal(error.to_string()))?;
            let is_same = |last: &TableLine| {
                (&last.db_schema_name, &last.table_name) == (&line.db_schema_name, &line.table_name)
            };
            if !self.last.as_ref().is_some_and(is_same) {
                self.end_table()?;
            }
            if let Some(column) = &line.column {
                let (name, of_type) = (&column.column_name, data_type(&column.data_type));
                self.fields.push(Field::new(name, of_type, column.is_nullable == "YES"));
            }
            self.last = Some(line);
        }
        Ok(())
    }

    fn end_table(&mut self) -> ApiResult<()> {
        let Some(TableLine { db_schema_name, table_name, table_type, .. }) = self.last.take()
        else {
            return Ok(());
        };
        let row = [CATALOG, &db_schema_name, &table_name, &table_type];
        self.names.iter_mut().zip(row).for_each(|(names, name)| names.append_value(name));
        self.schemas.append_value(encoded(&Schema::new(std::mem::take(&mut self.fields)))?);
        Ok(())
    }

    /// Returns the list as an Arrow stream.
    pub(super) fn finish(mut self) -> ApiResult<Vec<u8>> {
        let rest = std::mem::take(&mut self.incomplete);
        self.add_lines(&rest)?;
        self.end_table()?;
        let [catalogs, db_schemas, tables, types] = self.names.map(|mut names| names.finish());
        let mut columns: Vec<(&str, bool, ArrayRef)> = vec![
            ("catalog_name", true, Arc::new(catalogs)),
            ("db_schema_name", true, Arc::new(db_schemas)),
            ("table_name", false, Arc::new(tables)),
            ("table_type", false, Arc::new(types)),
        ];
        if self.include_schema {
            columns.push(("table_schema", false, Arc::new(self.schemas.finish())));
        }
        stream(&table(columns)?)
    }
}

/// Tags are strings for every client.
fn data_type(name: &str) -> DataType {
    match name {
        "Boolean" => DataType::Boolean,
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "UInt32" => DataType::UInt32,
        "UInt64" => DataType::UInt64,
        "Float64" => DataType::Float64,
        name if name.starts_with("Timestamp(") => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ => DataType::Utf8,
    }
}

#[derive(Clone, Copy)]
enum Info {
    Text(&'static str),
    Switch(bool),
    Large(i64),
    Number(i32),
    /// A list of words, separated by spaces.
    Words(&'static str),
    NoConversions,
}

/// The functions that a program such as DBeaver suggests, by kind and without aliases.
const NUMERIC_FUNCTIONS: &str = "abs acos asin atan atan2 cbrt ceil cos cosh degrees exp factorial \
     floor gcd lcm ln log log10 log2 pi power radians random round signum sin sinh sqrt tan tanh \
     trunc";
const STRING_FUNCTIONS: &str = "ascii bit_length btrim chr concat concat_ws digest initcap left \
     levenshtein lower lpad ltrim md5 octet_length regexp_like regexp_match regexp_replace repeat \
     replace reverse right rpad rtrim sha256 split_part starts_with strpos substr to_hex translate \
     upper uuid";
const SYSTEM_FUNCTIONS: &str = "arrow_cast arrow_typeof version";
const TIME_FUNCTIONS: &str = "current_date current_time date_bin date_bin_gapfill \
     date_bin_wallclock date_bin_wallclock_gapfill date_part date_trunc from_unixtime make_date \
     now to_char to_date to_local_time to_timestamp to_timestamp_micros to_timestamp_millis \
     to_timestamp_nanos to_timestamp_seconds to_unixtime tz";

/// The values in ascending order of the numbers in `FlightSql.proto`. The name of the server is
/// InfluxDB's, because clients check this name.
const INFOS: [(RangeInclusive<u32>, Info); 53] = [
    (0..=0, Info::Text("InfluxDB IOx")),
    (1..=1, Info::Text("2")),
    (2..=2, Info::Text("1.3")),
    (3..=4, Info::Switch(true)),
    (5..=5, Info::Switch(false)),
    (8..=8, Info::Number(0)),
    (9..=9, Info::Switch(false)),
    (100..=101, Info::Number(0)),
    (500..=502, Info::Switch(false)),
    // Unquoted names are lower-cased, and quoted names are case-sensitive.
    (503..=503, Info::Number(3)),
    (504..=504, Info::Text("\"")),
    (505..=505, Info::Number(0)),
    (506..=506, Info::Switch(true)),
    // Nulls sort above all values.
    (507..=507, Info::Number(0)),
    // The list of keywords that standard SQL does not have is empty. Clients know the keywords of
    // standard SQL.
    (508..=508, Info::Words("")),
    (509..=509, Info::Words(NUMERIC_FUNCTIONS)),
    (510..=510, Info::Words(STRING_FUNCTIONS)),
    (511..=511, Info::Words(SYSTEM_FUNCTIONS)),
    (512..=512, Info::Words(TIME_FUNCTIONS)),
    (513..=513, Info::Text("\\")),
    (514..=514, Info::Text("")),
    (515..=516, Info::Switch(true)),
    (517..=517, Info::NoConversions),
    (518..=518, Info::Switch(true)),
    (519..=519, Info::Switch(false)),
    (520..=521, Info::Switch(true)),
    (522..=522, Info::Number(3)),
    (523..=524, Info::Switch(true)),
    (525..=525, Info::Number(2)),
    (526..=526, Info::Number(1)),
    (527..=527, Info::Switch(false)),
    (528..=528, Info::Number(2)),
    (529..=529, Info::Text("schema")),
    (530..=530, Info::Text("procedure")),
    (531..=531, Info::Text("catalog")),
    (532..=532, Info::Switch(true)),
    (533..=535, Info::Number(0)),
    (536..=537, Info::Switch(false)),
    (538..=538, Info::Number(15)),
    (539..=539, Info::Switch(true)),
    (540..=540, Info::Number(3)),
    // The limits of names and counts are unknown; 0 means unknown.
    (541..=555, Info::Large(0)),
    (556..=556, Info::Switch(false)),
    // The maximum size of a statement, in bytes.
    (557..=557, Info::Large(262_144)),
    (558..=562, Info::Large(0)),
    (563..=563, Info::Switch(false)),
    (564..=564, Info::Number(0)),
    (565..=566, Info::Switch(false)),
    // Results are forward-only.
    (567..=567, Info::Number(2)),
    (568..=571, Info::Number(0)),
    (572..=573, Info::Switch(false)),
    (574..=574, Info::Switch(true)),
    (575..=576, Info::Switch(false)),
];

/// Lists the known ids in `requested_ids`, or all ids if `requested_ids` is empty.
pub(super) fn sql_info(requested_ids: &[u32]) -> ApiResult<RecordBatch> {
    if requested_ids.len() > SQL_INFO_IDS_MAX {
        return invalid(format!(
            "the request has {} ids, and at most {SQL_INFO_IDS_MAX} (SQL_INFO_IDS_MAX) are \
             possible: to request all ids, send none",
            requested_ids.len()
        ));
    }
    let every = INFOS.iter().flat_map(|(ids, info)| ids.clone().map(|id| (id, *info)));
    let known = every.filter(|(id, _)| requested_ids.is_empty() || requested_ids.contains(id));
    let (mut ids, mut kinds, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let (mut texts, mut switches) = (Vec::new(), Vec::new());
    let (mut large, mut numbers) = (Vec::new(), Vec::new());
    let item = Field::new("string_data", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    // A map from a type to the types into which a value of this type can be converted.
    let item = Field::new("$data$", DataType::Int32, true);
    let types = ListBuilder::new(Int32Builder::new()).with_field(item);
    let [entry, key, value] = ["entries", "key", "value"].map(str::to_owned);
    let names = MapFieldNames { entry, key, value };
    let mut conversions = MapBuilder::new(Some(names), Int32Builder::new(), types);
    for (id, info) in known {
        // A value of the Arrow union is the number of a child array (`kind`), and an index in this
        // array (`place`).
        let (kind, place) = match info {
            Info::Text(text) => (0, push(&mut texts, text)),
            Info::Switch(is_on) => (1, push(&mut switches, is_on)),
            Info::Large(number) => (2, push(&mut large, number)),
            Info::Number(number) => (3, push(&mut numbers, number)),
            Info::Words(words) => {
                words.split_whitespace().for_each(|word| lists.values().append_value(word));
                lists.append(true);
                (4, lists.len() - 1)
            }
            Info::NoConversions => {
                conversions.append(true)?;
                (5, conversions.len() - 1)
            }
        };
        ids.push(id);
        kinds.push(kind);
        places.push(i32::try_from(place).unwrap_or_default());
    }
    let children: [(&str, ArrayRef); 6] = [
        ("string_value", Arc::new(StringArray::from_iter_values(texts))),
        ("bool_value", Arc::new(BooleanArray::from(switches))),
        ("bigint_value", Arc::new(Int64Array::from(large))),
        ("int32_bitmask", Arc::new(Int32Array::from(numbers))),
        ("string_list", Arc::new(lists.finish())),
        ("int32_to_int32_list_map", Arc::new(conversions.finish())),
    ];
    let field =
        |(name, values): &(&str, ArrayRef)| Field::new(*name, values.data_type().clone(), false);
    let fields = UnionFields::try_new(0..6, children.iter().map(field))?;
    let children = children.map(|(_, values)| values).to_vec();
    let kinds = Int8Array::from(kinds).values().clone();
    let places = Int32Array::from(places).values().clone();
    let values = UnionArray::try_new(fields, kinds, Some(places), children)?;
    table(vec![
        ("info_name", false, Arc::new(UInt32Array::from(ids))),
        ("value", false, Arc::new(values)),
    ])
}

fn push<T>(values: &mut Vec<T>, value: T) -> usize {
    values.push(value);
    values.len() - 1
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn listing_patterns_follow_sql_like() {
        for (text, pattern, is) in [
            ("iox", "%", true),
            ("iox", "iox", true),
            ("iox", "i_x", true),
            ("iox", "%x%", true),
            ("iox", "%ox", true),
            ("iox", "o%", false),
            ("iox", "", false),
            ("", "%", true),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("aab", "%ab", true),
            ("abcabd", "%ab_", true),
        ] {
            assert_eq!(is_like(text, pattern), is, "{text} {pattern}");
        }
        assert!(!is_like("information_schema", &"%a".repeat(100_000)));
    }

    #[test]
    fn flight_listings_apply_filters() {
        let rows = |flight_request: GetDbSchemas| schemas(&flight_request).unwrap().num_rows();
        assert_eq!(rows(GetDbSchemas::default()), 3);
        let like =
            |pattern: &str| GetDbSchemas { schema_pattern: Some(pattern.into()), catalog: None };
        assert_eq!((rows(like("i%")), rows(like("iox")), rows(like("x"))), (2, 1, 0));
        let long = "%".repeat(SCHEMA_PATTERN_BYTES_MAX + 1);
        assert_eq!(rows(like(&long[1..])), 3);
        let error = schemas(&like(&long)).unwrap_err().to_string();
        assert!(error.contains("SCHEMA_PATTERN_BYTES_MAX"), "{error}");
        let of = |catalog: &str| GetDbSchemas { catalog: Some(catalog.into()), ..like("%") };
        assert_eq!((rows(of("public")), rows(of(""))), (3, 0));
        assert_eq!(xdbc_types(None).unwrap().num_rows(), 8);
        let times = xdbc_types(Some(93)).unwrap();
        assert_eq!((times.num_rows(), times.num_columns()), (1, 19));
        assert_eq!(times.column(0).as_string::<i32>().value(0), "TIMESTAMP");
        for made in [catalogs(), primary_keys(), foreign_keys(), table_types("TABLE")] {
            assert!(!stream(&made.unwrap()).unwrap().is_empty());
        }
    }

    #[test]
    fn table_listing_includes_requested_schema() {
        let table = r#""catalog_name":"public","db_schema_name":"iox","table_name":"m","table_type":"BASE TABLE""#;
        let column = |name: &str, of: &str| {
            format!(r#"{{{table},"column_name":"{name}","data_type":"{of}","is_nullable":"YES"}}"#)
        };
        let columns = format!("{}\n{}\n", column("v", "Float64"), column("host", "Utf8"));
        for (lines, include_schema) in [(format!("{{{table}}}\n"), false), (columns, true)] {
            let stream = listed(&lines, lines.len(), include_schema);
            let mut batches = StreamReader::try_new(stream.as_slice(), None).unwrap();
            let batch = batches.next().unwrap().unwrap();
            assert_eq!(batch.num_rows(), 1);
            let texts: Vec<&str> =
                batch.columns()[..4].iter().map(|of| of.as_string::<i32>().value(0)).collect();
            assert_eq!(texts, ["public", "iox", "m", "BASE TABLE"]);
            assert_eq!(batch.num_columns(), 4 + usize::from(include_schema));
        }
    }

    fn listed(lines: &str, piece_bytes: usize, include_schema: bool) -> Vec<u8> {
        let mut tables = TableList::new(include_schema);
        lines.as_bytes().chunks(piece_bytes).for_each(|piece| tables.push(piece).unwrap());
        tables.finish().unwrap()
    }

    #[test]
    fn table_listing_parses_at_any_split() {
        let line = |table: &str, column: &str| {
            format!(
                r#"{{"db_schema_name":"iox","table_name":"{table}","table_type":"VIEW","column_name":"{column}","data_type":"Utf8","is_nullable":"YES"}}"#
            )
        };
        let lines = [line("a", "x"), line("a", "y"), line("b", "x"), line("é", "ü")].join("\n");
        let whole = listed(&lines, lines.len(), true);
        let mut batches = StreamReader::try_new(whole.as_slice(), None).unwrap();
        let batch = batches.next().unwrap().unwrap();
        let names: Vec<_> = batch.column(2).as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, ["a", "b", "é"]);
        for piece_bytes in 1..lines.len() {
            assert!(listed(&lines, piece_bytes, true) == whole, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn sql_info_returns_requested_entries() {
        let all = sql_info(&[]).unwrap();
        assert_eq!(all.num_rows(), 87);
        let starts = INFOS.iter().map(|(ids, _)| (*ids.start(), *ids.end()));
        assert!(starts.is_sorted_by(|(_, last), (next, _)| last < next));
        let some = sql_info(&[504, 3, 0, 99]).unwrap();
        let values = some.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        assert_eq!(values.value(0).as_string::<i32>().value(0), "InfluxDB IOx");
        assert!(values.value(1).as_boolean().value(0));
        assert_eq!(values.value(2).as_string::<i32>().value(0), "\"");
        assert_eq!(some.num_rows(), 3);
        let functions = sql_info(&[508, 512]).unwrap();
        let values = functions.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        let texts = |row: usize| values.value(row).as_list::<i32>().value(0);
        assert_eq!((texts(0).len(), texts(1).len()), (0, 21));
        assert_eq!(texts(1).as_string::<i32>().value(2), "date_bin");
        assert_eq!(sql_info(&[0; SQL_INFO_IDS_MAX]).unwrap().num_rows(), 1);
        let error = sql_info(&[0; SQL_INFO_IDS_MAX + 1]).unwrap_err().to_string();
        assert!(error.contains("SQL_INFO_IDS_MAX"), "{error}");
        assert!(!stream(&all).unwrap().is_empty());
    }
}
