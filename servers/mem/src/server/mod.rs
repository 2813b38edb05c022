//! Requests of clients, and second-stage faults of their guests.

mod capabilities;
mod contents;
mod desk;
mod job;
mod report;
mod start;

use abi::SlotAddress;
use abi::exit::ExitReply;
use alloc::vec;
use alloc::vec::Vec;
use capabilities::Capabilities;
use desk::Desk;
use mem::{FRAME_SHIFT, Slot, Steward, Touch};
use mem_api::{FOLIOS_PER_REPLY, Mem, Refusal, Reply, Request};
use rt::api::delivery::MAX_VCPUS;
use rt::api::{Deliveries, Delivery, Last, Refused};
use rt::serve::{refusal, reply_of};
use rt::{Outgoing, TicketLock};

/// What the server knows.
struct State {
    steward: Steward<Capabilities>,
    /// Those guests that faulted, and how their faults were answered.
    faults: Vec<(u16, Faults)>,
}

/// Faults of a guest, by vCPU.
type Faults = Deliveries<ExitReply, Vec<Last<ExitReply>>>;

/// Shared by the threads of all cores; never held while memory is cleared or
/// copied.
static STATE: TicketLock<Option<State>> = TicketLock::new(None);

/// Serves every core for ever.
pub fn run() -> ! {
    let steward = start::steward();
    *STATE.lock() = Some(State {
        steward,
        faults: Vec::new(),
    });
    rt::cores::run_on_cores(serve_core);
    rt::spawn::exit()
}

/// Serves the clients of one core.
fn serve_core(core: u64) {
    let Some(mut desk) = Desk::new(core) else {
        rt::log!("mem: no endpoint on core {core}");
        return;
    };
    rt::debug!("core {=u64} is served", core);
    if let Err(error) = desk.serve() {
        rt::log!("mem: core {core}: {error:?}");
    }
}

/// Returns the message of a reply with the frames that travel with it.
fn message_of(reply: &Result<Reply, Refusal>, frames: Vec<Slot>) -> Outgoing {
    let outgoing = reply_of::<Mem>(reply);
    if frames.is_empty() {
        return outgoing;
    }
    if frames.len() > FOLIOS_PER_REPLY {
        return refusal(Refused::Malformed);
    }
    let slots: Vec<SlotAddress> = frames.into_iter().map(SlotAddress::own).collect();
    outgoing.with_capabilities(&slots)
}

/// Does something with the lock; nothing before the server began.
fn lock<T>(act: impl FnOnce(&mut State) -> T) -> Option<T> {
    STATE.lock().as_mut().map(act)
}

/// Makes a call of the steward's, with the lock.
fn with_steward<T>(
    act: impl FnOnce(&mut Steward<Capabilities>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    lock(|state| act(&mut state.steward)).unwrap_or(Err(Refusal::TooMany))
}

/// Notes in the log what a client got.
fn tell(process: u16, request: Request, reply: Reply) {
    let (
        Reply::Allocated { folios, .. },
        Request::Allocate {
            pages, start_page, ..
        },
    ) = (reply, request)
    else {
        return;
    };
    rt::debug!(
        "client {=u16} got {=u64} MiB from {=u64:#x} on in {=u32} folios",
        process,
        pages.bytes() >> 20,
        start_page << FRAME_SHIFT,
        folios
    );
}

impl State {
    /// Decides about a fault of a guest's vCPU; one that comes again gets the same answer. There is
    /// none as long as what the guest touched is just being moved.
    fn fault(
        &mut self,
        (guest, vcpu): (u16, usize),
        sequence: u64,
        address: u64,
    ) -> Option<ExitReply> {
        let faults = faults_of(&mut self.faults, guest);
        if let Delivery::Repeated(label) = faults.look(vcpu, sequence) {
            return Some(label);
        }
        let label = match self.steward.touch(guest, address) {
            Touch::Mapped => ExitReply::Resume,
            Touch::Outside => ExitReply::Decline,
            Touch::Later => return None,
            Touch::Failed => {
                rt::log!("mem: guest {guest}: {address:#x} is not mapped");
                ExitReply::Decline
            }
        };
        faults.record(vcpu, sequence, label);
        Some(label)
    }
}

/// Returns the faults of a guest.
fn faults_of(faults: &mut Vec<(u16, Faults)>, guest: u16) -> &mut Faults {
    let found = faults.iter().position(|(of, _)| *of == guest);
    let index = found.unwrap_or_else(|| {
        let none = vec![Last::default(); MAX_VCPUS];
        faults.push((guest, Deliveries::new(none)));
        faults.len() - 1
    });
    &mut faults[index].1
}
