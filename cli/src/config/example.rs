//! A file with every setting, each commented out.

use std::fmt::Write as _;

use clap::Command;

use super::catalog::{Item, Of, sections};
use super::setting::{Kind, Setting};

/// Columns of a line.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Settings of tidegate, for --config FILE or the variable TIDEGATE_CONFIG.
#
# A key stands for the flag of the same name. What the command line says comes first, then a TIDEGATE_*
# variable, then this file, then the default. Keys above the first table are for every command that has
# such a flag; a command's own table comes over them. In texts, ${NAME} is a variable, ${NAME:-default}
# one with a default, ${NAME:?message} one that must be there, and $$ is a $.
#
# Here everything is commented out. Keys with a # right before them are the default, or an example where
# there is none.
";

/// What stands for a value where there is no default, by key and by what the help calls it.
const BY_KEY: &[(&str, &str)] = &[
    ("command-config", "\"client.properties\""),
    ("header", "{ source = \"shop\" }"),
    ("key-delimiter", "\":\""),
    ("set", "{ downstream.service = \"200ms\" }"),
    ("duration", "\"30s\""),
    ("report", "\"report.html\""),
    ("to", "\"http://localhost:8000/orders\""),
];
const BY_NAME: &[(&str, &str)] = &[
    ("HOST:PORT", "\"localhost:9092\""),
    ("NAME=VALUE", "{ session.timeout.ms = 45000 }"),
    ("FILE", "\"/etc/tidegate/file\""),
    ("TOPIC", "\"orders\""),
    ("TOPIC[=GROUP,...]", "{ orders = \"billing\" }"),
    ("GROUP", "\"billing\""),
    ("ID", "\"billing-1\""),
    ("DURATION", "\"30s\""),
    ("START", "\"latest\""),
    ("IP:PORT", "\"127.0.0.1:9464\""),
    ("STATUS=ACTION", "{ 404 = \"dead-letter\" }"),
    ("STRATEGY", "[\"bounded\", \"closed-loop\"]"),
    ("KEY=RANGE", "\"concurrency=10..1000\""),
    ("TIME", "2026-03-01T12:00:00Z"),
    ("TEXT", "\"text\""),
    ("N", "4"),
    ("RECORDS", "1000"),
];

/// The file.
pub(super) fn file(command: &Command) -> String {
    let mut text = HEAD.to_owned();
    for section in sections(command) {
        if !section.path.is_empty() {
            let _ = write!(text, "\n[{}]\n", section.path.join("."));
        }
        for item in &section.items {
            text.push('\n');
            add(&mut text, item);
        }
    }
    text
}

fn add(text: &mut String, item: &Item<'_>) {
    let setting = item.setting;
    match &item.as_in {
        Some(place) => comment(text, &format!("As in {place}.")),
        None => words(text, setting),
    }
    if let Of::Commands(commands) = &item.of {
        comment(text, &format!("Commands: {}.", commands.join(", ")));
    }
    if !item.not_with.is_empty() {
        comment(text, &format!("Not with {}.", item.not_with.join(", ")));
    }
    let _ = writeln!(text, "#{} = {}", setting.key(), value(setting));
}

fn words(text: &mut String, setting: Setting<'_>) {
    for (index, paragraph) in setting.words().split("\n\n").enumerate() {
        if index > 0 {
            text.push_str("#\n");
        }
        comment(text, paragraph);
    }
    for (name, meaning) in setting.choices() {
        comment(text, &format!("- {name}: {meaning}"));
    }
    if let Some(default) = setting.defaults() {
        comment(text, &format!("Default: {default}."));
    }
}

/// Words as lines that are no TOML.
fn comment(text: &mut String, words: &str) {
    let mut column = WIDTH;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column + 1 + width > WIDTH {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push('#');
            column = 1;
        }
        let _ = write!(text, " {word}");
        column += 1 + width;
    }
    text.push('\n');
}

/// The default as TOML, or an example.
fn value(setting: Setting<'_>) -> String {
    match (setting.kind(), setting.defaults()) {
        (Kind::Switch, _) => "true".to_owned(),
        (Kind::Count, _) => "1".to_owned(),
        (_, Some(default)) if is_number(&default) => default,
        (_, Some(default)) => quoted(&default),
        _ => sample(setting),
    }
}

fn sample(setting: Setting<'_>) -> String {
    let listed = |list: &[(&str, &str)], name: &str| {
        list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let choice = || setting.choices().first().map(|(name, _)| quoted(name));
    listed(BY_KEY, setting.key())
        .or_else(choice)
        .or_else(|| listed(BY_NAME, setting.value_name()))
        .unwrap_or_else(|| "\"\"".to_owned())
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(text) && (text == "0" || !text.starts_with('0')),
    }
}

/// A text as TOML has it. There are no control characters in defaults.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
