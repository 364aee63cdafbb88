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
mod outcome;
mod reads;
pub mod revoked;
mod target;

pub use outcome::{Attack, Outcome};

use std::fmt;

/// All attacks, in the order in which they run.
pub const ATTACKS: &[Attack] = &[
    check::ATTACK,
    deleted::ATTACK,
    full_disk::ATTACK,
    connections::ATTACK,
    memory::ATTACK,
    reads::ATTACK,
    revoked::ATTACK,
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
