//! Counts the instructions of the kernel's paths.
//!
//! It is the first process of a system and has the machine, of one core, to itself; on one of
//! several it counts nothing and lets all cores make round trips at once, for a trace of them. Its partners are
//! processes of a few instructions with spaces and capability tables of their own; its guest is a
//! few instructions too. All of them read the instruction counter themselves, right beside the
//! instruction that traps: what lies between the two readings is the trap instruction, the kernel,
//! the partner's own instructions and nothing else. `docs/tools.md` says more.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod cores;
mod fault;
mod guest;
mod machine;
mod mapping;
mod message;
mod partner;
mod samples;
mod stage;
mod stub;

use abi::Error;
use abi::boot::SLOT_FIRMWARE;
use rt::{Firmware, log};
use stage::Stage;

/// Measures everything and switches the machine off.
pub fn run() -> ! {
    let failed = match measure() {
        Ok(()) => false,
        Err(error) => {
            log!("benchmark: failed: {error:?}");
            true
        }
    };
    if let Some(mark) = rt::stack::of_first() {
        rt::stack::report("benchmark", mark);
    }
    log!("skerry: system ended: status {}", u8::from(failed));
    let _ = Firmware::own(SLOT_FIRMWARE).shut_down(failed);
    rt::sys::halt()
}

/// Takes one measurement after the other; on a machine of several cores only lets them make calls.
fn measure() -> Result<(), Error> {
    let stage = Stage::new()?;
    let cores = rt::boot::info().map_or(1, |info| info.cores);
    if cores > 1 {
        return cores::round_trips(&stage, cores);
    }
    let cost = rt::sys::counting_cost();
    let (length, counted) = rt::sys::counted_loop();
    log!(
        "benchmark: two readings of the counter are {cost} apart, a loop of {length} is {counted}"
    );
    if length != counted {
        return Err(Error::WrongState);
    }
    message::null_system_call(&stage)?;
    message::round_trips(&stage)?;
    message::signals(&stage)?;
    fault::there_and_back(&stage)?;
    mapping::frames(&stage)?;
    stub::calls(&stage)?;
    guest::exits(&stage)
}
