//! Estimates the final size of a column from the part of a body that was read, so that memory is
//! reserved only once.

/// The share of a body (one eighth) after which an estimate is reliable.
const SHARE_THAT_SAYS_SOMETHING: u64 = 8;

/// The size of a body in bytes: the bytes read so far, the expected total, and the bytes expected
/// before the next call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    used_bytes: u64,
    expected_bytes: u64,
    next_bytes: u64,
}

impl Room {
    /// Creates an estimator. `BatchBuilder::make_room` describes the arguments.
    pub(super) fn new(used_bytes: usize, expected_bytes: usize, next_bytes: usize) -> Self {
        let used_bytes = used_bytes as u64;
        let expected_bytes = used_bytes.max(expected_bytes as u64);
        Self { used_bytes, expected_bytes, next_bytes: next_bytes as u64 }
    }

    /// Returns the number of elements to reserve after `len` elements. The result is 0 if the next
    /// piece fits into `capacity`.
    ///
    /// Otherwise, the function extrapolates from the part that was read to the rest of the body,
    /// and adds 1/64 of all elements. Lines tend to get longer, because the numbers in the lines
    /// get longer. The result is therefore limited to about `len` elements, or to the elements of
    /// the next piece if these are more. Before the first complete line, the result is 0, because
    /// the number of elements then belongs to a line of unknown length.
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

    /// Reserves memory for text. Text is never longer than the bytes from which it is read. If the
    /// estimate is reliable, reserves memory for the text of the whole body, because a text exists
    /// twice while it moves to a larger allocation.
    pub(super) fn make_text(&self, text: &mut String) {
        let rest_bytes = self.expected_bytes - self.used_bytes;
        let mut more = self.more(text.len(), text.capacity()) as u64;
        if more > 0 && self.used_bytes >= self.expected_bytes / SHARE_THAT_SAYS_SOMETHING {
            let rest = text.len() as u64 * rest_bytes / self.used_bytes;
            more = more.max(rest + rest / 64).min(rest_bytes.max(self.next_bytes));
        }
        text.reserve_exact(more as usize);
    }

    /// Reserves memory for the number of elements that [`Self::more`] returns.
    pub(super) fn make<T>(&self, values: &mut Vec<T>) {
        let more = self.more(values.len(), values.capacity());
        if more > 0 {
            values.reserve_exact(more);
        }
    }
}

/// The number of elements above which a column is long.
const LONG: usize = 1 << 19;

/// Appends `from`. A long column grows by an eighth instead of doubling, because the column exists
/// twice while it moves to a larger allocation.
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
        // An estimate from a small part is unreliable.
        let more = Room::new(1_000, 10_000, 100).more(640, 640);
        assert!((640..640 + 2 * 10 + 17).contains(&more), "{more}");
        // At the end of the body, and if no size is expected, memory is reserved only for the next
        // piece.
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
