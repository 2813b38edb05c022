//! What every process may hold by the manifest, against what the kernel says that it holds.
//!
//! The expectation follows `docs/processes.md`, not the code of init: two writings of one contract
//! that have to agree.

use std::collections::BTreeMap;

use abi::{ObjectKind, Rights};
use manifest::compiled::{AddressSpace, Process, System};

/// Name of the text entry of the bundle that asks init for the audit.
pub const ENTRY: &str = "audit";

/// Callers of each core that can wait at the memory server.
const WAITING_CALLERS: usize = 8;

/// Kind and rights of one capability.
type Held = (u64, u64);

/// Returns what is wrong between the lines of a run and the system that was run.
pub fn compare(system: &System, lines: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    if !lines.iter().any(|line| line.ends_with("audit done")) {
        wrong.push("the audit was not printed".to_owned());
    }
    for (index, process) in system.processes.iter().enumerate() {
        let expected = sorted(expected(system, index, process));
        let found = sorted(found(&process.name, lines));
        if expected != found {
            wrong.push(format!(
                "{} holds {found:x?}, the manifest grants {expected:x?}",
                process.name
            ));
        }
    }
    wrong
}

/// Returns kinds and rights, with how often each is there.
fn sorted(held: Vec<Held>) -> BTreeMap<Held, usize> {
    let mut counts = BTreeMap::new();
    for one in held {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

/// Returns what a process holds by the lines of the audit; untyped memory is the machine's and is
/// not in the manifest, so only that the memory server alone has any is looked at.
fn found(name: &str, lines: &[String]) -> Vec<Held> {
    let prefix = format!("audit {name} ");
    let rows = lines.iter().filter_map(|line| line.split_once(&prefix));
    let held = rows.filter_map(|(_, row)| Some((number(row, "kind=")?, number(row, "rights=")?)));
    held.filter(|(kind, _)| name != "mem" || *kind != ObjectKind::Untyped.number())
        .collect()
}

/// Returns the number behind `key` in a row.
fn number(row: &str, key: &str) -> Option<u64> {
    let text = row.split(' ').find_map(|word| word.strip_prefix(key))?;
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns a capability of a kind with these rights.
fn one(kind: ObjectKind, rights: Rights) -> Held {
    (kind.number(), u64::from(rights.into_bits()))
}

/// Returns how many cores two processes share.
fn shared(left: &Process, right: &Process) -> usize {
    left.cores
        .iter()
        .filter(|core| right.cores.contains(core))
        .count()
}

/// Returns what a process holds by the manifest.
fn expected(system: &System, index: usize, process: &Process) -> Vec<Held> {
    let call = one(ObjectKind::Endpoint, Rights::new().with_call(true));
    let mut held = own(process);
    for peer in &process.uses {
        let peer = &system.processes[usize::from(peer.peer.0)];
        held.extend(vec![call; shared(process, peer)]);
    }
    let console = system.console.map(|console| usize::from(console.0));
    if let Some(console) = console
        && console != index
        && process.device.is_none()
    {
        // One for each core, and the log's own slot.
        held.extend(vec![call; shared(process, &system.processes[console]) + 1]);
    }
    if process
        .device
        .as_ref()
        .is_some_and(|device| device.irq.is_some())
    {
        held.push(one(ObjectKind::Interrupt, Rights::ALL));
    }
    if process
        .device
        .as_ref()
        .is_some_and(|device| device.space == AddressSpace::Ports)
    {
        let access = Rights::new().with_read(true).with_write(true);
        held.push(one(ObjectKind::IoPorts, access));
    }
    if process.image == "mem" {
        let waiting = WAITING_CALLERS * process.cores.len();
        held.extend(vec![one(ObjectKind::Reply, Rights::ALL); waiting]);
    }
    held.extend(of_guests(system, index, process));
    held.extend(of_rings(system, index, process));
    held
}

/// Returns what every process holds of itself.
fn own(process: &Process) -> Vec<Held> {
    let all = |kind| one(kind, Rights::ALL);
    let signal = Rights::new()
        .with_wait(true)
        .with_signal(true)
        .with_grant(true);
    let mut held = vec![
        all(ObjectKind::CapTable),
        all(ObjectKind::Space),
        one(ObjectKind::Notification, signal),
    ];
    for (position, _) in process.cores.iter().enumerate() {
        held.extend([
            all(ObjectKind::Thread),
            all(ObjectKind::Budget),
            all(ObjectKind::Endpoint),
        ]);
        if position > 0 {
            held.push(all(ObjectKind::Frame));
        }
    }
    held
}

/// Returns what a process holds for the guests that it serves.
fn of_guests(system: &System, index: usize, process: &Process) -> Vec<Held> {
    let inject = Rights::new().with_inject(true);
    let control = Rights::new().with_control(true);
    let signal = one(ObjectKind::Notification, Rights::new().with_signal(true));
    let call = one(ObjectKind::Endpoint, Rights::new().with_call(true));
    let is = |other: u16| usize::from(other) == index;
    let mut held = Vec::new();
    for guest in &system.guests {
        let vcpus = guest.cores.len();
        if is(guest.vcpu.0) {
            let rights = inject.with_control(true);
            held.extend(vec![one(ObjectKind::Vcpu, rights); vcpus]);
            // Its end is told to init, and every device can be called.
            held.push(signal);
            for device in &guest.devices {
                let device = &system.processes[usize::from(device.process.0)];
                held.extend(vec![call; shared(process, device)]);
            }
        }
        if is(guest.irq.0) {
            held.extend(vec![one(ObjectKind::Vcpu, inject); vcpus]);
        }
        if guest.devices.iter().any(|device| is(device.process.0)) {
            held.push(signal);
        }
        if process.image == "mem" {
            held.push(one(ObjectKind::GuestSpace, control));
        }
    }
    held
}

/// Returns the bells that a process holds: the console one of every peer and the one to quit, a
/// peer that of the console.
fn of_rings(system: &System, index: usize, process: &Process) -> Vec<Held> {
    let signal = one(ObjectKind::Notification, Rights::new().with_signal(true));
    let Some(console) = system.console.map(|console| usize::from(console.0)) else {
        return Vec::new();
    };
    let first_devices = || {
        system
            .guests
            .iter()
            .filter_map(|guest| guest.devices.first())
    };
    let drivers = system
        .processes
        .iter()
        .filter(|process| process.device.is_some())
        .count()
        .min(1);
    if index == console {
        let mem = system.processes.iter().filter(|peer| peer.image == "mem");
        return vec![signal; drivers + first_devices().count() + 1 + mem.count().min(1)];
    }
    let is_peer = process.device.is_some()
        || first_devices().any(|device| usize::from(device.process.0) == index);
    vec![signal; usize::from(is_peer)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_behind_any_prefix() {
        let lines = [
            "[log] audit left.vcpu kind=11 rights=0x180 slot=20 badge=0x0".to_owned(),
            "audit left.vcpux kind=1 rights=0x3ff slot=2 badge=0x0".to_owned(),
        ];
        assert_eq!(found("left.vcpu", &lines), [(11, 0x180)]);
        assert_eq!(found("nobody", &lines), []);
    }
}
