//! The TOML form: plain keys, and one table per block.

use toml::de::{DeTable, DeValue};

/// One value with its table, if any, and line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TomlValue {
    pub(super) line: usize,
    pub(super) section: Option<String>,
    pub(super) key: String,
    pub(super) value: String,
}

/// Parses a whole file. Values are scalars; tables don't nest.
pub(super) fn parse(text: &str) -> Result<Vec<TomlValue>, (usize, String)> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
    let document = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        (line, error.message().to_owned())
    })?;
    let mut values = Vec::new();
    let mut add = |section: Option<&str>, key: &str, value: &DeValue<'_>, line: usize| {
        let Some(value) = scalar(value) else {
            let kind = value.type_str();
            return Err((
                line,
                format!("{key}: expected text, a number or a boolean, not a {kind}"),
            ));
        };
        values.push(TomlValue {
            line,
            section: section.map(str::to_owned),
            key: key.to_owned(),
            value,
        });
        Ok(())
    };
    for (key, value) in document.get_ref() {
        let line = line_of(key.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            add(None, key.get_ref(), value.get_ref(), line)?;
            continue;
        };
        for (inner, value) in table {
            add(
                Some(key.get_ref()),
                inner.get_ref(),
                value.get_ref(),
                line_of(inner.span().start),
            )?;
        }
    }
    values.sort_by_key(|value| value.line);
    Ok(values)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // In another radix it would not be what the text of a `.properties` file means.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
