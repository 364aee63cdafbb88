//! What the program is asked, on and on: simulated days, and what was not answered once more.

use domain::json::write_command;
use domain::{Command, CommandId, Request};
use simulate::{Day, simulate};
use std::collections::{HashMap, VecDeque};

/// How many calls a day has; the next day follows.
const CALLS: u64 = 400;

/// How many that were accepted can be asked again.
const REMEMBERED: usize = 64;

/// A command as the program reads it, with an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The call, whose commands keep their order.
    pub call: String,
    /// The line, without its end.
    pub text: String,
}

/// When the commands say that they happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// In the simulated day.
    Simulated,
    /// They do not say, so it is when the program looks at the clock.
    Unsaid,
}

/// All that was ever asked, by id.
pub type Asked = HashMap<CommandId, Command>;

/// Commands without end, each with an id.
pub struct Commands {
    seed: u64,
    day: Box<dyn Iterator<Item = Request>>,
    times: Times,
    asked: Asked,
    unanswered: VecDeque<Line>,
    accepted: VecDeque<Line>,
}

impl Commands {
    /// Those of the seed's day, and of the days after it.
    pub fn of(seed: u64, times: Times) -> Self {
        Self {
            seed,
            day: day(seed),
            times,
            asked: Asked::new(),
            unanswered: VecDeque::new(),
            accepted: VecDeque::new(),
        }
    }

    /// The next so many to ask: some that were accepted before, all that were not answered, then new ones.
    pub fn next(&mut self, again: usize, count: usize) -> Vec<Line> {
        let remembered = self.accepted.len();
        let again = self.accepted.range(remembered.saturating_sub(again)..);
        let mut lines: Vec<_> = again.cloned().collect();
        // All of them: a call's commands keep their order, whatever is asked for the first time.
        lines.extend(self.unanswered.drain(..));
        while lines.len() < count {
            lines.push(self.fresh());
        }
        lines
    }

    /// All that was ever asked.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// How many were asked and not answered yet.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The command was not answered, or not decided; it is asked again, in the order of this.
    pub fn not_answered(&mut self, line: Line) {
        self.unanswered.push_back(line);
    }

    /// The command was accepted; asked again, it must be answered in the same way.
    pub fn accepted(&mut self, line: Line) {
        if self.accepted.contains(&line) {
            return;
        }
        self.accepted.push_back(line);
        if self.accepted.len() > REMEMBERED {
            self.accepted.pop_front();
        }
    }

    /// A new store knows nothing of what the old one accepted.
    pub fn forget(&mut self) {
        self.accepted.clear();
        self.unanswered.clear();
        self.asked.clear();
        self.seed += 1;
        self.day = day(self.seed);
    }

    fn fresh(&mut self) -> Line {
        loop {
            if let Some(request) = self.day.next() {
                let at = request.at.filter(|_| self.times == Times::Simulated);
                let id = request.id.expect("simulated commands have ids");
                self.asked.insert(id, request.command.clone());
                let request = Request { at, ..request };
                return Line {
                    call: request.call.as_str().to_owned(),
                    text: write_command(&request),
                };
            }
            self.seed += 1;
            self.day = day(self.seed);
        }
    }
}

fn day(seed: u64) -> Box<dyn Iterator<Item = Request>> {
    Box::new(simulate(&Day { calls: CALLS, seed }))
}
