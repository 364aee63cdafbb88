//! What the store is meant to reach, and whether it does.

use crate::figures::shown;
use crate::table::Table;

/// Collected as the questions are answered.
#[derive(Default)]
pub(crate) struct Goals(Vec<Goal>);

struct Goal {
    what: String,
    wanted: String,
    measured: f64,
    holds: bool,
}

impl Goals {
    pub(crate) fn at_least(&mut self, least: f64, measured: f64, what: impl Into<String>) {
        self.0.push(Goal {
            what: what.into(),
            wanted: format!("at least {}", shown(least)),
            measured,
            holds: measured >= least,
        });
    }

    pub(crate) fn at_most(&mut self, most: f64, measured: f64, what: impl Into<String>) {
        self.0.push(Goal {
            what: what.into(),
            wanted: format!("at most {}", shown(most)),
            measured,
            holds: measured <= most,
        });
    }

    pub(crate) fn print(&self) {
        println!("\n## Goals\n\nMedians of the rounds.\n");
        let mut table = Table::new(["goal", "wanted", "measured", "holds"]);
        for goal in &self.0 {
            table.row([
                goal.what.clone(),
                goal.wanted.clone(),
                shown(goal.measured),
                if goal.holds { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        table.print();
    }
}
