//! A thread on every core of the process but the first thread's.

use abi::boot::{SLOT_CAP_TABLE, SLOT_SPACE};
use alloc::format;
use rt::grant::Grant;
use rt::memory::CapTable;
use rt::spawn::{Plan, ThreadPlace};
use rt::{Budget, Frame, Space, Thread};

/// Bytes of a thread's stack.
const STACK: usize = 16 * 1024;
/// Threads beside the first.
const MORE: usize = 7;

static PLACES: [ThreadPlace<STACK>; MORE] = [const { ThreadPlace::new() }; MORE];

/// Returns the core that the calling thread runs on.
pub fn this_core() -> u64 {
    rt::capability::identify_kernel().map_or(0, |(_, core)| core)
}

/// Starts `entry(core)` on every core of the process but `own`; what fails is logged.
pub fn start(own: u64, entry: fn(u64)) {
    let cores = rt::grant("cores").map_or(0, |grant| grant.value);
    let others = (0..abi::MAX_CORES as u64).filter(|core| cores >> core & 1 == 1 && *core != own);
    for (position, core) in others.enumerate() {
        if start_one(position, core, entry).is_none() {
            rt::log!("vcpu: no thread could be started on core {core}");
        }
    }
}

/// Starts the thread of one core.
fn start_one(position: usize, core: u64, entry: fn(u64)) -> Option<()> {
    let granted = |name: &str| rt::grant(&format!("{name}.{core}"));
    let (thread, budget, message) = (granted("thread")?, granted("budget")?, granted("message")?);
    let plan = Plan {
        space: Space::own(SLOT_SPACE),
        table: CapTable::own(SLOT_CAP_TABLE),
        budget: Budget::own(budget.index()),
        message_page: Some((Frame::own(message.index()), message.value)),
        priority: thread.value,
        index: position as u64 + 1,
    };
    let thread = Thread::own(Grant::index(thread));
    PLACES.get(position)?.start(thread, &plan, entry, core).ok()
}
