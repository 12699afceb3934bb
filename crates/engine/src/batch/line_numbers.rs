//! Stores the physical line numbers of a batch's rows as runs.

/// The 1-based physical line on which each row starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineNumbers {
    /// The runs of consecutive lines: the first row of each run, and the line of this row.
    runs: Vec<(u32, u32)>,
    rows: u32,
    next: u32,
}

impl LineNumbers {
    /// Appends the line of the next row.
    #[inline(always)]
    pub fn push(&mut self, line: u32) {
        if line != self.next {
            self.runs.push((self.rows, line));
        }
        self.next = line.wrapping_add(1);
        self.rows += 1;
    }

    /// Returns the line of row `row`, or 0 after the end.
    pub fn get(&self, row: usize) -> u32 {
        let row = row as u32;
        let after = self.runs.partition_point(|&(first, _)| first <= row);
        let run = after.checked_sub(1).and_then(|at| self.runs.get(at));
        run.filter(|_| row < self.rows).map_or(0, |&(first, line)| line + (row - first))
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.runs.capacity() * size_of::<(u32, u32)>()
    }
}

impl FromIterator<u32> for LineNumbers {
    fn from_iter<I: IntoIterator<Item = u32>>(lines: I) -> Self {
        let mut numbers = Self::default();
        lines.into_iter().for_each(|line| numbers.push(line));
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_numbers_are_found_by_row() {
        let lines = [1, 2, 3, 5, 6, 8, 3, 4, u32::MAX];
        let numbers = LineNumbers::from_iter(lines);
        let read: Vec<u32> = (0..lines.len()).map(|row| numbers.get(row)).collect();
        assert_eq!((read.as_slice(), numbers.get(lines.len())), (&lines[..], 0));
        assert_eq!(LineNumbers::from_iter([1, 2, 5, 6, 7]).runs, [(0, 1), (2, 5)]);
    }
}
