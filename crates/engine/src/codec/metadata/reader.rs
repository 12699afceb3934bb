//! Decodes values. The bytes are untrusted, so each length is checked before it is used.

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::Error;
use crate::codec::varint;

#[derive(Clone, Copy)]
pub(super) struct Reader<'de> {
    pub(super) bytes: &'de [u8],
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

    /// Each item takes at least one byte, so a count must not exceed the number of bytes left.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| Error::Length)?;
        if count > self.bytes.len() { Err(Error::Length) } else { Ok(count) }
    }

    #[inline(never)]
    fn fields(&mut self) -> Result<Items<'de>, Error> {
        let length = self.take(4)?.first_chunk::<4>().ok_or(Error::Length)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Error::Length)?;
        Ok(Items { reader: Reader { bytes: self.take(length)? }, left: usize::MAX })
    }

    fn items(&self, left: usize) -> Items<'de> {
        Items { reader: *self, left }
    }
}

macro_rules! numbers {
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

    numbers! {
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
        let mut items = self.items(count);
        let value = visitor.visit_seq(&mut items)?;
        self.bytes = items.reader.bytes;
        Ok(value)
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
        let mut items = self.items(count);
        let value = visitor.visit_map(&mut items)?;
        self.bytes = items.reader.bytes;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(&mut self.fields()?)
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

/// In a struct, the iteration ends at the end of the struct's bytes.
struct Items<'de> {
    reader: Reader<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for &mut Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let is_struct = self.left == usize::MAX;
        if self.left == 0 || is_struct && self.reader.bytes.is_empty() {
            return Ok(None);
        }
        self.left -= usize::from(!is_struct);
        seed.deserialize(&mut self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left).filter(|&left| left != usize::MAX)
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut self.reader)
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
        visitor.visit_seq(&mut self.fields()?)
    }
}
