//! Defines the frames between this program and its SQL process. A frame consists of a head and the
//! bytes of a message.

use crate::limits::SQL_MESSAGE_BYTES_MAX;

pub const HEAD_BYTES: usize = 13;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message to a session. The first message of a session opens the session.
    Turn = 0,
    /// A request to end a session. The reply is [`Kind::Over`].
    End = 1,
    /// A reply from a session that continues.
    Continues = 2,
    /// The last reply from a session.
    Over = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub session: u64,
    pub kind: Kind,
    /// The size of the message, in bytes.
    pub length: usize,
}

impl Head {
    /// Returns the head for `message`, or `None` if the message is too large for a frame.
    pub fn of(session: u64, kind: Kind, message: &[u8]) -> Option<Self> {
        let length = message.len();
        (length <= SQL_MESSAGE_BYTES_MAX).then_some(Self { session, kind, length })
    }

    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.session.to_le_bytes());
        bytes[8] = self.kind as u8;
        // The length is at most `SQL_MESSAGE_BYTES_MAX`, which fits in u32.
        bytes[9..].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes
    }

    /// Decodes a head. Returns `None` if the bytes are not a valid head or the message is too
    /// large.
    pub fn parse(bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk()?;
        let (kind, length) = rest.split_first()?;
        let length = u32::from_le_bytes(*length.first_chunk()?) as usize;
        let kind = match kind {
            0 => Kind::Turn,
            1 => Kind::End,
            2 => Kind::Continues,
            3 => Kind::Over,
            _ => return None,
        };
        let session = u64::from_le_bytes(*session);
        (length <= SQL_MESSAGE_BYTES_MAX).then_some(Self { session, kind, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_frame_head_round_trips() {
        for kind in [Kind::Turn, Kind::End, Kind::Continues, Kind::Over] {
            let head = Head { session: u64::MAX - 7, kind, length: SQL_MESSAGE_BYTES_MAX };
            assert_eq!(Head::parse(head.to_bytes()), Some(head));
        }
        let mut bytes = Head { session: 1, kind: Kind::Turn, length: 1 }.to_bytes();
        bytes[8] = 4;
        assert_eq!(Head::parse(bytes), None);
        bytes[8] = 0;
        bytes[12] = 0xff;
        assert_eq!(Head::parse(bytes), None);
    }
}
