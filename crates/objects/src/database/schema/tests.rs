use super::*;
use tidemark_engine::store::row;
use tidemark_model::limits::DATABASE_SCHEMA_BYTES_MAX;

fn set(measurement: &str, tags: &[&str], fields: &[(&str, FieldType)]) -> ColumnSet {
    ColumnSet {
        measurement: measurement.to_owned(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        fields: fields.iter().map(|&(key, kind)| (key.to_owned(), kind)).collect(),
    }
}

fn register(schema: &mut Schema, sets: &[ColumnSet]) -> Vec<Option<RegisterRefusal>> {
    let mut registration = schema.register(sets, &Limits::default(), schema.bytes());
    let refusals = std::mem::take(&mut registration.refusals);
    schema.apply(registration);
    refusals
}

fn columns(schema: &Schema, name: &str) -> Vec<(u32, String)> {
    let measurement = schema.by_name.get(name);
    let columns = measurement.into_iter().flat_map(|measurement| &measurement.columns);
    columns.map(|column| (column.id.0, column.key.clone())).collect()
}

#[test]
fn schema_pages_list_changes_in_order() {
    let mut schema = Schema::default();
    let long = "x".repeat(60_000);
    let names: Vec<String> = (0..7).map(|n| format!("{long}{n}")).collect();
    let fields = [("f", FieldType::Float)];
    let sets: Vec<ColumnSet> = names.iter().map(|name| set(name, &[], &fields)).collect();
    register(&mut schema, &sets);
    register(&mut schema, &[set(&names[0], &["later"], &[])]);
    let (mut seen, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (page, more) = schema.page(after);
        let bytes: usize = page.iter().map(|m| serde_json::to_vec(m).unwrap().len()).sum();
        assert!(bytes <= SCHEMA_PAGE_BYTES_MAX);
        after = page.last().map_or(after, |measurement| measurement.version);
        seen.extend(page.into_iter().map(|measurement| measurement.name));
        pages += 1;
        if !more {
            break;
        }
    }
    let expected: Vec<String> = names.iter().skip(1).chain(&names[..1]).cloned().collect();
    assert!(seen == expected, "the changed one comes last");
    assert_eq!((pages, after), (3, schema.version()));
}

#[test]
fn schema_page_limits_measurements() {
    let mut schema = Schema::default();
    let count = MEASUREMENTS_PER_PAGE_MAX as u32 + 10;
    for id in 0..count {
        let (name, version) = (String::new(), u64::from(count - id));
        let columns = Vec::new();
        let id = MeasurementId(id);
        schema.load(MeasurementSchema { id, name, version, columns, dropped: true });
    }
    let versions = |after| {
        let (page, more) = schema.page(after);
        (page.into_iter().map(|measurement| measurement.version).collect::<Vec<_>>(), more)
    };
    let all: Vec<u64> = (1..=u64::from(count)).collect();
    let (first, rest) = all.split_at(MEASUREMENTS_PER_PAGE_MAX);
    assert_eq!(versions(0), (first.to_vec(), true));
    assert_eq!(versions(MEASUREMENTS_PER_PAGE_MAX as u64), (rest.to_vec(), false));
}

#[test]
fn oversized_schema_row_is_rejected() {
    let mut schema = Schema::default();
    let key = "é".repeat(300_000);
    let fits = set("m", &[], &[(&key[..key.len() / 2], FieldType::Unsigned)]);
    assert_eq!(register(&mut schema, &[fits]), [None]);
    let row = schema.by_name.get("m").unwrap();
    assert!(row::encode(row).unwrap().len() <= stored_bytes(row));
    let refusal = RegisterRefusal::TooLarge { measurement: "m".to_owned() };
    let too_large = set("m", &[], &[(&key, FieldType::Float)]);
    assert_eq!(register(&mut schema, &[too_large]), [Some(refusal)]);
}

#[test]
fn columns_of_all_policies_are_limited() {
    let mut schema = Schema::default();
    let long = "k".repeat(400_000);
    let wide = |n: usize| set(&format!("m{n}"), &[], &[(&long, FieldType::Float)]);
    let count = DATABASE_SCHEMA_BYTES_MAX / 400_100;
    let sets: Vec<ColumnSet> = (0..count + 2).map(wide).collect();
    let refusals = register(&mut schema, &sets);
    let refused = refusals.iter().position(Option::is_some).unwrap();
    assert_eq!(refused, count);
    let Some(RegisterRefusal::TooManyColumns { measurement, limit, current, requested }) =
        &refusals[refused]
    else {
        panic!("{refusals:?}")
    };
    assert_eq!((measurement.as_str(), *limit), ("m44", DATABASE_SCHEMA_BYTES_MAX as u64));
    assert_eq!(*current, schema.by_name.values().map(stored_bytes).sum::<usize>() as u64);
    assert!(*current <= *limit && *requested > *limit, "{current} {requested}");
    assert_eq!(schema.bytes() as u64, *current);
    // Known columns and small sets remain possible, and a dropped measurement frees its bytes.
    let small = [set("m0", &["host"], &[]), set("m1", &[], &[(&long, FieldType::Float)])];
    assert_eq!(register(&mut schema, &small), [None, None]);
    assert!(register(&mut schema, &[wide(count)])[0].is_some());
    let marker = schema.marker(MeasurementId(1)).unwrap();
    schema.mark(marker);
    assert_eq!(register(&mut schema, &[wide(count)]), [None]);
    // The other policies of the database count.
    let other = DATABASE_SCHEMA_BYTES_MAX - 100;
    let empty = Schema::default();
    let registration = empty.register(&[wide(0)], &Limits::default(), other);
    assert!(matches!(registration.refusals[0], Some(RegisterRefusal::TooManyColumns { .. })));
}

#[test]
fn sets_of_a_measurement_register_one_after_another() {
    let mut schema = Schema::default();
    register(&mut schema, &[set("m", &["a"], &[("f", FieldType::Float)])]);
    let clash = |measurement: &str| RegisterRefusal::TypeConflict {
        measurement: measurement.to_owned(),
        field: "g".to_owned(),
        existing: FieldType::Float,
        requested: FieldType::Integer,
    };
    let sets = [
        set("m", &["b"], &[("g", FieldType::Float), ("f", FieldType::Float)]),
        // The first set of the new measurement is refused.
        set("n", &[], &[("g", FieldType::Float), ("g", FieldType::Integer)]),
        set("m", &["c"], &[("g", FieldType::Integer)]),
        set("o", &[], &[("g", FieldType::Float)]),
        set("n", &["b", "a"], &[("g", FieldType::Float)]),
        set("m", &["a", "b"], &[("h", FieldType::Float)]),
        set("p", &[], &[("g", FieldType::Float), ("g", FieldType::Integer)]),
    ];
    let version = schema.version();
    let refusals = register(&mut schema, &sets);
    let expected = [None, Some(clash("n")), Some(clash("m")), None, None, None, Some(clash("p"))];
    assert_eq!(refusals, expected);
    assert_eq!((schema.id("o"), schema.id("n")), (Some(MeasurementId(1)), Some(MeasurementId(2))));
    assert_eq!((schema.id("p"), schema.version()), (None, version + 3));
    assert_eq!(register(&mut schema, &sets[..1]), [None], "a repeat");
    assert_eq!(schema.version(), version + 3, "changes nothing");
    // A tag and a field may have the same key.
    assert_eq!(register(&mut schema, &[set("n", &["g"], &[])]), [None]);
    let keys = |name| columns(&schema, name).into_iter().map(|(id, key)| format!("{id}{key}"));
    assert_eq!(keys("m").collect::<Vec<_>>(), ["0a", "1f", "2b", "3g", "4h"]);
    assert_eq!(keys("n").collect::<Vec<_>>(), ["0a", "1b", "2g", "3g"]);
    // A registration counts the other columns, but does not build an index of them.
    let draft = Draft::new("m", schema.by_name.get("m"), &BTreeSet::from(["a", "f", "x"]));
    assert_eq!((draft.tags.len(), draft.fields.len()), (1, 1));
    assert_eq!((draft.tag_count, draft.field_count), (2, 3));
}

#[test]
fn reloaded_schema_continues_numbering() {
    let mut schema = Schema::default();
    let fields = [("f", FieldType::Float)];
    register(&mut schema, &[set("a", &[], &fields), set("b", &[], &fields)]);
    let mut read = Schema::default();
    schema.by_name.values().rev().cloned().for_each(|measurement| read.load(measurement));
    assert_eq!((read.version(), read.next_measurement), (schema.version(), 2));
    register(&mut read, &[set("c", &[], &fields), set("a", &["t"], &[])]);
    assert_eq!(read.by_name.get("c").map(|m| m.id), Some(MeasurementId(2)));
    assert_eq!(columns(&read, "a"), [(0, "f".to_owned()), (1, "t".to_owned())]);
}

#[test]
fn recovered_schema_never_reuses_ids() {
    let mut schema = Schema::default();
    register(&mut schema, &[set("m", &["host"], &[("f", FieldType::Float)])]);
    let then = schema.clone();
    register(
        &mut schema,
        &[
            set("m", &["zone"], &[("g", FieldType::Float)]),
            set("n", &[], &[("f", FieldType::Float)]),
        ],
    );
    let (version, (next_measurement, next_column)) = (schema.version(), schema.next_ids());
    assert_eq!((next_measurement, next_column), (2, 4));

    let rows = then.resend_rows(version, next_measurement);
    let shown = rows.iter().map(|row| (row.id.0, row.name.as_str(), row.dropped, row.version));
    let expected = [(0, "m", false, version + 1), (1, "", true, version + 2)];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    let mut again = Schema::default();
    rows.into_iter().for_each(|row| again.load(row));
    again.set_min_column_id(next_column);
    register(
        &mut again,
        &[set("m", &[], &[("h", FieldType::Integer)]), set("o", &[], &[("f", FieldType::Float)])],
    );
    assert_eq!(columns(&again, "m").last(), Some(&(4, "h".to_owned())));
    assert_eq!(again.id("o"), Some(MeasurementId(2)));
}
