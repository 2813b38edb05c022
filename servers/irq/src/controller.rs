//! The controller of one guest as its clients see it: who may move which line.

use crate::plic::{LineChanges, Plic, SOURCES, ShapeError};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use api::{Deliveries, Delivery, Last};
use irq_api::{MAX_SOURCE, Refusal, Reply, Request, Source};
use vcpu_api::Description;

/// An access of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The vCPU that makes it.
    pub vcpu: usize,
    /// Its sequence number.
    pub sequence: u64,
    /// Bytes from the start of the controller.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The value stored, or `None` for a load.
    pub store: Option<u64>,
}

/// The controller, and the owners of its sources.
#[derive(Clone, Debug)]
pub struct Controller {
    /// On the heap: it has kilobytes, and every move of it would be one more copy on the stack.
    plic: Box<Plic>,
    /// Badges of the clients that own a source.
    owners: Vec<(u64, Source)>,
    /// Badge of the guest's vcpu server.
    supervisor: u64,
    /// Accesses, by vCPU, and the values that they loaded.
    accesses: Deliveries<u64, Vec<Last<u64>>>,
    /// Reports of devices, by source.
    reports: Deliveries<(), Vec<Last<()>>>,
}

impl Controller {
    /// Returns the controller of a guest. A source belongs to the process that serves its device.
    ///
    /// # Errors
    ///
    /// A [`ShapeError`] where the guest has no vCPUs, or too many.
    pub fn new(description: &Description) -> Result<Self, ShapeError> {
        let owners = description.devices.iter().filter_map(|device| {
            let source = Source::new(u8::try_from(device.source).ok()?)?;
            Some((u64::from(device.process) + 1, source))
        });
        Ok(Self {
            plic: Box::new(Plic::new(description.cores.len(), MAX_SOURCE)?),
            owners: owners.collect(),
            supervisor: u64::from(description.vcpu) + 1,
            accesses: Deliveries::new(vec![Last::default(); description.cores.len()]),
            reports: Deliveries::new(vec![Last::default(); SOURCES]),
        })
    }

    /// Serves an access of the guest; returns the loaded value. One that comes again has no second
    /// effect and gets the same value.
    pub fn access(&mut self, access: Access) -> (u64, LineChanges) {
        match self.accesses.look(access.vcpu, access.sequence) {
            Delivery::New => {
                let (value, changes) = self.perform(access);
                self.accesses.record(access.vcpu, access.sequence, value);
                (value, changes)
            }
            Delivery::Repeated(value) => (value, LineChanges::default()),
            Delivery::Stale => (0, LineChanges::default()),
        }
    }

    /// Performs an access. One that the controller does not have reads as zero and does nothing.
    fn perform(&mut self, access: Access) -> (u64, LineChanges) {
        let Access {
            offset,
            size,
            store,
            ..
        } = access;
        let nothing = (0, LineChanges::default());
        match store {
            None => {
                let loaded = self.plic.read(offset, size);
                loaded.map_or(nothing, |(value, changes)| (value.into(), changes))
            }
            Some(value) => {
                let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
                let stored = self.plic.write(offset, size, low);
                stored.map_or(nothing, |changes| (0, changes))
            }
        }
    }

    /// Serves a request of the client with this badge.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that the client gets.
    pub fn request(
        &mut self,
        badge: u64,
        request: Request,
    ) -> Result<(Reply, LineChanges), Refusal> {
        match request {
            Request::Raise {
                source,
                level,
                sequence,
            } => {
                if !self.owners.contains(&(badge, source)) {
                    return Err(Refusal::NotYours);
                }
                let sender = usize::from(source.number());
                if self.reports.look(sender, sequence) != Delivery::New {
                    return Ok((Reply::Done, LineChanges::default()));
                }
                let changes = self.plic.raise(source, level);
                let changes = changes.ok_or(Refusal::NoSuchSource)?;
                self.reports.record(sender, sequence, ());
                Ok((Reply::Done, changes))
            }
            Request::Reset { newest } => {
                if badge != self.supervisor {
                    return Err(Refusal::NotYours);
                }
                self.accesses.retire_all(&newest);
                Ok((Reply::Done, self.plic.reset()))
            }
            Request::Interruption { .. } => Err(Refusal::NoSuchSource),
            Request::Statistics => {
                let counts = self.plic.ledger().counts();
                Ok((Reply::Statistics(counts), LineChanges::default()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use vcpu_api::Device;

    /// Priority of source 10, enable of context 0, claim of context 0.
    const REGISTERS: [u64; 3] = [40, 0x2000, 0x20_0004];

    fn controller() -> Controller {
        let device = Device {
            source: 10,
            process: 4,
            ..Device::default()
        };
        let description = Description {
            cores: std::vec![0, 1],
            devices: std::vec![device],
            vcpu: 7,
            ..Description::default()
        };
        Controller::new(&description).unwrap()
    }

    /// Returns access number `sequence` of vCPU 0, of four bytes.
    fn access(sequence: u64, offset: u64, store: Option<u64>) -> Access {
        Access {
            vcpu: 0,
            sequence,
            offset,
            size: 4,
            store,
        }
    }

    fn report(number: u8, level: bool, sequence: u64) -> Request {
        Request::Raise {
            source: Source::new(number).unwrap(),
            level,
            sequence,
        }
    }

    fn raise(badge: u64, number: u8) -> Result<(Reply, LineChanges), Refusal> {
        controller().request(badge, report(number, true, 1))
    }

    /// A controller whose source 10 is raised for vCPU 0, after two accesses.
    fn raised() -> Controller {
        let [priority, enable, _] = REGISTERS;
        let mut controller = controller();
        for (sequence, offset, value) in [(1, priority, 1), (2, enable, 1 << 10)] {
            let (_, changes) = controller.access(access(sequence, offset, Some(value)));
            assert_eq!(changes, LineChanges::default());
        }
        let (_, changes) = controller.request(5, report(10, true, 1)).unwrap();
        assert!(changes.raised.contains(0) && !changes.raised.contains(1));
        controller
    }

    fn injected(controller: &mut Controller) -> u64 {
        match controller.request(0, Request::Statistics) {
            Ok((Reply::Statistics(counts), _)) => counts.injected,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_server_of_a_device_moves_its_line() {
        assert!(raise(5, 10).is_ok());
        assert_eq!(raise(4, 10), Err(Refusal::NotYours));
        assert_eq!(raise(5, 11), Err(Refusal::NotYours));
    }

    #[test]
    fn a_raised_line_is_claimed_and_counted() {
        let [.., claim] = REGISTERS;
        let mut controller = raised();
        let (source, changes) = controller.access(access(3, claim, None));
        assert_eq!(source, 10);
        assert!(changes.lowered.contains(0));
        assert_eq!(injected(&mut controller), 1);
    }

    #[test]
    fn a_claim_that_comes_again_claims_nothing_more() {
        let [.., claim] = REGISTERS;
        let mut controller = raised();
        let first = controller.access(access(3, claim, None));
        let again = controller.access(access(3, claim, None));
        assert_eq!((first.0, again.0), (10, 10));
        assert_eq!(again.1, LineChanges::default());
        assert_eq!(injected(&mut controller), 1);
        // A later one is another claim, which finds nothing.
        assert_eq!(controller.access(access(4, claim, None)).0, 0);
        // A report that comes again is answered and raises nothing.
        let repeated = controller.request(5, report(10, true, 1));
        assert_eq!(repeated, Ok((Reply::Done, LineChanges::default())));
    }

    #[test]
    fn a_reset_forgets_what_the_guest_wrote_and_only_the_vcpu_server_makes_it() {
        let [priority, enable, claim] = REGISTERS;
        let mut controller = raised();
        let mut newest = api::Newest::default();
        newest.set(0, 5);
        let reset = Request::Reset { newest };
        for badge in [0, 4, 5] {
            let before = controller.clone();
            assert_eq!(controller.request(badge, reset), Err(Refusal::NotYours));
            assert_eq!(controller.plic, before.plic);
        }
        let (_, changes) = controller.request(8, reset).unwrap();
        assert!(changes.lowered.contains(0));
        for (sequence, offset) in [(6, priority), (7, enable), (8, claim)] {
            assert_eq!(controller.access(access(sequence, offset, None)).0, 0);
        }
        // What was made before the reset and is handled after it does nothing.
        let _ = controller.access(access(5, priority, Some(3)));
        assert_eq!(controller.access(access(9, priority, None)).0, 0);
        assert!(controller.plic.check());
    }

    #[test]
    fn odd_accesses_read_as_zero() {
        for (offset, size) in [(0, 8), (2, 4), (u64::MAX - 3, 4), (0x40_0000, 4)] {
            for store in [None, Some(u64::MAX)] {
                let odd = Access {
                    size,
                    ..access(1, offset, store)
                };
                assert_eq!(controller().access(odd), (0, LineChanges::default()));
            }
        }
    }
}
