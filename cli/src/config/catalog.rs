//! All settings, in the order in which they are shown: first what several commands share, then each
//! command's own.

use clap::Command;

use super::setting::{Setting, commands, exclude, settings};

/// Settings that are shown together.
pub(super) struct Section<'a> {
    /// The command that they are of; empty for those of several.
    pub(super) path: Vec<&'a str>,
    pub(super) items: Vec<Item<'a>>,
}

/// A setting where it is shown.
pub(super) struct Item<'a> {
    pub(super) setting: Setting<'a>,
    /// The commands that have it, if they are not those of the section: several, or all.
    pub(super) of: Of,
    /// Where it was shown in full before.
    pub(super) as_in: Option<String>,
    /// The keys of those that cannot be there together with it.
    pub(super) not_with: Vec<&'a str>,
}

/// Whose setting it is.
pub(super) enum Of {
    /// Of the section's command.
    Section,
    /// Of these.
    Commands(Vec<String>),
    /// Of all.
    All,
}

/// A command that does something.
struct Leaf<'a> {
    path: Vec<&'a str>,
    command: &'a Command,
}

/// Commands whose settings are not counted as shared: whoever measures has a file for that.
const APART: &str = "bench";

/// All of them.
pub(super) fn sections(root: &Command) -> Vec<Section<'_>> {
    let mut leaves = Vec::new();
    collect(root, &mut Vec::new(), &mut leaves);
    let everywhere: Vec<_> = settings(root).collect();
    let of_all = |setting: &Setting<'_>| everywhere.iter().any(|all| all.key() == setting.key());
    let mut shared: Vec<Item<'_>> = Vec::new();
    let mut sections = Vec::new();
    for leaf in &leaves {
        let mut items: Vec<Item<'_>> = Vec::new();
        for setting in settings(leaf.command).filter(|setting| !of_all(setting)) {
            let key = setting.key();
            if shared.iter().any(|item| item.setting.key() == key) {
                continue;
            }
            let having: Vec<_> = leaves.iter().filter(|leaf| find(leaf, key).is_some()).collect();
            let counted = having.iter().filter(|leaf| leaf.path[0] != APART).count();
            let one = having.iter().all(|leaf| find(leaf, key).is_some_and(|s| same(s, setting)));
            if one && counted > 1 {
                let of = Of::Commands(names(&leaves, &having));
                let not_with = not_with(leaf.command, setting);
                shared.push(Item { setting, of, as_in: None, not_with });
                continue;
            }
            let first = having.iter().find(|l| find(l, key).is_some_and(|s| same(s, setting)));
            let as_in = first.filter(|first| first.path != leaf.path);
            let as_in = as_in.map(|first| first.path.join(" "));
            let not_with = not_with(leaf.command, setting);
            items.push(Item { setting, of: Of::Section, as_in, not_with });
        }
        sections.push(Section { path: leaf.path.clone(), items });
    }
    let everywhere = everywhere.into_iter();
    let all = everywhere.map(|setting| {
        let not_with = not_with(root, setting);
        Item { setting, of: Of::All, as_in: None, not_with }
    });
    let first = Section { path: Vec::new(), items: all.chain(shared).collect() };
    std::iter::once(first).chain(sections).collect()
}

fn collect<'a>(command: &'a Command, path: &mut Vec<&'a str>, leaves: &mut Vec<Leaf<'a>>) {
    for below in commands(command) {
        path.push(below.get_name());
        match below.is_subcommand_required_set() {
            true => collect(below, path, leaves),
            false => leaves.push(Leaf { path: path.clone(), command: below }),
        }
        path.pop();
    }
}

/// How these commands are named: by the outer one alone, if all below it are among them.
fn names(all: &[Leaf<'_>], these: &[&Leaf<'_>]) -> Vec<String> {
    let mut names = Vec::new();
    for leaf in these {
        let outer = leaf.path[0];
        let among = these.iter().filter(|other| other.path[0] == outer).count();
        let whole = all.iter().filter(|other| other.path[0] == outer).count() == among;
        names.push(if whole { outer.to_owned() } else { leaf.path.join(" ") });
    }
    names.dedup();
    names
}

fn not_with<'a>(command: &'a Command, setting: Setting<'a>) -> Vec<&'a str> {
    let others = settings(command).filter(|other| exclude(command, setting, *other));
    others.map(Setting::key).collect()
}

fn find<'a>(leaf: &Leaf<'a>, key: &str) -> Option<Setting<'a>> {
    settings(leaf.command).find(|setting| setting.key() == key)
}

/// Whether two flags of different commands are one setting.
fn same(one: Setting<'_>, other: Setting<'_>) -> bool {
    one.words() == other.words()
        && one.defaults() == other.defaults()
        && one.value_name() == other.value_name()
}
