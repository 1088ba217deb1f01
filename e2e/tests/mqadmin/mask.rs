//! Takes out of a command's output what differs from one server, or one run, to another.

/// Names that stand for others, and the rules for times and identifiers.
#[derive(Default)]
pub(crate) struct Mask {
    names: Vec<(String, String)>,
}

impl Mask {
    /// Writes `mask` for every `name`.
    pub(crate) fn name(&mut self, name: &str, mask: &str) {
        assert!(!name.is_empty(), "nothing to write {mask} for");
        self.names.push((name.to_owned(), mask.to_owned()));
    }

    /// The words of every line, masked, lines in order of the alphabet: tables are printed in the
    /// order of Java's hash tables, and columns are as wide as what is in them.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, mask) in &self.names {
            text = text.replace(name, mask);
        }
        // What the command's own logging library says of itself comes first.
        let lines = text.lines().filter(|line| !line.contains(" |-"));
        let mut lines: Vec<String> = lines.map(line).collect();
        lines.retain(|line| !line.is_empty());
        lines.sort_unstable();
        lines.join("\n")
    }
}

fn line(line: &str) -> String {
    let words: Vec<String> = line.split_whitespace().map(word).collect();
    words.join(" ")
}

/// A word without what is of this run: client ids, client addresses, dates, times of day,
/// timestamps, rates.
fn word(word: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is = |pattern: &str, text: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(byte, want)| match want {
                b'0' => byte.is_ascii_digit(),
                want => byte == want,
            })
    };
    if word.contains('@') && word.contains('#') {
        return "<client>".to_owned();
    }
    if word.strip_prefix("127.0.0.1:").is_some_and(digits) {
        return "<client address>".to_owned();
    }
    if is("0000-00-00", word) || ["00:00:00", "00:00:00,000"].iter().any(|form| is(form, word)) {
        return "<time>".to_owned();
    }
    numbers(word)
}

/// Numbers with a point are measured, and those of 13 digits are times.
fn numbers(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        out += &rest[..start];
        let number = &rest[start..];
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        out += match number {
            number if number.matches('.').count() == 1 => "<x>",
            number if number.len() == 13 && !number.contains('.') => "<time>",
            number => number,
        };
        rest = after;
    }
    out + rest
}
