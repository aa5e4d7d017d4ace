//! What will hurt. Each rule is a function of settings and facts, and asks nobody.
//!
//! `settings` needs the file only. With what the cluster said, `rights` names the permissions that are
//! missing, `topics` looks at partitions, retention and sizes, `groups` at membership and commits.

mod groups;
mod rights;
mod settings;
mod topics;

use std::time::Duration;

use super::facts::Facts;
use super::finding::Findings;
use super::plan::Plan;

/// What can be said without anybody.
pub(super) fn offline(plan: &Plan, grace: Duration, findings: &mut Findings) {
    settings::look(plan, grace, findings);
}

/// What can be said with what a cluster said.
pub(super) fn online(plan: &Plan, facts: &Facts, findings: &mut Findings) {
    rights::look(plan, facts, findings);
    topics::look(plan, facts, findings);
    groups::look(plan, facts, findings);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_is_in_the_reference() {
        let reference = include_str!("../../../docs/check.md");
        let sources = [
            include_str!("../check.rs"),
            include_str!("rules/groups.rs"),
            include_str!("rules/rights.rs"),
            include_str!("rules/settings.rs"),
            include_str!("rules/topics.rs"),
        ];
        let mut kinds = 0;
        for source in sources {
            for call in ["findings.note(", "findings.warn(", "findings.error("] {
                for behind in source.split(call).skip(1) {
                    let kind =
                        behind.trim_start().strip_prefix('"').and_then(|k| k.split('"').next());
                    let kind = kind.unwrap();
                    assert!(reference.contains(&format!("`{kind}`")), "{kind}");
                    kinds += 1;
                }
            }
        }
        assert!(kinds > 30, "{kinds}");
    }
}

/// Plans and facts for the tests of rules.
#[cfg(test)]
mod testing {
    use std::time::Duration;

    use clap::Parser as _;

    use super::super::finding::{Findings, Weight};
    use super::super::plan::{Kind, Plan};
    use crate::cli::{Cli, Command};
    use crate::config::Given;

    /// The plan of a command line.
    pub(super) fn plan(words: &str) -> Plan {
        let words = words.split_whitespace();
        let cli = Cli::try_parse_from(std::iter::once("tidegate").chain(words)).unwrap();
        match cli.command {
            Command::Run(args) => args.plan(&Given::default()),
            Command::Ingest(args) => args.plan(),
            Command::Produce(args) => args.plan(),
            Command::Redrive(args) => args.plan(),
            Command::Lag(args) => args.plan(),
            _ => panic!("it has no plan"),
        }
        .unwrap()
    }

    /// That of a run to nowhere with these flags besides.
    pub(super) fn run(more: &str) -> Plan {
        plan(&format!("run -b b:1 -t orders -G billing --to null {more}"))
    }

    /// The same as its own part.
    pub(super) fn its_run(plan: &Plan) -> &super::super::plan::Run {
        let Kind::Run(run) = &plan.kind else { panic!("it is no run") };
        run
    }

    /// The kinds of what was found, of this weight.
    pub(super) fn kinds(weight: Weight, look: impl FnOnce(&mut Findings)) -> Vec<&'static str> {
        let mut findings = Findings::default();
        look(&mut findings);
        let of_it = findings.0.iter().filter(|finding| finding.weight == weight);
        of_it.map(|finding| finding.kind).collect()
    }

    pub(super) fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
