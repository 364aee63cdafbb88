//! `kaigi import`: captured telephone events as commands.

use crate::exit::{Exit, usage};
use crate::output::Console;
use domain::json::write_command;
use import::asterisk;
use std::path::PathBuf;

/// `kaigi import asterisk`: commands to standard output, notes to standard error; a file that is no capture stops it
/// before anything is printed.
pub fn print(files: &[PathBuf], console: &mut Console) -> anyhow::Result<Exit> {
    let files = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let import = match asterisk::import_captures(&files) {
        Ok(import) => import,
        Err(error) => {
            eprintln!("kaigi: {:#}", anyhow::Error::from(error));
            return Ok(Exit::Malformed);
        }
    };
    for command in &import.commands {
        console.print(&write_command(command))?;
        console.print("\n")?;
    }
    console.flush()?;
    for note in &import.notes {
        eprintln!("{note}");
    }
    Ok(Exit::Done)
}

fn read(file: &PathBuf) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let bytes = std::fs::read(file)
        .map_err(|error| usage(format!("cannot read {}: {error}", file.display())))?;
    Ok((file.clone(), bytes))
}
