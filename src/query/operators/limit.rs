//! Applies LIMIT and OFFSET to a stream of row batches.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limiter {
    skip: u64,
    show: Option<u64>,
    is_begun: bool,
}

impl Limiter {
    pub(crate) fn new(limit: u64, offset: u64) -> Self {
        Self { skip: offset, show: (limit > 0).then_some(limit), is_begun: false }
    }

    /// Returns the positions `from..to` of the result's rows in the next `rows` rows.
    pub(crate) fn take(&mut self, rows: usize) -> (usize, usize) {
        self.is_begun |= rows > 0;
        let from = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rows);
        self.skip -= from as u64;
        let mut to = rows;
        if let Some(show) = &mut self.show {
            let shown = usize::try_from(*show).unwrap_or(usize::MAX).min(rows - from);
            *show -= shown as u64;
            to = from + shown;
        }
        (from, to)
    }

    /// Whether a row has arrived, even if LIMIT or OFFSET hides the row.
    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.show == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limiter_counts_across_chunks() {
        let mut limiter = Limiter::new(3, 2);
        assert_eq!(limiter.take(1), (1, 1));
        assert_eq!(limiter.take(2), (1, 2));
        assert!(!limiter.is_exhausted());
        assert_eq!(limiter.take(9), (0, 2));
        assert_eq!(limiter.take(9), (0, 0));
        assert!(limiter.is_exhausted());
        assert_eq!(Limiter::new(0, 0).take(5), (0, 5));
    }
}
