//! A synthetic day of a contact centre, as commands: nobody in it exists.
//!
//! Everything is marked as made up. Calls are named `sim-SEED-NUMBER`, agents and supervisors `sim-NAME-NUMBER` and
//! `sim-lead-NAME-NUMBER`, and what people ask for carries the correlation `synthetic-day-SEED` (what the telephone
//! network reports, such as a hang-up, carries none). Customers call from numbers North America reserves for fiction
//! (`+1 ... 555 01..`), experts answer on those the United Kingdom does (`+44 20 7946 0...`).
//!
//! The day is played, not drawn: customers come by the hour (`day`), agents work in shifts and on one call at a time
//! (`staff`), and each call goes on from the state the rules of `domain` have brought it to (`story`). So all that
//! is meant to be accepted is, while about one command in seventy is a mistake that a rule refuses.
//!
//! The same seed makes the same day on every machine: chance and durations are whole numbers (`random`). It is a Monday in
//! March 2026, unless it is placed on another date (`placed`).

mod agenda;
mod day;
pub mod placed;
mod queues;
mod random;
mod staff;
mod story;

use agenda::{Agenda, Due, Step};
use day::Arrivals;
use domain::{Request, Timestamp};
use random::Random;
use staff::{Agent, SHIFTS, Staff};
use std::collections::{HashMap, VecDeque};
use story::Story;

/// How big a day to make up, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// How many customers are answered; the staff grows with them.
    pub calls: u64,
    /// Which of all such days; equal seeds make equal days.
    pub seed: u64,
}

/// The day's commands in order of time: the same for the same day, on every machine. They are made as they are asked
/// for, and only live calls are in memory.
pub fn simulate(day: &Day) -> impl Iterator<Item = Request> + use<> {
    Centre::open(day)
}

/// The contact centre while the day goes on.
struct Centre {
    seed: u64,
    arrivals: Arrivals,
    arrived: u64,
    staff: Staff,
    agenda: Agenda,
    /// Customers whom nobody is free to answer yet.
    waiting: VecDeque<u64>,
    /// The calls that are not over, or have wrap-up to come.
    stories: HashMap<u64, Story>,
}

impl Iterator for Centre {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        loop {
            let (at, due) = self.agenda.next()?;
            match due {
                Due::Shift(agents_for_10_000) => self.shift(agents_for_10_000, at),
                Due::Arrival(number) => self.arrival(number, at),
                Due::Ready(agent) => self.ready(agent, at),
                Due::Step(number, step) => {
                    if let Some(request) = self.step(number, step, at) {
                        return Some(request);
                    }
                }
            }
        }
    }
}

impl Centre {
    fn open(day: &Day) -> Self {
        let mut centre = Self {
            seed: day.seed,
            arrivals: Arrivals::new(day.calls, Random::new(day.seed, 0)),
            arrived: 0,
            staff: Staff::new(day.calls),
            agenda: Agenda::default(),
            waiting: VecDeque::new(),
            stories: HashMap::new(),
        };
        for (half_hour, agents_for_10_000) in SHIFTS {
            let begins = staff::beginning(half_hour);
            centre.agenda.plan(begins, Due::Shift(agents_for_10_000));
        }
        centre.plan_arrival();
        centre
    }

    fn plan_arrival(&mut self) {
        if let Some(at) = self.arrivals.next() {
            self.arrived += 1;
            self.agenda.plan(at, Due::Arrival(self.arrived));
        }
    }

    fn shift(&mut self, agents_for_10_000: u64, at: Timestamp) {
        for agent in self.staff.shift(agents_for_10_000, at) {
            self.ready(agent, at);
        }
    }

    fn arrival(&mut self, number: u64, at: Timestamp) {
        self.plan_arrival();
        match self.staff.take_agent(at) {
            Some(agent) => self.answer(number, agent, at),
            None => self.waiting.push_back(number),
        }
    }

    /// Somebody who waits is answered even after the shift, so nobody waits for ever.
    fn ready(&mut self, agent: Agent, at: Timestamp) {
        match self.waiting.pop_front() {
            Some(number) => self.answer(number, agent, at),
            None => self.staff.idle(agent, at),
        }
    }

    fn answer(&mut self, number: u64, agent: Agent, at: Timestamp) {
        let mut story = Story::new(self.seed, number, agent);
        story.plan(&mut self.agenda, at, Step::Next);
        self.stories.insert(number, story);
    }

    fn step(&mut self, number: u64, step: Step, at: Timestamp) -> Option<Request> {
        let story = self.stories.get_mut(&number)?;
        let request = story.play(step, at, &mut self.staff, &mut self.agenda);
        if story.is_told() {
            self.stories.remove(&number);
        }
        request
    }
}
