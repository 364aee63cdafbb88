//! What every attack is, and what it answers.

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
