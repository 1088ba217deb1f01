//! What a consumer wants of a topic.

use std::fmt;

/// A filter on tags: everything, or any of some tags.
///
/// Brokers compare only a hash of the tag; [`TagFilter::matches`] finishes the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    tags: Vec<String>,
}

impl TagFilter {
    /// Parses an expression: `*` or empty for everything, else tags separated by `||`.
    pub fn parse(expression: &str) -> TagFilter {
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let mut tags: Vec<String> = tags.map(str::to_owned).collect();
        if tags.iter().any(|tag| tag == "*") {
            tags.clear();
        }
        tags.sort_unstable();
        tags.dedup();
        TagFilter { tags }
    }

    /// Accepts every message.
    pub fn all() -> TagFilter {
        TagFilter { tags: Vec::new() }
    }

    /// Whether a message with this tag is wanted.
    pub fn matches(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_some_and(|tag| self.tags.iter().any(|want| want == tag))
    }

    /// The wanted tags; none means all.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tags.is_empty() { f.write_str("*") } else { f.write_str(&self.tags.join(" || ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expressions in the spelling of every client mean the same set of tags.
    #[test]
    fn parses_the_spellings_of_other_clients() {
        for all in ["*", "", "  ", "a || *"] {
            assert_eq!(TagFilter::parse(all), TagFilter::all(), "{all:?}");
        }
        let filter = TagFilter::parse("b||a || b");
        assert_eq!(filter.to_string(), "a || b");
        assert!(filter.matches(Some("a")) && !filter.matches(Some("A")) && !filter.matches(None));
        assert!(TagFilter::all().matches(None));
    }
}
