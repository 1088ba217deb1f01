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
        // What the command's own logging library says of itself comes first; the retry topic of
        // its own consumer comes if it lives long enough.
        let noise = [" |-", "%RETRY%TOOLS_CONSUMER"];
        let lines = text.lines().filter(|line| !noise.iter().any(|noise| line.contains(noise)));
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
/// timestamps, message ids, rates.
fn word(word: &str) -> String {
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
    let bare = word.trim_end_matches(',');
    if is("0000-00-00", bare) || ["00:00:00", "00:00:00,000"].iter().any(|form| is(form, bare)) {
        return "<time>".to_owned();
    }
    numbers(&addresses(word))
}

/// The ports of clients are of this run.
fn addresses(word: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut parts = word.split(HOST);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "<client address>";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

/// Numbers with a point are measured, those of 13 digits are times, those of 32 hexadecimal digits
/// (56 where the client has no IPv4 address) are ids of messages.
fn numbers(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        out += &rest[..start];
        let run = &rest[start..];
        let is_number = run.starts_with(|c: char| c.is_ascii_digit());
        let is_id = |text: &str| {
            matches!(text.len(), 32 | 56) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let end = run.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(run.len());
        let end = match is_number && !is_id(&run[..end]) {
            true => run.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(run.len()),
            false => end,
        };
        let (run, after) = run.split_at(end);
        out += match run {
            run if is_id(run) => "<id>",
            run if is_number && run.matches('.').count() == 1 => "<x>",
            run if is_number && run.len() == 13 && !run.contains('.') => "<time>",
            run => run,
        };
        rest = after;
    }
    out + rest
}
