//! Reads the fields of protobuf messages from the body, without copying them.

use prost::encoding::{WireType, decode_key, decode_varint};

use tidemark_model::limits::HISTOGRAM_BUCKETS_MAX;

/// The error for a body that is not a message of the protocol. The server stores no part of such a
/// body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a valid message: {0}; the request changed no data: correct the body")]
pub struct Malformed(pub(crate) String);

impl Malformed {
    fn wire(reason: &'static str) -> Self {
        Self(reason.to_owned())
    }

    pub(crate) fn too_many_buckets() -> Self {
        Self(format!(
            "a histogram or summary has more than {HISTOGRAM_BUCKETS_MAX} buckets or quantiles \
             (HISTOGRAM_BUCKETS_MAX)"
        ))
    }
}

/// The result of reading a part of a message.
pub(crate) type Result<T> = std::result::Result<T, Malformed>;

/// The value of a field as encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// An iterator over the fields of a message: the number and the value of each field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<(u32, Value<'a>)> {
        let truncated = || Malformed::wire("a field is cut off");
        let (number, wire_type) = decode_key(&mut self.0)
            .map_err(|_| Malformed::wire("the key of a field is not valid"))?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(varint(&mut self.0)?),
            WireType::SixtyFourBit => {
                let (bytes, rest) = self.0.split_first_chunk().ok_or_else(truncated)?;
                self.0 = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            WireType::ThirtyTwoBit => {
                self.0 = self.0.get(4..).ok_or_else(truncated)?;
                Value::Fixed32
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(varint(&mut self.0)?).unwrap_or(usize::MAX);
                let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(truncated)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(Malformed::wire("a field is a group, which the protocol does not use"));
            }
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64> {
    decode_varint(bytes).map_err(|_| Malformed::wire("an integer is cut off or too long"))
}

fn append(values: &mut Vec<u64>, value: u64) -> Result<()> {
    if values.len() >= HISTOGRAM_BUCKETS_MAX {
        return Err(Malformed::too_many_buckets());
    }
    values.push(value);
    Ok(())
}

const WRONG_TYPE: &str = "a field has the wrong type";

impl<'a> Value<'a> {
    /// Returns a nested message, a packed list or `bytes`.
    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::wire(WRONG_TYPE)),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::wire("a string is not UTF-8"))
    }

    /// Returns an integer of variable length. A signed integer is the two's complement.
    pub(crate) fn varint(self) -> Result<u64> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed::wire(WRONG_TYPE)),
        }
    }

    pub(crate) fn fixed64(self) -> Result<u64> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(Malformed::wire(WRONG_TYPE)),
        }
    }

    pub(crate) fn double(self) -> Result<f64> {
        self.fixed64().map(f64::from_bits)
    }

    /// Appends the values of a repeated field of 64-bit numbers, which may be packed. The field
    /// describes the buckets of a histogram, so it may have [`HISTOGRAM_BUCKETS_MAX`] values.
    pub(crate) fn append_fixed64s(self, values: &mut Vec<u64>) -> Result<()> {
        let Self::Bytes(packed) = self else { return append(values, self.fixed64()?) };
        let (chunks, rest) = packed.as_chunks();
        if !rest.is_empty() {
            return Err(Malformed::wire("a list of numbers is cut off"));
        }
        chunks.iter().try_for_each(|bytes| append(values, u64::from_le_bytes(*bytes)))
    }

    /// Appends the values of a repeated field of varints like [`Self::append_fixed64s`].
    pub(crate) fn append_varints(self, values: &mut Vec<u64>) -> Result<()> {
        let Self::Bytes(mut packed) = self else { return append(values, self.varint()?) };
        while !packed.is_empty() {
            append(values, varint(&mut packed)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let message =
            [0x08, 0x96, 1, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'a', b'b', 0x25, 0, 0, 0, 0];
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1)),
            (3, Value::Bytes(b"ab")),
            (4, Value::Fixed32),
        ];
        assert_eq!(fields, expected);
        // A cut message is an error, and ends the iteration.
        for end in [1, 2, 5, 13, 15, 17] {
            let cut = message.get(..end).unwrap();
            let read: Vec<_> = Fields::of(cut).collect();
            assert!(read.iter().rev().skip(1).all(Result::is_ok), "{end}");
            assert!(read.last().unwrap().is_err(), "{end}");
        }
    }

    #[test]
    fn invalid_wire_format_is_an_error() {
        for message in [
            &[0x0b][..],
            &[0x0c],
            &[0x00, 0x00],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert!(Fields::of(message).next().unwrap().is_err(), "{message:?}");
        }
    }

    #[test]
    fn lists_may_be_packed() {
        let mut values = Vec::new();
        Value::Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]).append_fixed64s(&mut values).unwrap();
        Value::Fixed64(2).append_fixed64s(&mut values).unwrap();
        Value::Bytes(&[3, 0x84, 1]).append_varints(&mut values).unwrap();
        Value::Varint(5).append_varints(&mut values).unwrap();
        assert_eq!(values, [1, 2, 3, 132, 5]);
        assert!(Value::Bytes(&[0; 7]).append_fixed64s(&mut values).is_err());
    }
}
