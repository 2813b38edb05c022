//! What every process holds, printed for a test that compares it with the manifest.

use crate::process::Process;
use crate::system::Failure;
use abi::{Error, SlotAddress};
use manifest::compiled::System;
use rt::capability::Capability;

/// Name of the bundle entry that asks for the audit.
pub const ENTRY: &str = "audit";

/// Prints one line per capability of every process, read back from the kernel.
pub fn print(system: &System, processes: &[Process]) -> Result<(), Failure> {
    for process in processes {
        let name = system
            .processes
            .get(usize::from(process.index))
            .map_or("?", |plan| &plan.name);
        for slot in 1..u32::try_from(crate::process::SLOTS).unwrap_or(0) {
            let address = SlotAddress::within(process.grants.table(), slot);
            match Capability::at(address).identify() {
                Ok(found) => rt::log!(
                    "audit {name} kind={} rights={:#x} slot={slot} badge={:#x}",
                    found.kind,
                    found.rights,
                    found.badge
                ),
                Err(Error::NoCapability) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    rt::log!("audit done");
    Ok(())
}
