//! Copies rows of several columns into one column.

use super::bitmap::Validity;
use super::column::{Column, Fixed, StringColumn, Values};
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// A column that is built from rows of other columns. If a source stores the codes of strings, the
/// new column also stores codes.
pub struct Picker<'a> {
    sources: Vec<Source<'a>>,
    picked: Column,
}

struct Source<'a> {
    column: &'a Column,
    /// The code of each row, if both the source and the new column store codes.
    codes: Option<&'a [u32]>,
    /// The new column's entry for each entry of the source, or [`NONE`].
    entries: Vec<u32>,
}

/// The position that means "no entry". A column has fewer than 2^32 entries, so no entry has this
/// position.
const NONE: u32 = u32::MAX;

impl<'a> Picker<'a> {
    /// Creates an empty column of type `field_type`. The rows can come from `sources`.
    pub fn new(field_type: FieldType, sources: impl Iterator<Item = &'a Column>) -> Self {
        let sources: Vec<Source<'a>> =
            sources.map(|column| Source::new(column, field_type)).collect();
        let mut picked = Column::new(field_type);
        if sources.iter().any(|source| source.codes.is_some())
            && let Values::String(texts) = &mut picked.values
        {
            *texts = StringColumn::empty_coded();
        }
        Self { sources, picked }
    }

    /// Appends a row of source number `source`, or a null if there is no such row of this type.
    pub fn push(&mut self, source: usize, row: usize) {
        let Some(source) = self.sources.get_mut(source) else { return self.picked.push_null() };
        if source.codes.is_some() && source.column.validity.is_valid(row) {
            let at = self.picked.len();
            if let Values::String(texts) = &mut self.picked.values {
                let entry = source.entry_of(row, texts);
                texts.extend_codes([entry]);
            }
            return self.picked.validity.push(at, true);
        }
        if !self.picked.push_from(source.column, row) {
            self.picked.push_null();
        }
    }

    /// Appends several rows like [`Self::push`]. Each place is a source number and a row number.
    pub fn extend(&mut self, places: &[(usize, usize)]) {
        if self.extend_codes(places) {
            return;
        }
        let field_type = self.picked.values.field_type();
        let is_other = |source: &Source<'_>| source.column.values.field_type() != field_type;
        if field_type == FieldType::String || self.sources.iter().any(is_other) {
            return places.iter().for_each(|&(source, row)| self.push(source, row));
        }
        let (sources, mut at) = (&self.sources, self.picked.len());
        match &mut self.picked.values {
            Values::Float(to) => extend(to, sources, places),
            Values::Integer(to) => extend(to, sources, places),
            Values::Unsigned(to) => extend(to, sources, places),
            Values::Boolean(to) => extend(to, sources, places),
            Values::String(_) => {}
        }
        if self.picked.validity == Validity::All && sources.iter().all(Source::is_full) {
            return;
        }
        for &(source, row) in places {
            let source = sources.get(source);
            let is_valid = source.is_some_and(|source| source.column.validity.is_valid(row));
            self.picked.validity.push(at, is_valid);
            at += 1;
        }
    }

    /// Appends the codes of several rows if all sources store codes and have no nulls. Otherwise,
    /// returns `false` and appends nothing.
    fn extend_codes(&mut self, places: &[(usize, usize)]) -> bool {
        let is_it = |source: &Source<'_>| source.codes.is_some() && source.is_full();
        let count = self.sources.len();
        let all = self.picked.validity == Validity::All && self.sources.iter().all(is_it);
        if !all || places.iter().any(|&(source, _)| source >= count) {
            return false;
        }
        let Values::String(texts) = &mut self.picked.values else { return false };
        let mut entries = Vec::with_capacity(places.len());
        for &(source, row) in places {
            if let Some(source) = self.sources.get_mut(source) {
                entries.push(source.entry_of(row, texts));
            }
        }
        texts.extend_codes(entries);
        true
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.picked.push_null();
    }

    /// Appends nulls until the column has `rows` rows.
    pub fn pad(&mut self, rows: usize) {
        self.picked.extend_nulls(rows.saturating_sub(self.picked.len()));
    }

    /// Returns the column.
    pub fn finish(self) -> Column {
        self.picked
    }
}

impl<'a> Source<'a> {
    fn new(column: &'a Column, wanted: FieldType) -> Self {
        let codes = match &column.values {
            Values::String(texts) => texts.codes(),
            _ => None,
        };
        let codes = codes.filter(|_| wanted == FieldType::String);
        Self { column, codes, entries: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.column.validity == Validity::All
    }

    /// Returns the entry of `to` with the text of row `row`. Adds the entry if necessary. The
    /// source must store codes.
    #[inline(always)]
    fn entry_of(&mut self, row: usize, to: &mut StringColumn) -> u32 {
        let code = self.codes.and_then(|codes| codes.get(row)).copied().unwrap_or(NONE);
        match self.entries.get(code as usize) {
            Some(&entry) if entry != NONE => entry,
            _ => self.add_entry(row, code, to),
        }
    }

    fn add_entry(&mut self, row: usize, code: u32, to: &mut StringColumn) -> u32 {
        let Values::String(from) = &self.column.values else { return to.push_entry("") };
        if self.entries.is_empty() {
            self.entries = vec![NONE; from.parts().1.len()];
        }
        let added = to.push_entry(from.get(row));
        if let Some(entry) = self.entries.get_mut(code as usize) {
            *entry = added;
        }
        added
    }
}

fn extend<T: Fixed>(to: &mut Vec<T>, sources: &[Source<'_>], places: &[(usize, usize)]) {
    let values: Vec<&[T]> = sources.iter().map(|source| T::of(&source.column.values)).collect();
    to.extend(places.iter().map(|&(source, row)| match values.get(source) {
        Some(values) => values.get(row).copied().or_bug(),
        None => T::default(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::value::FieldValue;

    fn coded(entries: &[&str], codes: &[u32], nulls: &[usize]) -> Column {
        let entries = entries.iter().copied().collect();
        let mut column = Column::new(FieldType::String);
        let all = Column::full(Values::String(
            StringColumn::coded(entries, codes.to_vec()).expect("entries that exist"),
        ));
        for row in 0..codes.len() {
            let rows: &[u32] = if nulls.contains(&row) { &[] } else { &[row as u32] };
            column.extend_from(&all.gather(rows));
            column.extend_nulls(usize::from(rows.is_empty()));
        }
        Column { values: all.values, validity: column.validity }
    }

    #[test]
    fn picker_copies_string_rows() {
        let plain = Column::full(Values::String(["p", "", "q"].into_iter().collect()));
        let sources = [coded(&["a", "bb"], &[1, 0, 1], &[1]), plain, coded(&["bb"], &[0], &[])];
        let text = |text: &str| Some(FieldValue::String(text.into()));
        let mut picker = Picker::new(FieldType::String, sources.iter());
        for (source, row) in [(1, 2), (0, 0), (0, 1), (2, 0), (1, 1), (0, 2), (7, 0)] {
            picker.push(source, row);
        }
        picker.push_null();
        picker.pad(10);
        picker.push(0, 0);
        let picked = picker.finish();
        let expected = [
            text("q"),
            text("bb"),
            None,
            text("bb"),
            text(""),
            text("bb"),
            None,
            None,
            None,
            None,
            text("bb"),
        ];
        let found: Vec<_> = (0..picked.len()).map(|row| picked.get(row)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn picker_keeps_repeated_strings_encoded() {
        let long = "x".repeat(1_000);
        let column = coded(&[&long, "unused"], &[0; 1_000], &[3]);
        let mut picker = Picker::new(FieldType::String, [&column, &column].into_iter());
        (0..1_000).for_each(|row| picker.push(row % 2, row));
        let picked = picker.finish();
        assert!(picked.bytes() < 20_000, "{}", picked.bytes());
        let found = |row| picked.get(row);
        assert_eq!((found(999), found(3)), (Some(FieldValue::String(long.as_str().into())), None));
    }

    #[test]
    fn bulk_pick_equals_single_picks() {
        let mut sparse = Column::full(Values::Float(vec![1.5, 2.5]));
        sparse.push_null();
        let full = Column::full(Values::Float(vec![7.0, 8.0, 9.0]));
        let texts = coded(&["a", "bb"], &[1, 0, 1], &[1]);
        let of_all = coded(&["bb", "", "c"], &[2, 0, 2], &[]);
        let integers = Column::full(Values::Integer(vec![1, 2, 3]));
        let places = [(0, 1), (1, 0), (0, 2), (0, 0), (1, 1), (1, 0)];
        for sources in [
            vec![&sparse, &full],
            vec![&full, &full],
            vec![&texts, &texts],
            vec![&of_all, &of_all],
            vec![&of_all, &texts],
            vec![&integers, &integers],
            vec![&full, &integers],
        ] {
            let field_type = sources[0].values.field_type();
            let picker = || Picker::new(field_type, sources.iter().copied());
            let (mut each, mut all) = (picker(), picker());
            for part in [&places[..2], &places[2..]] {
                part.iter().for_each(|&(source, row)| each.push(source, row));
                all.extend(part);
            }
            assert_eq!(each.finish(), all.finish());
        }
    }

    #[test]
    fn picker_nulls_other_column_types() {
        let sources = [Column::full(Values::Integer(vec![1, 2])), coded(&["a"], &[0], &[])];
        let mut picker = Picker::new(FieldType::Integer, sources.iter());
        picker.push(0, 1);
        picker.push(1, 0);
        picker.push(0, 0);
        let picked = picker.finish();
        let found: Vec<_> = (0..picked.len()).map(|row| picked.get(row)).collect();
        assert_eq!(found, [Some(FieldValue::Integer(2)), None, Some(FieldValue::Integer(1))]);
    }
}
