//! Defines the columns of a table, and finds the values of rows in the chunks of a result.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::cell::Cell;
use tidemark_model::value::FieldType;
use tidemark_query::data_type::DataType;
use tidemark_query::result::{ResultColumn, ResultColumns, SeriesChunk};

/// The name of the measurement column, as in InfluxDB 3.
const MEASUREMENT: &str = "iox::measurement";

/// The columns of a table in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub(super) columns: Vec<TableColumn>,
    /// The time zone in which times are displayed.
    pub(super) zone: Option<Rc<str>>,
    /// The tags that group the rows, in ascending order.
    pub(super) group_tags: Vec<GroupTag>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableColumn {
    /// The column's name.
    pub name: String,
    /// The kind of the column's values.
    pub kind: TableKind,
    source: Source,
}

/// The kind of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableKind {
    /// Text that is never null.
    Name,
    /// Timestamps in nanoseconds that are never null.
    Time,
    /// Values of a tag. The values are null in series without the tag.
    Tag,
    /// Values of a field with this type, which may be null.
    Field(FieldType),
    /// A column of nulls.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Measurement,
    GroupTag(usize),
    Column(usize),
}

/// A tag by which the statement groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupTag {
    /// The tag's key.
    pub key: String,
    /// The position of the tag's column in the table.
    pub column: usize,
    /// Whether the table has this column because the statement also selects the tag.
    pub is_projected: bool,
}

/// The values of a column in a chunk.
pub(super) enum Cells<'a> {
    /// A single value for all rows.
    Constant(Cell<'a>),
    /// One value for each row. The flag is true if the column is a tag.
    Column(&'a ResultColumn, bool),
}

impl Layout {
    /// Returns the layout of a SELECT: the measurement, the time, the GROUP BY tags that the
    /// statement does not select, and the selected columns.
    pub fn of_select(result: &ResultColumns) -> Self {
        let column = |name: &str, kind, source| TableColumn { name: name.to_owned(), kind, source };
        let mut columns = vec![column(MEASUREMENT, TableKind::Name, Source::Measurement)];
        let mut names = result.names.iter();
        columns.extend(names.next().map(|name| column(name, TableKind::Time, Source::Column(0))));
        let selected: Vec<TableColumn> = names
            .zip(result.types.iter())
            .zip(1..)
            .map(|((name, data_type), position)| {
                let kind = match data_type {
                    DataType::Tag => TableKind::Tag,
                    other => other.field_type().map_or(TableKind::Unknown, TableKind::Field),
                };
                column(name, kind, Source::Column(position))
            })
            .collect();
        let shown =
            |key: &String| selected.iter().position(|c| c.kind == TableKind::Tag && c.name == *key);
        let hidden = |(_, key): &(usize, &String)| shown(key).is_none();
        for (position, key) in result.group_keys.iter().enumerate().filter(hidden) {
            columns.push(column(key, TableKind::Tag, Source::GroupTag(position)));
        }
        let first_selected = columns.len();
        let group_tags = result.group_keys.iter().enumerate().map(|(position, key)| {
            let projected = shown(key).map(|at| first_selected + at);
            let own = columns.iter().position(|c| c.source == Source::GroupTag(position));
            let column = projected.or(own).unwrap_or_default();
            GroupTag { key: key.clone(), column, is_projected: projected.is_some() }
        });
        let group_tags = group_tags.collect();
        columns.extend(selected);
        make_names_unique(&mut columns);
        Self { columns, zone: result.zone.clone(), group_tags }
    }

    /// Returns the layout for a result with the columns of `chunk`. The measurement is the first
    /// column if the chunk has a name.
    pub fn of_chunk(chunk: &SeriesChunk) -> Self {
        let names: Vec<&str> = chunk.columns.iter().map(String::as_str).collect();
        let is_named = chunk.name.as_deref().is_some_and(|name| !name.is_empty());
        let mut layout = Self::of_names(is_named, &names);
        let own = layout.columns.iter_mut().filter(|c| c.source != Source::Measurement);
        for (column, values) in own.zip(&chunk.values) {
            column.kind = match values {
                ResultColumn::Time(_) => TableKind::Time,
                ResultColumn::Null => TableKind::Unknown,
                ResultColumn::Values(column) | ResultColumn::Filled { column, .. } => {
                    TableKind::Field(column.values.field_type())
                }
            };
        }
        layout
    }

    /// Returns a layout of string columns with these names. Optionally, the measurement is the
    /// first column.
    pub fn of_names(has_measurement: bool, names: &[&str]) -> Self {
        let measurement = has_measurement.then(|| TableColumn {
            name: MEASUREMENT.to_owned(),
            kind: TableKind::Name,
            source: Source::Measurement,
        });
        let columns = names.iter().enumerate().map(|(position, name)| TableColumn {
            name: (*name).to_owned(),
            kind: TableKind::Field(FieldType::String),
            source: Source::Column(position),
        });
        let mut columns: Vec<TableColumn> = measurement.into_iter().chain(columns).collect();
        make_names_unique(&mut columns);
        Self { columns, zone: None, group_tags: Vec::new() }
    }

    /// Returns the values of each column in `chunk`.
    pub(super) fn cells<'a>(&self, chunk: &'a SeriesChunk) -> Vec<Cells<'a>> {
        let cells = self.columns.iter().map(|column| match column.source {
            Source::Measurement => {
                Cells::Constant(Cell::Text(chunk.name.as_deref().unwrap_or_default()))
            }
            Source::GroupTag(at) => Cells::Constant(match chunk.tags.get(at) {
                Some((_, value)) if !value.is_empty() => Cell::Text(value),
                _ => Cell::Null,
            }),
            Source::Column(at) => match chunk.values.get(at) {
                Some(values) => Cells::Column(values, column.kind == TableKind::Tag),
                None => Cells::Constant(Cell::Null),
            },
        });
        cells.collect()
    }
}

/// Gives each later column with the name of an earlier column the first free suffix `_1`, `_2`, …
fn make_names_unique(columns: &mut [TableColumn]) {
    let mut taken: BTreeSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut next_suffixes: BTreeMap<String, usize> = BTreeMap::new();
    for column in columns {
        let Some(next) = next_suffixes.get_mut(&column.name) else {
            next_suffixes.insert(column.name.clone(), 1);
            continue;
        };
        let mut suffixed = (*next..).map(|number| (number, format!("{}_{number}", column.name)));
        if let Some((number, free)) = suffixed.find(|(_, name)| !taken.contains(name)) {
            *next = number + 1;
            taken.insert(free.clone());
            column.name = free;
        }
    }
}

impl<'a> Cells<'a> {
    /// Returns the value of a row.
    pub(super) fn get(&self, row: usize) -> Cell<'a> {
        match *self {
            Self::Constant(cell) => cell,
            Self::Column(column, is_tag) => match Cell::new(column, row) {
                // An empty text means that the series lacks the tag.
                Cell::Text("") if is_tag => Cell::Null,
                cell => cell,
            },
        }
    }
}
