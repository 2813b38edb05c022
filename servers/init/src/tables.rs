//! How much memory translation tables need.

use manifest::compiled::{Process, System};

/// Tables for what is not a guest's memory: those down to it, of up to 16 KiB, and others.
const OTHER: u64 = 128 << 10;

/// Returns the order of the table memory of a space that has a guest's memory in it: as much as there can
/// be, where all of it is mapped in the smallest pages, and `least` bytes at least.
pub fn order(memory: u64, least: u64) -> u64 {
    // 2 KiB for each MiB on s390x, 4 KiB for each 2 MiB elsewhere; and up to 16 KiB for 1 GiB of these.
    let tables = memory.div_ceil(512) + memory.div_ceil(1 << 16);
    let bytes = (tables + OTHER).max(least);
    u64::from(bytes.next_power_of_two().ilog2())
}

/// Returns how much memory of its guest a process maps: all of it, where it uses the memory server.
pub fn guest_memory(system: &System, plan: &Process) -> u64 {
    let mut peers = plan.uses.iter().map(|used| system.process(used.peer));
    let guest = plan.guest.filter(|_| peers.any(|peer| peer.image == "mem"));
    guest.map_or(0, |guest| system.guest(guest).memory)
}
