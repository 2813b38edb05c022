//! The process: one thread per core that a vCPU of the guest is on.
//!
//! The interrupt line is a level, and it is reported under a lock of its own: whoever holds that
//! lock reads the level and tells the interrupt server, so that reports arrive in the order of the
//! levels. The lock is held over a call, against the rule, because that call always returns: the
//! interrupt server waits for nobody, and the threads that share the lock are on different cores.
//!
//! The vcpu server calls this process (reset, the firmware's console) and is never called by it, so
//! that neither waits for the other for ever: it is rung where the guest printed an exit line.

use crate::port::{Outcome, Port};
use crate::request::Request;
use abi::call::FOREVER;
use abi::exit::AccessInfo;
use abi::{DeliveryKind, Error, ObjectKind};
use alloc::vec;
use alloc::vec::Vec;
use api::ring::Ends;
use api::{Deliveries, Delivery, Last, Refused};
use core::cell::Cell;
use device_api::{Bytes, Device, Refusal, Reply};
use irq_api::{Irq, LineReports, Source};
use rt::lock::Guard;
use rt::serve::{answer, refusal};
use rt::{Endpoint, Incoming, Notification, Outgoing, TicketLock, grant, log};
use vcpu_api::Description;

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
    /// The vcpu server's notification.
    vcpu: Option<Notification>,
    /// Badge of the vcpu server.
    supervisor: u64,
    /// Accesses, by vCPU, and the values that they loaded.
    accesses: Deliveries<u64, Vec<Last<u64>>>,
    /// The exit line that the vcpu server has to ask for.
    exit: Option<i64>,
}

static SHARED: TicketLock<Option<Shared>> = TicketLock::new(None);
/// What the interrupt server was told of the line.
static REPORTS: TicketLock<LineReports> = TicketLock::new(LineReports::new());

/// Runs the device, which never returns.
pub fn run() -> ! {
    if install() {
        rt::run_on_cores(serve_core);
    } else {
        log!("device-uart16550: the description, ring.0 or bell.0 is missing or wrong");
    }
    rt::spawn::exit()
}

/// Puts together what the threads share; returns whether it could. A function of its own, so that
/// the stack is free again when serving begins.
#[inline(never)]
fn install() -> bool {
    let shared = shared();
    let is_complete = shared.is_some();
    *SHARED.lock() = shared;
    is_complete
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
        vcpu: grant::slot("vcpu", ObjectKind::Notification).map(Notification::own),
        supervisor: u64::from(description.vcpu) + 1,
        accesses: Deliveries::new(vec![Last::default(); description.cores.len()]),
        exit: None,
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
        untold: Cell::new(false),
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
    /// The console was not told of all output when this thread saw the port last: it put the bytes,
    /// or whoever did tells of them in time.
    untold: Cell<bool>,
}

impl Thread {
    /// Serves until the endpoint is gone; returns why.
    fn serve(&self) -> Error {
        let mut received = self.pause();
        loop {
            received = match received {
                Ok(message) if message.kind() == Some(DeliveryKind::Access) => {
                    self.reply(&self.access(&message))
                }
                Ok(message) => self.handle(message),
                Err(Error::TimedOut) => self.pause(),
                Err(error) => return error,
            };
        }
    }

    /// Moves what there is to move, and waits for a message.
    #[inline(never)]
    fn pause(&self) -> Result<Incoming, Error> {
        self.refresh();
        self.receive()
    }

    /// Waits for a message.
    #[inline(never)]
    fn receive(&self) -> Result<Incoming, Error> {
        self.endpoint.receive(self.deadline())
    }

    /// Answers, and waits for a message.
    #[inline]
    fn reply(&self, answer: &Outgoing) -> Result<Incoming, Error> {
        match self.endpoint.reply_receive(answer, self.deadline()) {
            Err(Error::NoCaller) => self.receive(),
            received => received,
        }
    }

    /// Handles a message that is no access, and waits for the next one.
    #[inline(never)]
    fn handle(&self, message: Incoming) -> Result<Incoming, Error> {
        match message.kind() {
            Some(DeliveryKind::Call) => self.reply(&answer::<Device>(&message, |request| {
                self.request(message.badge, request)
            })),
            Some(DeliveryKind::Notification) => self.pause(),
            _ => self.reply(&refusal(Refused::Malformed)),
        }
    }

    /// Serves an access of the guest, who waits until its output has room. One that comes again has
    /// no second effect.
    #[inline]
    fn access(&self, message: &Incoming) -> Outgoing {
        let [address, info, value, ..] = message.words;
        let info = AccessInfo::from_bits(info);
        let access = Request {
            offset: address,
            size: info.size(),
            store: info.write().then_some(value),
        };
        let value = self.serve_access((message.vcpu(), message.sequence), access);
        Outgoing::new(0).with_words(&[value])
    }

    /// Serves an access, whose offset is its address still; returns the loaded value. Part of the loop:
    /// nobody has registers there that a function would have to keep.
    #[inline(always)]
    fn serve_access(&self, (vcpu, sequence): (usize, u64), access: Request) -> u64 {
        let outcome = self.with_port(|shared| match shared.accesses.look(vcpu, sequence) {
            Delivery::New => {
                let outcome = shared.port.access(Request {
                    offset: access.offset.wrapping_sub(shared.base),
                    ..access
                });
                shared.accesses.record(vcpu, sequence, outcome.value);
                outcome
            }
            Delivery::Repeated(value) => Outcome {
                value,
                ..Outcome::default()
            },
            Delivery::Stale => Outcome::default(),
        });
        if outcome.full {
            self.wait_for_room();
        }
        outcome.value
    }

    /// Decides about a request of the vcpu server.
    fn request(&self, badge: u64, request: device_api::Request) -> Result<Reply, Refusal> {
        let supervisor = SHARED.lock().as_ref().map(|shared| shared.supervisor);
        if supervisor != Some(badge) {
            return Err(Refusal::NotYours);
        }
        match request {
            device_api::Request::Reset { newest } => {
                self.with_port(|shared| {
                    shared.accesses.retire_all(&newest);
                    shared.exit = None;
                    shared.port.reset()
                });
                Ok(Reply::Done)
            }
            device_api::Request::TakeExit => {
                let number = SHARED.lock().as_mut().and_then(|shared| shared.exit.take());
                Ok(Reply::Exit { number })
            }
            device_api::Request::Write { bytes } => {
                let count = self.write(bytes.as_slice());
                let count = u16::try_from(count).unwrap_or(u16::MAX);
                Ok(Reply::Written { count })
            }
            device_api::Request::Read { most } => Ok(Reply::Read {
                bytes: self.read(most.into()),
            }),
            device_api::Request::Load {
                vcpu,
                sequence,
                address,
                size,
            } => {
                let access = Request {
                    offset: address,
                    size: u64::from(size),
                    store: None,
                };
                let value = self.serve_access((usize::from(vcpu), sequence), access);
                Ok(Reply::Loaded { value })
            }
        }
    }

    /// Writes for the guest's firmware, who waits until there is room, as the guest itself does;
    /// returns how many bytes were taken.
    fn write(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        for patient in [true, false] {
            let mut count = 0;
            let outcome = self.with_port(|shared| {
                let rest = bytes.get(done..).unwrap_or_default();
                let (taken, outcome) = shared.port.write(rest);
                count = taken;
                outcome
            });
            done += count;
            if !outcome.full || !patient {
                break;
            }
            self.wait_for_room();
        }
        done
    }

    /// Reads what was typed, for the guest's firmware.
    fn read(&self, most: usize) -> Bytes {
        let mut buffer = [0; Bytes::CAPACITY];
        let mut count = 0;
        self.with_port(|shared| {
            let place = buffer.get_mut(..most.min(Bytes::CAPACITY));
            let (read, outcome) = shared.port.read(place.unwrap_or_default());
            count = read;
            outcome
        });
        Bytes::new(buffer.get(..count).unwrap_or_default())
    }

    /// Moves what there is to move.
    fn refresh(&self) -> Outcome {
        self.with_port(|shared| shared.port.refresh())
    }

    /// Lets something happen to the port and performs what comes of it.
    #[inline(always)]
    fn with_port(&self, event: impl FnOnce(&mut Shared) -> Outcome) -> Outcome {
        let mut guard = SHARED.lock();
        let Some(shared) = guard.as_mut() else {
            return Outcome::default();
        };
        let outcome = event(shared);
        self.untold.set(shared.port.is_untold());
        if outcome.tells() {
            self.perform(guard, outcome);
        }
        outcome
    }

    /// Opens the lock, and tells others what came of an event.
    #[inline(never)]
    fn perform(&self, mut guard: Guard<'_, Option<Shared>>, outcome: Outcome) {
        let Some(shared) = guard.as_mut() else {
            return;
        };
        if let Some(status) = outcome.exit {
            rt::info!("the guest printed its exit line, with {=i64}", status.0);
            shared.exit.get_or_insert(status.0);
        }
        let (bell, vcpu) = (shared.bell, shared.vcpu);
        drop(guard);
        if outcome.bell {
            let _ = bell.signal();
        }
        if outcome.line_moved {
            self.report_line();
        }
        if let (Some(_), Some(vcpu)) = (outcome.exit, vcpu) {
            let _ = vcpu.signal();
        }
    }

    /// Tells the interrupt server the level of the line, where it does not know it.
    fn report_line(&self) {
        let Some(irq) = rt::peer("irq", self.core) else {
            return;
        };
        let mut reports = REPORTS.lock();
        loop {
            let now = SHARED
                .lock()
                .as_ref()
                .map(|shared| (shared.port.level(), shared.source));
            let Some((level, source)) = now else {
                return;
            };
            let Some(report) = reports.next(level) else {
                return;
            };
            // One that failed is made again, with its number, when the line moves next.
            if !matches!(
                rt::client::request::<Irq>(irq, &report.request(source)),
                Ok(Ok(_))
            ) {
                return;
            }
            reports.answered();
        }
    }

    /// Lets others run until the console has taken output, but not for ever.
    #[cold]
    #[inline(never)]
    fn wait_for_room(&self) {
        let patience = self.ticks_per_second / PATIENCE;
        let give_up = rt::sys::counter().saturating_add(patience);
        while self.is_full() && rt::sys::counter() < give_up {
            let _ = rt::capability::yield_now();
        }
    }

    /// Moves what there is to move; returns whether there is no room for output still.
    fn is_full(&self) -> bool {
        let outcome = self.refresh();
        let has_room = |shared: &Shared| shared.port.has_room();
        outcome.full || !SHARED.lock().as_ref().is_none_or(has_room)
    }

    /// Returns until when to wait: where the console was not told of all output, for a pause.
    fn deadline(&self) -> u64 {
        if self.untold.get() {
            rt::sys::counter().saturating_add(self.ticks_per_second / PAUSES)
        } else {
            FOREVER
        }
    }
}
