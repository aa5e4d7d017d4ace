//! TOML, and which names there may be in it.
//!
//! Keys at the top are for every command that has such a flag; those in a command's table are for that
//! command and come first.

use std::io::{self, Read as _};
use std::path::Path;

use clap::Command;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::setting::{Kind, Setting, at, commands, nearest, settings};

/// A file that is TOML.
#[derive(Debug)]
pub(super) struct File {
    /// The commands that have a table, be it empty.
    pub(super) tables: Vec<String>,
    entries: Vec<Entry>,
    /// Names that are not known.
    pub(super) problems: Problems,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// The command whose table it is in; none at the top.
    pub(super) table: Vec<String>,
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value as it is written. `Debug` is for tests: it may hold a secret.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    /// Variables are not put in yet.
    Text(String),
    /// A number, a date or a time: it stands for itself.
    Plain(String),
    Switch(bool),
    List(Vec<(usize, Value)>),
    /// A table; of tables in it the names are joined by dots.
    Pairs(Vec<(usize, String, Value)>),
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no TOML.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, Problems> {
        let text = text(path).map_err(|why| Problems::whole(path, why))?;
        Self::parse(path, &text, command)
    }

    /// The same of what was read.
    pub(super) fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, Problems> {
        let lines = Lines::new(text);
        let mut problems = Problems::new(path);
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                // Without the text around it, which may be a secret.
                let line = error.span().map_or(1, |span| lines.of(span.start));
                problems.add(line, error.message());
                return Err(match problems.none_or(()) {
                    Ok(()) => Problems::whole(path, "is no TOML"),
                    Err(problems) => problems,
                });
            }
        };
        let is_command = |name: &&str| commands(command).any(|command| command.get_name() == *name);
        let tables = table.keys().map(|key| key.get_ref().as_ref()).filter(is_command);
        let tables = tables.map(str::to_owned).collect();
        let mut reader = Reader { command, lines, entries: Vec::new(), problems };
        reader.table(&[], &table);
        Ok(Self { tables, entries: reader.entries, problems: reader.problems })
    }

    /// The keys at the top.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let at_the_top = self.entries.iter().filter(|entry| entry.table.is_empty());
        at_the_top.map(|entry| entry.key.as_str())
    }

    /// What the file says of a setting of the command with this path, in the nearest table first.
    pub(super) fn entries(&self, path: &[String], key: &str) -> Vec<&Entry> {
        let for_it =
            self.entries.iter().filter(|entry| entry.key == key && path.starts_with(&entry.table));
        let mut for_it: Vec<_> = for_it.collect();
        for_it.sort_by_key(|entry| std::cmp::Reverse(entry.table.len()));
        for_it
    }
}

/// The most that a file may have, in bytes.
const LARGEST: u64 = 1 << 20;

/// What a file has in it. A pipe might never end, and a reload would wait for it ever after.
fn text(path: &Path) -> Result<String, String> {
    let said = |error: io::Error| error.to_string();
    // Asked before it is opened: that alone waits for the other end of a pipe.
    if !std::fs::metadata(path).map_err(said)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(said)?;
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(said)?;
    match text.len() as u64 > LARGEST {
        true => Err("is larger than 1 MiB".to_owned()),
        false => Ok(text),
    }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The number of the line with this byte, from 1.
    fn of(&self, byte: usize) -> usize {
        self.0.partition_point(|begin| *begin <= byte)
    }
}

struct Reader<'a> {
    command: &'a Command,
    lines: Lines,
    entries: Vec<Entry>,
    problems: Problems,
}

impl Reader<'_> {
    /// Reads the table of the command with this path.
    fn table(&mut self, path: &[String], table: &DeTable<'_>) {
        let root = self.command;
        let Some(command) = at(root, path) else { return };
        for (key, value) in table {
            let (line, name) = (self.lines.of(key.span().start), key.get_ref().as_ref());
            let is_command = commands(command).any(|below| below.get_name() == name);
            match value.get_ref() {
                DeValue::Table(inner) if is_command => {
                    self.table(&[path, &[name.to_owned()]].concat(), inner);
                }
                _ if is_command => {
                    self.problems.add(line, format!("{name} is a command: write a table [{name}]"));
                }
                _ if known(command).iter().any(|setting| setting.key() == name) => {
                    let value = self.value(value.get_ref());
                    let (table, key) = (path.to_owned(), name.to_owned());
                    self.entries.push(Entry { table, key, line, value });
                }
                _ => {
                    let words = unknown(root, path, name);
                    self.problems.add(line, words);
                }
            }
        }
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => {
                // 0x10 is sixteen for a flag as well.
                let decimal = i128::from_str_radix(number.as_str(), number.radix());
                Value::Plain(decimal.map_or_else(|_| number.to_string(), |n| n.to_string()))
            }
            DeValue::Float(number) => Value::Plain(number.as_str().to_owned()),
            DeValue::Boolean(switch) => Value::Switch(*switch),
            DeValue::Datetime(time) => Value::Plain(time.to_string()),
            DeValue::Array(values) => {
                let place = |value: &toml::Spanned<DeValue<'_>>| {
                    (self.lines.of(value.span().start), self.value(value.get_ref()))
                };
                Value::List(values.iter().map(place).collect())
            }
            DeValue::Table(table) => {
                let mut pairs = Vec::new();
                self.pairs("", table, &mut pairs);
                // The order of a table is that in which it is written: for some flags it matters.
                pairs.sort_by_key(|(place, ..)| *place);
                let of = |(place, name, value)| (self.lines.of(place), name, value);
                Value::Pairs(pairs.into_iter().map(of).collect())
            }
        }
    }

    fn pairs(&self, before: &str, table: &DeTable<'_>, pairs: &mut Vec<(usize, String, Value)>) {
        for (key, value) in table {
            let name = format!("{before}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => self.pairs(&format!("{name}."), inner, pairs),
                inner => pairs.push((key.span().start, name, self.value(inner))),
            }
        }
    }
}

/// The settings that a command's table may have: its own, and those of the commands below it.
fn known(command: &Command) -> Vec<Setting<'_>> {
    let below = commands(command).flat_map(known);
    settings(command).chain(below).collect()
}

/// What is said of a name that is not known in this table.
fn unknown(root: &Command, path: &[String], name: &str) -> String {
    let here = match path {
        [] => "no command has a setting".to_owned(),
        path => format!("[{}] has no setting", path.join(".")),
    };
    let words = format!("{here} {name:?}");
    let Some(command) = at(root, path) else { return words };
    let settings = known(command);
    let names: Vec<_> = settings.iter().map(|setting| setting.key()).collect();
    let aliases = |setting: &&Setting<'_>| {
        setting.arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    };
    if let Some(setting) = settings.iter().find(aliases) {
        return format!("{words}; it is {} here", setting.key());
    }
    let mut elsewhere = Vec::new();
    tables_with(root, name, &mut Vec::new(), &mut elsewhere);
    if !path.is_empty() && !elsewhere.is_empty() {
        return format!("{words}; it is one of {}", elsewhere.join(", "));
    }
    let tables = commands(command).map(Command::get_name);
    match nearest(name, names.into_iter().chain(tables)) {
        Some(nearest) => format!("{words}; did you mean {nearest}?"),
        None => words,
    }
}

/// The tables of commands that have a setting with this name.
fn tables_with(command: &Command, name: &str, path: &mut Vec<String>, found: &mut Vec<String>) {
    for below in commands(command) {
        path.push(below.get_name().to_owned());
        if settings(below).any(|setting| setting.key() == name) && !below.has_subcommands() {
            found.push(format!("[{}]", path.join(".")));
        }
        tables_with(below, name, path, found);
        path.pop();
    }
}

/// What a setting's value is to look like.
pub(super) fn shape(setting: Setting<'_>) -> &'static str {
    match setting.kind() {
        Kind::Switch => "write true or false",
        Kind::Count => "write a number",
        Kind::One => "write one value",
        Kind::Many { pairs: false, .. } => "write a text, or a list of texts",
        Kind::Many { pairs: true, .. } => "write a list of texts, or a table",
    }
}
