//! Request bodies: which encoding, how large at most, and inflating with a ceiling.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::admission::{Overloaded, Permit};
use crate::model::limit::{Exceeded, Limit, Limits};
use crate::model::limits::GZIP_MEMBERS_MAX;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// One or more gzip members.
    Gzip,
}

impl Encoding {
    /// Reads `Content-Encoding`; absent or empty is identity.
    ///
    /// # Errors
    /// [`BodyError::UnknownEncoding`] for anything but identity and gzip.
    pub fn from_header(header: Option<&str>) -> Result<Self, BodyError> {
        let name = header.unwrap_or_default().trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            Ok(Self::Identity)
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Ok(Self::Gzip)
        } else {
            Err(BodyError::UnknownEncoding(name.chars().take(32).collect()))
        }
    }
}

/// Why a body was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// 415
    #[error("unsupported content encoding \"{0}\": send identity or gzip")]
    UnknownEncoding(String),
    /// 413
    #[error("{0}: send smaller batches")]
    TooLarge(#[from] Exceeded),
    /// 400
    #[error("the gzip body is {0}; nothing was written")]
    Gzip(GzipFault),
    /// 503
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}

/// What is wrong with a gzip body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum GzipFault {
    #[error("not gzip")]
    NotGzip,
    #[error("truncated")]
    Truncated,
    #[error("corrupt")]
    Corrupt,
    #[error("damaged: its checksum does not match")]
    Checksum,
    #[error("of more than {GZIP_MEMBERS_MAX} members")]
    TooManyMembers,
}

/// Inflates all members of `compressed`, at most `BODY_BYTES_MAX` bytes; grows `permit` as it
/// goes, so that raw and inflated bytes are both accounted for.
///
/// # Errors
/// [`BodyError`]; a body is usable only as a whole.
pub fn inflate(
    compressed: &[u8],
    limits: &Limits,
    permit: &mut Permit,
) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::new();
    let mut rest = compressed;
    let mut members = 0;
    let mut state = Box::new(DecompressorOxide::new());
    // The output is not cut between members, for growing it zeroes what it adds.
    let mut filled = 0;
    // An empty body is no gzip member, but clients do send it: it has no lines.
    while !rest.is_empty() {
        // Each costs tables, however little it holds: ten megabytes could be half a million.
        members += 1;
        if members > GZIP_MEMBERS_MAX {
            return Err(BodyError::Gzip(GzipFault::TooManyMembers));
        }
        let data = skip_header(rest).map_err(BodyError::Gzip)?;
        state.init();
        let mut member = Member { state: &mut state, raw_bytes: compressed.len(), limits, permit };
        rest = member.inflate(data, &mut out, &mut filled)?;
    }
    out.truncate(filled);
    Ok(out)
}

/// What inflating one member needs.
struct Member<'a> {
    state: &'a mut DecompressorOxide,
    raw_bytes: usize,
    limits: &'a Limits,
    permit: &'a mut Permit,
}

impl Member<'_> {
    /// Inflates the member's deflate data into `out` from `filled` on and checks its trailer;
    /// returns what follows the member.
    fn inflate<'a>(
        &mut self,
        mut data: &'a [u8],
        out: &mut Vec<u8>,
        filled: &mut usize,
    ) -> Result<&'a [u8], BodyError> {
        let start = *filled;
        // The whole output stays in one buffer, so back references need no ring.
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        loop {
            if *filled == out.len() {
                grow(out, data.len(), self.raw_bytes, self.limits, self.permit)?;
            }
            let (status, read, written) = decompress(self.state, data, out, *filled, flags);
            data = data.get(read..).unwrap_or_default();
            *filled += written;
            match status {
                TINFLStatus::Done => break,
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
                    return Err(BodyError::Gzip(GzipFault::Truncated));
                }
                _ => return Err(BodyError::Gzip(GzipFault::Corrupt)),
            }
        }
        self.limits.check(Limit::BodyBytes, 0, *filled)?;
        let member = out.get(start..*filled).unwrap_or_default();
        check_trailer(data, member)
    }
}

/// Checks the trailer that `data` begins with; returns what follows it.
fn check_trailer<'a>(data: &'a [u8], member: &[u8]) -> Result<&'a [u8], BodyError> {
    let (trailer, rest) = data.split_at_checked(8).ok_or(BodyError::Gzip(GzipFault::Truncated))?;
    let mut expected = [0; 8];
    expected[..4].copy_from_slice(&crc32fast::hash(member).to_le_bytes());
    // ISIZE is the length modulo 2^32 (RFC 1952); members are far below that.
    expected[4..].copy_from_slice(&(member.len() as u32).to_le_bytes());
    if trailer != expected {
        return Err(BodyError::Gzip(GzipFault::Checksum));
    }
    Ok(rest)
}

/// Lengthens `out` for what `input_left` bytes may yield, at most one byte past `limit` so that an
/// overlong body is noticed.
fn grow(
    out: &mut Vec<u8>,
    input_left: usize,
    raw_bytes: usize,
    limits: &Limits,
    permit: &mut Permit,
) -> Result<(), BodyError> {
    limits.check(Limit::BodyBytes, 0, out.len())?;
    // Line protocol deflates 5 to 10 times; doubling follows when that guess was short.
    let guess = (input_left * 6).clamp(64 << 10, 8 << 20).max(out.len());
    let target = out.len().saturating_add(guess).min(limits.get(Limit::BodyBytes) + 1);
    permit.grow_to(raw_bytes + target)?;
    out.reserve_exact(target - out.len());
    out.resize(target, 0);
    Ok(())
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
    let mut rest = bytes.get(10..).unwrap_or_default();
    if flags & FEXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(GzipFault::Truncated)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or(GzipFault::Truncated)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest).ok_or(GzipFault::Truncated)?;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..).ok_or(GzipFault::Truncated)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
