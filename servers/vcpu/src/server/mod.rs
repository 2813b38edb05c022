//! The server around the library: a thread per core, exits in, outcomes out.
//!
//! ```text
//!  kernel ── Exit ──▶ Server::handle ──▶ State (behind the lock) ──▶ Machine::exit
//!                          │                                             │ Outcome
//!                          │◀────────────────────────────────────────────┘
//!                          ├─ reply; what is worth a line is printed outside of the lock
//!                          └─ follow: report the guest's end, or reset it and load it again
//! ```
//! A vCPU that stops is answered first and then parked in the machine's state, so that nobody
//! starts it before it stands still.

mod devices;
mod output;
mod platform;
mod report;
mod requests;
mod riscv;
mod s390;
mod setup;
mod state;
mod world;
mod x86;

pub use platform::Platform;
pub use riscv::RiscvPlatform;
pub use s390::S390Platform;
pub use setup::{Image, Processor, Setup, SetupError};
pub use world::World;
pub use x86::X86Platform;

use crate::{EndReason, Exit, Machine, Outcome, RebootKind, VcpuId};
use abi::{DeliveryKind, Error};
use alloc::sync::Arc;
use rt::lock::Guard;
use rt::{Incoming, Outgoing, ReplyAction, TicketLock};
use state::{State, Step, Task};

/// The vCPU server of one guest. Declared as a static, which its threads share.
pub struct Server<P: Platform> {
    state: TicketLock<Option<State<P>>>,
}

impl<P: Platform> Default for Server<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Server<P> {
    /// Returns a server that knows nothing of its guest yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: TicketLock::new(None),
        }
    }

    /// Sets up, loads and boots the guest, and serves it; `on_core` is what the threads of the
    /// other cores run: it calls [`Self::serve`].
    pub fn run(&'static self, on_core: fn(u64)) -> ! {
        protect_thread();
        let core = rt::cores::current();
        match Setup::read(core) {
            Ok(setup) => self.begin(setup),
            Err(error) => {
                rt::log!("vcpu: the guest cannot be set up: {error}");
                report::publish(report::SETUP_FAILED);
            }
        }
        // One that is not set up refuses, so that nobody waits for it.
        rt::cores::run_on_cores(on_core);
        rt::spawn::exit()
    }

    /// Begins with the guest that `setup` describes.
    fn begin(&self, setup: Setup) {
        let setup = Arc::new(setup);
        let machine = P::machine(&setup);
        let state = machine.and_then(|machine| State::new(machine, Arc::clone(&setup)));
        let Some(state) = state else {
            rt::log!(
                "guest {}: its vCPUs or its memory are not a machine",
                setup.description.name
            );
            return report::publish(report::SETUP_FAILED);
        };
        *self.state.lock() = Some(state);
    }

    /// Serves the endpoint of `core`, on a thread of that core; the first thread loads and boots the
    /// guest before.
    pub fn serve(&self, core: u64) {
        protect_thread();
        if self.with(|state| state.begins_on(core)) == Some(true) {
            self.load(None);
        }
        let Some(endpoint) = rt::cores::endpoint_of(core) else {
            return rt::log!("vcpu: there is no endpoint on core {core}");
        };
        rt::debug!("core {=u64} is served", core);
        if let Err(error) = rt::serve(endpoint, |incoming| self.handle(incoming)) {
            rt::log!("vcpu: core {core} is not served any more: {error:?}");
        }
    }

    /// Handles one message.
    #[inline]
    fn handle(&self, incoming: &Incoming) -> ReplyAction {
        match incoming.kind() {
            Some(DeliveryKind::Exit) => self.exit(incoming),
            Some(DeliveryKind::Call) => {
                self.call(*incoming);
                ReplyAction::Wait
            }
            Some(DeliveryKind::Notification) => {
                self.rung();
                ReplyAction::Wait
            }
            // Nothing of this is routed here; the sender is not left waiting.
            Some(DeliveryKind::Access | DeliveryKind::Fault) | None => {
                ReplyAction::Reply(Outgoing::new(0).with_words(&[0]))
            }
        }
    }

    /// Handles an exit.
    #[inline]
    fn exit(&self, incoming: &Incoming) -> ReplyAction {
        let Some(exit) = Exit::decode(incoming.label(), incoming.words) else {
            return ReplyAction::Reply(answer_to(Outcome::DECLINE));
        };
        let Some(vcpu) = VcpuId::new(incoming.vcpu()) else {
            return ReplyAction::Reply(answer_to(Outcome::DECLINE));
        };
        match self.with(|state| state.exit(vcpu, exit, incoming.sequence)) {
            Some(Step::Answer(outcome)) if outcome.stops() => {
                self.stop(vcpu);
                ReplyAction::Wait
            }
            Some(Step::Answer(outcome)) => ReplyAction::Reply(answer_to(outcome)),
            Some(Step::Panic(call)) => panic_at(call),
            Some(Step::Touch(address)) => touch(address),
            None => ReplyAction::Reply(answer_to(Outcome::DECLINE)),
        }
    }

    /// Answers an exit after which the vCPU stays stopped, and does what then has to be done.
    #[cold]
    #[inline(never)]
    fn stop(&self, vcpu: VcpuId) {
        answer(&answer_to(Outcome::STOP));
        self.with(|state| state.machine.parked(vcpu));
        self.follow();
    }

    /// Does what the state of the guest's life asks for, once.
    fn follow(&self) {
        match self.with(State::take_task).flatten() {
            Some(Task::Report(status)) => {
                // What the guest printed before counts, though its device's ring comes later.
                let devices = self.with(|state| state.world.setup.description.devices.len());
                let mut lines = (0..devices.unwrap_or(0)).filter_map(devices::take_exit);
                let printed = lines
                    .next()
                    .map(|number| EndReason::ExitLine(number).status());
                self.report(printed.unwrap_or(status));
            }
            Some(Task::Reload(kind)) => self.load(Some(kind)),
            None => {}
        }
    }

    /// Loads the guest and boots it, `again` behind a reboot; one that cannot be loaded has ended.
    fn load(&self, again: Option<RebootKind>) {
        let Some(setup) = self.with(|state| Arc::clone(&state.world.setup)) else {
            return;
        };
        let name = &setup.description.name;
        let is_reset = again.is_none() || self.reset(&setup);
        let loaded = is_reset.then(|| P::load(&setup, again));
        if let Some(Ok(boot)) = &loaded {
            rt::debug!(
                "guest {=str}: begins at {=u64:#x}, its device tree is at {=u64:#x}",
                name.as_str(),
                boot.entry,
                boot.device_tree
            );
        }
        match loaded {
            None => {}
            Some(Err(error)) => rt::log!("guest {name}: {error}"),
            Some(Ok(boot)) => match self.with(|state| state.boot(boot)) {
                Some(Err(error)) => rt::log!("guest {name}: its first vCPU refuses: {error:?}"),
                Some(Ok(())) | None => return,
            },
        }
        self.with(State::give_up);
        self.report(report::LOAD_FAILED);
    }

    /// Resets everything of the guest but its memory: vCPUs first, so that nothing moves, then the
    /// devices, then the interrupt controllers. Returns whether all could be reset.
    fn reset(&self, setup: &Setup) -> bool {
        let Some(newest) = self.with(|state| state.world.reset()) else {
            return false;
        };
        let name = &setup.description.name;
        for (index, device) in setup.description.devices.iter().enumerate() {
            if let Err(trouble) = devices::reset(index, newest) {
                rt::log!("guest {name}: {} is not reset: {trouble}", device.name);
                return false;
            }
        }
        if let Err(trouble) = devices::reset_interrupts(newest) {
            rt::log!("guest {name}: its interrupt controllers are not reset: {trouble}");
            return false;
        }
        true
    }

    /// Acts on the state behind the lock, and prints outside of it what there is to print.
    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut State<P>) -> R) -> Option<R> {
        let mut guard = self.state.lock();
        let state = guard.as_mut()?;
        let result = act(state);
        if state.world.has_output() {
            print(guard);
        }
        Some(result)
    }
}

/// Opens the lock, and prints what there is to print.
#[cold]
#[inline(never)]
fn print<P: Platform>(mut guard: Guard<'_, Option<State<P>>>) {
    let Some(state) = guard.as_mut() else {
        return;
    };
    let (setup, output) = state.world.take_output();
    drop(guard);
    output.print(&setup.description.name);
}

/// Dies at a call of the guest's, as a test wants it.
#[cold]
#[inline(never)]
fn panic_at((extension, function): (u64, u64)) -> ! {
    panic!("the guest made the call {extension:#x}, {function}, as the test wants it")
}

/// Reads where this server may not, as a test wants it.
#[cold]
#[inline(never)]
fn touch(address: u64) -> ! {
    let word = rt::touch(address);
    panic!("the server read {word:#x} at {address:#x}, which is not its own")
}

/// Returns the answer to an exit.
#[inline]
fn answer_to(outcome: Outcome) -> Outgoing {
    Outgoing::new(outcome.label()).with_words(outcome.words())
}

/// Answers the current caller before the next message is received; one that is gone needs none.
fn answer(message: &Outgoing) {
    match rt::synchronization::reply(message) {
        Ok(()) | Err(Error::NoCaller) => {}
        Err(error) => rt::error!("an answer is lost: {}", error),
    }
}

/// Lets the running thread survive copies that meet absent pages.
fn protect_thread() {
    if let Err(error) = guest_memory::protect_thread() {
        rt::error!("absent pages of the guest will be fatal: {}", error);
    }
}
