//! Generates values of any deserializable type, with a deserializer that returns random values.
//! Tests can thus generate every message and every variant without listing them.

use std::collections::BTreeSet;

use serde::de::value::{Error, U32Deserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

/// The maximum number of items in a list, and the depth at which lists and options are empty.
const ITEMS_MAX: u64 = 2;
const DEPTH_MAX: u32 = 24;

pub(crate) struct Sampler {
    state: u64,
    depth: u32,
    first: Option<u32>,
    /// All generated variants, as `Type::Variant`.
    pub(crate) seen: BTreeSet<String>,
    pub(crate) variants: u32,
}

/// Generates a value of `T`, whose outermost enum has the variant `first`. Returns `None` if the
/// random choices are not a valid value.
pub(crate) fn sample<T: DeserializeOwned>(seed: u64, first: u32) -> (Option<T>, Sampler) {
    let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut sampler =
        Sampler { state, depth: 0, first: Some(first), seen: BTreeSet::new(), variants: 0 };
    let value = T::deserialize(&mut sampler).ok();
    (value, sampler)
}

impl Sampler {
    fn draw(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % end.max(1)
    }

    fn text(&mut self) -> String {
        ["", "a", "two words", "m\u{fc}\"\\"][self.draw(4) as usize].to_owned()
    }

    /// Returns a random number of items for a list. Deeply nested lists are empty.
    fn count(&mut self) -> u64 {
        if self.depth > DEPTH_MAX / 2 { 0 } else { self.draw(ITEMS_MAX + 1) }
    }

    fn items(&mut self, left: u64) -> Items<'_> {
        Items { sampler: self, left }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let small = self.draw(300) as i64 - 20;
            let value = match self.draw(6) {
                0 => <$type>::MAX,
                1 => <$type>::MIN,
                _ => <$type>::try_from(small).unwrap_or(7),
            };
            visitor.$visit(value)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Sampler {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.draw(2) == 1)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f32(0.5)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // JSON can represent these floats exactly.
        visitor.visit_f64([0.5, -2.25, 0.0, 1_048_576.0][self.draw(4) as usize])
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a type without a form"))
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct identifier ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.depth > DEPTH_MAX / 2 || self.draw(3) == 0 {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count();
        visitor.visit_seq(self.items(count))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.items(count as u64))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.items(count as u64))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count();
        visitor.visit_map(self.items(count))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.items(fields.len() as u64))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let count = variants.len() as u32;
        let drawn = self.draw(count.into()) as u32;
        let is_outermost = self.first.is_some();
        let variant = self.first.take().unwrap_or(drawn);
        if is_outermost {
            self.variants = count;
        }
        if let Some(named) = variants.get(variant as usize) {
            self.seen.insert(format!("{name}::{named}"));
        }
        visitor.visit_enum(Drawn { sampler: self, variant })
    }
}

struct Items<'a> {
    sampler: &'a mut Sampler,
    left: u64,
}

impl Items<'_> {
    fn next<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.sampler.depth += 1;
        if self.sampler.depth > DEPTH_MAX {
            return Err(de::Error::custom("too deep"));
        }
        let value = seed.deserialize(&mut *self.sampler);
        self.sampler.depth -= 1;
        value
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.next(seed).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.next(seed)
    }
}

struct Drawn<'a> {
    sampler: &'a mut Sampler,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Drawn<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let number: U32Deserializer<Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for Drawn<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.sampler.items(1).next(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.sampler.items(count as u64))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.sampler.items(fields.len() as u64))
    }
}
