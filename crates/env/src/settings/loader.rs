//! Fills several blocks of settings from one set of sources, and accounts for every key given.

use std::fmt;

use super::error::{did_you_mean, nearest};
use super::java::JavaSetting;
use super::{Problem, Row, Settings, SettingsError, Unused, java, properties, toml_text};

/// Where a value comes from. Later kinds win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The block.
    Default,
    /// A line of a file.
    File {
        /// As the user named it.
        name: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable of this name.
    Env(String),
    /// The command line.
    Flag,
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::File { .. } => 1,
            Origin::Env(_) => 2,
            Origin::Flag => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Flag => f.write_str("command line"),
        }
    }
}

/// Collects sources, then hands each block what is meant for it.
///
/// Use: add sources; [`take`](Loader::take) each block; [`finish`](Loader::finish). Settings taken are
/// good only after `finish` succeeded: until then a wrong value stands at its default.
#[derive(Debug, Default)]
pub struct Loader {
    given: Vec<Given>,
    effective: Vec<Effective>,
    problems: Vec<(Origin, Problem)>,
    unused: Vec<&'static Unused>,
    known: Vec<Known>,
}

/// A name that some block takes.
#[derive(Debug)]
struct Known {
    section: &'static str,
    name: &'static str,
}

#[derive(Debug)]
struct Given {
    section: Option<String>,
    name: String,
    value: String,
    origin: Origin,
    taken: bool,
}

/// A setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The block.
    pub section: &'static str,
    /// RocketMQ's name.
    pub key: &'static str,
    /// The value as text.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The outcome of loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// All settings of all blocks taken.
    pub effective: Vec<Effective>,
    /// What a person should know, to be logged once: keys without effect.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Whether nobody set the key: its value is the default.
    pub fn is_default(&self, key: &str) -> bool {
        let mut of_key = self.effective.iter().filter(|effective| effective.key == key);
        of_key.all(|effective| effective.origin == Origin::Default)
    }

    /// A `.properties` file that says what is in effect now: `section.key=value` per line, each below a
    /// comment with its origin.
    pub fn dump(&self) -> String {
        let line = |e: &Effective| {
            let value = e.value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            format!("# {}\n{}.{}={value}\n", e.origin, e.section, e.key)
        };
        self.effective.iter().map(line).collect()
    }
}

impl Loader {
    /// Adds a file in the format of Java's `.properties`. `name` is for messages.
    pub fn properties(&mut self, name: &str, text: &str) -> Result<(), SettingsError> {
        let properties = properties::parse(text).map_err(|malformed| syntax(name, malformed))?;
        for property in properties {
            let origin = Origin::File { name: name.to_owned(), line: property.line };
            self.add(&property.key, property.value, origin);
        }
        Ok(())
    }

    /// Adds a TOML file: a table per block whose keys are our names or RocketMQ's; keys outside of
    /// tables are for every block that knows them, as in `.properties`.
    pub fn toml(&mut self, name: &str, text: &str) -> Result<(), SettingsError> {
        let values = toml_text::parse(text).map_err(|malformed| syntax(name, malformed))?;
        self.given.extend(values.into_iter().map(|value| Given {
            section: value.section,
            name: value.key,
            value: value.value,
            origin: Origin::File { name: name.to_owned(), line: value.line },
            taken: false,
        }));
        Ok(())
    }

    /// Adds environment variables. `APOGEE_FILE_RESERVED_TIME` means the key `fileReservedTime`,
    /// `APOGEE_STORE_FILE_RESERVED_TIME` only that of the block `store`; others are not ours.
    pub fn env(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (variable, value) in variables {
            if let Some(name) = variable.strip_prefix("APOGEE_") {
                let (name, origin) = (name.to_owned(), Origin::Env(variable.clone()));
                self.given.push(Given { section: None, name, value, origin, taken: false });
            }
        }
    }

    /// Adds a setting of the command line, by the names that `.properties` files use.
    pub fn flag(&mut self, key: &str, value: &str) {
        self.add(key, value.to_owned(), Origin::Flag);
    }

    /// The block `S` with everything meant for it: given by a plain key or for its section.
    pub fn take<S: Settings>(&mut self) -> S {
        self.fill(true)
    }

    /// The block `S` with what is given for its section only: for a block whose plain keys belong to
    /// another one, such as `listenPort` when broker and name server share a file.
    pub fn take_scoped<S: Settings>(&mut self) -> S {
        self.fill(false)
    }

    /// Accepts the keys of `S` without using them: the part of the process that they are for is off, or
    /// took only those of its section.
    pub fn know<S: Settings>(&mut self) {
        let before = self.effective.len();
        self.fill_into(&mut S::default(), true);
        self.effective.truncate(before);
    }

    /// Checks that every key given was known to someone.
    pub fn finish(mut self) -> Result<Loaded, SettingsError> {
        let mut warnings = Vec::new();
        let left: Vec<Given> = self.given.extract_if(.., |given| !given.taken).collect();
        for given in left {
            match self.judge(&given) {
                Ok(None) => {}
                Ok(Some(warning)) => warnings.push(format!("{}: {warning}", given.origin)),
                Err(problem) => self.problems.push((given.origin, problem)),
            }
        }
        if self.problems.is_empty() {
            return Ok(Loaded { effective: self.effective, warnings });
        }
        self.problems.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.problems.dedup();
        Err(SettingsError { problems: self.problems })
    }

    /// Adds `key`, or `section.key`.
    fn add(&mut self, key: &str, value: String, origin: Origin) {
        let (section, name) = match key.split_once('.') {
            Some((section, name)) => (Some(section.to_owned()), name.to_owned()),
            None => (None, key.to_owned()),
        };
        self.given.push(Given { section, name, value, origin, taken: false });
    }

    fn fill<S: Settings>(&mut self, plain: bool) -> S {
        let mut settings = S::default();
        self.fill_into(&mut settings, plain);
        settings
    }

    fn fill_into<S: Settings>(&mut self, settings: &mut S, plain: bool) {
        self.unused.extend(S::UNUSED);
        let names = S::ROWS.iter().flat_map(|row| [row.key, row.field]);
        self.known.extend(names.map(|name| Known { section: S::SECTION, name }));
        for row in S::ROWS {
            let mut chosen: Option<(u8, bool, usize)> = None;
            for (index, given) in self.given.iter_mut().enumerate() {
                let scoped = match given.means(row) {
                    Some(scoped) if scoped || plain => scoped,
                    _ => continue,
                };
                given.taken = true;
                // The stronger source wins; in one source the section's own key; else the later one.
                chosen = chosen.max(Some((given.origin.rank(), scoped, index)));
            }
            let origin = match chosen.map(|(.., index)| &self.given[index]) {
                None => Origin::Default,
                Some(given) => {
                    if let Err(expected) = (row.set)(settings, &given.value) {
                        let problem = Problem::value(row.key, &given.value, expected);
                        self.problems.push((given.origin.clone(), problem));
                    }
                    given.origin.clone()
                }
            };
            let value = (row.get)(settings);
            self.effective.push(Effective { section: S::SECTION, key: row.key, value, origin });
        }
    }

    /// What to say about a key that no block took.
    fn judge(&self, given: &Given) -> Result<Option<String>, Problem> {
        let name = &given.name;
        let is_default = |default: &str| given.value.trim().eq_ignore_ascii_case(default);
        let unsupported = |key: &str, default: &str, risk| Problem::Unsupported {
            key: key.to_owned(),
            value: given.value.clone(),
            default: default.to_owned(),
            risk,
        };
        if let Some(unused) = self.unused.iter().find(|unused| given.names(unused.key)) {
            return match is_default(unused.default) {
                true => Ok(None),
                false => Err(unsupported(unused.key, unused.default, unused.risk)),
            };
        }
        let misplaced = self.known.iter().any(|known| known.name == name);
        let mut java = java::all().filter(|java| !misplaced && given.names(java.key)).peekable();
        if let Some(JavaSetting { key, default, .. }) = java.peek().copied() {
            return match java::risk(key) {
                None => Ok(Some(format!("{key} has no effect here"))),
                Some(_) if java.any(|java| is_default(java.default)) => Ok(None),
                Some(risk) => Err(unsupported(key, default, risk)),
            };
        }
        if let Origin::Env(_) = given.origin {
            let known: Vec<String> =
                self.known.iter().map(|known| upper_snake(known.name)).collect();
            let hint = nearest(name, known.iter().map(String::as_str));
            let hint = did_you_mean(hint.map(|name| format!("APOGEE_{name}")).as_deref());
            return Ok(Some(format!("not a setting, has no effect{hint}")));
        }
        let Some(section) = &given.section else {
            if java::is_ignored(name) {
                return Ok(Some(format!("{name} has no effect here, nor in RocketMQ 5.4.0")));
            }
            let known = self.known.iter().map(|known| known.name);
            return Err(Problem::unknown(name, known.chain(java::all().map(|java| java.key))));
        };
        let known: Vec<String> = self.known.iter().map(Known::full).collect();
        Err(Problem::unknown(&format!("{section}.{name}"), known.iter().map(String::as_str)))
    }
}

impl Known {
    fn full(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

impl Given {
    /// Whether this is meant for the setting: `Some(true)` when it names the section too.
    fn means<S: Settings>(&self, row: &Row<S>) -> Option<bool> {
        if let Some(section) = &self.section {
            let named = self.name == row.key || self.name == row.field;
            return (section == S::SECTION && named).then_some(true);
        }
        if self.names(row.key) {
            return Some(false);
        }
        let scoped = || {
            let rest = self.name.strip_prefix(&upper_snake(S::SECTION))?.strip_prefix('_')?;
            Some(rest == upper_snake(row.key) || rest == upper_snake(row.field))
        };
        (matches!(self.origin, Origin::Env(_)) && scoped() == Some(true)).then_some(true)
    }

    /// Whether it names this RocketMQ key, whatever section.
    fn names(&self, key: &str) -> bool {
        match self.origin {
            Origin::Env(_) => self.name == upper_snake(key),
            _ => self.name == key,
        }
    }
}

/// `fileReservedTime`, `file_reserved_time` and `brokerIP1` as `FILE_RESERVED_TIME` and `BROKER_IP1`.
fn upper_snake(name: &str) -> String {
    let mut upper = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous_lower {
            upper.push('_');
        }
        previous_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        upper.push(c.to_ascii_uppercase());
    }
    upper
}

fn syntax(name: &str, (line, message): (usize, String)) -> SettingsError {
    let origin = Origin::File { name: name.to_owned(), line };
    SettingsError { problems: vec![(origin, Problem::Syntax(message))] }
}
