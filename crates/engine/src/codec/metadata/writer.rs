//! Encodes values.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::Error;
use crate::codec::varint;

type Outcome = Result<(), Error>;

#[derive(Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        varint::write(text.len() as u64, &mut self.out);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn open(&mut self) -> Struct<'_> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        Struct { writer: self, start }
    }
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Struct<'a>;
    type SerializeStructVariant = Struct<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Outcome {
        self.out.push(u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Outcome {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Outcome {
        varint::write_signed(value, &mut self.out);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Outcome {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Outcome {
        varint::write(value, &mut self.out);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Outcome {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Outcome {
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, _: char) -> Outcome {
        Err(Error::Unsupported)
    }

    fn serialize_str(self, text: &str) -> Outcome {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Outcome {
        Err(Error::Unsupported)
    }

    fn serialize_none(self) -> Outcome {
        self.serialize_bool(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Outcome {
        Err(Error::Unsupported)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Outcome {
        Err(Error::Unsupported)
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

    fn serialize_seq(self, count: Option<usize>) -> Result<Items<'a>, Error> {
        let count = count.ok_or(Error::Unsupported)?;
        varint::write(count as u64, &mut self.out);
        Ok(Items(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a>, Error> {
        Ok(Items(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'a>, Error> {
        Ok(Items(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Items<'a>, Error> {
        varint::write(u64::from(variant), &mut self.out);
        Ok(Items(self))
    }

    fn serialize_map(self, count: Option<usize>) -> Result<Items<'a>, Error> {
        self.serialize_seq(count)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Struct<'a>, Error> {
        Ok(self.open())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Struct<'a>, Error> {
        varint::write(u64::from(variant), &mut self.out);
        Ok(self.open())
    }
}

pub(super) struct Items<'a>(&'a mut Writer);

macro_rules! items {
    ($($role:ident $method:ident)*) => {
        $(impl ser::$role for Items<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
                value.serialize(&mut *self.0)
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

impl ser::SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        key.serialize(&mut *self.0)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        value.serialize(&mut *self.0)
    }

    fn end(self) -> Outcome {
        Ok(())
    }
}

/// A struct's consecutive fields, with the position of the struct's length.
pub(super) struct Struct<'a> {
    writer: &'a mut Writer,
    start: usize,
}

impl Struct<'_> {
    fn close(self) -> Outcome {
        let out = &mut self.writer.out;
        let bytes = out.len().saturating_sub(self.start + 4);
        let bytes = u32::try_from(bytes).map_err(|_| Error::Length)?;
        let place = out.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut::<4>);
        *place.ok_or(Error::Length)? = bytes.to_le_bytes();
        Ok(())
    }
}

macro_rules! fields {
    ($($role:ident)*) => {
        $(impl ser::$role for Struct<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Outcome {
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Outcome {
                self.close()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }
