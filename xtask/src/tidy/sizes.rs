//! Sizes worth noticing: lines per crate, long files, long functions. Printed, not judged.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::sources::Source;

/// What is worth noticing.
const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

/// The table that `tidy` prints.
pub(super) fn report(sources: &[Source]) -> String {
    let mut crates: BTreeMap<&str, Sizes> = BTreeMap::new();
    let mut long = Vec::new();
    for source in sources.iter().filter(|source| source.is_product()) {
        let name = source.path.split('/').nth(1).unwrap_or_default();
        let sizes = crates.entry(name).or_default();
        let lines = source.production().lines().count();
        sizes.files += 1;
        sizes.lines += lines;
        if lines > FILE_LINES {
            long.push(format!("{}: {lines} lines", source.path));
        }
        for (name, lines) in functions(source.production()) {
            sizes.functions += 1;
            if lines > FUNCTION_LINES {
                long.push(format!("{}: {name}: {lines} lines", source.path));
            }
        }
    }
    let mut out = String::from("crate            files  lines  functions\n");
    for (name, Sizes { files, lines, functions }) in &crates {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<16} {files:>5} {lines:>6} {functions:>10}");
    }
    long.iter().for_each(|line| out += &format!("long: {line}\n"));
    out
}

#[derive(Default)]
struct Sizes {
    files: usize,
    lines: usize,
    functions: usize,
}

/// Name and length of every function of a formatted file: it ends at the brace below its first letter.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |l: &&str| {
            l.strip_prefix(indent).is_some_and(|rest| rest == "}" || rest.ends_with("; }"))
        };
        let one_line = line.trim_end().ends_with(['}', ';']);
        let length = if one_line {
            1
        } else {
            lines[start..].iter().position(ends).map_or(1, |end| end + 1)
        };
        found.push((name, length));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers =
        ["pub", "pub(crate)", "pub(super)", "const", "async", "extern", "\"C\"", "unsafe"];
    let is_definition = before.split_whitespace().all(|word| qualifiers.contains(&word));
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (is_definition && end > 0).then(|| &after[..end])
}

#[cfg(test)]
mod tests {
    /// Functions are measured from their first line to the brace that closes them.
    #[test]
    fn functions_are_measured() {
        let text = "pub(crate) fn a(\n    x: u8,\n) -> u8 {\n    if x > 1 {\n    }\n    x\n}\n\n    const fn b() {}\n";
        assert_eq!(super::functions(text), vec![("a", 7), ("b", 1)]);
    }
}
