//! Implements `CommandGetSqlInfo`, which returns the server's version and features by number.
//!
//! The JDBC driver requests all numbers, and old versions of the driver fail if a number is
//! missing.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, Int32Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder,
};
use arrow_array::{
    ArrayRef, BooleanArray, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array, UnionArray,
};
use arrow_schema::{DataType, Field, UnionFields};

use super::listings::{table, unmade};
use crate::api::error::ApiResult;

#[derive(Clone, Copy)]
enum Info {
    Text(&'static str),
    Switch(bool),
    Large(i64),
    Number(i32),
    Texts,
    NoConversions,
}

/// The values in ascending order of the numbers in `FlightSql.proto`. The name of the server is
/// InfluxDB's, because clients check this name.
const INFOS: [(u32, Info); 87] = [
    (0, Info::Text("InfluxDB IOx")),
    (1, Info::Text("2")),
    (2, Info::Text("1.3")),
    (3, Info::Switch(true)),
    (4, Info::Switch(true)),
    (5, Info::Switch(false)),
    (8, Info::Number(0)),
    (9, Info::Switch(false)),
    (100, Info::Number(0)),
    (101, Info::Number(0)),
    (500, Info::Switch(false)),
    (501, Info::Switch(false)),
    (502, Info::Switch(false)),
    // Unquoted names are lower-cased, and quoted names are case-sensitive.
    (503, Info::Number(3)),
    (504, Info::Text("\"")),
    (505, Info::Number(0)),
    (506, Info::Switch(true)),
    // Nulls sort above all values.
    (507, Info::Number(0)),
    (508, Info::Texts),
    (509, Info::Texts),
    (510, Info::Texts),
    (511, Info::Texts),
    (512, Info::Texts),
    (513, Info::Text("\\")),
    (514, Info::Text("")),
    (515, Info::Switch(true)),
    (516, Info::Switch(true)),
    (517, Info::NoConversions),
    (518, Info::Switch(true)),
    (519, Info::Switch(false)),
    (520, Info::Switch(true)),
    (521, Info::Switch(true)),
    (522, Info::Number(3)),
    (523, Info::Switch(true)),
    (524, Info::Switch(true)),
    (525, Info::Number(2)),
    (526, Info::Number(1)),
    (527, Info::Switch(false)),
    (528, Info::Number(2)),
    (529, Info::Text("schema")),
    (530, Info::Text("procedure")),
    (531, Info::Text("catalog")),
    (532, Info::Switch(true)),
    (533, Info::Number(0)),
    (534, Info::Number(0)),
    (535, Info::Number(0)),
    (536, Info::Switch(false)),
    (537, Info::Switch(false)),
    (538, Info::Number(15)),
    (539, Info::Switch(true)),
    (540, Info::Number(3)),
    // The limits of names and counts are unknown; 0 means unknown.
    (541, Info::Large(0)),
    (542, Info::Large(0)),
    (543, Info::Large(0)),
    (544, Info::Large(0)),
    (545, Info::Large(0)),
    (546, Info::Large(0)),
    (547, Info::Large(0)),
    (548, Info::Large(0)),
    (549, Info::Large(0)),
    (550, Info::Large(0)),
    (551, Info::Large(0)),
    (552, Info::Large(0)),
    (553, Info::Large(0)),
    (554, Info::Large(0)),
    (555, Info::Large(0)),
    (556, Info::Switch(false)),
    // The maximum size of a statement, in bytes.
    (557, Info::Large(262_144)),
    (558, Info::Large(0)),
    (559, Info::Large(0)),
    (560, Info::Large(0)),
    (561, Info::Large(0)),
    (562, Info::Large(0)),
    (563, Info::Switch(false)),
    (564, Info::Number(0)),
    (565, Info::Switch(false)),
    (566, Info::Switch(false)),
    // Results are forward-only.
    (567, Info::Number(2)),
    (568, Info::Number(0)),
    (569, Info::Number(0)),
    (570, Info::Number(0)),
    (571, Info::Number(0)),
    (572, Info::Switch(false)),
    (573, Info::Switch(false)),
    (574, Info::Switch(true)),
    (575, Info::Switch(false)),
    (576, Info::Switch(false)),
];

/// Lists the known numbers in `flight_request`, or all numbers if `flight_request` is empty.
pub(super) fn sql_info(flight_request: &[u32]) -> ApiResult<RecordBatch> {
    let known =
        INFOS.iter().filter(|(id, _)| flight_request.is_empty() || flight_request.contains(id));
    let (mut ids, mut kinds, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let (mut texts, mut switches) = (Vec::new(), Vec::new());
    let (mut large, mut numbers) = (Vec::new(), Vec::new());
    let item = Field::new("string_data", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    let mut conversions = conversions();
    for &(id, info) in known {
        // The kind is the number of the union's child, and the place is the index in this child.
        let (kind, place) = match info {
            Info::Text(text) => (0, push(&mut texts, text)),
            Info::Switch(is_on) => (1, push(&mut switches, is_on)),
            Info::Large(number) => (2, push(&mut large, number)),
            Info::Number(number) => (3, push(&mut numbers, number)),
            Info::Texts => {
                lists.append(true);
                (4, lists.len() - 1)
            }
            Info::NoConversions => {
                conversions.append(true).map_err(unmade)?;
                (5, conversions.len() - 1)
            }
        };
        ids.push(id);
        kinds.push(kind);
        places.push(i32::try_from(place).unwrap_or_default());
    }
    let children: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(texts)),
        Arc::new(BooleanArray::from(switches)),
        Arc::new(Int64Array::from(large)),
        Arc::new(Int32Array::from(numbers)),
        Arc::new(lists.finish()),
        Arc::new(conversions.finish()),
    ];
    let names = [
        "string_value",
        "bool_value",
        "bigint_value",
        "int32_bitmask",
        "string_list",
        "int32_to_int32_list_map",
    ];
    let fields = names
        .iter()
        .zip(&children)
        .map(|(name, values)| Field::new(*name, values.data_type().clone(), false));
    let fields = UnionFields::try_new(0..6, fields).map_err(unmade)?;
    let kinds = Int8Array::from(kinds).values().clone();
    let places = Int32Array::from(places).values().clone();
    let values = UnionArray::try_new(fields, kinds, Some(places), children).map_err(unmade)?;
    table(vec![
        ("info_name", false, Arc::new(UInt32Array::from(ids))),
        ("value", false, Arc::new(values)),
    ])
}

fn push<T>(values: &mut Vec<T>, value: T) -> usize {
    values.push(value);
    values.len() - 1
}

/// Returns a builder for a map from a type to the types into which a value of this type can be
/// converted.
fn conversions() -> MapBuilder<Int32Builder, ListBuilder<Int32Builder>> {
    let item = Field::new("$data$", DataType::Int32, true);
    let lists = ListBuilder::new(Int32Builder::new()).with_field(item);
    let [entry, key, value] = ["entries", "key", "value"].map(str::to_owned);
    MapBuilder::new(Some(MapFieldNames { entry, key, value }), Int32Builder::new(), lists)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;
    use crate::api::routes::flight::listings::stream;

    #[test]
    fn sql_info_returns_requested_entries() {
        let all = sql_info(&[]).unwrap();
        assert_eq!(all.num_rows(), INFOS.len());
        assert!(INFOS.is_sorted_by_key(|(id, _)| id));
        let some = sql_info(&[504, 3, 0, 99]).unwrap();
        let values = some.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        assert_eq!(values.value(0).as_string::<i32>().value(0), "InfluxDB IOx");
        assert!(values.value(1).as_boolean().value(0));
        assert_eq!(values.value(2).as_string::<i32>().value(0), "\"");
        assert_eq!(some.num_rows(), 3);
        assert!(!stream(&all).unwrap().is_empty());
    }
}
