//! Typed headers: what the ext fields of a request or response mean.
//!
//! A header is declared once with `headers!` and then both decoded and encoded, so that server and
//! client agree. Strings stay borrowed. Fields that a header does not name are ignored: every
//! request may carry routing fields (`bname`, `lo`, `ns`, `nsd`, `oway`) and credentials.
//! Which fields may be missing is what clients of all ages really send; see the table of
//! [`crate::codes`] for who uses which header.

mod client;
mod config;
mod inspect;
mod message;
mod offset;
mod reply;
mod reset;
mod route;

use std::fmt;

pub use client::*;
pub use config::*;
pub use inspect::*;
pub use message::*;
pub use offset::*;
pub use reply::*;
pub use reset::*;
pub use route::*;

use crate::frame::{FieldValue, Frame, FrameWriter};
use crate::text::Text;

/// A typed header.
pub trait Header<'a>: Sized {
    /// Reads the header out of a frame.
    ///
    /// # Errors
    /// When a required field is missing, or a field's text does not have its type.
    fn decode(frame: &Frame<'a>) -> Result<Self, HeaderError>;

    /// Writes the header's fields.
    fn encode(&self, writer: &mut FrameWriter<'_>);
}

/// Which field of which command is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("code {code}: field {field} {problem}")]
pub struct HeaderError {
    /// Request or response code.
    pub code: i32,
    /// Name of the field on the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// It is required and not there.
    Missing,
    /// Its text is not of the field's type.
    Invalid {
        /// The type, in words.
        want: &'static str,
        /// The text, at most 64 characters of it.
        got: String,
    },
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Invalid { want, got } => write!(f, "is {got:?}, not {want}"),
        }
    }
}

/// A type that a header field can have.
pub(crate) trait FieldType<'a>: Sized + FieldValue {
    /// The type in words, for errors.
    const WANT: &'static str;

    /// Reads the field's text.
    fn parse(text: Text<'a>) -> Option<Self>;

    /// The value of a field that is not there; none if it is required.
    fn absent() -> Option<Self> {
        None
    }
}

impl<'a> FieldType<'a> for Text<'a> {
    const WANT: &'static str = "a text";

    #[inline]
    fn parse(text: Text<'a>) -> Option<Self> {
        Some(text)
    }
}

impl<'a> FieldType<'a> for i32 {
    const WANT: &'static str = "a number of 32 bits";

    #[inline]
    fn parse(text: Text<'a>) -> Option<Self> {
        text.parse_i32()
    }
}

impl<'a> FieldType<'a> for i64 {
    const WANT: &'static str = "a number of 64 bits";

    #[inline]
    fn parse(text: Text<'a>) -> Option<Self> {
        text.parse_i64()
    }
}

impl<'a> FieldType<'a> for bool {
    const WANT: &'static str = "true or false";

    #[inline]
    fn parse(text: Text<'a>) -> Option<Self> {
        Some(text.parse_bool())
    }
}

impl<'a, T: FieldType<'a>> FieldType<'a> for Option<T> {
    const WANT: &'static str = T::WANT;

    #[inline]
    fn parse(text: Text<'a>) -> Option<Self> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Sets a field from its text.
#[inline(always)]
fn set<'a, T: FieldType<'a>>(
    slot: &mut Option<T>,
    text: Text<'a>,
    (code, field): (i32, &'static str),
) -> Result<(), HeaderError> {
    *slot = T::parse(text);
    if slot.is_none() { Err(invalid::<T>(text, code, field)) } else { Ok(()) }
}

#[cold]
fn invalid<'a, T: FieldType<'a>>(text: Text<'a>, code: i32, field: &'static str) -> HeaderError {
    let got = text.to_str().chars().take(64).collect();
    HeaderError { code, field, problem: FieldProblem::Invalid { want: T::WANT, got } }
}

/// Declares headers. Behind each field stands its name on the wire and, with `or`, its value when
/// it is missing; a field that is neither an `Option` nor has an `or` is required. A header may have
/// a second set of names (`short`): both are read, and `encode_short` writes the second.
macro_rules! headers {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {$(
            $(#[$field_doc:meta])*
            pub $field:ident: $type:ty = $wire:literal $(or $default:expr)?,
        )*}
        $(short { $($short:literal $short_field:ident,)* })?
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub struct $name $(<$life>)? {$(
            $(#[$field_doc])*
            pub $field: $type,
        )*}

        headers!(@impl [$($life)?] $name
            {$($field: $type = $wire $(or $default)?,)*}
            {$($($short $short_field,)*)?});

        headers!(@short [$($life)?] $name {$($($short $short_field,)*)?});
    )*};

    (@short [$($life:lifetime)?] $name:ident {}) => {};
    (@short [$life:lifetime] $name:ident {$($short:literal $field:ident,)+}) => {
        impl $name<'_> {
            /// Writes the header's fields under their short names.
            pub fn encode_short(&self, writer: &mut FrameWriter<'_>) {
                $(writer.field($short, &self.$field);)*
            }
        }
    };

    (@impl [] $name:ident $fields:tt $short:tt) => {
        impl<'a> Header<'a> for $name {
            headers!(@body 'a $fields $short);
        }
    };
    (@impl [$life:lifetime] $name:ident $fields:tt $short:tt) => {
        impl<$life> Header<$life> for $name<$life> {
            headers!(@body $life $fields $short);
        }
    };

    (@body $life:lifetime
        {$($field:ident: $type:ty = $wire:literal $(or $default:expr)?,)*}
        {$($short:literal $short_field:ident,)*}
    ) => {
        fn decode(frame: &Frame<$life>) -> Result<Self, HeaderError> {
            #[allow(non_upper_case_globals, reason = "one constant a field, under its name")]
            mod long { $(pub(super) const $field: &[u8] = $wire.as_bytes();)* }
            #[allow(non_upper_case_globals, reason = "one constant a field, under its name")]
            mod short { $(pub(super) const $short_field: &[u8] = $short.as_bytes();)* }
            $(let mut $field: Option<$type> = None;)*
            // Texts are made where they are used: a number needs none in memory.
            for (name, value) in frame.fields.places() {
                match &*name.of(frame).to_bytes() {
                    $(short::$short_field => {
                        set(&mut $short_field, value.of(frame), (frame.code, $short))?;
                    })*
                    $(long::$field => set(&mut $field, value.of(frame), (frame.code, $wire))?,)*
                    _ => {}
                }
            }
            Ok(Self {$(
                $field: $field.or_else(<$type as FieldType<$life>>::absent)
                    $(.or(Some($default)))?
                    .ok_or(HeaderError {
                        code: frame.code,
                        field: $wire,
                        problem: FieldProblem::Missing,
                    })?,
            )*})
        }

        fn encode(&self, writer: &mut FrameWriter<'_>) {
            $(writer.field($wire, &self.$field);)*
        }
    };
}
use headers;

/// A header without fields of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoHeader;

impl<'a> Header<'a> for NoHeader {
    fn decode(_frame: &Frame<'a>) -> Result<Self, HeaderError> {
        Ok(Self)
    }

    fn encode(&self, _writer: &mut FrameWriter<'_>) {}
}

#[cfg(test)]
mod tests;
