//! Progress of long work, on a terminal only.

use crate::waiting::Waiting;
use copies::Work;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Work that ends sooner shows nothing: a line that comes and goes at once only flickers.
const SOON: Duration = Duration::from_millis(500);

/// How far long work has come. Shown on standard error, and only where nothing else scrolls there.
pub struct Progress {
    bar: ProgressBar,
    /// When to begin to show it, unless that is done, or is never.
    from: Option<Instant>,
    /// Whether the line is shown at all.
    shown: bool,
    /// The wait that was reported last.
    waiting: Option<Waiting>,
}

/// Counts lines that were answered, whose number nobody knows beforehand. The answers themselves tell it where they
/// scroll by on a terminal.
pub fn lines() -> Progress {
    let style = "{spinner} {human_pos} lines, {rate}, {elapsed} {wide_msg}";
    let alone = !io::stdout().is_terminal();
    Progress::new(ProgressBar::no_length(), style, alone)
}

/// Goes along so many positions of a store, whose events are read; nothing is printed until they all were. How many
/// events stand there not every store knows, but each tells its last position.
pub fn positions(total: u64) -> Progress {
    let style = "reading  {bar:30} {percent} %, {elapsed}";
    Progress::new(ProgressBar::new(total), style, true)
}

/// Counts events that are copied, backed up or verified, in one step after the other; what came of it is printed when
/// all is done.
pub fn copies() -> Progress {
    Progress::new(ProgressBar::no_length(), UNCOUNTED, true)
}

/// The same for events that are printed meanwhile: on a terminal they tell it themselves.
pub fn dumping() -> Progress {
    let alone = !io::stdout().is_terminal();
    Progress::new(ProgressBar::no_length(), UNCOUNTED, alone)
}

/// Counts bytes of a store's files that were read; how many there are is told with the first of them.
pub fn bytes(what: &'static str) -> Progress {
    let style = "{msg}  {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}";
    let bar = ProgressBar::new(0).with_message(what);
    Progress::new(bar, style, true)
}

/// A step of which is known how many events it is about.
const COUNTED: &str = "{msg}  {bar:30} {human_pos} of {human_len} events, {rate}";

/// A step of which nobody knows that.
const UNCOUNTED: &str = "{msg}  {spinner} {human_pos} events, {rate}";

impl Progress {
    fn new(bar: ProgressBar, style: &str, alone: bool) -> Self {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        bar.set_style(styled(style));
        let shown = alone && io::stderr().is_terminal();
        let from = shown.then(|| Instant::now() + SOON);
        Self {
            bar,
            from,
            shown,
            waiting: None,
        }
    }

    /// Work stands still: says why on the line, or where there is none, once for each wait.
    pub fn waiting(&mut self, waiting: &Waiting) {
        if waiting.is_short() {
            return;
        }
        if self.shown {
            self.show();
            self.bar.set_message(waiting.to_string());
        } else if self.waiting.as_ref().map(|known| known.since) != Some(waiting.since) {
            eprintln!("kaigi: {waiting}");
        }
        self.waiting = Some(waiting.clone());
    }

    /// Work goes on.
    fn going_on(&mut self) {
        if self.waiting.take().is_some() && self.shown {
            self.bar.set_message("");
        }
    }

    fn show(&mut self) {
        if self.from.take().is_some() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// So much is done.
    pub fn at(&mut self, done: u64) {
        self.going_on();
        if self.from.is_some_and(|from| Instant::now() >= from) {
            self.show();
        }
        self.bar.set_position(done);
    }

    /// So much of that step is done. How much there is to do nobody knows of a dump, and a store grows meanwhile.
    pub fn step(&mut self, step: copies::Progress) {
        if step.events == 0 {
            self.bar.reset();
            self.bar.set_message(named(step.work));
            let style = step.of.map_or(UNCOUNTED, |_| COUNTED);
            self.bar.set_style(styled(style));
        }
        match step.of {
            Some(of) => self.bar.set_length(of.max(step.events)),
            None => self.bar.unset_length(),
        }
        self.at(step.events);
    }

    /// So many of that many bytes were read.
    pub fn of(&mut self, read: u64, total: u64) {
        self.bar.set_length(total.max(read));
        self.at(read);
    }

    /// All is done; the line goes away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn styled(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    style.with_key("rate", rate)
}

fn named(work: Work) -> &'static str {
    match work {
        Work::Looking => "looking what is there",
        Work::Verifying => "verifying",
        Work::Copying => "copying",
        Work::Writing => "writing",
        Work::Comparing => "comparing",
    }
}

/// How many a second, without what nobody reads.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive, and no machine counts past an integer's end in a second"
)]
fn rate(state: &ProgressState, out: &mut dyn Write) {
    // A progress line that cannot be written is no failure.
    let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
}
