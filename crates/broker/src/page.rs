//! Pages of a table that may be too large for one answer (21, 201): so many entries from an index on, in order of names.

use std::collections::HashMap;

use wire::Text;
use wire::body::DataVersion;

use crate::limits;

/// The part of a table that a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    start: usize,
    count: usize,
    /// Version of the table that the page before was of; the index means nothing in any other.
    version: Option<DataVersion>,
}

impl Page {
    /// What a caller asks for; `None` is everything, for old callers know no pages.
    pub fn asked(
        start: Option<i32>,
        version: Option<&Text<'_>>,
        count: Option<i32>,
    ) -> Option<Page> {
        if start.is_none() && version.is_none() && count.is_none() {
            return None;
        }
        let count = count.and_then(|count| usize::try_from(count).ok());
        Some(Page {
            start: start.and_then(|start| usize::try_from(start).ok()).unwrap_or(0),
            count: count.unwrap_or(limits::PAGE).min(limits::PAGE),
            version: version.and_then(|json| wire::body::read(json.to_str().as_bytes()).ok()),
        })
    }

    /// The entries of the page.
    pub fn of<'t, T>(
        &self,
        table: &'t HashMap<String, T>,
        version: DataVersion,
    ) -> Vec<(&'t String, &'t T)> {
        let start = if self.version == Some(version) { self.start } else { 0 };
        let mut entries: Vec<(&String, &T)> = table.iter().collect();
        let by_name = |a: &(&String, &T), b: &(&String, &T)| a.0.cmp(b.0);
        // A table may have a million entries: only the page is sorted.
        if start >= entries.len() {
            return Vec::new();
        }
        if start > 0 {
            entries.select_nth_unstable_by(start, by_name);
            entries.drain(..start);
        }
        if self.count < entries.len() {
            entries.select_nth_unstable_by(self.count, by_name);
            entries.truncate(self.count);
        }
        entries.sort_unstable_by(by_name);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what pages hold, that they start over in a table that has changed, and who gets everything.
    #[test]
    fn pages_of_a_table() {
        let table: HashMap<String, ()> =
            ["d", "a", "c", "e", "b"].map(|k| (k.to_owned(), ())).into();
        let version = DataVersion { counter: 3, state_version: 0, timestamp: 7 };
        let json = String::from_utf8(wire::body::write(&version)).unwrap();
        let names = |start, version_text: &str, count| {
            let page = Page::asked(Some(start), Some(&Text::from(version_text)), count).unwrap();
            page.of(&table, version).iter().map(|(name, ())| name.as_str()).collect::<String>()
        };
        assert_eq!(names(0, "", Some(2)), "ab");
        assert_eq!(names(2, &json, Some(2)), "cd");
        assert_eq!(names(4, &json, Some(2)), "e");
        assert_eq!(names(5, &json, Some(2)), "");
        assert_eq!(names(2, "", Some(2)), "ab");
        assert_eq!(names(2, &json.replace('3', "4"), Some(2)), "ab");
        assert_eq!(
            (names(1, &json, None), names(-1, &json, Some(9))),
            ("bcde".into(), "abcde".into())
        );
        assert_eq!(Page::asked(None, None, None), None);
        assert_eq!(Page::asked(Some(0), None, Some(i32::MAX)).unwrap().count, limits::PAGE);
    }
}
