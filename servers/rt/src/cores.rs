//! One thread and one endpoint per core.
//!
//! An endpoint is reached from its own core only, so a process that serves several cores has a
//! thread on each, and calls its peers by the endpoint that they have there.

use crate::grant;
use crate::memory::{CapTable, Frame, Space};
use crate::spawn::{Plan, Seat};
use crate::synchronization::Endpoint;
use crate::thread::{Budget, Thread};
use abi::boot::{SLOT_CAP_TABLE, SLOT_SPACE};
use abi::{Error, ObjectKind};

/// The most cores of a process beside its first.
pub const MAX_FURTHER: usize = 7;

/// Seats of the further threads.
static SEATS: [Seat; MAX_FURTHER] = [const { Seat::new() }; MAX_FURTHER];

/// Returns the core that the thread runs on.
#[must_use]
pub fn current() -> u64 {
    crate::capability::identify_kernel().map_or(0, |(_, core)| core)
}

/// Returns the cores of this process in rising order.
pub fn cores() -> impl Iterator<Item = u64> {
    let mask = grant::value("cores").unwrap_or(0);
    (0..64).filter(move |core| mask >> core & 1 == 1)
}

/// Returns the endpoint at which clients on `core` reach this process.
#[must_use]
pub fn endpoint_of(core: u64) -> Option<Endpoint> {
    peer("endpoint", core)
}

/// Returns the endpoint at which threads of this process on `core` reach the peer that they call
/// `name`.
#[must_use]
pub fn peer(name: &str, core: u64) -> Option<Endpoint> {
    let slot = grant::indexed(name, core)?.slot_of(ObjectKind::Endpoint)?;
    Some(Endpoint::own(slot))
}

/// Runs `entry` on every core of the process, with the core as its argument: on the own one here,
/// on each other one in a thread of its own.
pub fn run_on_cores(entry: fn(u64)) {
    let own = current();
    for (position, core) in cores().filter(|core| *core != own).enumerate() {
        if let Err(error) = start(position, core, entry) {
            crate::error!("core {=u64} is not served: {}", core, error);
        }
    }
    entry(own);
}

/// Starts a further thread.
fn start(position: usize, core: u64, entry: fn(u64)) -> Result<(), Error> {
    let part = |stem: &str, kind: ObjectKind| {
        let grant = grant::indexed(stem, core)?;
        Some((grant.slot_of(kind)?, grant.value))
    };
    let missing = Error::NoCapability;
    let seat = SEATS.get(position).ok_or(Error::OutOfRange)?;
    let (thread, priority) = part("thread", ObjectKind::Thread).ok_or(missing)?;
    let (budget, _) = part("budget", ObjectKind::Budget).ok_or(missing)?;
    let (page, address) = part("message", ObjectKind::Frame).ok_or(missing)?;
    let stack = grant::indexed("stack", core).ok_or(missing)?.value;
    let plan = Plan {
        space: Space::own(SLOT_SPACE),
        table: CapTable::own(SLOT_CAP_TABLE),
        budget: Budget::own(budget),
        message_page: Some((Frame::own(page), address)),
        priority,
        index: position as u64 + 1,
    };
    seat.start(Thread::own(thread), &plan, (entry, core), stack)
}
