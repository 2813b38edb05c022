//! Requests of clients, and second-stage faults of their guests.

mod capabilities;
mod start;

use abi::exit::ExitReply;
use abi::{DeliveryKind, SlotAddress};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use capabilities::Capabilities;
use mem::{Decision, Fill, Slot, Steward, Touch};
use mem_api::{FOLIOS_PER_REPLY, Mem, Refusal, Reply, Request};
use rt::api::delivery::MAX_VCPUS;
use rt::api::{Deliveries, Delivery, Last, Refused};
use rt::serve::{answer, refusal};
use rt::{Incoming, Outgoing, ReplyAction, TicketLock};

/// Badge bit of second-stage faults.
const FAULT_BADGE: u64 = 1 << 32;

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
    let Some(endpoint) = rt::cores::endpoint_of(core) else {
        rt::log!("mem: no endpoint on core {core}");
        return;
    };
    rt::debug!("core {=u64} is served", core);
    if let Err(error) = rt::serve(endpoint, |message| handle(core, message)) {
        rt::log!("mem: core {core}: {error:?}");
    }
}

/// Handles one message.
fn handle(core: u64, message: &Incoming) -> ReplyAction {
    match message.kind() {
        Some(DeliveryKind::Exit) if message.badge & FAULT_BADGE != 0 => {
            ReplyAction::Reply(answer_fault(message))
        }
        Some(DeliveryKind::Call) => ReplyAction::Reply(answer_call(core, message)),
        _ => ReplyAction::Wait,
    }
}

/// Answers a second-stage fault in a guest's memory: maps the folio where that is put off until the
/// guest touches it. Other faults met a translation from before, or memory that was never given.
fn answer_fault(message: &Incoming) -> Outgoing {
    let guest = u16::try_from((message.badge >> 8) & 0xff_ffff).unwrap_or(u16::MAX);
    let vcpu = message.vcpu() & 0xff;
    let [_, address, ..] = message.words;
    let mut guard = STATE.lock();
    let label = guard.as_mut().map_or(ExitReply::Decline, |state| {
        state.fault((guest, vcpu), message.sequence, address)
    });
    Outgoing::new(u16::try_from(label.number()).unwrap_or(0))
}

/// Answers a request.
fn answer_call(core: u64, message: &Incoming) -> Outgoing {
    let process = u16::try_from(message.badge.wrapping_sub(1)).unwrap_or(u16::MAX);
    let mut slots = Vec::new();
    let outgoing = answer::<Mem>(message, |request| {
        let (reply, frames) = carry_out(core, process, request)?;
        slots = frames;
        Ok(reply)
    });
    if slots.is_empty() {
        return outgoing;
    }
    if slots.len() > FOLIOS_PER_REPLY {
        return refusal(Refused::Malformed);
    }
    let slots: Vec<SlotAddress> = slots.into_iter().map(SlotAddress::own).collect();
    outgoing.with_capabilities(&slots)
}

/// Makes a call of the steward's, with the lock.
fn with_steward<T>(
    act: impl FnOnce(&mut Steward<Capabilities>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut guard = STATE.lock();
    act(&mut guard.as_mut().ok_or(Refusal::TooMany)?.steward)
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
    fill_frames(core, &fill).map(|reply| (reply, Vec::new()))
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
