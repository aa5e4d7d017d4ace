//! What a file says of one command, as arguments of that command.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Command;

use super::asked::Asked;
use super::file::{Entry, File, Value, shape};
use super::interpolate::{environment, interpolate};
use super::problem::Problems;
use super::setting::{Kind, Setting, at, exclude, settings};

/// The arguments that a file gives.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Flags with their values.
    pub(super) words: Vec<OsString>,
    /// The line of each setting, and whether it is in the command's own table, by clap's name.
    pub(super) origins: BTreeMap<String, (usize, bool)>,
}

impl Arguments {
    /// Whether the command's own table has something to say.
    pub(super) fn has_table(&self) -> bool {
        self.origins.values().any(|(_, own)| *own)
    }
}

/// What the file says of the command that is asked for, without what the command line or the
/// environment says. Each value was looked at by its flag.
///
/// # Errors
/// With all names of the file that are not known, all values that are not taken, and keys that exclude
/// each other.
pub(super) fn of(mut file: File, command: &Command, asked: &Asked) -> Result<Arguments, Problems> {
    let mut problems = std::mem::take(&mut file.problems);
    let mut arguments = Arguments::default();
    let Some(command) = at(command, &asked.path) else { return problems.none_or(arguments) };
    let mut taken: Vec<(Setting<'_>, &Entry)> = Vec::new();
    for setting in settings(command) {
        let entries = file.entries(&asked.path, setting.key());
        let Some(entry) = entries.first().copied() else { continue };
        let joined = setting.is_joined();
        if (asked.is_given(setting.id()) && !joined) || excluded(command, setting, asked) {
            continue;
        }
        let values = match joined {
            true => Some(all_pairs(setting, &entries, asked, &mut problems)),
            false => told(values(setting, entry, &[]), entry, &mut problems),
        };
        let Some(mut values) = values.filter(|values| !values.is_empty()) else { continue };
        if let Some((_, other)) = taken.iter().find(|(other, _)| exclude(command, *other, setting))
        {
            let (here, there) = (name(entry), name(other));
            let words = format!("{here} and {there} (line {}) exclude each other", other.line);
            problems.add(entry.line, words);
        }
        if joined {
            // Clap takes the variable only where no flag is.
            values.extend(asked.of_variable(setting));
        }
        taken.push((setting, entry));
        let own = !entry.table.is_empty();
        arguments.origins.insert(setting.id().to_owned(), (entry.line, own));
        arguments.words.extend(values);
    }
    problems.none_or(arguments)
}

/// The pairs of all tables that concern the command, the nearest first: of two with one name the nearer
/// one counts, and before both what the command line or the environment says.
fn all_pairs(
    setting: Setting<'_>,
    entries: &[&Entry],
    asked: &Asked,
    problems: &mut Problems,
) -> Vec<OsString> {
    let mut names = asked.names(setting.id());
    let mut all = Vec::new();
    for entry in entries {
        let Some(mut pairs) = told(values(setting, entry, &names), entry, problems) else {
            continue;
        };
        // Of a text, names are known only now that variables are in it.
        pairs.retain(|pair| setting.name_in(pair).is_none_or(|name| !names.contains(&name)));
        names.extend(pairs.iter().filter_map(|pair| setting.name_in(pair)));
        all.extend(pairs);
    }
    all
}

/// The values; of those that are wrong it is told why.
fn told(
    values: Result<Vec<OsString>, Wrong>,
    entry: &Entry,
    problems: &mut Problems,
) -> Option<Vec<OsString>> {
    let tell = |wrong: Wrong| {
        for (line, words) in wrong {
            problems.add(line, format!("{}: {words}", name(entry)));
        }
    };
    values.map_err(tell).ok()
}

/// As it is told.
fn name(entry: &Entry) -> String {
    match entry.table.as_slice() {
        [] => entry.key.clone(),
        table => format!("[{}] {}", table.join("."), entry.key),
    }
}

/// Whether the command line or the environment has something that excludes this setting.
fn excluded(command: &Command, setting: Setting<'_>, asked: &Asked) -> bool {
    settings(command)
        .filter(|other| asked.is_given(other.id()))
        .any(|other| exclude(command, other, setting))
}

type Wrong = Vec<(usize, String)>;

/// The arguments of one setting. Pairs whose names are `given` are left out.
fn values(setting: Setting<'_>, entry: &Entry, given: &[String]) -> Result<Vec<OsString>, Wrong> {
    let line = entry.line;
    let here = |words: String| vec![(line, words)];
    let text = |value: &Value| text(value).transpose();
    match (setting.kind(), &entry.value) {
        (Kind::Switch, Value::Switch(on)) => Ok(switch(setting, *on)),
        (Kind::Switch, Value::Text(words)) => {
            let words = interpolate(words, &environment).map_err(here)?;
            match words.trim().to_ascii_lowercase().as_str() {
                // As a variable has it.
                "true" | "yes" | "on" | "1" | "y" | "t" => Ok(switch(setting, true)),
                "false" | "no" | "off" | "0" | "n" | "f" => Ok(switch(setting, false)),
                _ => Err(here(shape(setting).to_owned())),
            }
        }
        (Kind::Count, value @ (Value::Plain(_) | Value::Text(_))) => {
            let count = text(value).map_err(here)?.and_then(|text| text.parse().ok());
            let Some(count @ 0..=9_u8) = count else { return Err(here(shape(setting).to_owned())) };
            let flag = OsString::from(format!("--{}", setting.key()));
            Ok(vec![flag; count.into()])
        }
        (Kind::Count, Value::Switch(on)) => Ok(switch(setting, *on)),
        (Kind::Switch | Kind::Count, _) | (Kind::One, Value::List(_) | Value::Pairs(_)) => {
            Err(here(shape(setting).to_owned()))
        }
        (Kind::One | Kind::Many { .. }, value @ (Value::Text(_) | Value::Plain(_))) => {
            let value = text(value).map_err(here)?.unwrap_or_default();
            let each = match setting.kind() {
                // Each of them may have to give way to another.
                Kind::Many { separator: Some(separator), .. } if setting.is_joined() => {
                    value.split(separator).collect()
                }
                _ => vec![value.as_str()],
            };
            each.into_iter()
                .map(|value| one(setting, value))
                .collect::<Result<_, _>>()
                .map_err(here)
        }
        (Kind::Many { separator, .. }, Value::List(list)) => {
            let each = list.iter().map(|(line, value)| {
                let value = whole(value, separator, shape(setting)).map_err(|why| (*line, why))?;
                one(setting, &value).map_err(|why| (*line, why))
            });
            gathered(each)
        }
        (Kind::Many { separator, pairs: true }, Value::Pairs(pairs)) => {
            let each = pairs.iter().filter(|(_, name, _)| !given.contains(name));
            let each = each.map(|(line, name, value)| {
                let why = |why: String| (*line, format!("{name}: {why}"));
                let value = match value {
                    Value::Switch(on) => on.to_string(),
                    value => whole(value, separator, "write one value").map_err(why)?,
                };
                if name.contains('=') || name.trim().is_empty() {
                    return Err(why("a name is not empty and has no = in it".to_owned()));
                }
                one(setting, &format!("{name}={value}")).map_err(why)
            });
            gathered(each)
        }
        _ => Err(here(shape(setting).to_owned())),
    }
}

/// All of them, or all that is wrong.
fn gathered(
    each: impl Iterator<Item = Result<OsString, (usize, String)>>,
) -> Result<Vec<OsString>, Wrong> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for result in each {
        match result {
            Ok(value) => good.push(value),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

fn switch(setting: Setting<'_>, on: bool) -> Vec<OsString> {
    let flag = on.then(|| OsString::from(format!("--{}", setting.key())));
    flag.into_iter().collect()
}

/// A value that its flag takes.
fn one(setting: Setting<'_>, value: &str) -> Result<OsString, String> {
    if setting.arg.get_long().is_none() && value.starts_with('-') {
        return Err("must not begin with -".to_owned());
    }
    setting.check(value)?;
    Ok(setting.argument(value))
}

/// The text of a value that stands for one; variables are put in.
fn text(value: &Value) -> Option<Result<String, String>> {
    match value {
        Value::Text(text) => Some(interpolate(text, &environment)),
        Value::Plain(text) => Some(Ok(text.clone())),
        Value::Switch(_) | Value::List(_) | Value::Pairs(_) => None,
    }
}

/// The text of one of many: it must stay one, or a variable could add settings that nobody wrote.
fn whole(value: &Value, separator: Option<char>, shape: &str) -> Result<String, String> {
    let text = text(value).ok_or_else(|| shape.to_owned())??;
    match separator {
        Some(separator) if text.contains(separator) => {
            Err(format!("one of a list must not have {separator:?} in it"))
        }
        _ => Ok(text),
    }
}
