//! Parses `Content-Encoding`, and inflates a gzip body within its size limit.

use zlib_rs::crc32::crc32;
use zlib_rs::{Inflate, InflateFlush, Status};

use super::error::{ApiError, ApiResult};
use tidemark_model::bug::OrBug;
use tidemark_model::configurable_limits::{Exceeded, Limit, Settable};
use tidemark_model::limits::GZIP_MEMBERS_MAX;

/// Whether `Content-Encoding` is gzip: the body consists of one or more gzip members. An absent or
/// empty header means that the body is not encoded.
pub fn is_gzip(header: Option<&str>) -> Result<bool, BodyError> {
    let name = header.unwrap_or_default().trim();
    match name.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(BodyError::UnknownEncoding(name.chars().take(32).collect())),
    }
}

/// The maximum size of a body.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// The limit that defines the maximum size.
    pub limit: Limit,
    /// The maximum size, in bytes.
    pub bytes: usize,
}

impl Ceiling {
    /// Checks that a body may grow from `current` to `requested` bytes.
    pub fn check(self, current: u64, requested: u64) -> Result<(), BodyError> {
        let max = self.bytes as u64;
        if requested <= max {
            return Ok(());
        }
        let Settable { name, fault, .. } = self.limit.settable();
        Err(Exceeded { fault, name, max, current, requested }.into())
    }
}

/// A consumer of inflated bytes. The first argument contains the inflated bytes that the consumer
/// has not consumed yet. The second is the estimated size of the whole inflated body. The third is
/// the size of the body's other buffers, for which the consumer must also reserve memory. The
/// result is the number of bytes that the consumer consumes now.
pub type InflatedSink<'a> = dyn FnMut(&[u8], usize, usize) -> ApiResult<usize> + 'a;

/// The reason why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Status 415: the server supports only `gzip` and `identity`.
    #[error("unsupported content encoding \"{0}\": send identity or gzip")]
    UnknownEncoding(String),
    /// Status 413: the body exceeds `BODY_BYTES_MAX` or `BODY_COMPRESSED_BYTES_MAX`.
    #[error("{0}: send smaller batches or a shorter statement")]
    TooLarge(#[from] Exceeded),
    /// Status 400: the server cannot decompress the body.
    #[error("the gzip body {0}; the request changed no data: correct the body and send it again")]
    Gzip(GzipFault),
}

impl From<GzipFault> for ApiError {
    fn from(fault: GzipFault) -> Self {
        Self::Body(BodyError::Gzip(fault))
    }
}

/// A fault in a gzip body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum GzipFault {
    #[error("does not start with a gzip header")]
    NotGzip,
    #[error("is truncated")]
    Truncated,
    #[error("is corrupt")]
    Corrupt,
    #[error("has a wrong checksum")]
    Checksum,
    #[error(
        "has too many members: current {GZIP_MEMBERS_MAX}, requested {}, limit {GZIP_MEMBERS_MAX} \
         (GZIP_MEMBERS_MAX)",
        GZIP_MEMBERS_MAX + 1
    )]
    TooManyMembers,
}

/// The base-2 logarithm of deflate's window size.
const HISTORY_BITS: u8 = 15;
const STATE_BYTES: usize = 64 << 10;
/// The maximum number of bytes that are inflated before the sink is called, except within a long
/// line.
const ROOM_BYTES: usize = 256 << 10;
/// The number of inflated bytes after which a step ends. Inflating and parsing them takes two
/// milliseconds, or eight milliseconds if all lines have eight bytes.
const STEP_BYTES: usize = 512 << 10;
/// The number of compressed bytes after which a step ends. Empty blocks inflate to nothing, but
/// decoding their tables takes about 0.15 microseconds per byte. With this limit, a step of empty
/// blocks takes at most about 30 milliseconds. Line protocol, which compresses 5 to 10 times,
/// inflates to 1 to 2 MB.
const STEP_INPUT_BYTES: usize = 200 << 10;
/// The number of members after which a step ends, because each member initializes the tables.
const STEP_MEMBERS: usize = 1_000;
/// The maximum number of compressed bytes that one call of the decompressor reads.
const INPUT_BYTES: usize = 16 << 10;

/// A gzip body that is inflated in steps, so that other requests run between two steps.
pub struct Inflation {
    compressed: Vec<u8>,
    /// The number of compressed bytes that were read.
    read: usize,
    ceiling: Ceiling,
    state: Inflate,
    /// The checksum of the current member so far, and the position of its first inflated byte.
    member: Option<(u32, usize)>,
    members: usize,
    /// The first `filled` bytes are the inflated bytes that the sink has not consumed. The vector
    /// is never shortened, because growing it again would zero the new bytes.
    bytes: Vec<u8>,
    filled: usize,
    total: usize,
}

impl Inflation {
    /// Prepares the inflation of all members of `compressed`, up to `ceiling` bytes.
    pub fn new(compressed: Vec<u8>, ceiling: Ceiling) -> Self {
        let state = Inflate::new(false, HISTORY_BITS);
        let (read, member, members, filled, total) = (0, None, 0, 0, 0);
        let bytes = Vec::new();
        Self { compressed, read, ceiling, state, member, members, bytes, filled, total }
    }

    /// Inflates the next bytes, and passes the bytes to `sink`. A step ends after about 512 KB of
    /// output, 200 KB of input or 1,000 members. Returns `true` after the last member.
    pub fn step(&mut self, sink: &mut InflatedSink<'_>) -> ApiResult<bool> {
        let total_end = self.total + STEP_BYTES;
        let read_end = self.read + STEP_INPUT_BYTES;
        let members_end = self.members + STEP_MEMBERS;
        // Some clients send an empty body with `Content-Encoding: gzip`, although an empty body is
        // not a gzip member.
        while self.member.is_some() || self.read < self.compressed.len() {
            let is_over = self.total >= total_end || self.read >= read_end;
            if is_over || self.members >= members_end {
                return Ok(false);
            }
            let (checksum, start) = match self.member {
                Some(member) => member,
                None => self.begin_member()?,
            };
            if self.filled == self.bytes.len() {
                self.make_room(sink)?;
            }
            let (read, written) = (self.state.total_in(), self.state.total_out());
            let room = self.bytes.get_mut(self.filled..).or_bug();
            let input = self.compressed.get(self.read..).or_bug();
            let input = input.get(..INPUT_BYTES).unwrap_or(input);
            let status = self.state.decompress(input, room, InflateFlush::NoFlush);
            // Both differences are lengths of slices, so the casts cannot overflow.
            let read = (self.state.total_in() - read) as usize;
            let written = (self.state.total_out() - written) as usize;
            let checksum = crc32(checksum, room.get(..written).or_bug());
            self.read += read;
            self.filled += written;
            self.total += written;
            self.member = Some((checksum, start));
            match status {
                Ok(Status::StreamEnd) => self.end_member(checksum, start)?,
                Err(_) => return Err(GzipFault::Corrupt.into()),
                Ok(_) if read == 0 && self.filled < self.bytes.len() => {
                    return Err(GzipFault::Truncated.into());
                }
                Ok(_) => {}
            }
        }
        Ok(true)
    }

    /// Returns the bytes that the sink did not consume.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.truncate(self.filled);
        self.bytes
    }

    fn begin_member(&mut self) -> ApiResult<(u32, usize)> {
        // A body of 10 MB could have half a million members, and each member requires the
        // initialization of tables.
        self.members += 1;
        if self.members > GZIP_MEMBERS_MAX {
            return Err(GzipFault::TooManyMembers.into());
        }
        let data = skip_header(self.compressed.get(self.read..).or_bug())?;
        self.read = self.compressed.len() - data.len();
        self.state.reset(false);
        Ok(*self.member.insert((0, self.total)))
    }

    fn end_member(&mut self, checksum: u32, start: usize) -> ApiResult<()> {
        self.ceiling.check(0, self.total as u64)?;
        let data = self.compressed.get(self.read..).or_bug();
        let (trailer, rest) = data.split_at_checked(8).ok_or(GzipFault::Truncated)?;
        let mut expected = [0; 8];
        expected[..4].copy_from_slice(&checksum.to_le_bytes());
        // ISIZE is the length modulo 2^32 (RFC 1952); members are much shorter.
        expected[4..].copy_from_slice(&((self.total - start) as u32).to_le_bytes());
        if trailer != expected {
            return Err(GzipFault::Checksum.into());
        }
        self.read = self.compressed.len() - rest.len();
        self.member = None;
        Ok(())
    }

    /// Passes the waiting bytes to `sink`, and then enlarges the buffer for further inflated
    /// bytes. The buffer can contain one byte more than the limit permits, so that the next check
    /// detects a body that is too long.
    fn make_room(&mut self, sink: &mut InflatedSink<'_>) -> ApiResult<()> {
        let input_left = self.compressed.len() - self.read;
        self.ceiling.check(0, self.total as u64)?;
        let waiting = self.bytes.get(..self.filled).or_bug();
        // The buffer keeps a long line until the line is complete. The room grows with the line, so
        // that the line is moved only a few times.
        let room_bytes = ROOM_BYTES.max(self.filled / 4);
        let memory_bytes = self.compressed.len() + STATE_BYTES + self.bytes.len() + room_bytes;
        // The estimate assumes that the remaining input has the compression ratio of the previous
        // input.
        let read = (self.compressed.len() - input_left).max(1) as u64;
        let expected = self.total as u64 * self.compressed.len() as u64 / read;
        let expected = expected.min(self.ceiling.bytes as u64);
        let used = sink(waiting, expected as usize, memory_bytes)?.min(self.filled);
        self.bytes.copy_within(used..self.filled, 0);
        self.filled -= used;
        let most = self.ceiling.bytes + 1 - self.total;
        // Line protocol compresses 5 to 10 times. Small bodies need less room.
        let reservation = (input_left * 6).clamp(16 << 10, room_bytes).min(most);
        let target = self.filled + reservation;
        if self.bytes.len() < target {
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.resize(target, 0);
        Ok(())
    }
}

/// Skips a gzip member header (RFC 1952 section 2.3).
fn skip_header(bytes: &[u8]) -> Result<&[u8], GzipFault> {
    const FHCRC: u8 = 2;
    const FEXTRA: u8 = 4;
    const FNAME: u8 = 8;
    const FCOMMENT: u8 = 16;
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    if bytes.iter().zip(MAGIC).any(|(&byte, magic)| byte != magic) {
        return Err(GzipFault::NotGzip);
    }
    let fixed: &[u8; 10] = bytes.first_chunk().ok_or(GzipFault::Truncated)?;
    let flags = fixed[3];
    let mut rest = bytes.get(10..).or_bug();
    if flags & FEXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(GzipFault::Truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or(GzipFault::Truncated)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest).ok_or(GzipFault::Truncated)?;
            rest = rest.get(end + 1..).or_bug();
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..).ok_or(GzipFault::Truncated)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
