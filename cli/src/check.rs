//! `tidegate check`: what a file would do, whether the cluster and the target let it, and what will hurt.
//!
//! `file` reads it as each command in it would. A `plan` is what one command would do, made by that
//! command; `say` puts it into words. `ask` asks the cluster, and what comes of it are `facts`; `rules`
//! make findings (`finding`) of plans and facts and ask nobody. `show` writes them.
//!
//! Nothing is consumed, committed or joined, and no record is sent anywhere.

mod ask;
pub(crate) mod facts;
mod file;
mod finding;
pub(crate) mod plan;
mod rules;
mod say;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tokio::runtime::Runtime;

use self::ask::NoFacts;
use self::facts::Answered;
use self::file::Checked;
use self::finding::{Findings, Weight};
use crate::exit::Failure;
use crate::settings::{OutputArgs, duration};

/// Flags of `tidegate check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The file, as --config takes it. Each command with a table in it is checked, with the variables of
    /// this environment.
    #[arg(value_name = "FILE", env = "TIDEGATE_CHECK_FILE")]
    file: PathBuf,

    /// Ask neither the cluster nor the target.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Check"
    )]
    offline: bool,

    /// When Kubernetes kills a process that was told to end: terminationGracePeriodSeconds of its pod.
    /// 0 to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        env = "TIDEGATE_CHECK_GRACE",
        default_value = "30s",
        value_parser = duration(Duration::ZERO, Duration::from_secs(24 * 60 * 60)),
        help_heading = "Check"
    )]
    grace: Duration,
}

/// Clusters that are not there, or do not let this login in, and why: each is waited for once. Another
/// login may be let in, so one is known by its brokers and the properties of who asked.
type Away = BTreeMap<(String, Vec<(String, String)>), String>;

/// Runs the command.
///
/// # Errors
/// When the file cannot be used, or something that a command needs is not there.
pub(crate) fn run(args: &CheckArgs, output: &OutputArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let mut errors = 0;
    let mut away = Away::new();
    for checked in file::read(&args.file)? {
        let findings = findings(&checked, args, &runtime, &mut away);
        errors += findings.count(Weight::Error);
        // Whoever reads it has gone; the exit code still says what was found.
        let _ = show::show(&checked.plan, &findings, output);
    }
    runtime.shutdown_background();
    match errors {
        0 => Ok(()),
        1 => Err(Failure::Failed(format!("{}: 1 check failed", args.file.display()))),
        many => Err(Failure::Failed(format!("{}: {many} checks failed", args.file.display()))),
    }
}

fn findings(checked: &Checked, args: &CheckArgs, runtime: &Runtime, away: &mut Away) -> Findings {
    let mut findings = Findings::default();
    rules::offline(&checked.plan, args.grace, &mut findings);
    if args.offline {
        return findings;
    }
    let connection = &checked.plan.connection;
    let brokers = &connection.brokers;
    let whom = (brokers.clone(), connection.properties.clone());
    let asked = match away.get(&whom) {
        Some(why) => Err(NoFacts::Other(why.clone())),
        None => ask::ask(&checked.plan, runtime),
    };
    match asked {
        Ok(facts) => {
            findings.good("cluster", format!("the cluster at {brokers} answers"));
            rules::online(&checked.plan, &facts, &mut findings);
        }
        Err(NoFacts::Unreachable(why)) => {
            findings.error("cluster", why.clone());
            away.insert(whom, why);
        }
        Err(NoFacts::Other(why)) => findings.error("cluster", why),
    }
    match runtime.block_on(checked.ask_target()) {
        None => {}
        Some(Answered::Good(words)) => findings.good("target", words),
        Some(Answered::Odd(words)) => findings.warn("target", words),
        Some(Answered::Bad(words)) => findings.error("target", words),
    }
    findings
}
