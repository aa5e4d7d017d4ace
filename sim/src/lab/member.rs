//! The processes of the group: how they live and die, whichever way they consume.

use super::downstream::{Reply, Request};
use super::run::World;
use super::tidegate::Tidegate;
use super::unbounded::Unbounded;
use super::{Strategy, nanos};

/// A process.
#[derive(Debug)]
pub(super) struct Member {
    /// Which of all processes there ever were, from 1.
    pub(super) life: u32,
    pub(super) state: State,
    pub(super) process: Process,
    /// It could not take a record that there was, for want of memory.
    pub(super) is_full: bool,
    /// Since when it has been at its memory limit.
    pressed_since: Option<u64>,
    next_commit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// It is asked to end, and gives its partitions back.
    Leaving,
    /// It is dead, and still a member until its session ends.
    Dead {
        restarts_at: u64,
        session_ends_at: u64,
    },
    /// It is dead and no member any more.
    Expelled {
        restarts_at: u64,
    },
    Gone,
}

impl State {
    pub(super) fn is_member(self) -> bool {
        matches!(self, Self::Up | Self::Dead { .. })
    }

    pub(super) fn runs(self) -> bool {
        matches!(self, Self::Up | Self::Leaving)
    }
}

/// The way it consumes.
#[derive(Debug)]
pub(super) enum Process {
    Unbounded(Unbounded),
    Tidegate(Box<Tidegate>),
    /// It is dead.
    None,
}

/// What a process has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) bytes: u64,
}

impl World {
    /// A new member.
    pub(super) fn add_member(&mut self) {
        self.members.push(Member {
            life: 0,
            state: State::Gone,
            process: Process::None,
            is_full: false,
            pressed_since: None,
            next_commit: 0,
        });
        self.start(self.members.len() - 1);
    }

    /// A process starts, the first time or again.
    fn start(&mut self, index: usize) {
        self.lives += 1;
        let (now, life) = (self.now, self.lives);
        let process = match self.strategy {
            Strategy::Unbounded { .. } => Process::Unbounded(Unbounded::default()),
            _ => match Tidegate::new(&self.scenario, self.strategy, now) {
                Some(tidegate) => Process::Tidegate(Box::new(tidegate)),
                None => Process::None,
            },
        };
        let every = self.commit_every();
        let member = &mut self.members[index];
        member.life = life;
        member.state = State::Up;
        member.process = process;
        member.is_full = false;
        member.pressed_since = None;
        member.next_commit = now + every;
        for partition in 0..self.log.partitions.len() {
            if self.log.partitions[partition].owner == Some(index) {
                self.begin(index, partition);
            }
        }
        self.rebalance();
    }

    fn commit_every(&self) -> u64 {
        match self.strategy {
            Strategy::Unbounded { .. } => nanos(self.scenario.consumers.auto_commit),
            _ => nanos(self.scenario.consumers.commit),
        }
    }

    /// What has come due for each member by now, and what it can do.
    pub(super) fn step_members(&mut self) {
        for index in 0..self.members.len() {
            match self.members[index].state {
                State::Dead { restarts_at, .. } | State::Expelled { restarts_at }
                    if restarts_at <= self.now =>
                {
                    self.start(index);
                }
                State::Dead { restarts_at, session_ends_at } if session_ends_at <= self.now => {
                    self.members[index].state = State::Expelled { restarts_at };
                    self.rebalance();
                }
                _ => {}
            }
            if self.members[index].state.runs() {
                self.step_member(index);
            }
        }
    }

    fn step_member(&mut self, index: usize) {
        let load = self.load(index);
        let consumers = &self.scenario.consumers;
        let one = consumers.task_memory + self.largest;
        let has_room = load.bytes + one <= consumers.memory;
        let killed_after = nanos(consumers.killed_after);
        let recovered = load.bytes < consumers.memory / 100 * 95;
        let (now, every) = (self.now, self.commit_every());
        let member = &mut self.members[index];
        if std::mem::take(&mut member.is_full) {
            member.pressed_since.get_or_insert(now);
        } else if recovered {
            member.pressed_since = None;
        }
        if member.pressed_since.is_some_and(|since| now - since >= killed_after) {
            self.meter.kills.push(now);
            return self.kill(index);
        }
        let commits = now >= member.next_commit;
        if commits {
            member.next_commit = now + every;
        }
        match self.members[index].process {
            Process::Unbounded(_) => self.step_unbounded(index, load.bytes, commits),
            Process::Tidegate(_) => self.step_tidegate(index, has_room, commits),
            Process::None => {}
        }
    }

    /// A process dies; it comes again after a while.
    pub(super) fn kill(&mut self, index: usize) {
        if !self.members[index].state.runs() {
            return;
        }
        let consumers = &self.scenario.consumers;
        self.members[index].state = State::Dead {
            restarts_at: self.now + nanos(consumers.restarts_after),
            session_ends_at: self.now + nanos(consumers.session),
        };
        self.bury(index);
    }

    /// What was in its memory is gone.
    pub(super) fn bury(&mut self, index: usize) {
        let life = self.members[index].life;
        self.members[index].process = Process::None;
        self.hang_up_all(life);
        self.meter.lost += self.log.abandon(life);
        for partition in 0..self.log.partitions.len() {
            if self.log.partitions[partition].owner == Some(index) {
                self.log.rewind(partition);
                if let Some(moving) = self.log.partitions[partition].moving.take() {
                    self.assign(partition, moving.to);
                }
            }
        }
    }

    /// The downstream's answer comes to whoever asked.
    pub(super) fn answered(&mut self, request: Request, reply: Reply) {
        if reply == Reply::Done {
            self.finish(request);
        }
        match self.members[request.member].process {
            Process::Unbounded(_) => self.answered_unbounded(request, reply),
            Process::Tidegate(_) => self.answered_tidegate(request, reply),
            Process::None => {}
        }
    }

    fn finish(&mut self, request: Request) {
        let made = self.log.partitions[request.partition].entries[request.offset].fresh.made;
        if let Some(is_late) = self.log.finish(request.partition, request.offset, request.life) {
            self.meter.finish(made, self.now);
            self.meter.reordered += u64::from(is_late);
        }
    }

    /// A handler has a record, which is not the first one to have it perhaps.
    pub(super) fn deliver(&mut self, request: &Request) {
        let again = self.log.deliver(request.partition, request.offset, request.life);
        self.meter.repeated += u64::from(again);
    }

    /// What a process has.
    pub(super) fn load(&self, index: usize) -> Load {
        let task = self.scenario.consumers.task_memory;
        match &self.members[index].process {
            Process::Unbounded(unbounded) => unbounded.load(task),
            Process::Tidegate(tidegate) => tidegate.load(task, self.now),
            Process::None => Load::default(),
        }
    }
}
