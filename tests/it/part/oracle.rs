//! Reads any bytes as a value of a part. The reader must either reject the bytes or read all of
//! them.

use std::ops::Range;
use std::rc::Rc;

use tidemark_engine::codec::crc::crc32c;
use tidemark_engine::merge::cursor::{Direction, ReadError, SeriesCursor};
use tidemark_engine::part::block::Error;
use tidemark_engine::part::cursor::PartCursor;
use tidemark_engine::part::directory::Directory;
use tidemark_engine::part::values::Values;
use tidemark_model::time::TimeRange;

/// The size of a checksum, and the size of a version and a number, in bytes.
const CRC_BYTES: usize = 4;
const FIRST_BYTES: usize = 9;
const ROWS_ENOUGH: usize = 100_000;

struct Value {
    directory: Rc<Directory>,
    body: Vec<u8>,
}

impl Values for &Value {
    fn count(&self) -> usize {
        1
    }

    fn directory(&mut self, _: usize) -> Result<Rc<Directory>, ReadError> {
        Ok(Rc::clone(&self.directory))
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let bytes = self.body.get(bytes.start as usize..bytes.end as usize);
        let read = bytes.ok_or(Error::Checksum).and_then(read);
        read.map_err(|error| self.damaged(value, error))
    }

    fn damaged(&self, _: usize, error: Error) -> ReadError {
        ReadError::Damaged { what: error.to_string() }
    }
}

/// Reads `bytes` as a value whose head is the first `head_bytes` bytes. Returns the number of rows,
/// or `None` if the reader rejects the bytes.
pub(super) fn check(head_bytes: usize, bytes: &[u8]) -> Option<usize> {
    let (head, body) = bytes.split_at(head_bytes.min(bytes.len()));
    let mut head = head.to_vec();
    head.resize(head.len().max(FIRST_BYTES), 0);
    head[0] = 2;
    head.extend(crc32c(&head).to_le_bytes());
    let (number, directory) = Directory::decode(&head).ok()?;
    assert_eq!(Directory::decode(&directory.encode(number)), Ok((number, directory.clone())));
    let mut body = body.to_vec();
    for block in directory.blocks() {
        let Some(block) = body.get_mut(block.start as usize..block.end as usize) else { break };
        if let Some((data, crc)) = block.split_last_chunk_mut::<CRC_BYTES>() {
            *crc = crc32c(data).to_le_bytes();
        }
    }
    let parts: Vec<u64> = directory.parts.iter().map(|part| part.id).collect();
    let value = Value { directory: Rc::new(directory), body };
    let mut rows = 0;
    for part in parts {
        for direction in [Direction::Ascending, Direction::Descending] {
            rows += read(&value, part, direction).ok()?;
        }
    }
    Some(rows)
}

fn read(value: &Value, part: u64, direction: Direction) -> Result<usize, ReadError> {
    let mut cursor = PartCursor::new(value, part, direction, None)?;
    let mut rows = 0;
    while let Some(key) = cursor.key().cloned()
        && rows < ROWS_ENOUGH
    {
        PartCursor::new(value, part, direction, Some(&key))?;
        while let Some(page) = cursor.page(TimeRange::ALL)? {
            rows += page.times_ns().len();
            for &(id, _) in page.columns().iter() {
                cursor.column(&page, id)?;
            }
        }
        cursor.step()?;
    }
    Ok(rows)
}
