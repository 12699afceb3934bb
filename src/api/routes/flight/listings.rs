//! Creates the lists of Flight SQL that do not depend on the database: catalogs, schemas, table
//! types, data types, and the empty lists of keys.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray, new_empty_array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::sql_messages::GetDbSchemas;
use crate::api::error::{ApiError, ApiResult};

pub(super) const CATALOG: &str = "public";
/// The schemas in ascending order.
const SCHEMAS: [&str; 3] = ["information_schema", "iox", "system"];

pub(super) fn stream(batch: &RecordBatch) -> ApiResult<Vec<u8>> {
    let written = || {
        let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        if batch.num_rows() > 0 {
            stream.write(batch)?;
        }
        stream.into_inner()
    };
    written().map_err(unmade)
}

/// Returns a schema in the format of a stream's beginning.
pub(super) fn encoded(schema: &Schema) -> ApiResult<Vec<u8>> {
    let mut stream = StreamWriter::try_new(Vec::new(), schema).map_err(unmade)?;
    Ok(std::mem::take(stream.get_mut()))
}

/// Creates a batch. Each column has a name, a flag for nulls, and values.
pub(super) fn table(columns: Vec<(&str, bool, ArrayRef)>) -> ApiResult<RecordBatch> {
    let field = |(name, is_nullable, values): &(&str, bool, ArrayRef)| {
        Field::new(*name, values.data_type().clone(), *is_nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let values = columns.into_iter().map(|(_, _, values)| values).collect();
    RecordBatch::try_new(Arc::new(schema), values).map_err(unmade)
}

pub(super) fn unmade(error: ArrowError) -> ApiError {
    ApiError::Internal(error.to_string())
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

impl XdbcType {
    const fn new(name: &'static str, number: i32, size: i32) -> Self {
        Self { name, number, size, quote: None, radix: None, time: None }
    }

    const fn number(name: &'static str, number: i32, size: i32) -> Self {
        Self { radix: Some(2), ..Self::new(name, number, size) }
    }

    const fn quoted(name: &'static str, number: i32, time: Option<(i32, i32)>) -> Self {
        Self { quote: Some("'"), time, ..Self::new(name, number, i32::MAX) }
    }
}

/// The types in ascending order of ODBC's type numbers.
const XDBC_TYPES: [XdbcType; 8] = [
    XdbcType::new("BOOLEAN", -7, 1),
    XdbcType::number("BIGINT", -5, 64),
    XdbcType::number("INTEGER", 4, 32),
    XdbcType::number("FLOAT", 6, 24),
    XdbcType::number("DOUBLE", 8, 53),
    XdbcType::quoted("INTERVAL", 10, Some((10, 0))),
    XdbcType::quoted("VARCHAR", 12, None),
    XdbcType::quoted("TIMESTAMP", 93, Some((9, 3))),
];

/// Lists the type with the number `flight_request`, or every type.
pub(super) fn xdbc_types(flight_request: Option<i32>) -> ApiResult<RecordBatch> {
    let known =
        || XDBC_TYPES.iter().filter(move |of| flight_request.is_none_or(|n| n == of.number));
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
    let text: Vec<char> = text.chars().collect();
    // The pattern as a list: `None` for any text, `Some(None)` for any character, else a literal
    // character.
    let (mut signs, mut rest) = (Vec::new(), pattern.chars());
    while let Some(sign) = rest.next() {
        signs.push(match sign {
            '%' => None,
            '_' => Some(None),
            '\\' => Some(rest.next()),
            sign => Some(Some(sign)),
        });
    }
    let (mut at, mut sign, mut any) = (0, 0, None);
    while at < text.len() {
        match signs.get(sign) {
            Some(None) => {
                any = Some((sign, at));
                sign += 1;
            }
            Some(Some(one)) if one.is_none_or(|one| text.get(at) == Some(&one)) => {
                (at, sign) = (at + 1, sign + 1);
            }
            // On a mismatch, extend the text that the last `%` matches by one character, and
            // continue after that text.
            _ => match &mut any {
                Some((of_any, from)) => {
                    *from += 1;
                    (at, sign) = (*from, *of_any + 1);
                }
                None => return false,
            },
        }
    }
    signs.iter().skip(sign).all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

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
}
