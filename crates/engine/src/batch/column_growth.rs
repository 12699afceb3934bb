//! Estimates the final size of a column, so that memory is reserved only once.

/// The part of a body after which an estimate is reliable.
const SHARE_THAT_SAYS_SOMETHING: u64 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    used_bytes: u64,
    expected_bytes: u64,
    next_bytes: u64,
}

impl Room {
    pub(super) fn new(used_bytes: usize, expected_bytes: usize, next_bytes: usize) -> Self {
        let used_bytes = used_bytes as u64;
        let expected_bytes = used_bytes.max(expected_bytes as u64);
        Self { used_bytes, expected_bytes, next_bytes: next_bytes as u64 }
    }

    /// Returns the number of elements to reserve after `len` elements: 0 if the next piece fits.
    ///
    /// Otherwise, the function extrapolates and adds 1/64, because the numbers in lines get longer.
    /// The result is at most `len`, or the elements of the next piece if these are more. The result
    /// is 0 before the first complete line, whose length is unknown.
    pub(super) fn more(&self, len: usize, capacity: usize) -> usize {
        if self.used_bytes == 0 {
            return 0;
        }
        let len = len as u64;
        let per_piece = len * self.next_bytes / self.used_bytes + 1;
        if len + per_piece <= capacity as u64 {
            return 0;
        }
        let rest_bytes = self.expected_bytes - self.used_bytes;
        let rest = len * rest_bytes.max(self.next_bytes) / self.used_bytes;
        let rest = rest.min(len.max(per_piece));
        (rest + rest / 64 + len / 64 + 16) as usize
    }

    /// Text is never longer than its source. A reliable estimate reserves the text of the whole
    /// body, because a text exists twice while it moves.
    pub(super) fn make_text(&self, text: &mut String) {
        let rest_bytes = self.expected_bytes - self.used_bytes;
        let mut more = self.more(text.len(), text.capacity()) as u64;
        if more > 0 && self.used_bytes >= self.expected_bytes / SHARE_THAT_SAYS_SOMETHING {
            let rest = text.len() as u64 * rest_bytes / self.used_bytes;
            more = more.max(rest + rest / 64).min(rest_bytes.max(self.next_bytes));
        }
        text.reserve_exact(more as usize);
    }

    pub(super) fn make<T>(&self, values: &mut Vec<T>) {
        let more = self.more(values.len(), values.capacity());
        if more > 0 {
            values.reserve_exact(more);
        }
    }
}

/// Above this length, a column grows by an eighth, because it exists twice while it moves.
const LONG: usize = 1 << 19;

pub(super) fn extend<T: Copy>(column: &mut Vec<T>, from: &[T]) {
    let len = column.len();
    if len >= LONG && column.capacity() - len < from.len() {
        column.reserve_exact(from.len().max(len / 8));
    }
    column.extend_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_columns_grow_by_an_eighth() {
        let mut column = vec![1_u8; LONG];
        extend(&mut column, &[2]);
        assert_eq!((column.len(), column.last()), (LONG + 1, Some(&2)));
        assert!(column.capacity() <= LONG / 8 * 9, "{}", column.capacity());
    }

    #[test]
    fn column_growth_fits_remaining_body() {
        let room = Room::new(1_000, 1_500, 100);
        let more = room.more(640, 640);
        assert!((320..320 + 2 * 10 + 17).contains(&more), "{more}");
        assert_eq!(room.more(640, 640 + more), 0);
        let more = Room::new(1_000, 10_000, 100).more(640, 640);
        assert!((640..640 + 2 * 10 + 17).contains(&more), "{more}");
        assert!((64..120).contains(&Room::new(1_000, 0, 100).more(640, 640)));
    }

    #[test]
    fn partial_line_reserves_no_memory() {
        let room = Room::new(0, 20_000_000, 2_000_000);
        assert_eq!(room.more(1, 1), 0);
        let mut text = "h".to_owned();
        room.make_text(&mut text);
        assert!(text.capacity() < 100, "{}", text.capacity());
    }
}
