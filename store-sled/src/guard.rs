//! Sled panics where some of its bytes are damaged. Here a panic becomes an answer.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic inside sled and answers what it would have said. Nothing of ours is changed inside, so nothing
/// is left half done; sled's own state is not trusted after that: the store stops, or the read fails.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    say_nothing_while_guarded();
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|panic| said(&*panic))
}

/// The program's own panics are reported as before; one in here is answered, so it is no news for standard error.
fn say_nothing_while_guarded() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                report(panic);
            }
        }));
    });
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("without a word");
    format!("sled could not make sense of its files ({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_what_it_said() {
        assert_eq!(guarded(|| 7), Ok(7));
        let result: Result<(), _> = guarded(|| panic!("page {} is gone", 3));
        let said = result.expect_err("it panicked");
        assert!(said.contains("page 3 is gone"), "{said}");
    }
}
