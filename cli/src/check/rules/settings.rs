//! Settings that do not go well together, whatever the cluster is.

use std::time::Duration;

use tidegate::Config;

use super::super::finding::Findings;
use super::super::plan::{Ingest, Kind, Plan, Port, Run, Then, To};
use super::super::say::time;
use crate::report::grouped;
use crate::settings::Gap;

/// All of these rules.
pub(super) fn look(plan: &Plan, grace: Duration, findings: &mut Findings) {
    killed(plan, grace, findings);
    match &plan.kind {
        Kind::Run(run) => {
            ends(run, findings);
            attempts(run, findings);
            membership(run, findings);
            memory_of_commits(run, findings);
        }
        Kind::Ingest(ingest) => reached(ingest, findings),
        Kind::Produce(_) | Kind::Redrive(_) | Kind::Lag(_) => {}
    }
    for gated in plan.gated().iter().filter(|gated| gated.groups.is_empty()) {
        findings.note(
            "gate-open",
            format!("topic {} follows no group: nothing slows its producers down", gated.topic),
        );
    }
    if let Some(port) = plan.admin {
        admin(port, findings);
    }
}

/// Kubernetes kills what has not ended when its grace is over.
fn killed(plan: &Plan, grace: Duration, findings: &mut Findings) {
    let Some(shutdown) = plan.shutdown_timeout().filter(|shutdown| *shutdown >= grace) else {
        return;
    };
    let lost = match plan.kind {
        Kind::Run(_) => "what is not committed then is delivered again",
        Kind::Redrive(_) => "what is not committed then is moved twice",
        _ => "what is not delivered then is lost",
    };
    findings.warn(
        "grace",
        format!(
            "shutdown-timeout is {}, and Kubernetes kills after {} (--grace): {lost}. Set \
             terminationGracePeriodSeconds above {}, or shutdown-timeout below {}",
            time(shutdown),
            time(grace),
            shutdown.as_secs(),
            time(grace)
        ),
    );
}

/// Handlers and the time there is at the end.
fn ends(run: &Run, findings: &mut Findings) {
    if let Some(timeout) = run.timeout.filter(|timeout| *timeout > run.handlers_have()) {
        let text = format!(
            "an attempt may take {}, and after SIGTERM there are {} for it (four fifths of \
             shutdown-timeout): one that is cut off is delivered again",
            time(timeout),
            time(run.handlers_have())
        );
        // What nobody has set is no mistake of theirs.
        match run.timeout_is_given {
            true => findings.warn("timeout-beyond-drain", text),
            false => findings.note("timeout-beyond-drain", text),
        }
    }
    if run.timeout.is_none() && matches!(run.to, To::Command(_)) {
        findings.note(
            "no-timeout",
            "a command that hangs holds up the records behind it for ever: see timeout",
        );
    }
}

fn attempts(run: &Run, findings: &mut Findings) {
    if run.then == Then::Skip {
        findings.warn(
            "skips",
            format!(
                "a record that failed {} times is lost to the target: dead-letter keeps it",
                grouped(run.attempts.into())
            ),
        );
    }
    if run.on_gap != Gap::Stop {
        findings.warn(
            "loses-in-gaps",
            "records that retention deletes before they are handled are passed over (on-gap)",
        );
    }
}

fn membership(run: &Run, findings: &mut Findings) {
    if run.shutdown_timeout > run.member.max_poll_interval {
        findings.warn(
            "max-poll-interval",
            format!(
                "shutdown-timeout is {}, longer than max.poll.interval.ms ({}): when the group rebalances \
                 meanwhile, it throws this member out and refuses its last commit",
                time(run.shutdown_timeout),
                time(run.member.max_poll_interval)
            ),
        );
    }
    let Some(session) = run.member.session_timeout else { return };
    if session < run.drain_timeout {
        findings.warn(
            "session-shorter-than-drain",
            format!(
                "session.timeout.ms is {}, shorter than drain-timeout ({}): a member that is not heard for \
                 so long loses its partitions while its handlers still run, and their records run twice",
                time(session),
                time(run.drain_timeout)
            ),
        );
    }
    if run.is_static && session < run.shutdown_timeout {
        findings.warn(
            "static-member",
            format!(
                "with group-instance-id a restart causes no rebalance if it is over within \
                 session.timeout.ms ({}), and shutdown-timeout alone may take {}",
                time(session),
                time(run.shutdown_timeout)
            ),
        );
    }
}

/// What a commit can say of records that finish out of order.
fn memory_of_commits(run: &Run, findings: &mut Findings) {
    if run.metadata_max_bytes == 0 {
        findings.warn(
            "no-metadata",
            format!(
                "metadata-max-bytes is 0: after a restart up to {} records that were finished behind a slow \
                 one run again",
                grouped(run.max_window)
            ),
        );
        return;
    }
    let config = Config {
        metadata_max_bytes: run.metadata_max_bytes,
        max_window: run.max_window,
        ..Config::default()
    };
    if run.concurrency > config.max_unfinished() {
        findings.note(
            "metadata-small",
            format!(
                "a commit is sure to have room for {} unfinished records of a partition, and concurrency is \
                 {}: with more in one partition, some that are finished may run again after a restart",
                grouped(config.max_unfinished().into()),
                grouped(run.concurrency.into())
            ),
        );
    }
    if run.max_window < run.concurrency.into() {
        findings.warn(
            "window-small",
            format!(
                "max-window is {} and concurrency {}: one partition alone cannot keep it busy",
                grouped(run.max_window),
                grouped(run.concurrency.into())
            ),
        );
    }
}

fn reached(ingest: &Ingest, findings: &mut Findings) {
    let Port { address, has_token, has_tls } = ingest.listen;
    if address.ip().is_loopback() {
        return;
    }
    if !has_tls {
        let what = if has_token { "the token and the records" } else { "the records" };
        findings.warn(
            "no-tls",
            format!("{address} without TLS: {what} can be read by everybody on the way"),
        );
    }
    if !has_token {
        findings.warn(
            "no-token",
            format!("everybody who reaches {address} may send: no token is asked for"),
        );
    }
}

fn admin(port: Port, findings: &mut Findings) {
    if port.address.ip().is_loopback() {
        return;
    }
    let text = match port.has_token {
        true => format!(
            "the admin port {} can be reached by others, and its token can be read on the way: it has no \
             TLS",
            port.address
        ),
        false => format!(
            "everybody who reaches the admin port {} may read it: no token is asked for",
            port.address
        ),
    };
    findings.warn("admin-open", text);
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Weight;
    use super::super::testing::{its_run, kinds, plan, run, secs};
    use super::*;

    fn warnings(plan: &Plan) -> Vec<&'static str> {
        kinds(Weight::Warning, |findings| look(plan, secs(30), findings))
    }

    fn notes(plan: &Plan) -> Vec<&'static str> {
        kinds(Weight::Note, |findings| look(plan, secs(30), findings))
    }

    #[test]
    fn nothing_is_said_of_what_nobody_has_set() {
        assert!(warnings(&run("")).is_empty() && notes(&run("")).is_empty());
        let ingest = plan("ingest -b b:1 -t orders=billing");
        assert!(warnings(&ingest).is_empty() && notes(&ingest).is_empty());
        let http = plan("run -b b:1 -t orders -G billing --to http://h");
        assert_eq!((warnings(&http), notes(&http)), (vec![], vec!["timeout-beyond-drain"]));
    }

    #[test]
    fn a_grace_that_is_too_short_for_the_drain() {
        let of = |shutdown| warnings(&run(&format!("--shutdown-timeout {shutdown}")));
        assert!(of("29s").is_empty());
        assert_eq!(of("30s"), ["grace"]);
        assert_eq!(warnings(&plan("produce -b b:1 -t t --shutdown-timeout 31s")), ["grace"]);
        assert!(warnings(&plan("redrive -b b:1 -t t --shutdown-timeout 31s")).is_empty());
        assert_eq!(warnings(&plan("redrive -b b:1 -t t --yes --shutdown-timeout 31s")), ["grace"]);
    }

    #[test]
    fn handlers_that_take_longer_than_the_end() {
        assert_eq!(warnings(&run("--timeout 21s")), ["timeout-beyond-drain"]);
        assert!(warnings(&run("--timeout 20s")).is_empty());
        let hangs = plan("run -b b:1 -t orders -G billing --to exec:true");
        assert_eq!(notes(&hangs), ["no-timeout"]);
    }

    #[test]
    fn sessions_and_polls_that_are_shorter_than_what_they_must_outlast() {
        let drain = "--drain-timeout 7s -X session.timeout.ms=6000";
        assert_eq!(warnings(&run(drain)), ["session-shorter-than-drain"]);
        assert!(warnings(&run("--drain-timeout 7s -X group.protocol=consumer")).is_empty());
        let fixed = "--group-instance-id a -X session.timeout.ms=20000";
        assert_eq!(warnings(&run(fixed)), ["static-member"]);
        let poll = "-X max.poll.interval.ms=20000 -X session.timeout.ms=20000";
        assert_eq!(warnings(&run(poll)), ["max-poll-interval"]);
    }

    #[test]
    fn what_is_lost_or_repeated_on_purpose() {
        let all = "--after-last-attempt skip --on-gap latest --metadata-max-bytes 0";
        assert_eq!(warnings(&run(all)), ["skips", "loses-in-gaps", "no-metadata"]);
        assert_eq!(notes(&run("--concurrency 5000")), ["metadata-small"]);
        assert_eq!(warnings(&run("--max-window 50")), ["window-small"]);
    }

    #[test]
    fn ports_that_others_reach() {
        let open = "--admin 0.0.0.0:9464 --admin-insecure";
        assert_eq!(warnings(&run(open)), ["admin-open"]);
        let ingest = plan("ingest -b b:1 -t t --listen 0.0.0.0:80 --insecure");
        assert_eq!(
            (warnings(&ingest), notes(&ingest)),
            (vec!["no-tls", "no-token"], vec!["gate-open"])
        );
    }

    #[test]
    fn how_long_a_record_is_tried() {
        let plan = run("--timeout 2s --retries 5 --backoff 1s --backoff-max 5s");
        // 1 + 2 + 4 + 5 + 5
        assert_eq!(its_run(&plan).waits(), secs(17));
        assert_eq!(its_run(&plan).tried_for(), Some(secs(17 + 12)));
        assert_eq!(its_run(&run("--retries 0")).waits(), secs(0));
        assert_eq!(its_run(&run("")).tried_for(), None);
        let many = run("--retries 999999 --backoff 1ms --backoff-max 1day");
        assert!(its_run(&many).waits() > secs(999_900 * 86_400), "and it ends");
    }
}
