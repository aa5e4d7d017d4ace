//! What a command will do, in plain words: a sentence or two for each thing that people ask.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use tidegate::StartFrom;

use super::plan::{Gated, Ingest, Kind, Lag, Plan, Port, Produce, Redrive, Run, Then, To};
use crate::report::grouped;
use crate::settings::{Gap, Order};

/// All of it.
pub(super) fn sentences(plan: &Plan) -> Vec<String> {
    let mut all = match &plan.kind {
        Kind::Run(run) => of_run(run),
        Kind::Ingest(ingest) => of_ingest(ingest),
        Kind::Produce(produce) => of_produce(produce),
        Kind::Redrive(redrive) => of_redrive(redrive),
        Kind::Lag(lag) => of_lag(lag),
    };
    all.extend(plan.admin.map(of_admin));
    all
}

/// Names with commas between them.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn topics(names: &[String]) -> String {
    let kind = if names.len() == 1 { "topic" } else { "topics" };
    format!("{kind} {}", list(names.iter().map(String::as_str)))
}

/// So many records.
pub(super) fn records(number: u64) -> String {
    format!("{} {}", grouped(number), if number == 1 { "record" } else { "records" })
}

/// A duration that is shown: parts below a millisecond are nobody's business.
pub(super) fn time(duration: Duration) -> String {
    let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    // Beyond a minute nobody counts milliseconds either.
    let shown = match whole.as_secs() {
        0..60 => whole,
        seconds => Duration::from_secs(seconds),
    };
    format_duration(shown).to_string()
}

fn of_run(run: &Run) -> Vec<String> {
    let member = if run.is_static { "a static member" } else { "a member" };
    let start = match run.from {
        StartFrom::Latest => "behind the last record there is".to_owned(),
        StartFrom::Timestamp(millis) => {
            format!("at the first record from {millis} ms since 1970 on")
        }
        _ => "at the first record there is".to_owned(),
    };
    let gap = match run.on_gap {
        Gap::Stop => "the partition stops and both offsets are named",
        Gap::Earliest => "it goes on at the first record there is, and those in between are lost",
        Gap::Latest => "it goes on behind the last one, and everything until then is lost",
    };
    let order = match run.order {
        Order::Key => {
            "Records of one key are handled one after another, and those without a key in any order"
        }
        Order::Partition => "Records of one partition are handled one after another",
        Order::None => "Records are handled in any order",
    };
    let mut all = vec![
        format!("Takes records of {} as {member} of group {}.", topics(&run.topics), run.group),
        format!(
            "A partition for which the group has committed nothing begins {start}. If an offset is not in \
             the log any more, {gap}."
        ),
        format!(
            "{order}: up to {} at once, {} more wait in memory, {} all of them together. When that is \
             full, the rest stays in Kafka.",
            grouped(run.concurrency.into()),
            grouped(run.max_queued.into()),
            ByteSize(run.max_bytes)
        ),
        of_target(run),
        of_attempts(run),
        format!(
            "Commits what is finished every {}, with what is finished out of order{}.",
            time(run.commit_interval),
            match run.metadata_max_bytes {
                0 => " left out: a restart repeats it".to_owned(),
                bytes => format!(" in up to {} bytes a partition", grouped(bytes.into())),
            }
        ),
        format!(
            "SIGTERM: nothing new begins, handlers have {} to finish, and it has committed and left the \
             group after {} at the latest. A partition that goes to another member has {}.",
            time(run.handlers_have()),
            time(run.shutdown_timeout),
            time(run.drain_timeout)
        ),
    ];
    all.extend(of_end(run));
    all
}

fn of_target(run: &Run) -> String {
    match &run.to {
        To::Stdout => "Writes a JSON line for each record to standard output.".to_owned(),
        To::Nowhere => "Does nothing with records: each is done at once.".to_owned(),
        To::Command(name) => format!("Runs the command {name} for each record."),
        To::Http(target) => format!(
            "Sends each record to {target} as a POST. While the target is down or says that it has too \
             much to do, records wait and no attempt is counted."
        ),
    }
}

fn of_attempts(run: &Run) -> String {
    let attempt = match run.timeout {
        Some(timeout) => format!("An attempt may take {}.", time(timeout)),
        None => "An attempt may take as long as it wants.".to_owned(),
    };
    let tried = match (run.attempts, run.tried_for()) {
        (1, _) => "A record is tried once".to_owned(),
        (attempts, Some(whole_time)) => format!(
            "A record is tried {} times, which takes up to {} ({} of it between attempts)",
            grouped(attempts.into()),
            time(whole_time),
            time(run.waits())
        ),
        (attempts, None) => format!(
            "A record is tried {} times, with up to {} between attempts",
            grouped(attempts.into()),
            time(run.waits())
        ),
    };
    let then = match &run.then {
        Then::Stop => "then its partition stops, nothing is lost, and the others go on".to_owned(),
        Then::Skip => "then it is given up and lost to the target".to_owned(),
        Then::DeadLetter(topic) => format!("then it goes to the dead-letter topic {topic}"),
    };
    format!("{attempt} {tried}; {then}.")
}

fn of_end(run: &Run) -> Option<String> {
    match (run.until_end, run.max_records) {
        (false, None) => None,
        (true, None) => Some("Ends at the end that each partition has at the start.".to_owned()),
        (false, Some(most)) => Some(format!("Ends after {}.", records(most))),
        (true, Some(most)) => Some(format!(
            "Ends after {}, or at the end that each partition has at the start.",
            records(most)
        )),
    }
}

fn of_gate(gated: &Gated) -> String {
    let Gated { topic, groups, .. } = gated;
    let rate = gated.rate.map_or_else(String::new, |rate| {
        format!(" Never more than {} a second.", records(rate.into()))
    });
    if groups.is_empty() {
        return format!("Topic {topic}: follows no group, so its gate is open.{rate}");
    }
    let kind = if groups.len() == 1 { "group" } else { "the slowest of groups" };
    let window = match gated.fixed_window {
        Some(window) => format!("at most {} are outstanding", records(window)),
        None => {
            format!("so many are outstanding that what waits is {} of its work", time(gated.target))
        }
    };
    format!(
        "Topic {topic}: follows {kind} {}; {window}. When it is not known how far it is, the last window \
         holds for {}, and then {} a second go out.{rate}",
        list(groups.iter().map(String::as_str)),
        time(gated.grace),
        records(gated.floor_rate.into())
    )
}

fn of_ingest(ingest: &Ingest) -> Vec<String> {
    let scheme = if ingest.listen.has_tls { "https" } else { "http" };
    let token = if ingest.listen.has_token { "with the token" } else { "from everybody" };
    let shut = match ingest.max_wait.is_zero() {
        true => format!("is answered {} with Retry-After at once", ingest.shut_status),
        false => format!(
            "waits for up to {} and is then answered {} with Retry-After",
            time(ingest.max_wait),
            ingest.shut_status
        ),
    };
    let mut all = vec![format!(
        "Takes records over HTTP at {scheme}://{} {token}: bodies of up to {}, {} of all requests \
         together.",
        ingest.listen.address,
        ByteSize(ingest.max_body),
        ByteSize(ingest.max_bytes)
    )];
    all.extend(ingest.topics.iter().map(of_gate));
    all.push(format!("While a gate is shut, a request {shut}."));
    all.push(format!(
        "The delivery of a record is tried for {}. SIGTERM: nothing new is taken, and every request that \
         was begun is answered after {} at the latest.",
        time(ingest.delivery_timeout),
        time(ingest.shutdown_timeout)
    ));
    all
}

fn of_produce(produce: &Produce) -> Vec<String> {
    vec![
        "Sends the lines of standard input. While the gate is shut it does not read on.".to_owned(),
        of_gate(&produce.topic),
        format!(
            "The delivery of a record is tried for {}. SIGTERM: nothing more is read, and what was read is \
             delivered after {} at the latest.",
            time(produce.delivery_timeout),
            time(produce.shutdown_timeout)
        ),
    ]
}

fn of_redrive(redrive: &Redrive) -> Vec<String> {
    let from = match redrive.originals.as_slice() {
        [] => String::new(),
        originals => format!(" that came from {}", topics(originals)),
    };
    let to = match &redrive.to {
        Some(topic) => format!("to topic {topic}"),
        None => "to the topic that each came from".to_owned(),
    };
    let Redrive { topic, group, .. } = redrive;
    if !redrive.moves {
        return vec![format!(
            "Counts the dead letters of topic {topic}{from} that would go {to}. Nothing is moved without \
             yes = true."
        )];
    }
    let rate = redrive.rate.map_or_else(
        || "as fast as it can".to_owned(),
        |rate| format!("{} a second at most", grouped(rate.into())),
    );
    vec![
        format!("Moves the dead letters of topic {topic}{from} {to}, {rate}."),
        format!(
            "Group {group} remembers what was moved. After a crash up to {} may be moved twice.",
            grouped(redrive.concurrency.into())
        ),
    ]
}

fn of_lag(lag: &Lag) -> Vec<String> {
    let what = match lag.topics.as_slice() {
        [] => "the topics in which it has committed something".to_owned(),
        names => topics(names),
    };
    vec![format!("Shows how far group {} is in {what}. It joins nothing.", lag.group)]
}

fn of_admin(port: Port) -> String {
    let who = if port.has_token { "with its token" } else { "from everybody who reaches it" };
    format!("Metrics and probes are at http://{}, {who}.", port.address)
}
