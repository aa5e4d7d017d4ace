//! What a run would do, for `tidegate check`: as `run` reads its flags, and nothing is started.

use super::exec;
use super::http::{Http, HttpArgs, TIMEOUT};
use super::target::Target;
use super::{RunArgs, times_itself};
use crate::check::facts::Answered;
use crate::check::plan::{Kind, Member, Plan, Run, Then, To};
use crate::config::Given;
use crate::exit::Failure;
use crate::settings::LastAttempt;

impl RunArgs {
    /// What it would do.
    ///
    /// # Errors
    /// As a run that cannot start for what its flags and files say.
    pub(crate) fn plan(&self, given: &Given) -> Result<Plan, Failure> {
        if !matches!(self.to, Target::Http(_)) {
            HttpArgs::refuse_keys(given)?;
        }
        let connection = self.connection.resolve()?;
        let admin = self.admin.port()?;
        self.consumer(&connection)?;
        // Its files are read.
        self.http()?;
        let (limits, delivery) = (&self.limits, &self.delivery);
        let timeout = match times_itself(&self.to) {
            true => delivery.timeout.or(Some(TIMEOUT)),
            false => delivery.timeout,
        };
        let then = match (&delivery.dead_letter, delivery.after_last_attempt) {
            (Some(topic), _) => Then::DeadLetter(topic.clone()),
            (None, LastAttempt::Stop) => Then::Stop,
            (None, LastAttempt::Skip) => Then::Skip,
        };
        let run = Run {
            topics: self.topics.topics.clone(),
            group: self.group.name(&connection).unwrap_or_default().to_owned(),
            is_static: self.group.group_instance_id.is_some(),
            member: Member::of(&connection),
            to: match &self.to {
                Target::Stdout => To::Stdout,
                Target::Null => To::Nowhere,
                Target::Exec(words) => To::Command(words.first().cloned().unwrap_or_default()),
                Target::Http(template) => To::Http(template.without_query()),
            },
            order: limits.ordering,
            concurrency: limits.concurrency,
            max_queued: limits.max_queued,
            max_bytes: limits.max_bytes.0,
            max_window: limits.max_window,
            metadata_max_bytes: limits.metadata_max_bytes,
            commit_interval: limits.commit_interval,
            attempts: delivery.retries + 1,
            backoff: delivery.backoff,
            backoff_max: delivery.backoff_max,
            timeout,
            timeout_is_given: delivery.timeout.is_some(),
            then,
            from: delivery.from.or(connection.reset).unwrap_or_default(),
            on_gap: delivery.on_gap,
            until_end: delivery.until_end,
            max_records: delivery.max_records,
            drain_timeout: delivery.drain_timeout,
            shutdown_timeout: delivery.shutdown_timeout,
        };
        Ok(Plan { command: "run", connection, admin, kind: Kind::Run(Box::new(run)) })
    }

    fn http(&self) -> Result<Option<Http>, Failure> {
        let Target::Http(template) = &self.to else { return Ok(None) };
        let (timeout, most) = (self.delivery.timeout, self.limits.concurrency);
        Http::new((**template).clone(), &self.http, timeout, most).map(Some)
    }

    /// Asks the target whether it is there; `None` if there is nothing to ask.
    pub(crate) async fn ask_target(&self) -> Option<Answered> {
        match &self.to {
            Target::Stdout | Target::Null => None,
            Target::Exec(words) => {
                let name = words.first()?;
                Some(match exec::find(name) {
                    Ok(path) => Answered::Good(format!("the command is {}", path.display())),
                    Err(why) => Answered::Bad(format!("cannot run the command {name}: {why}")),
                })
            }
            Target::Http(_) => match self.http() {
                Ok(http) => Some(http?.ask().await),
                Err(failure) => Some(Answered::Bad(failure.to_string())),
            },
        }
    }
}
