//! The text format of `java.util.Properties.load`.

/// One `key = value` with the number of its first line, from 1, and of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) line: usize,
    pub(super) lines: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// A syntax error: the line, from 1, and what is wrong with it.
pub(super) type Malformed = (usize, String);

/// Parses a whole file. Lines end with `\n`, `\r` or both; `#` and `!` start comments; a backslash at
/// the end of a line continues it; `=`, `:` or a space ends the key; `\uXXXX` is a UTF-16 code unit.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, Malformed> {
    let mut properties = Vec::new();
    let mut lines = text.split('\n').flat_map(|line| {
        // "\r\n" is one end of a line; a lone '\r' is one too.
        line.strip_suffix('\r').unwrap_or(line).split('\r')
    });
    let mut line = 0;
    while let Some(natural) = lines.next() {
        line += 1;
        let first = line;
        let natural = natural.trim_start_matches(is_space);
        if natural.is_empty() || natural.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = natural.to_owned();
        while ends_in_escape(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            line += 1;
            logical.push_str(next.trim_start_matches(is_space));
        }
        let (key, value) = split(&logical);
        let unescape = |text| unescape(text).map_err(|problem| (first, problem));
        let (key, value, lines) = (unescape(key)?, unescape(value)?, line - first + 1);
        properties.push(Property { line: first, lines, key, value });
    }
    Ok(properties)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value of a logical line, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (matches!(c, '=' | ':') || is_space(c));
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_space))
}

/// A value as a file has it on one line.
pub(super) fn escape_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // Blanks before a value are none of it.
            c if is_space(c) && out.is_empty() => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let all_hex =
                        digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| all_hex);
                    units.push(unit.ok_or_else(|| format!("\\u{digits} is not \\uXXXX"))?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "\\uXXXX is half of a surrogate pair".to_owned())
}
