//! `tidegate redrive`: dead letters back to the topics that they came from.
//!
//! `args` are the flags. `letter` reads what dead-lettering added to a record, and takes it away.
//! `selection` says which letters are wanted and where they go, `passes` what earlier calls have moved
//! already. `survey` reads the topic without a group and counts, `table` shows that. With `--yes`,
//! `mover` is the handler of a consumer of the dead-letter topic, `pace` its rate, `window` bounds what a
//! crash would move again, and `drive` runs it.

mod args;
mod drive;
mod letter;
mod mover;
mod pace;
mod passes;
mod selection;
mod survey;
mod table;
mod window;

use std::collections::BTreeSet;

use tidegate::Level;

pub(crate) use self::args::RedriveArgs;
use self::drive::Drive;
use self::passes::Passes;
use self::survey::Survey;
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::report::{Message, Reporter, Sender};
use crate::settings::OutputArgs;

/// What is said of order, before and after.
const ORDER: &str =
    "a redriven record comes after the younger ones of its key that are in the topic already";

/// Runs the command.
///
/// # Errors
/// When it cannot start, or something that was to be moved was not.
pub(crate) fn run(args: &RedriveArgs, output: &OutputArgs) -> Result<(), Failure> {
    let topic = args.topic();
    let selection = args.selection()?;
    let connection = args.connection()?;
    let group = args.group(&selection);
    let reporter = Reporter::start(output);
    let observer = Observer::new(&connection, &group)?;
    let partitions = observer.partitions(topic)?;
    if partitions.is_empty() {
        return Err(Failure::Failed(format!("the dead-letter topic {topic} does not exist")));
    }
    let passes = Passes::read(&connection, &observer, topic, &partitions, &group, &selection)?;
    let survey = Survey::take(&connection, &observer, topic, &partitions, &passes)?;
    let sender = reporter.sender();
    tell_strays(&survey, topic, &sender);
    if survey.is_of_no_letters() && args.to_topic().is_none() {
        return Err(Failure::Failed(format!(
            "topic {topic} holds no dead letters: none of its {} records says in a header \
             (kafka_dlt-original-topic or __connect.errors.topic) where it comes from; --to-topic \
             TOPIC moves them to a topic that you name",
            survey.records()
        )));
    }
    let most = args.max_records().map_or(survey.selected(), |most| most.min(survey.selected()));
    let plan = table::Plan { topic, group: &group, most, moves: args.yes() };
    // Whoever reads it has gone; that is no reason to move nothing.
    let _ = table::show(&survey, &plan, output);
    if most == 0 {
        return Ok(());
    }
    let targets = survey.targets();
    check_targets(&observer, &targets)?;
    if !args.yes() {
        return Ok(());
    }
    passes.register(&connection, &partitions)?;
    let drive = Drive { args, connection: &connection, passes, survey: &survey, targets };
    drive.run(output, reporter)
}

/// What has no origin cannot go back; it is named, and stays in the topic.
fn tell_strays(survey: &Survey, topic: &str, sender: &Sender) {
    for (partition, offset) in survey.strays() {
        let words = format!("{topic}/{partition} offset {offset} does not say where it comes from");
        let message = Message::new(Level::Warning, "no-origin", words);
        sender.message(
            message.with("topic", topic).with("partition", *partition).with("offset", *offset),
        );
    }
    let more = survey.without_origin().saturating_sub(survey.strays().len() as u64);
    if more > 0 {
        let words = format!("{more} more records of {topic} do not say where they come from");
        sender.message(Message::new(Level::Warning, "no-origin", words).with("records", more));
    }
}

/// Nothing is moved when one of the topics is not there.
fn check_targets(observer: &Observer, targets: &BTreeSet<String>) -> Result<(), Failure> {
    for target in targets {
        if observer.partitions(target)?.is_empty() {
            return Err(Failure::Failed(format!(
                "topic {target}, where letters come from, does not exist: nothing is moved; create \
                 it, choose others with --original-topic, or name another topic with --to-topic"
            )));
        }
    }
    Ok(())
}
