//! The process: one thread per core that a vCPU or a device of the guest is on.
//!
//! The lock is held over the injections too, so that two changes of one line reach the vCPU in the
//! order in which they happened. That is a system call that waits for nobody, and no call of a
//! server: this process calls none but the log.

use crate::chips::{Access, Chips, Vcpus};
use crate::controller::Controller;
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::{DeliveryKind, Error, ObjectKind};
use alloc::vec::Vec;
use api::Refused;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use irq_api::Irq;
use rt::serve::{answer, refusal};
use rt::{Incoming, Notification, Outgoing, ReplyAction, TicketLock, Vcpu, grant, log};
use vcpu_api::Description;

/// What all threads share.
struct Shared<C> {
    controller: Controller<C>,
    targets: Targets,
}

/// The guest's vCPUs, and its vcpu server.
struct Targets {
    vcpus: Vec<Vcpu>,
    vcpu_server: Option<Notification>,
}

/// Whether a failure to inject was logged.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// The interrupt server of one guest. Declared as a static, which its threads share.
pub struct Server<C> {
    shared: TicketLock<Option<Shared<C>>>,
}

impl<C: Chips> Default for Server<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Chips> Server<C> {
    /// Returns a server that knows nothing of its guest yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            shared: TicketLock::new(None),
        }
    }

    /// Runs the interrupt server, which never returns; `on_core` is what the thread of each core
    /// runs: it calls [`Self::serve`].
    pub fn run(&'static self, on_core: fn(u64)) -> ! {
        if self.install() {
            rt::run_on_cores(on_core);
        } else {
            log!("irq: the description of the guest is missing or wrong");
        }
        rt::spawn::exit()
    }

    /// Puts together what the threads share; returns whether it could. A function of its own, so
    /// that the stack is free again when serving begins.
    #[inline(never)]
    fn install(&self) -> bool {
        let shared = shared();
        if let Some(shared) = &shared {
            rt::debug!("interrupts of {} vCPUs", shared.targets.vcpus.len());
        }
        let is_complete = shared.is_some();
        *self.shared.lock() = shared;
        is_complete
    }

    /// Serves one core.
    pub fn serve(&self, core: u64) {
        let Some(endpoint) = rt::endpoint_of(core) else {
            log!("irq: no endpoint on core {core}");
            return;
        };
        rt::debug!("core {=u64} is served", core);
        if let Err(error) = rt::serve(endpoint, |message| self.handle(message)) {
            log!("irq: core {core}: {error:?}");
        }
    }

    /// Handles one message.
    fn handle(&self, message: &Incoming) -> ReplyAction {
        match message.kind() {
            Some(DeliveryKind::Access) => ReplyAction::Reply(self.access(message)),
            Some(DeliveryKind::Call) => ReplyAction::Reply(self.request(message)),
            Some(DeliveryKind::Exit) => ReplyAction::Reply(self.exit(message)),
            Some(DeliveryKind::Notification) => ReplyAction::Wait,
            Some(DeliveryKind::Fault) | None => ReplyAction::Reply(refusal(Refused::Malformed)),
        }
    }

    /// Serves an access of the guest.
    fn access(&self, message: &Incoming) -> Outgoing {
        let [address, info, value, ..] = message.words;
        let info = AccessInfo::from_bits(info);
        let access = Access {
            vcpu: message.vcpu(),
            sequence: message.sequence,
            key: RouteKey::from_number(u64::from(info.key())).unwrap_or(RouteKey::Device),
            address,
            size: info.size(),
            store: info.write().then_some(value),
            now: rt::sys::counter(),
        };
        let mut shared = self.shared.lock();
        let loaded = shared.as_mut().map_or(0, |shared| {
            let mut changes = C::Changes::default();
            let value = shared.controller.access(&access, &mut changes);
            C::tell(&changes, &mut shared.targets);
            value
        });
        Outgoing::new(0).with_words(&[loaded])
    }

    /// Serves a vCPU that can take an interrupt.
    fn exit(&self, message: &Incoming) -> Outgoing {
        if u64::from(message.label()) != ExitClass::Window.number() {
            return Outgoing::new(ExitReply::Decline as u16);
        }
        let [_, lines, ..] = message.words;
        let sender = (message.vcpu(), message.sequence);
        let mut shared = self.shared.lock();
        if let Some(shared) = shared.as_mut() {
            let now = rt::sys::counter();
            let changes = shared.controller.window(sender, lines, now);
            C::tell(&changes, &mut shared.targets);
        }
        Outgoing::new(ExitReply::Resume as u16)
    }

    /// Serves a request of a device or of the supervisor.
    fn request(&self, message: &Incoming) -> Outgoing {
        answer::<Irq>(message, |request| {
            let mut shared = self.shared.lock();
            let shared = shared.as_mut().ok_or(irq_api::Refusal::NoSuchSource)?;
            let now = rt::sys::counter();
            let (reply, changes) = shared.controller.request(message.badge, request, now)?;
            C::tell(&changes, &mut shared.targets);
            Ok(reply)
        })
    }
}

/// Returns what the grants make of this process.
fn shared<C: Chips>() -> Option<Shared<C>> {
    let bytes = grant::bytes("description")?;
    let description: Description = postcard::from_bytes(bytes).ok()?;
    let vcpus = (0..).map_while(|index| {
        let slot = grant::indexed("vcpu", index)?.slot_of(ObjectKind::Vcpu)?;
        Some(Vcpu::own(slot))
    });
    let vcpu_server = grant::slot("vcpu", ObjectKind::Notification).map(Notification::own);
    Some(Shared {
        controller: Controller::new(&description)?,
        targets: Targets {
            vcpus: vcpus.collect(),
            vcpu_server,
        },
    })
}

impl Targets {
    /// Makes a call on a vCPU. One that is gone takes no interrupts.
    fn attempt(&self, index: usize, call: impl FnOnce(Vcpu) -> Result<(), Error>) {
        let vcpu = self.vcpus.get(index).copied();
        let done = vcpu.map_or(Err(Error::NoCapability), call);
        if let Err(error) = done
            && !REPORTED.swap(true, Relaxed)
        {
            rt::error!("vCPU {} takes no interrupts: {}", index, error);
        }
    }
}

impl Vcpus for Targets {
    fn inject(&mut self, vcpu: usize, raise: u64, lower: u64) {
        rt::trace!(
            "vCPU {}: raise {=u64:#x}, lower {=u64:#x}",
            vcpu,
            raise,
            lower
        );
        self.attempt(vcpu, |vcpu| vcpu.inject(raise, lower).map(drop));
    }

    fn write(&mut self, vcpu: usize, id: u64, value: u64) {
        self.attempt(vcpu, |vcpu| vcpu.write(id, value));
    }

    fn ring(&mut self) {
        if let Some(server) = self.vcpu_server {
            let _ = server.signal();
        }
    }
}
