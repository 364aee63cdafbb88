//! The closing table: runs last and says which checks were left out and why. Without it a missing tool would be silence.

fn main() {
    let skipped = tests::skip::take_skipped();
    println!("\n{} checks were left out", skipped.len());
    for (check, reason) in skipped {
        println!("  SKIPPED: {check}: {reason}");
    }
}
