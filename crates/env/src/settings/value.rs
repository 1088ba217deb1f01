//! Types a setting can have.

use std::path::PathBuf;

/// A type that a setting can have. Text is trimmed: no setting means anything by its outer spaces.
pub trait Value: Sized {
    /// What is accepted, for a reader: it follows "expected".
    const KIND: &'static str;

    /// The value that `text` means. An error says what is expected instead.
    fn parse(text: &str) -> Result<Self, String>;

    /// Text that [`Value::parse`] accepts.
    fn render(&self) -> String;
}

macro_rules! numbers {
    ($( $type:ty => $kind:literal, )+) => { $(
        impl Value for $type {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| {
                    format!("{} in {}..={}", Self::KIND, Self::MIN.render(), Self::MAX.render())
                })
            }

            fn render(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}

numbers! {
    u16 => "an integer",
    u32 => "an integer",
    u64 => "an integer",
    usize => "an integer",
    i32 => "an integer",
    i64 => "an integer",
    f64 => "a number",
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(Self::KIND.to_owned()),
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned())
    }

    fn render(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(PathBuf::from(text.trim()))
    }

    fn render(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}
