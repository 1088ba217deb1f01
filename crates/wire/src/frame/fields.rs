//! The ext fields of a header, as positions in the header's bytes.

use smallvec::SmallVec;

use super::FrameError;
use crate::limits::{MAX_FIELD_NAME, MAX_FIELDS};
use crate::text::Text;

/// Where one field lies in the header.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name_at: u32,
    value_at: u32,
    value_len: u32,
    name_len: u16,
    name_escaped: bool,
    value_escaped: bool,
}

/// Header fields in the order they came, borrowed. Of equal names the last one counts.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    header: &'a [u8],
    entries: SmallVec<[Entry; 24]>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(header: &'a [u8]) -> Self {
        Self { header, entries: SmallVec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds the field whose name and value lie at these positions of the header; a header has less
    /// than 2^24 bytes.
    pub(super) fn push(
        &mut self,
        name: (usize, Text<'a>),
        value: (usize, Text<'a>),
    ) -> Result<(), FrameError> {
        let ((name_at, name), (value_at, value)) = (name, value);
        let (name, name_escaped) = name.raw();
        let (value, value_escaped) = value.raw();
        if name.len() > MAX_FIELD_NAME {
            return Err(FrameError::Header { what: "a field name is too long", at: name_at });
        }
        if self.entries.len() == MAX_FIELDS {
            return Err(FrameError::Header { what: "too many fields", at: name_at });
        }
        self.entries.push(Entry {
            name_at: name_at as u32,
            value_at: value_at as u32,
            value_len: value.len() as u32,
            name_len: name.len() as u16,
            name_escaped,
            value_escaped,
        });
        Ok(())
    }

    /// A null: the field is as if it had not come.
    pub(super) fn remove(&mut self, name: Text<'_>) {
        let header = self.header;
        self.entries.retain(|entry| entry.name(header) != name);
    }

    /// Value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Text<'a>> {
        let entry = self.entries.iter().rev().find(|entry| entry.name(self.header) == *name)?;
        Some(entry.value(self.header))
    }

    /// Name and value of each field.
    #[must_use]
    pub fn iter(&self) -> FieldsIter<'a, '_> {
        FieldsIter { header: self.header, entries: self.entries.iter() }
    }

    /// Number of fields, equal names counted each.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a, 'f> IntoIterator for &'f Fields<'a> {
    type Item = (Text<'a>, Text<'a>);
    type IntoIter = FieldsIter<'a, 'f>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Entry {
    fn name<'a>(&self, header: &'a [u8]) -> Text<'a> {
        let at = self.name_at as usize;
        Text::json(&header[at..at + usize::from(self.name_len)], self.name_escaped)
    }

    fn value<'a>(&self, header: &'a [u8]) -> Text<'a> {
        let at = self.value_at as usize;
        Text::json(&header[at..at + self.value_len as usize], self.value_escaped)
    }
}

/// Iterator of [`Fields::iter`].
#[derive(Debug, Clone)]
pub struct FieldsIter<'a, 'f> {
    header: &'a [u8],
    entries: std::slice::Iter<'f, Entry>,
}

impl<'a> Iterator for FieldsIter<'a, '_> {
    type Item = (Text<'a>, Text<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some((entry.name(self.header), entry.value(self.header)))
    }
}
