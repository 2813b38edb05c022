//! The end of a guest: a table of what it cost, and the word to init.

use super::{Platform, Server, Setup, setup};
use crate::{Machine, Metrics};
use abi::exit::ExitClass;
use abi::register::{
    COUNT_ACCESS, COUNT_CLASS, COUNT_FLOATING_POINT, COUNT_IDLE, COUNT_INTERRUPTS,
};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Release;

/// Status of a guest that could not be set up.
pub const SETUP_FAILED: i64 = 1;
/// Status of a guest that could not be loaded.
pub const LOAD_FAILED: i64 = 1;

impl<P: Platform> Server<P> {
    /// Prints what the guest did, and tells init that it ended with this status.
    pub(super) fn report(&self, status: i64) {
        let last = self.with(|state| {
            state.world.end_line();
            (Arc::clone(&state.world.setup), *state.machine.metrics())
        });
        if let Some((setup, metrics)) = last {
            print(&setup, &metrics);
        }
        publish(status);
    }
}

/// Writes the report page and rings init.
pub fn publish(status: i64) {
    // 0 is a guest that runs, so that a status is shifted by one; one that has no place is 1.
    let word = u64::try_from(status)
        .ok()
        .and_then(|status| status.checked_add(1))
        .unwrap_or(2);
    if let Some([first, ..]) = rt::grant::page("report") {
        first.store(word, Release);
    }
    if setup::ended().is_none_or(|ended| ended.signal().is_err()) {
        rt::log!("vcpu: init does not hear that the guest ended with status {status}");
    }
}

/// Prints the tables.
fn print(setup: &Setup, metrics: &Metrics) {
    let name = &setup.description.name;
    let row = |class: &str, server: &str, count: u64| {
        rt::log!("guest {name}: {count:>12} {class:<20} {server}");
    };
    for class in ExitClass::ALL {
        let server = if *class == ExitClass::Memory {
            "mem"
        } else {
            "vcpu"
        };
        row(
            class_name(*class),
            server,
            sum(setup, COUNT_CLASS + class.number()),
        );
    }
    row("access", "irq and devices", sum(setup, COUNT_ACCESS));
    row("host interrupt", "kernel", sum(setup, COUNT_INTERRUPTS));
    row("idle", "kernel", sum(setup, COUNT_IDLE));
    row("floating point", "kernel", sum(setup, COUNT_FLOATING_POINT));
    let calls = metrics.calls;
    let kinds = [
        ("call BASE", calls.base),
        ("call TIME", calls.time),
        ("call IPI", calls.ipi),
        ("call RFENCE", calls.rfence),
        ("call HSM", calls.hsm),
        ("call SRST", calls.srst),
        ("call DBCN", calls.dbcn),
        ("call unknown", calls.unknown),
        ("forwarded access", metrics.forwarded),
        ("exception", metrics.exceptions),
        ("absent page", metrics.waits),
    ];
    for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
        row(kind, "of these in vcpu", count);
    }
}

/// Returns a kernel counter, over all vCPUs.
fn sum(setup: &Setup, id: u64) -> u64 {
    let counts = setup
        .vcpus
        .iter()
        .filter_map(|vcpu| vcpu.capability.read(id).ok());
    counts.sum()
}

/// Returns the name of an exit class.
const fn class_name(class: ExitClass) -> &'static str {
    match class {
        ExitClass::Hypercall => "hypercall",
        ExitClass::Instruction => "instruction",
        ExitClass::Device => "device",
        ExitClass::Memory => "memory",
        ExitClass::Unclaimed => "unclaimed",
        ExitClass::Window => "window",
        ExitClass::Other => "other",
    }
}
