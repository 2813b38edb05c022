//! The process: one thread per core that a vCPU or a device of the guest is on.
//!
//! The lock is held over the injections too, so that two changes of one line reach the vCPU in the
//! order in which they happened. That is a system call that waits for nobody, and no call of a
//! server: this process calls none but the log.

use crate::controller::{Access, Controller};
use crate::floating::{self, Lines};
use crate::plic::LineChanges;
use abi::exit::AccessInfo;
use abi::{DeliveryKind, Error, ObjectKind};
use alloc::vec::Vec;
use api::Refused;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use irq_api::Irq;
use riscv_regs::interrupt::GuestInterrupts;
use rt::serve::{answer, refusal};
use rt::sys::Machine;
use rt::{Incoming, Outgoing, ReplyAction, TicketLock, Vcpu, grant, log};
use vcpu_api::Description;
use vcpu_api::description::PLIC_BASE;

/// The external interrupt line of a vCPU.
const EXTERNAL: u64 = GuestInterrupts::new().with_external(true).into_bits();

/// What all threads share.
struct Shared {
    controllers: Controllers,
    vcpus: Vec<Vcpu>,
}

/// The controllers of the machine's guests.
enum Controllers {
    /// RISC-V: a PLIC.
    Plic(Controller),
    /// s390x.
    Floating(floating::Controller),
}

static SHARED: TicketLock<Option<Shared>> = TicketLock::new(None);

/// Whether a failure to inject was logged.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Runs the interrupt server, which never returns.
pub fn run() -> ! {
    if install() {
        rt::run_on_cores(serve_core);
    } else {
        log!("irq: the description of the guest is missing or wrong");
    }
    rt::spawn::exit()
}

/// Puts together what the threads share; returns whether it could. A function of its own, so that
/// the stack is free again when serving begins.
#[inline(never)]
fn install() -> bool {
    let shared = shared();
    if let Some(shared) = &shared {
        rt::debug!("interrupts of {} vCPUs", shared.vcpus.len());
    }
    let is_complete = shared.is_some();
    *SHARED.lock() = shared;
    is_complete
}

/// Returns what the grants make of this process.
fn shared() -> Option<Shared> {
    let bytes = grant::bytes("description")?;
    let description: Description = postcard::from_bytes(bytes).ok()?;
    let vcpus = (0..).map_while(|index| {
        let slot = grant::indexed("vcpu", index)?.slot_of(ObjectKind::Vcpu)?;
        Some(Vcpu::own(slot))
    });
    let controllers = match rt::sys::MACHINE {
        Machine::S390 => Controllers::Floating(floating::Controller::new(&description)),
        Machine::Riscv | Machine::X86 => Controllers::Plic(Controller::new(&description).ok()?),
    };
    Some(Shared {
        controllers,
        vcpus: vcpus.collect(),
    })
}

/// Serves one core.
fn serve_core(core: u64) {
    let Some(endpoint) = rt::endpoint_of(core) else {
        log!("irq: no endpoint on core {core}");
        return;
    };
    rt::debug!("core {=u64} is served", core);
    if let Err(error) = rt::serve(endpoint, handle) {
        log!("irq: core {core}: {error:?}");
    }
}

/// Handles one message.
fn handle(message: &Incoming) -> ReplyAction {
    match message.kind() {
        Some(DeliveryKind::Access) => ReplyAction::Reply(access(message)),
        Some(DeliveryKind::Call) => ReplyAction::Reply(request(message)),
        Some(DeliveryKind::Notification) => ReplyAction::Wait,
        Some(DeliveryKind::Fault | DeliveryKind::Exit) | None => {
            ReplyAction::Reply(refusal(Refused::Malformed))
        }
    }
}

/// Serves an access of the guest.
fn access(message: &Incoming) -> Outgoing {
    let [address, info, value, ..] = message.words;
    let info = AccessInfo::from_bits(info);
    let access = Access {
        vcpu: message.vcpu(),
        sequence: message.sequence,
        offset: address.wrapping_sub(PLIC_BASE),
        size: info.size(),
        store: info.write().then_some(value),
    };
    let mut shared = SHARED.lock();
    let loaded = shared.as_mut().map_or(0, |shared| {
        let Controllers::Plic(controller) = &mut shared.controllers else {
            return 0;
        };
        let (value, changes) = controller.access(access);
        shared.apply(changes);
        value
    });
    Outgoing::new(0).with_words(&[loaded])
}

/// Serves a request of a device or of the supervisor.
fn request(message: &Incoming) -> Outgoing {
    answer::<Irq>(message, |request| {
        let mut shared = SHARED.lock();
        let shared = shared.as_mut().ok_or(irq_api::Refusal::NoSuchSource)?;
        match &mut shared.controllers {
            Controllers::Plic(controller) => {
                let (reply, changes) = controller.request(message.badge, request)?;
                shared.apply(changes);
                Ok(reply)
            }
            Controllers::Floating(controller) => {
                let reply = controller.request(message.badge, request)?;
                shared.settle();
                Ok(reply)
            }
        }
    })
}

impl Shared {
    /// Moves the lines of the vCPUs to where the interruptions of s390x want them.
    fn settle(&mut self) {
        for index in 0..self.vcpus.len() {
            let Controllers::Floating(controller) = &mut self.controllers else {
                return;
            };
            let Lines { raised, lowered } = controller.floating().settle(index);
            if raised | lowered != 0 {
                self.inject(index, raised, lowered);
            }
        }
    }

    /// Moves the lines of the vCPUs.
    fn apply(&self, changes: LineChanges) {
        for index in changes.raised.iter() {
            self.inject(index, EXTERNAL, 0);
        }
        for index in changes.lowered.iter() {
            self.inject(index, 0, EXTERNAL);
        }
    }

    /// Moves the line of one vCPU. One that is gone takes no interrupts.
    fn inject(&self, index: usize, raise: u64, lower: u64) {
        rt::trace!(
            "vCPU {}: raise {=u64:#x}, lower {=u64:#x}",
            index,
            raise,
            lower
        );
        let vcpu = self.vcpus.get(index);
        let moved = vcpu.map_or(Err(Error::NoCapability), |vcpu| vcpu.inject(raise, lower));
        if let Err(error) = moved
            && !REPORTED.swap(true, Relaxed)
        {
            rt::error!("vCPU {} takes no interrupts: {}", index, error);
        }
    }
}
