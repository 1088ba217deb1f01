//! The ext fields of a header, as positions in the header's bytes.

use std::collections::HashSet;

use smallvec::SmallVec;

use crate::limits::MAX_FIELDS;
use crate::text::Text;

/// A text's place in a header, which has less than 2^24 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    at: u32,
    len: u32,
}

impl Span {
    /// Set in `len` when the text holds escapes.
    const ESCAPED: u32 = 1 << 31;

    /// Stands for a null.
    pub(super) const NULL: Self = Self { at: u32::MAX, len: 0 };

    #[inline]
    pub(super) const fn is_null(self) -> bool {
        self.at == Self::NULL.at
    }

    #[inline]
    pub(super) const fn new(at: usize, end: usize, escaped: bool) -> Self {
        let len = (end - at) as u32;
        Self { at: at as u32, len: if escaped { len | Self::ESCAPED } else { len } }
    }

    /// The text, of the frame whose field it is.
    #[inline]
    pub(crate) fn of<'a>(self, frame: &super::Frame<'a>) -> Text<'a> {
        self.text(frame.fields.header)
    }

    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.len & !Self::ESCAPED == 0
    }

    #[inline]
    pub(super) fn text(self, header: &[u8]) -> Text<'_> {
        let at = self.at as usize;
        let len = (self.len & !Self::ESCAPED) as usize;
        Text::json(&header[at..at + len], self.len & Self::ESCAPED != 0)
    }
}

/// Fields that take no allocation: the largest common header, a send with `bname`, has 15.
const INLINE: usize = 20;

/// Header fields in the order they came, borrowed. Of equal names the last one counts.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    header: &'a [u8],
    entries: SmallVec<[(Span, Span); INLINE]>,
}

impl<'a> Fields<'a> {
    /// Those of `header`, none so far.
    #[inline]
    pub(super) fn begin(&mut self, header: &'a [u8]) {
        self.header = header;
        self.entries.clear();
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds a field.
    #[inline]
    pub(super) fn push(&mut self, name: Span, value: Span) -> Result<(), &'static str> {
        if self.entries.len() == MAX_FIELDS {
            return Err("too many fields");
        }
        self.entries.push((name, value));
        Ok(())
    }

    /// Takes out nulls, and what came before them under their names: such a field is as if it had not come.
    #[cold]
    pub(super) fn remove_nulls(&mut self) {
        let mut removed = HashSet::new();
        let mut kept = SmallVec::new();
        for (name, value) in self.entries.drain(..).rev() {
            let text = name.text(self.header).to_bytes();
            if value.is_null() {
                removed.insert(text);
            } else if !removed.contains(&text) {
                kept.push((name, value));
            }
        }
        kept.reverse();
        self.entries = kept;
    }

    /// Value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Text<'a>> {
        let same = |(other, _): &&(Span, Span)| other.text(self.header) == *name;
        self.entries.iter().rev().find(same).map(|(_, value)| value.text(self.header))
    }

    /// Where name and value of each field are.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Span, Span)> + '_ {
        self.entries.iter().copied()
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

/// Iterator of [`Fields::iter`].
#[derive(Debug, Clone)]
pub struct FieldsIter<'a, 'f> {
    header: &'a [u8],
    entries: std::slice::Iter<'f, (Span, Span)>,
}

impl<'a> Iterator for FieldsIter<'a, '_> {
    type Item = (Text<'a>, Text<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.entries.next()?;
        Some((name.text(self.header), value.text(self.header)))
    }
}
