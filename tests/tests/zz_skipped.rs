//! The closing table: runs last and says which checks were left out and why. Without it a missing tool would be silence.

use tests::skip::{LeftOut, take};

fn main() {
    let skipped = take(LeftOut::Skipped);
    println!("\n{} checks were left out", skipped.len());
    for check in skipped {
        println!("  SKIPPED: {check}");
    }
    for check in take(LeftOut::NotRun) {
        println!("  NOT RUN: {check}");
    }
}
