//! All cases, by subject.

mod budget;
mod cores;
mod deletion;
mod derivation;
mod device;
mod exits;
mod fault;
mod guest_memory;
mod laws;
mod mapping;
mod message;
mod notification;
mod order;
mod port;
mod prelude;
mod registers;
mod reply;
mod retype;
mod table;
mod thread;
mod through;
mod transfer;
mod vcpu;

use crate::case::Case;

/// The groups, in the order in which they run.
const GROUPS: &[&[Case]] = &[
    table::CASES,
    retype::CASES,
    derivation::CASES,
    mapping::CASES,
    notification::CASES,
    thread::CASES,
    message::CASES,
    reply::CASES,
    transfer::CASES,
    through::CASES,
    order::CASES,
    budget::CASES,
    fault::CASES,
    device::CASES,
    port::CASES,
    deletion::CASES,
    vcpu::CASES,
    exits::CASES,
    guest_memory::CASES,
    registers::CASES,
    cores::CASES,
];

/// Returns every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let groups = GROUPS.iter().copied();
    let laws = laws::LAWS
        .iter()
        .map(|law| law.as_slice())
        .chain(laws::SHORT_LAWS.iter().map(|law| law.as_slice()));
    groups.chain(laws).flatten()
}
