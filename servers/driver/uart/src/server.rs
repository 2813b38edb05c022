//! The process: waits for the bell of the console, the interrupt, or a deadline.

use crate::chip::{Chip, Ports};
use crate::port::{Port, Progress};
use crate::registers::Registers;
use abi::call::FOREVER;
use abi::{DeliveryKind, Error, ObjectKind};
use api::Refused;
use api::ring::Ends;
use rt::serve::refusal;
use rt::{Endpoint, Incoming, Interrupt, IoPorts, Notification, grant, log, mmio};

/// Bit of the interrupt among the bits of a notification.
const INTERRUPT: u64 = 1 << 63;
/// Turns per second while there is something to send and no interrupt tells when.
const BUSY_TURNS: u64 = 1000;
/// Turns per second while there is nothing to send and no interrupt tells of received bytes.
const IDLE_TURNS: u64 = 100;

/// The process, as it was granted.
struct Driver<C> {
    port: Port<'static, C>,
    endpoint: Endpoint,
    bell: Notification,
    /// The interrupt, as long as it can be acknowledged.
    interrupt: Option<Interrupt>,
    ticks_per_second: u64,
}

/// Runs the driver, which never returns.
pub fn run() -> ! {
    let ports = grant::slot("ports", ObjectKind::IoPorts).map(|slot| Ports {
        ports: IoPorts::own(slot),
        first: grant::value("ports").unwrap_or(0),
    });
    match ports {
        Some(ports) => serve(Some(ports)),
        None => serve(mmio::device::<Registers>()),
    }
    rt::spawn::exit()
}

/// Serves the chip until the endpoint is gone.
fn serve<C: Chip>(chip: Option<C>) {
    if let Some(mut driver) = chip.and_then(Driver::new) {
        let error = driver.serve();
        log!("driver-uart: the endpoint is gone: {error:?}");
    } else {
        log!("driver-uart: device or ports, ring.0, bell.0 or endpoint is missing");
    }
}

impl<C: Chip> Driver<C> {
    /// Returns the driver, or `None` where a grant is missing.
    fn new(chip: C) -> Option<Self> {
        let ring = Ends::of_peer(grant::page("ring.0")?)?;
        let interrupt = grant::slot("interrupt", ObjectKind::Interrupt).map(Interrupt::own);
        Some(Self {
            endpoint: rt::endpoint_of(rt::cores::current())?,
            bell: Notification::own(grant::slot("bell.0", ObjectKind::Notification)?),
            interrupt,
            ticks_per_second: grant::value("ticks").unwrap_or(0).max(BUSY_TURNS),
            port: Port::new(chip, ring),
        })
    }

    /// Serves until the endpoint is gone; returns why.
    fn serve(&mut self) -> Error {
        self.acknowledge();
        loop {
            let progress = self.port.turn();
            if progress.bell {
                let _ = self.bell.signal();
            }
            match self.endpoint.receive(self.deadline(progress)) {
                Ok(message) => self.handle(&message),
                Err(Error::TimedOut) => {}
                Err(error) => return error,
            }
        }
    }

    /// Handles a message. The interrupt's cause is served before it is acknowledged, for its line
    /// is a level; where it is an edge, [`Progress::more`] says what no further edge will.
    fn handle(&mut self, message: &Incoming) {
        let [bits, ..] = message.words;
        match message.kind() {
            Some(DeliveryKind::Notification) if bits & INTERRUPT != 0 => {
                if self.port.turn().bell {
                    let _ = self.bell.signal();
                }
                self.acknowledge();
            }
            Some(DeliveryKind::Notification) => {}
            _ => {
                let _ = rt::synchronization::reply(&refusal(Refused::Malformed));
            }
        }
    }

    /// Lets the interrupt come again; where that fails, the chip is polled from now on.
    fn acknowledge(&mut self) {
        self.interrupt = self
            .interrupt
            .take_if(|interrupt| interrupt.acknowledge().is_ok());
    }

    /// Returns when the next turn is due at the latest.
    fn deadline(&self, progress: Progress) -> u64 {
        if progress.more {
            // A moment, in which others of this core run.
            return rt::sys::counter().saturating_add(1);
        }
        if self.interrupt.is_some() {
            return FOREVER;
        }
        let turns = if progress.unsent {
            BUSY_TURNS
        } else {
            IDLE_TURNS
        };
        rt::sys::counter().saturating_add(self.ticks_per_second / turns)
    }
}
