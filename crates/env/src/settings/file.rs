//! The file that settings were read from, changed along with them.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::properties;
use crate::Disk;

/// A settings file, in either format. What is not changed keeps its place, comments included.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    disk: Disk,
    path: PathBuf,
}

/// A setting and its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The block.
    pub section: &'static str,
    /// RocketMQ's name of the setting.
    pub key: &'static str,
    /// Our name.
    pub field: &'static str,
    /// The value as text.
    pub value: String,
}

impl SettingsFile {
    /// The file at `path`; one that ends in `.toml` is TOML.
    pub fn new(disk: Disk, path: PathBuf) -> SettingsFile {
        SettingsFile { disk, path }
    }

    /// Sets each setting wherever the file has it, else adds it; the file is replaced as a whole.
    ///
    /// # Errors
    /// When the file cannot be read as what it should be, or not be written.
    pub fn set(&self, changes: &[Change]) -> io::Result<()> {
        let file = self.disk.open(&self.path)?;
        let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        let mut text = String::from_utf8(bytes).map_err(invalid)?;
        let is_toml = self.path.extension().is_some_and(|extension| extension == "toml");
        for change in changes {
            text = if is_toml {
                set_in_toml(&text, change)?
            } else {
                set_in_properties(&text, change)?
            };
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let file = self.disk.create(&new)?;
        file.set_len(0)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.disk.rename(&new, &self.path)?;
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => self.disk.sync_dir(dir),
            _ => Ok(()),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Change {
    /// Whether a name of a `.properties` file means this setting.
    fn is_named(&self, name: &str) -> bool {
        match name.split_once('.') {
            None => name == self.key,
            Some((section, name)) => {
                section == self.section && (name == self.key || name == self.field)
            }
        }
    }
}

/// A `.properties` text with every line of the setting saying the new value.
fn set_in_properties(text: &str, change: &Change) -> io::Result<String> {
    let parsed =
        properties::parse(text).map_err(|(line, what)| invalid(format!("line {line}: {what}")))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let value = properties::escape_value(&change.value);
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    let mut found = false;
    for property in parsed.iter().filter(|property| change.is_named(&property.key)) {
        // A file whose lines end in a lone `\r` has other numbers: the setting is added behind them.
        let first = property.line - 1;
        let last = first + property.lines;
        let Some(before) = lines.get(copied..first).filter(|_| last <= lines.len()) else {
            continue;
        };
        out.extend(before.iter().copied());
        out += &format!("{}={value}\n", property.key);
        (copied, found) = (last, true);
    }
    out.extend(lines[copied..].iter().copied());
    if !found {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out += &format!("{}={value}\n", change.key);
    }
    Ok(out)
}

/// A TOML text with every value of the setting replaced; what is added stands before all tables.
fn set_in_toml(text: &str, change: &Change) -> io::Result<String> {
    let document = DeTable::parse(text).map_err(|error| invalid(error.message().to_owned()))?;
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (key, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) if key.get_ref() == change.section => {
                let named = |name: &str| name == change.key || name == change.field;
                let inner = table.iter().filter(|(name, _)| named(name.get_ref()));
                spans.extend(inner.map(|(_, value)| value.span()));
            }
            _ if key.get_ref() == change.key => spans.push(value.span()),
            _ => {}
        }
    }
    let value = toml_value(&change.value);
    let mut out = text.to_owned();
    if spans.is_empty() {
        out.insert_str(0, &format!("{} = {value}\n", change.key));
    }
    spans.sort_by_key(|span| span.start);
    spans.into_iter().rev().for_each(|span| out.replace_range(span, &value));
    Ok(out)
}

/// The value as one would write it: numbers and booleans without quotes.
fn toml_value(text: &str) -> String {
    let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    if is_number || text == "true" || text == "false" {
        return text.to_owned();
    }
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn change(key: &'static str, field: &'static str, value: &str) -> Change {
        Change { section: "store", key, field, value: value.to_owned() }
    }

    fn set(name: &str, text: &str, changes: &[Change]) -> String {
        let (disk, path) = (Disk::mem(), Path::new("/etc").join(name));
        disk.create_dir_all(Path::new("/etc")).unwrap();
        disk.create(&path).unwrap().write_at(text.as_bytes(), 0).unwrap();
        SettingsFile::new(disk.clone(), path.clone()).set(changes).unwrap();
        let file = disk.open(&path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(disk.list(Path::new("/etc")).unwrap().len(), 1);
        String::from_utf8(bytes).unwrap()
    }

    /// Shows that a setting is changed wherever a `.properties` file has it, over continued lines too, that
    /// one it lacks is added, and that all else stays.
    #[test]
    fn properties_keep_their_shape() {
        let text = "# kept\nfileReservedTime = 4\\\n   8\nbrokerName=a\nstore.fileReservedTime:1";
        let changes = [
            change("fileReservedTime", "retention_hours", "24"),
            change("deleteWhen", "delete_when", " 1\\2"),
        ];
        let want = "# kept\nfileReservedTime=24\nbrokerName=a\nstore.fileReservedTime=24\ndeleteWhen=\\ 1\\\\2\n";
        assert_eq!(set("broker.conf", text, &changes), want);
        let read = crate::settings::properties(want).unwrap();
        assert_eq!(read.last().unwrap(), &("deleteWhen".to_owned(), " 1\\2".to_owned()));
    }

    /// Shows the same of a TOML file: under either name, in its table and outside, and that a table of
    /// another block is left alone.
    #[test]
    fn toml_keeps_its_shape() {
        let text =
            "a = 1 # kept\n[store]\nretention_hours = 48 # hours\n[broker]\nfileReservedTime = 1\n";
        let changes = [
            change("fileReservedTime", "retention_hours", "24"),
            change("deleteWhen", "delete_when", "04;\"05"),
        ];
        let want = "deleteWhen = '04;\"05'\na = 1 # kept\n[store]\nretention_hours = 24 # hours\n[broker]\nfileReservedTime = 1\n";
        assert_eq!(set("apogee.toml", text, &changes), want);
    }

    /// Shows that a file that is no settings file any more is not overwritten.
    #[test]
    fn a_broken_file_is_left_alone() {
        let disk = Disk::mem();
        let path = Path::new("/a.toml");
        disk.create(path).unwrap().write_at(b"[", 0).unwrap();
        let file = SettingsFile::new(disk.clone(), path.to_owned());
        let error = file.set(&[change("deleteWhen", "delete_when", "1")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(disk.open(path).unwrap().len().unwrap(), 1);
    }
}
