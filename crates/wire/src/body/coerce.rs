//! Turns a [`Value`] into a typed body with fastjson's conversions: numbers, booleans and texts
//! stand for each other, enums come by name in any letter case or by ordinal, null is as missing.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use super::BodyError;

/// Reads a `T` out of `value`.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, BodyError> {
    T::deserialize(Coerce(value)).map_err(|error| BodyError::Shape(error.to_string()))
}

/// Error with a message; the body's author is to read it.
type Error = serde::de::value::Error;

struct Coerce(Value);

impl IntoDeserializer<'_, Error> for Coerce {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The key of a map; a number if the map's keys are.
struct Key(String);

impl IntoDeserializer<'_, Error> for Key {
    type Deserializer = Coerce;

    fn into_deserializer(self) -> Coerce {
        Coerce(Value::String(self.0))
    }
}

impl Coerce {
    /// The integer that the value is or stands for.
    fn integer(&self) -> Result<i64, Error> {
        match &self.0 {
            Value::Null => Some(0),
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.is_empty() => Some(0),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| Error::custom(format_args!("{} is not a whole number", self.0)))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_i64(self.integer()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Coerce {
    type Error = Error;

    integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.0 {
            Value::Bool(value) => *value,
            Value::String(text) => text.eq_ignore_ascii_case("true") || text == "1",
            _ => self.integer()? != 0,
        };
        visitor.visit_bool(value)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match &self.0 {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let error = || Error::custom(format_args!("{} is not a number", self.0));
        visitor.visit_f64(value.ok_or_else(error)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_string(String::new()),
            Value::String(text) => visitor.visit_string(text),
            other => visitor.visit_string(other.to_string()),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let named = match &self.0 {
            Value::String(text) => variants.iter().find(|name| name.eq_ignore_ascii_case(text)),
            _ => None,
        };
        let by_ordinal =
            || usize::try_from(self.integer().ok()?).ok().and_then(|n| variants.get(n));
        match named.or_else(by_ordinal) {
            Some(name) => visitor.visit_enum((*name).into_deserializer()),
            None => Err(Error::custom(format_args!("{} is none of {variants:?}", self.0))),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_i64(value),
                (None, Some(value), _) => visitor.visit_u64(value),
                (None, None, value) => visitor.visit_f64(value.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(array) => {
                visitor.visit_seq(SeqDeserializer::new(array.into_iter().map(Coerce)))
            }
            Value::Object(map) => {
                let present = map.into_iter().filter(|(_, value)| !value.is_null());
                let pairs = present.map(|(key, value)| (Key(key), Coerce(value)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}
