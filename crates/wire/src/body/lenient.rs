//! Reads JSON the way fastjson does, into plain [`Value`]s.
//!
//! Besides JSON: keys without quotes (`{0:"a"}`), objects as keys (`{{"queueId":0}:5}`, read as
//! their compact text), references to other parts (`{"$ref":"$.dataVersion"}`, replaced by what they
//! name), single quotes, trailing commas, comments. Depth, number of values and what references
//! may copy are bounded by [`crate::limits`].

use serde_json::{Map, Number, Value};

use super::BodyError;
use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_REFERENCED_VALUES};
use crate::text::Text;

/// Parses one value that takes all of `body`.
///
/// # Errors
/// When it is no JSON even leniently, or exceeds a limit.
pub fn parse(body: &[u8]) -> Result<Value, BodyError> {
    let mut parser = Parser { bytes: body, at: 0, values: 0, references: false };
    let result = parser.document();
    let mut value = result.map_err(|what| BodyError::Syntax { what, at: parser.at })?;
    if parser.references {
        let root = value.clone();
        let mut budget = MAX_REFERENCED_VALUES;
        resolve(&mut value, &root, &mut budget)
            .map_err(|what| BodyError::Syntax { what, at: body.len() })?;
    }
    Ok(value)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
    references: bool,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Value> {
        let value = self.value(0)?;
        self.skip_blanks()?;
        if self.at < self.bytes.len() { Err("more behind the value") } else { Ok(value) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) -> Parsed<()> {
        loop {
            let rest = &self.bytes[self.at..];
            let skipped = match rest {
                [byte, ..] if byte.is_ascii_whitespace() => 1,
                [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
                [b'/', b'*', comment @ ..] => {
                    let end = comment.windows(2).position(|pair| pair == b"*/");
                    end.ok_or("a comment does not end")? + 4
                }
                _ => return Ok(()),
            };
            self.at += skipped;
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        if depth > MAX_JSON_DEPTH {
            return Err("values are nested too deep");
        }
        self.values += 1;
        if self.values > MAX_JSON_VALUES {
            return Err("too many values");
        }
        self.skip_blanks()?;
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"' | b'\'') => Ok(Value::String(self.string()?)),
            Some(_) => self.word(),
            None => Err("a value is missing"),
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        let mut map = Map::new();
        self.at += 1;
        while !self.ends(b'}')? {
            let key = self.key(depth)?;
            self.skip_blanks()?;
            if self.peek() != Some(b':') {
                return Err("a colon is missing");
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            self.references |= key == REFERENCE;
            map.insert(key, value);
            self.separator(b'}')?;
        }
        Ok(Value::Object(map))
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        let mut array = Vec::new();
        self.at += 1;
        while !self.ends(b']')? {
            array.push(self.value(depth + 1)?);
            self.separator(b']')?;
        }
        Ok(Value::Array(array))
    }

    /// Whether the list ends here.
    fn ends(&mut self, end: u8) -> Parsed<bool> {
        self.skip_blanks()?;
        let ends = self.peek() == Some(end);
        self.at += usize::from(ends);
        Ok(ends)
    }

    /// Behind an element: a comma, or the end of the list, which is left.
    fn separator(&mut self, end: u8) -> Parsed<()> {
        self.skip_blanks()?;
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(())
            }
            Some(byte) if byte == end => Ok(()),
            _ => Err("a comma or the end of a list is missing"),
        }
    }

    fn key(&mut self, depth: usize) -> Parsed<String> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            Some(b'{' | b'[') => Ok(self.value(depth + 1)?.to_string()),
            _ => {
                let word = self.bare();
                if word.is_empty() {
                    return Err("a key is missing");
                }
                Ok(String::from_utf8_lossy(word).into_owned())
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let quote = self.bytes[self.at];
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(byte) if *byte == quote => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
                None => return Err("a string does not end"),
            }
        }
        self.at = at + 1;
        Ok(Text::json(&self.bytes[start..at], escaped).to_str().into_owned())
    }

    /// A number or a literal.
    fn word(&mut self) -> Parsed<Value> {
        let word = self.bare();
        let text = std::str::from_utf8(word).map_err(|_| "a literal is not ASCII")?;
        match text {
            "null" | "NaN" | "undefined" => return Ok(Value::Null),
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => {}
        }
        let integer = text.parse::<i64>().map(Number::from).ok();
        let unsigned = || text.parse::<u64>().map(Number::from).ok();
        let digits = || word.first().is_some_and(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.'));
        let float = || text.parse().ok().filter(|_| digits()).and_then(Number::from_f64);
        let number = integer.or_else(unsigned).or_else(float);
        number.map(Value::Number).ok_or("neither a value nor a known literal")
    }

    /// Everything up to what ends a word.
    fn bare(&mut self) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| {
            byte.is_ascii_whitespace() || b",:{}[]\"'/".contains(byte) || byte.is_ascii_control()
        };
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }
}

const REFERENCE: &str = "$ref";

/// Replaces each reference in `value` by a copy of what it names in `root`; by null if it names
/// nothing, or another reference.
fn resolve(value: &mut Value, root: &Value, budget: &mut usize) -> Parsed<()> {
    match value {
        Value::Array(array) => array.iter_mut().try_for_each(|item| resolve(item, root, budget)),
        Value::Object(map) => {
            if map.len() == 1
                && let Some(Value::String(path)) = map.get(REFERENCE)
            {
                let target = find(root, path);
                let size = target.map_or(0, count);
                *budget = budget.checked_sub(size).ok_or("references copy too much")?;
                *value = target.filter(|target| !contains_reference(target)).cloned().into();
                return Ok(());
            }
            map.values_mut().try_for_each(|item| resolve(item, root, budget))
        }
        _ => Ok(()),
    }
}

/// The value at a path such as `$.table.key[0]`. Names with dots are tried as a whole first.
fn find<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut value = root;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, tail) = index.split_once(']')?;
            let name = index.trim_matches(['"', '\'']);
            value = match value {
                Value::Array(array) => array.get(name.parse::<usize>().ok()?)?,
                value => value.get(name)?,
            };
            rest = tail;
        } else {
            let name = rest.strip_prefix('.')?;
            if let Some(whole) = value.get(name) {
                return Some(whole);
            }
            let end = name.find(['.', '[']).unwrap_or(name.len());
            value = value.get(&name[..end])?;
            rest = &name[end..];
        }
    }
    Some(value)
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(array) => array.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn contains_reference(value: &Value) -> bool {
    match value {
        Value::Array(array) => array.iter().any(contains_reference),
        Value::Object(map) => map.contains_key(REFERENCE) || map.values().any(contains_reference),
        _ => false,
    }
}
