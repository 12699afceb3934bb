//! Reserves memory for the columns of a body of which only a part has arrived.

/// An estimate of the number of rows is reliable after 1 / `RELIABLE_DIVISOR` of the body.
const RELIABLE_DIVISOR: u64 = 8;

/// An estimate of the final size of a column, so that memory is reserved only once.
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
    /// The result is at most the larger of two numbers: `len`, and the number of elements in the
    /// next piece. The result is 0 before the first complete line, whose length is unknown.
    fn more(&self, len: usize, capacity: usize) -> usize {
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

    /// Reserves memory for the text of a column. A reliable estimate covers the rest of the body,
    /// because a later reallocation would keep two copies of the text in memory. The reserved size
    /// is at most the size of the rest of the body, because text is never longer than its source.
    pub(super) fn reserve_text(&self, text: &mut String) {
        let rest_bytes = self.expected_bytes - self.used_bytes;
        let mut more = self.more(text.len(), text.capacity()) as u64;
        if more > 0 && self.used_bytes >= self.expected_bytes / RELIABLE_DIVISOR {
            let rest = text.len() as u64 * rest_bytes / self.used_bytes;
            more = more.max(rest + rest / 64).min(rest_bytes.max(self.next_bytes));
        }
        text.reserve_exact(more as usize);
    }

    pub(super) fn reserve<T>(&self, values: &mut Vec<T>) {
        let more = self.more(values.len(), values.capacity());
        if more > 0 {
            values.reserve_exact(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        room.reserve_text(&mut text);
        assert!(text.capacity() < 100, "{}", text.capacity());
    }
}
