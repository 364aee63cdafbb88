//! Attacks on the real program that once succeeded. `just attack` repeats them and prints a table.
//!
//! Each attack starts a program of its own on a store of its own, does what the attacker did, measures, and compares
//! with its goal. The tests of the workspace hold each defence by itself; an attack holds them together, at full size.

pub mod check;
pub mod commanding;
pub mod connections;
pub mod deleted;
pub mod full_disk;
mod memory;
mod reads;
pub mod revoked;
mod target;

use std::fmt;

/// One attack: its name on the command line, what must hold, and how to run it.
pub struct Attack {
    /// The name on the command line and in the table.
    pub name: &'static str,
    /// What must hold, for the table.
    pub goal: &'static str,
    /// Runs the attack. An error means that the attack could not be carried out.
    pub run: fn() -> anyhow::Result<Outcome>,
}

/// What an attack measured, and whether the goal held.
#[derive(Debug)]
pub struct Outcome {
    /// The figures, for the table.
    pub measured: String,
    /// Whether the goal held.
    pub held: bool,
}

/// All attacks, in the order in which they run.
pub const ATTACKS: &[Attack] = &[
    check::ATTACK,
    deleted::ATTACK,
    full_disk::ATTACK,
    connections::ATTACK,
    revoked::ATTACK,
    memory::ATTACK,
    reads::ATTACK,
];

/// One row of the closing table.
pub struct Row<'a> {
    /// The attack.
    pub attack: &'a Attack,
    /// Its outcome, or why it could not be carried out.
    pub outcome: anyhow::Result<Outcome>,
}

impl Row<'_> {
    /// Whether the attack was carried out and its goal held.
    pub fn held(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|outcome| outcome.held)
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, measured) = match &self.outcome {
            Ok(outcome) if outcome.held => ("held", outcome.measured.clone()),
            Ok(outcome) => ("FAILED", outcome.measured.clone()),
            Err(error) => ("NOT RUN", format!("{error:#}")),
        };
        let Attack { name, goal, .. } = self.attack;
        write!(
            f,
            "{verdict:<8} {name:<14} {measured}\n{:24}goal: {goal}",
            ""
        )
    }
}
