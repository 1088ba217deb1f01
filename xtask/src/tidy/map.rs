//! `ARCHITECTURE.md` names files and functions: each must exist. The page of refusals has every text of broker and store.

use std::path::Path;

use crate::fixtures::workspace;

const PAGE: &str = "ARCHITECTURE.md";
/// Files of the product and its tools are named from the root.
const ROOTS: [&str; 4] = ["crates/", "e2e/", "xtask/", "fuzz/"];

const REFUSALS: &str = "docs/operating/troubleshooting.md";
/// Where the texts stand that operators and clients see.
const TEXTS: [&str; 6] = [
    "crates/broker/src/reply.rs",
    "crates/broker/src/live.rs",
    "crates/broker/src/topic.rs",
    "crates/broker/src/group.rs",
    "crates/broker/src/offset.rs",
    "crates/store/src/error.rs",
];
/// Shorter pieces of text say nothing by themselves.
const TELLING: usize = 6;

/// Findings on both pages.
pub(super) fn check() -> anyhow::Result<Vec<String>> {
    let root = workspace();
    let read = |path: &str| std::fs::read_to_string(root.join(path));
    let page = read(PAGE)?;
    let lines = page.lines().enumerate();
    let mut found: Vec<String> =
        lines.flat_map(|(index, line)| findings(&root, index + 1, line)).collect();
    let refusals = read(REFUSALS)?.replace("\\|", "|");
    for file in TEXTS {
        let source = read(file)?;
        let absent = texts(&source).filter(|text| !refusals.contains(text));
        found.extend(absent.map(|text| format!("{REFUSALS}: lacks `{text}` of {file}")));
    }
    Ok(found)
}

/// The longest fixed piece of each `#[error("…")]`.
fn texts(source: &str) -> impl Iterator<Item = &str> {
    let literals = source.split("#[error(").skip(1).filter_map(|rest| rest.split('"').nth(1));
    literals.filter_map(|literal| {
        let pieces = literal.split('{').map(|piece| piece.rsplit('}').next().unwrap_or(piece));
        pieces.max_by_key(|piece| piece.len()).filter(|piece| piece.len() >= TELLING)
    })
}

/// Names in backticks that start like a path must be one. In a table row whose second column is a file and whose third has
/// names only, these are functions and must be in it.
fn findings(root: &Path, number: usize, line: &str) -> Vec<String> {
    let missing = |name: &str, place: &str| format!("{PAGE}:{number}: {name} is not {place}");
    let paths = names(line).filter(|name| ROOTS.iter().any(|root| name.starts_with(root)));
    let mut found: Vec<String> =
        paths.filter(|path| !root.join(path).exists()).map(|path| missing(path, "there")).collect();
    let columns: Vec<&str> = line.split('|').collect();
    if let [_, _, file, functions, ..] = columns[..]
        && let Some(file) = names(file).next().filter(|file| file.ends_with(".rs"))
        && functions.split(',').all(|name| is_function(name.trim()))
        && let Ok(text) = std::fs::read_to_string(root.join(file))
    {
        let gone = names(functions).filter(|name| !defines(&text, name));
        found.extend(gone.map(|name| missing(name, &format!("in {file}"))));
    }
    found
}

/// Whether `text` defines a function `name`, written with its type or without.
fn defines(text: &str, name: &str) -> bool {
    let (owner, function) = name.rsplit_once("::").unwrap_or(("", name));
    let starts = [format!("fn {function}("), format!("fn {function}<")];
    text.contains(owner) && starts.iter().any(|start| text.contains(start))
}

/// Whether a part of a column is the name of a function in backticks and nothing else.
fn is_function(part: &str) -> bool {
    let name = part.strip_prefix('`').and_then(|part| part.strip_suffix('`'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b)))
}

/// What stands between backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest piece between placeholders stands for a text; one without any is left out.
    #[test]
    fn texts_are_cut_at_placeholders() {
        let source = "#[error(\"{0} topics exist, {max} is the limit\")] A, #[error(\"{0}\")] B,";
        assert_eq!(texts(source).collect::<Vec<_>>(), [" topics exist, "]);
    }

    /// A row with a file and functions that are there passes; a wrong file or function is named.
    #[test]
    fn names_are_looked_up() {
        let root = workspace();
        let row = |file: &str, function: &str| {
            findings(&root, 1, &format!("| step | `{file}` | `{function}` | … |"))
        };
        assert_eq!(row("xtask/src/tidy/map.rs", "findings"), Vec::<String>::new());
        assert_eq!(row("xtask/src/tidy/map.rs", "Path::defines"), Vec::<String>::new());
        assert_eq!(row("xtask/src/nowhere.rs", "findings").len(), 1);
        assert_eq!(row("xtask/src/tidy/map.rs", "find").len(), 1);
    }
}
