//! The reference of all settings, in Markdown.

use std::fmt::Write as _;

use clap::Command;

use super::catalog::{Item, Of, Section, sections};
use super::live;
use super::setting::{Kind, Setting};

const HEAD: &str = "\
# Settings

Every setting of the command, with its key in the file of `--config` (`TIDEGATE_CONFIG`), its flag, its
variable and its default. This page is printed by `tidegate config --reference`; [config.md](config.md)
explains the file. What is *live* can change
while the command runs: it is taken over when SIGHUP has the file read again.
";

/// The page.
pub(super) fn page(command: &Command) -> String {
    let mut page = HEAD.to_owned();
    for section in sections(command) {
        add(&mut page, command, &section);
    }
    page
}

fn add(page: &mut String, root: &Command, section: &Section<'_>) {
    match section.path.as_slice() {
        [] => page.push_str("\n## Shared\n"),
        path => {
            let command = path.iter().try_fold(root, |at, name| at.find_subcommand(name));
            let about = command.and_then(Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_default();
            let _ = write!(page, "\n## `tidegate {}`\n\n{about}. ", path.join(" "));
            let _ = writeln!(page, "Its table is `[{}]`.", path.join("."));
        }
    }
    let mut heading = None;
    for item in &section.items {
        let now = item.setting.arg.get_help_heading();
        if heading != Some(now) {
            let _ = write!(page, "\n### {}\n\n", now.unwrap_or("General"));
            heading = Some(now);
        }
        one(page, item, &section.path);
    }
}

fn one(page: &mut String, item: &Item<'_>, path: &[&str]) {
    let setting = item.setting;
    let mut facts = vec![flag(setting), format!("`{}`", setting.variable())];
    facts.extend(setting.defaults().map(|default| format!("default `{default}`")));
    let is_live = match path {
        [] => live::commands(setting.key()).next().is_some(),
        path => live::is_live(path[0], setting.key()),
    };
    if is_live {
        facts.push("*live*".to_owned());
    }
    if let Of::Commands(commands) = &item.of {
        let commands: Vec<_> = commands.iter().map(|name| format!("`{name}`")).collect();
        facts.push(commands.join(" "));
    }
    if !item.not_with.is_empty() {
        let others: Vec<_> = item.not_with.iter().map(|key| format!("`{key}`")).collect();
        facts.push(format!("not with {}", others.join(", ")));
    }
    let _ = write!(page, "- **`{}`** ({})", setting.key(), facts.join("; "));
    if let Some(place) = &item.as_in {
        let _ = writeln!(page, ": as in `{place}`.");
        return;
    }
    for (index, paragraph) in setting.words().split("\n\n").enumerate() {
        let between = if index == 0 { ": " } else { "\n\n  " };
        let _ = write!(page, "{between}{}", escaped(paragraph));
    }
    page.push('\n');
    for (name, meaning) in setting.choices() {
        let _ = writeln!(page, "  - `{name}`: {}", escaped(&meaning));
    }
}

fn flag(setting: Setting<'_>) -> String {
    let Some(long) = setting.arg.get_long() else {
        return format!("argument {}", setting.value_name());
    };
    let short = setting.arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    match setting.kind() {
        Kind::Switch | Kind::Count => format!("{short}`--{long}`"),
        Kind::One | Kind::Many { .. } => format!("{short}`--{long} {}`", setting.value_name()),
    }
}

/// Words that Markdown leaves as they are.
fn escaped(words: &str) -> String {
    words.replace('*', "\\*").replace('<', "\\<").replace('_', "\\_")
}
