//! Reads the tables that the scripts in `tables/` pack when the crate is built.
//!
//! Numbers are LEB128, signed numbers in zigzag form. A directory is a list of entries, a zero
//! length, and the data. An entry contains the length and text of a name, and the offset of its
//! data.

/// Returns the data of `name`, followed by the data of later entries. The comparison is
/// case-sensitive.
pub fn find(directory: &'static [u8], name: &str) -> Option<&'static [u8]> {
    let mut rest = directory;
    let mut found = None;
    loop {
        let length = unsigned(&mut rest)?;
        if length == 0 {
            return rest.get(found?..);
        }
        let text = rest.split_off(..length)?;
        let at = unsigned(&mut rest)?;
        if text == name.as_bytes() {
            found = Some(at);
        }
    }
}

/// Reads a signed number. Returns `None` at the end of the table.
pub fn signed(rest: &mut &[u8]) -> Option<i64> {
    let folded = leb(rest)?;
    Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

/// Reads an unsigned number. Returns `None` at the end of the table.
pub fn unsigned(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(leb(rest)?).ok()
}

/// Reads one byte. Returns `None` at the end of the table.
pub fn byte(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

fn leb(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(rest)?;
        value |= u64::from(next & 0x7F) << shift;
        if next < 0x80 {
            return Some(value);
        }
    }
    None
}
