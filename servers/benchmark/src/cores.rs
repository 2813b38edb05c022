//! Round trips on all cores at once, for who traces which lines of memory they store to.

use crate::machine;
use crate::partner::{OTHER, Partner, SHARED, THIRD, WAITS_AT};
use crate::stage::{LOW, Stage};
use abi::Error;
use abi::call::FOREVER;
use rt::Notification;

/// Round trips of each core.
const ROUNDS: u16 = 2000;

/// Lets each core's caller call the server of its own core, each in its own space. The first of them
/// that is done ends the trace, the last the machine.
pub fn round_trips(stage: &Stage, cores: u64) -> Result<(), Error> {
    let mut callers = [None; abi::MAX_CORES];
    for (core, place) in (0..cores).zip(&mut callers) {
        *place = Some(Caller::new(stage, core)?);
    }
    // Nobody waits for another core's start from here on.
    for caller in callers.iter().flatten() {
        caller.begin.signal()?;
    }
    for caller in callers.iter().flatten() {
        caller.end.wait(FOREVER)?;
    }
    rt::log!("benchmark: {cores} cores made round trips");
    Ok(())
}

/// What tells a caller to begin, and that it has ended.
#[derive(Clone, Copy, Debug)]
struct Caller {
    begin: Notification,
    end: Notification,
}

impl Caller {
    /// Makes a caller and its server on a core, both of which wait.
    fn new(stage: &Stage, core: u64) -> Result<Self, Error> {
        let machine = machine::current();
        let server = Partner::new(stage, core, &(machine.echo)(), 64)?;
        let caller = Partner::new(stage, core, &(machine.caller)(ROUNDS), 64)?;
        let endpoint = stage.endpoint_on(core)?;
        let (begin, end) = (stage.notification_on(core)?, stage.notification()?);
        server.give(WAITS_AT, endpoint.capability())?;
        caller.give(WAITS_AT, endpoint.capability())?;
        caller.give(OTHER, begin.capability())?;
        caller.give(THIRD, end.capability())?;
        caller.thread.set_priority(LOW)?;
        server.start(0)?;
        caller.start(SHARED)?;
        Ok(Self { begin, end })
    }
}
