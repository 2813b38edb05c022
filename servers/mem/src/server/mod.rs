//! Requests of clients, and second-stage faults of their guests.

mod capabilities;
mod desk;
mod report;
mod start;

use abi::SlotAddress;
use abi::exit::ExitReply;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use capabilities::Capabilities;
use desk::Desk;
use mem::{Decision, FRAME_SHIFT, Fill, Slot, Steward, Touch};
use mem_api::{FOLIOS_PER_REPLY, Mem, Refusal, Reply, Request};
use rt::api::delivery::MAX_VCPUS;
use rt::api::{Deliveries, Delivery, Last, Refused};
use rt::serve::{refusal, reply_of};
use rt::{Outgoing, TicketLock};

/// What the server knows.
struct State {
    steward: Steward<Capabilities>,
    /// Faults, by guest and vCPU, and how they were answered.
    faults: BTreeMap<u16, Deliveries<ExitReply, Vec<Last<ExitReply>>>>,
}

/// Shared by the threads of all cores; never held while memory is cleared.
static STATE: TicketLock<Option<State>> = TicketLock::new(None);

/// Serves every core for ever.
pub fn run() -> ! {
    let steward = start::steward();
    *STATE.lock() = Some(State {
        steward,
        faults: BTreeMap::new(),
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

/// Answers a request.
fn answer_request(core: u64, process: u16, request: Request) -> Outgoing {
    let mut slots = Vec::new();
    let reply = carry_out(core, process, request).map(|(reply, frames)| {
        slots = frames;
        reply
    });
    let outgoing = reply_of::<Mem>(&reply);
    if slots.is_empty() {
        return outgoing;
    }
    if slots.len() > FOLIOS_PER_REPLY {
        return refusal(Refused::Malformed);
    }
    let slots: Vec<SlotAddress> = slots.into_iter().map(SlotAddress::own).collect();
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

/// Carries a request out, to its end.
fn carry_out(core: u64, process: u16, request: Request) -> Result<(Reply, Vec<Slot>), Refusal> {
    let fill = match with_steward(|steward| steward.decide(process, request))? {
        Decision::Done(reply, frames) => return Ok((reply, frames)),
        Decision::Fill(fill) => fill,
        // The others get their turn behind each folio that was moved.
        Decision::Empty(emptying) => loop {
            if let Some(fill) = with_steward(|steward| steward.make_room(emptying))? {
                break fill;
            }
        },
    };
    let reply = fill_frames(core, &fill)?;
    tell(process, request, reply);
    Ok((reply, Vec::new()))
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

/// Clears frames, without the lock, and tells the client of them.
fn fill_frames(core: u64, fill: &Fill) -> Result<Reply, Refusal> {
    let cleared = fill
        .frames
        .iter()
        .try_for_each(|frame| capabilities::clear(core, *frame));
    with_steward(|steward| {
        if let Err(error) = cleared {
            rt::error!("a folio was not cleared: {}", error);
            steward.not_filled(fill);
            return Err(Refusal::TooMany);
        }
        steward.filled(fill)
    })
}

impl State {
    /// Decides about a fault of a guest's vCPU; one that comes again gets the same answer.
    fn fault(&mut self, (guest, vcpu): (u16, usize), sequence: u64, address: u64) -> ExitReply {
        let seen = self.faults.get(&guest);
        if let Some(Delivery::Repeated(label)) = seen.map(|faults| faults.look(vcpu, sequence)) {
            return label;
        }
        let label = match self.steward.touch(guest, address) {
            Touch::Mapped => ExitReply::Resume,
            Touch::Outside => ExitReply::Decline,
            Touch::Failed => {
                rt::log!("mem: guest {guest}: {address:#x} is not mapped");
                ExitReply::Decline
            }
        };
        let faults = self
            .faults
            .entry(guest)
            .or_insert_with(|| Deliveries::new(vec![Last::default(); MAX_VCPUS]));
        faults.record(vcpu, sequence, label);
        label
    }
}
