//! Calls as a program makes them: from before the function of `rt` to behind it.

use crate::machine;
use crate::partner::{Partner, WAITS_AT};
use crate::samples::{ROUNDS, Samples};
use crate::stage::Stage;
use abi::Error;
use rt::{Outgoing, sys};

/// Measures the calls whose rows are measured at the trap too.
pub fn calls(stage: &Stage) -> Result<(), Error> {
    let partner = Partner::new(stage, 0, &(machine::current().echo)(), 64)?;
    let endpoint = stage.endpoint()?;
    partner.give(WAITS_AT, endpoint.capability())?;
    partner.start(0)?;
    let version = || rt::capability::identify_kernel().map(drop);
    row("stub_null_system_call", version, || Ok(()))?;
    let nothing = Outgoing::new(0);
    row(
        "stub_call_reply_0_words",
        || endpoint.call(&nothing).map(drop),
        || Ok(()),
    )?;
    let words = Outgoing::new(0).with_words(&[1, 2, 3, 4]);
    row(
        "stub_call_reply_4_words",
        || endpoint.call(&words).map(drop),
        || Ok(()),
    )?;
    let notification = stage.notification()?;
    row(
        "stub_signal_no_waiter",
        || notification.signal(),
        || notification.wait(0).map(drop),
    )?;
    partner.thread.stop()
}

/// Measures an action, and does what puts things back behind each round.
#[inline(never)]
fn row(
    name: &str,
    action: impl Fn() -> Result<(), Error>,
    back: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let before = sys::instruction_counter();
    let after = sys::instruction_counter();
    let mut samples = Samples::new(sys::counted_instructions(before, after));
    for _ in 0..ROUNDS {
        let before = sys::instruction_counter();
        let outcome = action();
        let after = sys::instruction_counter();
        samples.add(before, after);
        outcome?;
        back()?;
    }
    samples.print(name);
    Ok(())
}
