//! Repeats the attacks of [`tests::attack`] against the real program and prints a table of what held.

use clap::Parser;
use std::process::ExitCode;
use tests::attack::{ATTACKS, Attack, Row};

/// Repeats known attacks against the real program and prints a table of what held. Exits with 1 if one did not.
#[derive(Parser)]
struct Args {
    /// The attacks to run; without names, all of them.
    names: Vec<String>,
}

fn main() -> ExitCode {
    let Args { names } = Args::parse();
    let known = |name: &String| ATTACKS.iter().any(|attack| attack.name == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        eprintln!(
            "no attack is named {unknown:?}; there are: {}",
            known.join(", ")
        );
        return ExitCode::from(2);
    }
    let is_chosen =
        |attack: &&Attack| names.is_empty() || names.iter().any(|name| name == attack.name);
    let rows: Vec<_> = ATTACKS.iter().filter(is_chosen).map(run).collect();
    println!();
    for row in &rows {
        println!("{row}");
    }
    ExitCode::from(u8::from(!rows.iter().all(Row::held)))
}

fn run(attack: &Attack) -> Row<'_> {
    eprintln!("attack {}: running", attack.name);
    Row {
        attack,
        outcome: (attack.run)(),
    }
}
