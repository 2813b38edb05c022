//! The process: one thread per core that a vCPU of the guest is on.
//!
//! The interrupt line is a level, and it is reported under a lock of its own: whoever holds that
//! lock reads the level and tells the interrupt server, so that reports arrive in the order of the
//! levels. The lock is held over a call, against the rule, because that call always returns: the
//! interrupt server waits for nobody, and the threads that share the lock are on different cores.

use crate::port::{Outcome, Port};
use crate::request::Request;
use abi::call::FOREVER;
use abi::exit::AccessInfo;
use abi::{DeliveryKind, Error, ObjectKind};
use api::Refused;
use api::ring::Ends;
use irq_api::{Irq, Source};
use rt::serve::refusal;
use rt::{Endpoint, Incoming, Notification, Outgoing, TicketLock, grant, log};
use vcpu_api::{Description, Vcpus};

/// Pauses per second: a guest that sent nothing for one is taken to wait at a prompt.
const PAUSES: u64 = 500;
/// Parts of a second that a guest waits for room before its output is lost.
const PATIENCE: u64 = 10;

/// What all threads share.
struct Shared {
    port: Port<'static>,
    base: u64,
    source: Source,
    bell: Notification,
}

static SHARED: TicketLock<Option<Shared>> = TicketLock::new(None);
/// The level that the interrupt server knows.
static REPORTED: TicketLock<bool> = TicketLock::new(false);

/// Runs the device, which never returns.
pub fn run() -> ! {
    let shared = shared();
    if shared.is_some() {
        *SHARED.lock() = shared;
        rt::run_on_cores(serve_core);
    } else {
        log!("device-uart16550: the description, ring.0 or bell.0 is missing or wrong");
    }
    rt::spawn::exit()
}

/// Returns what the grants make of this process.
fn shared() -> Option<Shared> {
    let bytes = grant::bytes("description")?;
    let description: Description = postcard::from_bytes(bytes).ok()?;
    let process = grant::value("process")?;
    let device = description
        .devices
        .iter()
        .find(|device| u64::from(device.process) == process)?;
    Some(Shared {
        port: Port::new(Ends::of_peer(grant::page("ring.0")?)?),
        base: device.base,
        source: Source::new(u8::try_from(device.source).ok()?)?,
        bell: Notification::own(grant::slot("bell.0", ObjectKind::Notification)?),
    })
}

/// Serves one core.
fn serve_core(core: u64) {
    let Some(endpoint) = rt::endpoint_of(core) else {
        log!("device-uart16550: no endpoint on core {core}");
        return;
    };
    let thread = Thread {
        core,
        endpoint,
        ticks_per_second: grant::value("ticks").unwrap_or(0).max(PAUSES),
    };
    rt::debug!("core {=u64} is served", core);
    let error = thread.serve();
    log!("device-uart16550: core {core}: {error:?}");
}

/// What one thread knows.
struct Thread {
    core: u64,
    endpoint: Endpoint,
    ticks_per_second: u64,
}

impl Thread {
    /// Serves until the endpoint is gone; returns why.
    fn serve(&self) -> Error {
        self.refresh();
        let mut answer = None;
        loop {
            let deadline = self.deadline();
            let received = match answer.take() {
                Some(answer) => match self.endpoint.reply_receive(&answer, deadline) {
                    Err(Error::NoCaller) => self.endpoint.receive(deadline),
                    received => received,
                },
                None => self.endpoint.receive(deadline),
            };
            match received {
                Ok(message) => answer = self.handle(&message),
                Err(Error::TimedOut) => drop(self.refresh()),
                Err(error) => return error,
            }
        }
    }

    /// Handles a message; returns the answer where there is somebody to get one.
    fn handle(&self, message: &Incoming) -> Option<Outgoing> {
        match message.kind() {
            Some(DeliveryKind::Access) => Some(self.access(message)),
            Some(DeliveryKind::Notification) => {
                self.refresh();
                None
            }
            _ => Some(refusal(Refused::Malformed)),
        }
    }

    /// Serves an access of the guest, who waits until its output has room.
    fn access(&self, message: &Incoming) -> Outgoing {
        let [address, info, value, ..] = message.words;
        let info = AccessInfo::from_bits(info);
        let outcome = self.with_port(|shared| {
            shared.port.access(Request {
                offset: address.wrapping_sub(shared.base),
                size: info.size(),
                store: info.write().then_some(value),
            })
        });
        if outcome.full {
            self.wait_for_room();
        }
        if let Some(status) = outcome.exit {
            self.report_exit(status.0);
        }
        Outgoing::new(0).with_words(&[outcome.value])
    }

    /// Moves what there is to move.
    fn refresh(&self) -> Outcome {
        self.with_port(|shared| shared.port.refresh())
    }

    /// Lets something happen to the port and performs what comes of it.
    fn with_port(&self, event: impl FnOnce(&mut Shared) -> Outcome) -> Outcome {
        let (outcome, bell) = match &mut *SHARED.lock() {
            Some(shared) => (event(shared), shared.bell),
            None => return Outcome::default(),
        };
        if outcome.bell {
            let _ = bell.signal();
        }
        if outcome.line_moved {
            self.report_line();
        }
        outcome
    }

    /// Tells the interrupt server the level of the line, where it does not know it.
    fn report_line(&self) {
        let mut reported = REPORTED.lock();
        let now = SHARED
            .lock()
            .as_ref()
            .map(|shared| (shared.port.level(), shared.source));
        let Some((level, source)) = now.filter(|(level, _)| *level != *reported) else {
            return;
        };
        let Some(irq) = rt::peer("irq", self.core) else {
            return;
        };
        let request = irq_api::Request::Raise { source, level };
        if let Ok(Ok(_)) = rt::client::request::<Irq>(irq, &request) {
            *reported = level;
        }
    }

    /// Tells the vCPU server of an exit line, where there is one that wants to know.
    fn report_exit(&self, number: i64) {
        rt::info!("the guest printed its exit line, with {=i64}", number);
        if let Some(vcpu) = rt::peer("vcpu", self.core) {
            let _ = rt::client::request::<Vcpus>(vcpu, &vcpu_api::Request::ExitLine { number });
        }
    }

    /// Lets others run until the console has taken output, but not for ever.
    fn wait_for_room(&self) {
        let patience = self.ticks_per_second / PATIENCE;
        let give_up = rt::sys::counter().saturating_add(patience);
        while self.refresh().full && rt::sys::counter() < give_up {
            let _ = rt::capability::yield_now();
        }
    }

    /// Returns until when to wait: where the console was not told of all output, for a pause.
    fn deadline(&self) -> u64 {
        let untold = SHARED
            .lock()
            .as_ref()
            .is_some_and(|shared| shared.port.is_untold());
        if untold {
            rt::sys::counter().saturating_add(self.ticks_per_second / PAUSES)
        } else {
            FOREVER
        }
    }
}
