//! Encodes small structures: stored metadata, and the control part of messages between objects.
//!
//! ```text
//! unsigned   <varint>
//! signed     <zigzag varint>
//! bool       0 or 1 <u8>
//! option     0 or 1 <u8> │ value, if 1
//! float      bits <u64>
//! text       length <varint> │ UTF-8
//! list       count <varint> │ item …
//! map        count <varint> │ key │ value │ …
//! tuple      item …
//! struct     bytes of the fields <u32> │ field …
//! enum       number of the variant <varint> │ nothing, one value, or a struct
//! ```
//!
//! Integers are little-endian. The format evolves as follows:
//! - A new field is added at the end and has a default. A reader uses the default for bytes from an
//!   older writer. An older reader skips the field, because it knows the size of the struct.
//! - A new variant is added at the end.
//! - Fields and variants are never renumbered or removed.
//!
//! The format has no field names, because serde's code for them is three times as large.

use serde::Serialize;
use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor,
};
use serde::ser::{self, Serializer};

use super::varint;

/// The errors of encoding and decoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end early, bytes remain after the end, or a length is impossible.
    #[error("the metadata has the wrong length")]
    Length,
    /// A text is not UTF-8, or a flag is neither 0 nor 1.
    #[error("the metadata has an invalid value")]
    Value,
    /// The format does not support the type: units, characters, raw bytes and self-describing
    /// types.
    #[error("the metadata has a type that the format does not support")]
    Unsupported,
    /// An error that serde reports, such as a missing field or an unknown variant.
    #[error("the metadata does not match: {0}")]
    Shape(String),
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

/// Encodes `value`, unless its type is unsupported, it is too long, or its `Serialize` fails.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut writer = Writer { out: Vec::with_capacity(USUAL_BYTES), structs: Vec::new() };
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// Decodes a value that [`encode`] produced.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = Reader { bytes };
    let value = T::deserialize(&mut reader)?;
    match reader.bytes.is_empty() {
        true => Ok(value),
        false => Err(Error::Length),
    }
}

type Outcome = Result<(), Error>;

/// The size within which most messages fit. A longer encoding needs more allocations.
const USUAL_BYTES: usize = 64;

struct Writer {
    out: Vec<u8>,
    /// For each incomplete struct, the position of its length in `out`.
    structs: Vec<usize>,
}

impl Writer {
    fn end_struct(&mut self) -> Outcome {
        let start = self.structs.pop().ok_or(Error::Length)?;
        let bytes = self.out.len().saturating_sub(start + 4);
        let bytes = u32::try_from(bytes).map_err(|_| Error::Length)?;
        let place = self.out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>);
        *place.ok_or(Error::Length)? = bytes.to_le_bytes();
        Ok(())
    }
}

macro_rules! write_numbers {
    ($($method:ident($type:ty) => $wide:ident)*) => {
        $(fn $method(self, value: $type) -> Outcome {
            self.$wide(value.into())
        })*
    };
}

macro_rules! unsupported {
    ($($method:ident($($type:ty)?))*) => {
        $(fn $method(self $(, _: $type)?) -> Outcome {
            Err(Error::Unsupported)
        })*
    };
}

impl Serializer for &mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Outcome {
        self.out.push(u8::from(value));
        Ok(())
    }

    write_numbers! {
        serialize_i8(i8) => serialize_i64
        serialize_i16(i16) => serialize_i64
        serialize_i32(i32) => serialize_i64
        serialize_u8(u8) => serialize_u64
        serialize_u16(u16) => serialize_u64
        serialize_u32(u32) => serialize_u64
        serialize_f32(f32) => serialize_f64
    }

    unsupported! {
        serialize_char(char)
        serialize_bytes(&[u8])
        serialize_unit()
        serialize_unit_struct(&'static str)
    }

    fn serialize_i64(self, value: i64) -> Outcome {
        varint::write_signed(value, &mut self.out);
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Outcome {
        varint::write(value, &mut self.out);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Outcome {
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Outcome {
        varint::write(text.len() as u64, &mut self.out);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_none(self) -> Outcome {
        self.serialize_bool(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, variant: u32, _: &'static str) -> Outcome {
        self.serialize_u32(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        varint::write(u64::from(variant), &mut self.out);
        value.serialize(self)
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Self, Error> {
        let count = count.ok_or(Error::Unsupported)?;
        varint::write(count as u64, &mut self.out);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        varint::write(u64::from(variant), &mut self.out);
        Ok(self)
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Self, Error> {
        self.serialize_seq(count)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        self.structs.push(self.out.len());
        self.out.extend_from_slice(&[0; 4]);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        name: &'static str,
        fields: usize,
    ) -> Result<Self, Error> {
        varint::write(u64::from(variant), &mut self.out);
        self.serialize_struct(name, fields)
    }
}

macro_rules! items {
    ($($role:ident $method:ident)*) => {
        $(impl ser::$role for &mut Writer {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
                value.serialize(&mut **self)
            }

            fn end(self) -> Outcome {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl ser::SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        value.serialize(&mut **self)
    }

    fn end(self) -> Outcome {
        Ok(())
    }
}

macro_rules! fields {
    ($($role:ident)*) => {
        $(impl ser::$role for &mut Writer {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Outcome {
                value.serialize(&mut **self)
            }

            fn end(self) -> Outcome {
                self.end_struct()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

/// A decoder of values. The bytes are untrusted, so it checks each length before it uses the
/// length.
struct Reader<'de> {
    bytes: &'de [u8],
}

impl<'de> Reader<'de> {
    #[inline(never)]
    fn unsigned(&mut self) -> Result<u64, Error> {
        varint::read(&mut self.bytes).map_err(|_| Error::Length)
    }

    #[inline(never)]
    fn signed(&mut self) -> Result<i64, Error> {
        varint::read_signed(&mut self.bytes).map_err(|_| Error::Length)
    }

    #[inline(never)]
    fn flag(&mut self) -> Result<bool, Error> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::Value),
        }
    }

    #[inline(never)]
    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Error::Length)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline(never)]
    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Error::Value)
    }

    #[inline(never)]
    fn float(&mut self) -> Result<f64, Error> {
        let bits = self.take(8)?.first_chunk::<8>().ok_or(Error::Length)?;
        Ok(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    /// Reads the number of items in a list or map. Each item takes at least one byte, so a count
    /// above the number of remaining bytes is an error.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| Error::Length)?;
        if count > self.bytes.len() { Err(Error::Length) } else { Ok(count) }
    }

    #[inline(never)]
    fn fields(&mut self) -> Result<Self, Error> {
        let length = self.take(4)?.first_chunk::<4>().ok_or(Error::Length)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Error::Length)?;
        Ok(Self { bytes: self.take(length)? })
    }
}

macro_rules! read_numbers {
    ($($method:ident $visit:ident $read:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.$read()?)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    read_numbers! {
        deserialize_bool visit_bool flag
        deserialize_i8 visit_i64 signed
        deserialize_i16 visit_i64 signed
        deserialize_i32 visit_i64 signed
        deserialize_i64 visit_i64 signed
        deserialize_u8 visit_u64 unsigned
        deserialize_u16 visit_u64 unsigned
        deserialize_u32 visit_u64 unsigned
        deserialize_u64 visit_u64 unsigned
        deserialize_f32 visit_f64 float
        deserialize_f64 visit_f64 float
        deserialize_str visit_borrowed_str text
        deserialize_string visit_borrowed_str text
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::Unsupported)
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct identifier ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count()?;
        self.deserialize_tuple(count, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { reader: self, left: Some(count) })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(count, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count()?;
        visitor.visit_map(Items { reader: self, left: Some(count) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { reader: &mut self.fields()?, left: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }
}

/// The items of a list, map, tuple or struct.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    /// The number of remaining items, or `None` for a struct, which ends with its bytes.
    left: Option<usize>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.reader.bytes.is_empty() => return Ok(None),
            None => {}
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let number = u32::try_from(self.unsigned()?).map_err(|_| Error::Value)?;
        let number: U32Deserializer<Error> = de::IntoDeserializer::into_deserializer(number);
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(count, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { reader: &mut self.fields()?, left: None })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        first_ns: i64,
        names: Vec<Option<String>>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct NewerInner {
        first_ns: i64,
        names: Vec<Option<String>>,
        #[serde(default)]
        rate: f64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Message<T> {
        Nothing,
        One(u64),
        Two(i32, bool),
        All { inner: T, by_name: BTreeMap<String, u8>, pair: (u16, f64) },
    }

    fn all<T>(inner: T) -> Message<T> {
        let by_name = BTreeMap::from([("a".to_owned(), 1), ("ä".to_owned(), u8::MAX)]);
        Message::All { inner, by_name, pair: (u16::MAX, -0.0) }
    }

    fn inner() -> Inner {
        Inner { first_ns: i64::MIN, names: vec![None, Some("b".to_owned()), Some(String::new())] }
    }

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
        let bytes = encode(&value).unwrap();
        assert_eq!(decode::<T>(&bytes), Ok(value));
        for length in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..length]).is_err(), "cut to {length}");
        }
        assert_eq!(decode::<T>(&[&bytes[..], &[0]].concat()), Err(Error::Length));
    }

    #[test]
    fn metadata_round_trips_and_rejects_truncation() {
        round_trip(Message::<Inner>::Nothing);
        round_trip(Message::<Inner>::One(u64::MAX));
        round_trip(Message::<Inner>::Two(i32::MIN, true));
        round_trip(all(inner()));
    }

    #[test]
    fn metadata_bytes_match_documentation() {
        let expected = [
            &[3][..],                                          // the fourth variant
            &[32, 0, 0, 0],                                    // the byte length of the fields
            &[14, 0, 0, 0],                                    // the byte length of `inner`
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // i64::MIN, zigzag
            &[1, 1, 1, b'b'],                                  // one name
            &[1, 1, b'k', 200, 1],                             // a map with one entry
            &[2],                                              // 2_u16
            &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f],                   // 1.5
        ]
        .concat();
        let inner = Inner { first_ns: i64::MIN, names: vec![Some("b".to_owned())] };
        let by_name = BTreeMap::from([("k".to_owned(), 200)]);
        let value = Message::All { inner, by_name, pair: (2, 1.5) };
        assert_eq!(encode(&value).unwrap(), expected);
    }

    #[test]
    fn adjacent_releases_read_each_other() {
        let Inner { first_ns, names } = inner();
        let older = all(inner());
        let default = all(NewerInner { first_ns, names: names.clone(), rate: 0.0 });
        assert_eq!(decode(&encode(&older).unwrap()), Ok(default));
        let newer = all(NewerInner { first_ns, names, rate: 0.1 });
        assert_eq!(decode(&encode(&newer).unwrap()), Ok(older));
    }

    #[test]
    fn metadata_rejects_unknown_variants_and_values() {
        assert!(matches!(decode::<Message<Inner>>(&[4]), Err(Error::Shape(_))));
        assert_eq!(decode::<bool>(&[2]), Err(Error::Value));
        assert_eq!(decode::<String>(&[1, 0xff]), Err(Error::Value));
        assert_eq!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]), Err(Error::Length));
        assert!(matches!(decode::<u8>(&[0x80, 2]), Err(Error::Shape(_))), "256 is no u8");
    }

    /// Damaged bytes must not cause an allocation that is larger than the bytes.
    #[test]
    fn metadata_decoder_survives_random_bytes() {
        let mut random = fastrand::Rng::with_seed(1);
        let good = encode(&all(inner())).unwrap();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = decode::<Message<Inner>>(&bytes);
            let noise: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            let _ = decode::<Message<Inner>>(&noise);
        }
    }
}
