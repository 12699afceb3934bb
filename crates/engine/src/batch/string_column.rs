//! Stores the strings of a column, either as text or as codes of distinct strings.

use tidemark_model::bug::OrBug;

/// A column of strings: either the concatenated strings, or a dictionary and a code per row.
#[derive(Clone, Debug, Default)]
pub struct StringColumn {
    text: String,
    /// The end offset of each string in `text`. If the column has codes, these strings are the
    /// entries of the dictionary.
    ends: Vec<u32>,
    /// The dictionary entry of each row, if the column has a dictionary.
    codes: Option<Vec<u32>>,
}

impl StringColumn {
    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.codes.as_ref().map_or(self.ends.len(), Vec::len)
    }

    /// Whether the column has no strings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the concatenated text and the end offset of each string or dictionary entry.
    pub fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Creates a column from concatenated strings and their end offsets. Returns `None` unless the
    /// ends are ascending character boundaries up to the end of `text`.
    pub(crate) fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let mut start = 0;
        for &end in &ends {
            text.get(start..end as usize)?;
            start = end as usize;
        }
        (start == text.len()).then_some(Self { text, ends, codes: None })
    }

    /// Creates a column of codes for a `dictionary` of text. Returns `None` if a code has no entry.
    pub fn coded(dictionary: Self, codes: Vec<u32>) -> Option<Self> {
        let entries = dictionary.ends.len();
        let sound = dictionary.codes.is_none() && codes.iter().all(|&c| (c as usize) < entries);
        sound.then_some(Self { codes: Some(codes), ..dictionary })
    }

    /// Creates a column of `rows` equal strings, which are stored once.
    pub fn repeated(value: &str, rows: usize) -> Self {
        let text = StringColumn::from_iter([value]);
        if rows == 1 { text } else { Self { codes: Some(vec![0; rows]), ..text } }
    }

    /// Returns each row's position in [`StringColumn::entries`], if the column stores codes.
    pub fn codes(&self) -> Option<&[u32]> {
        self.codes.as_deref()
    }

    /// Iterates over the dictionary's entries, or over the rows if the column stores no codes.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|entry| self.entry(entry))
    }

    /// Returns the string at `index`, which must exist.
    pub fn get(&self, index: usize) -> &str {
        match &self.codes {
            None => self.entry(index),
            Some(codes) => self.entry(codes.get(index).copied().or_bug() as usize),
        }
    }

    /// Returns the dictionary's entry at `index`, or the row's string if the column stores no
    /// codes. The entry must exist.
    pub fn entry(&self, index: usize) -> &str {
        let end = self.ends.get(index).copied().or_bug() as usize;
        let start = index.checked_sub(1).and_then(|i| self.ends.get(i)).map_or(0, |&e| e as usize);
        self.text.get(start..end).or_bug()
    }

    /// Returns the string at `index` of a column without codes, or no bytes after the end.
    #[inline(always)]
    pub fn bytes_of(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).and_then(|i| self.ends.get(i)).map_or(0, |&e| e as usize);
        self.text.as_bytes().get(start..end as usize).or_bug()
    }

    pub(super) fn empty_coded() -> Self {
        Self { codes: Some(Vec::new()), ..Self::default() }
    }

    /// Appends a string. The text of a column is limited to 4 GiB.
    pub fn push(&mut self, value: &str) {
        let entry = self.push_entry(value);
        self.extend_codes([entry]);
    }

    /// Appends a dictionary entry, or a row if the column stores no codes, and returns its number.
    /// If the column stores codes, no row uses the new entry yet.
    pub(super) fn push_entry(&mut self, value: &str) -> u32 {
        self.text.push_str(value);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.ends.len().saturating_sub(1) as u32
    }

    pub(super) fn extend_codes(&mut self, entries: impl IntoIterator<Item = u32>) {
        if let Some(codes) = &mut self.codes {
            codes.extend(entries);
        }
    }

    /// Returns the text and the ends, so that the caller can reserve memory for them.
    pub(super) fn grown(&mut self) -> (&mut String, &mut Vec<u32>) {
        (&mut self.text, &mut self.ends)
    }

    /// Appends the strings of `other`. Codes remain codes.
    pub fn extend_from(&mut self, other: &Self) {
        if self.is_empty() {
            return self.clone_from(other);
        }
        if let (Some(codes), Some(more)) = (&mut self.codes, &other.codes)
            && (&self.text, &self.ends) == (&other.text, &other.ends)
        {
            return codes.extend_from_slice(more);
        }
        let entries = self.ends.len() as u32;
        if self.codes.is_some() || other.codes.is_some() {
            let codes = self.codes.get_or_insert_with(|| (0..entries).collect());
            match &other.codes {
                Some(more) => codes.extend(more.iter().map(|&code| entries.saturating_add(code))),
                None => codes.extend((entries..).take(other.ends.len())),
            }
        }
        let base = self.text.len() as u32;
        self.text.push_str(&other.text);
        self.ends.extend(other.ends.iter().map(|end| base.saturating_add(*end)));
    }

    pub(crate) fn extend_empty(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let end = self.ends.last().map_or(0, |&end| end);
        if let Some(codes) = &mut self.codes {
            let entry = self.ends.len() as u32;
            codes.resize(codes.len() + count, entry);
            self.ends.push(end);
        } else {
            self.ends.resize(self.ends.len() + count, end);
        }
    }

    /// Drops all strings from index `len` onwards.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.codes {
            Some(codes) => codes.truncate(len),
            None => {
                self.ends.truncate(len);
                self.text.truncate(self.ends.last().map_or(0, |&end| end as usize));
            }
        }
    }

    /// Copies the strings at `rows` in the given order. Rows after the end become empty. If codes
    /// take less memory because strings repeat, the new column stores codes.
    pub fn gather(&self, rows: &[u32]) -> Self {
        let codes = || rows.iter().map(|&row| self.code(row)).collect::<Option<Vec<u32>>>();
        if self.is_shorter_than(rows.iter().copied())
            && let Some(codes) = codes()
        {
            return Self { codes: Some(codes), ..self.dictionary() };
        }
        rows.iter().map(|&row| self.get(row as usize)).collect()
    }

    pub(super) fn gather_or_empty(&self, rows: &[Option<u32>]) -> Self {
        if let Some(rows) = rows.iter().copied().collect::<Option<Vec<u32>>>() {
            return self.gather(&rows);
        }
        if self.is_shorter_than(rows.iter().copied().flatten()) {
            let mut entries = self.dictionary();
            let empty = entries.push_entry("");
            let code = |row: &Option<u32>| row.and_then(|row| self.code(row)).unwrap_or(empty);
            return Self { codes: Some(rows.iter().map(code).collect()), ..entries };
        }
        rows.iter().map(|row| row.map_or("", |row| self.get(row as usize))).collect()
    }

    /// Returns the row's entry, or `None` after the last row.
    fn code(&self, row: u32) -> Option<u32> {
        match &self.codes {
            Some(codes) => codes.get(row as usize).copied(),
            None => Some(row).filter(|&row| (row as usize) < self.ends.len()),
        }
    }

    /// Returns the entries without codes.
    fn dictionary(&self) -> Self {
        Self { text: self.text.clone(), ends: self.ends.clone(), codes: None }
    }

    /// Whether the entries of this column take less memory than the strings at `rows`.
    fn is_shorter_than(&self, rows: impl Iterator<Item = u32>) -> bool {
        // The strings at `rows` may have more than 4 GB.
        let text_bytes = rows.map(|row| self.get(row as usize).len() as u64).sum::<u64>();
        match &self.codes {
            Some(_) => self.text.len() as u64 <= text_bytes,
            None => ((self.text.len() + size_of_val(&*self.ends)) as u64) < text_bytes,
        }
    }

    /// Returns a column with the strings at `picks`. The string of `None` is empty. If this column
    /// stores codes, the new column also stores codes.
    pub(super) fn spread(mut self, picks: &[Option<usize>]) -> Self {
        let Some(codes) = self.codes.take() else {
            return picks.iter().map(|pick| pick.map_or("", |at| self.get(at))).collect();
        };
        let empty = self.push_entry("");
        let code = |at: usize| codes.get(at).copied();
        let codes = picks.iter().map(|pick| pick.and_then(code).unwrap_or(empty)).collect();
        Self { codes: Some(codes), ..self }
    }

    /// Iterates over the strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the total size of all rows' strings, in bytes.
    pub fn text_bytes(&self) -> usize {
        match &self.codes {
            None => self.text.len(),
            Some(_) => self.iter().map(str::len).fold(0, usize::saturating_add),
        }
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        let codes = self.codes.as_ref().map_or(0, Vec::capacity);
        self.text.capacity() + (self.ends.capacity() + codes) * 4
    }
}

impl PartialEq for StringColumn {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for StringColumn {}

impl<'a> FromIterator<&'a str> for StringColumn {
    fn from_iter<I: IntoIterator<Item = &'a str>>(strings: I) -> Self {
        let mut column = Self::default();
        for string in strings {
            column.push(string);
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_column_returns_separate_strings() {
        let mut column: StringColumn = ["a", "", "üx"].into_iter().collect();
        assert_eq!(column.iter().collect::<Vec<_>>(), ["a", "", "üx"]);
        column.truncate(1);
        column.push("b");
        assert_eq!(column.iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn string_ends_must_fit_text() {
        assert!(StringColumn::from_parts("üx".into(), vec![2, 3]).is_some());
        for ends in [vec![1, 3], vec![3, 2], vec![2], vec![4]] {
            assert_eq!(StringColumn::from_parts("üx".into(), ends), None);
        }
    }

    #[test]
    fn string_codes_resolve_to_entries() {
        let entries = || ["a", "", "bc"].into_iter().collect::<StringColumn>();
        let coded = |codes: &[u32]| StringColumn::coded(entries(), codes.to_vec());
        assert_eq!(coded(&[0, 3]), None);
        let column = coded(&[2, 0, 1, 2]).expect("entries that exist");
        let plain = |texts: &[&str]| texts.iter().copied().collect::<StringColumn>();
        assert_eq!(column, plain(&["bc", "a", "", "bc"]));
        assert_eq!(column.gather(&[3, 1]).codes(), Some(&[2, 0][..]));
        assert_eq!((column.gather(&[1]).codes(), column.gather(&[1])), (None, plain(&["a"])));
        assert_eq!((column.text_bytes(), plain(&["bc", "a"]).text_bytes()), (5, 3));
        let mut longer = column.clone();
        longer.extend_from(&column);
        assert_eq!(longer.codes().map(<[u32]>::len), Some(8));
        longer.extend_empty(0);
        longer.extend_from(&coded(&[0]).expect("an entry").gather(&[0, 0, 0]));
        longer.extend_from(&plain(&["y"]));
        longer.extend_empty(2);
        assert_eq!(longer.codes().map(<[u32]>::len), Some(14));
        let texts: Vec<&str> = longer.iter().skip(7).collect();
        assert_eq!(texts, ["bc", "a", "a", "a", "y", "", ""]);
        let mut first_plain = plain(&["y", "z"]);
        first_plain.extend_from(&column);
        assert_eq!(first_plain, plain(&["y", "z", "bc", "a", "", "bc"]));
        assert_eq!(first_plain.codes(), Some(&[0, 1, 4, 2, 3, 4][..]));
        longer.truncate(3);
        longer.push("x");
        longer.extend_from(&column);
        longer.extend_empty(1);
        assert_eq!(longer, plain(&["bc", "a", "", "x", "bc", "a", "", "bc", ""]));
    }

    #[test]
    fn repeated_strings_are_stored_once() {
        let long = "x".repeat(1_000_000);
        let plain: StringColumn = ["a", &long].into_iter().collect();
        let rows = vec![1; 100_000];
        let gathered = plain.gather(&rows);
        let many = [None, Some(0)].into_iter().chain(vec![Some(1); 100_000]);
        let filled = plain.gather_or_empty(&many.collect::<Vec<_>>());
        for (column, last) in [
            (&gathered, 99_999),
            (&filled, 100_001),
            (&gathered.gather(&rows), 99_999),
            (&StringColumn::repeated(&long, 100_000), 99_999),
        ] {
            assert!(column.bytes() < 2_500_000, "{}", column.bytes());
            assert_eq!((column.len(), column.get(last)), (last + 1, long.as_str()));
        }
        assert_eq!((filled.get(0), filled.get(1)), ("", "a"));
        assert_eq!(plain.gather(&[1, 0]).codes(), None);
        assert_eq!(StringColumn::repeated("a", 0), StringColumn::default());
    }
}
