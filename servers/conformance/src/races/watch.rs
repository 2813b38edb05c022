//! The watch: a call that never returns takes its thread with it, so another one has to tell.

use crate::case::Outcome;
use crate::context::Context;
use crate::crew::{self, Role};
use abi::Error;
use abi::boot::SLOT_FIRMWARE;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use rt::{Firmware, Notification, log};

/// Its priority: above everything that the races do.
const PRIORITY: u64 = 60;
/// How long a volley may take, in microseconds: far longer than on the slowest of machines.
const PATIENCE: u64 = 60_000_000;

/// Volleys so far.
static PROGRESS: AtomicU64 = AtomicU64::new(0);
/// Ticks in which there has to be progress.
static TICKS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Notes that a volley has ended.
pub fn progress() {
    PROGRESS.fetch_add(1, SeqCst);
}

/// Starts the watch of a round.
///
/// # Errors
///
/// A failure.
pub fn start(context: &Context) -> Outcome {
    TICKS.store(context.microseconds(PATIENCE), SeqCst);
    let never = context.notification()?;
    let role = Role::EAGER.with_priority(PRIORITY).without_page();
    context.spawn(role, &[never.bits()], watch)?;
    Ok(())
}

/// Looks again and again whether there was progress; ends the machine where there was none.
fn watch(number: u64) {
    let never = Notification::at(crew::note(number).slot(0));
    loop {
        let before = PROGRESS.load(SeqCst);
        let deadline = rt::sys::counter().saturating_add(TICKS.load(SeqCst));
        if never.wait(deadline) != Err(Error::TimedOut) {
            return;
        }
        if PROGRESS.load(SeqCst) == before {
            log!("case races: volley {before} does not end ... FAILED");
            log!("conformance: 0 passed, 1 failed, 0 skipped");
            let _ = Firmware::own(SLOT_FIRMWARE).shut_down(true);
        }
    }
}
