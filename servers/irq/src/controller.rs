//! The controller of one guest as its clients see it: who may move which line.

use crate::plic::{LineChanges, Plic, ShapeError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use irq_api::{MAX_SOURCE, Refusal, Reply, Request, Source};
use vcpu_api::Description;

/// An access of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
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
        })
    }

    /// Serves an access of the guest; returns the loaded value. One that the controller does not
    /// have reads as zero and does nothing.
    pub fn access(&mut self, access: Access) -> (u64, LineChanges) {
        let Access {
            offset,
            size,
            store,
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
            Request::Raise { source, level } => {
                if !self.owners.contains(&(badge, source)) {
                    return Err(Refusal::NotYours);
                }
                let changes = self.plic.raise(source, level);
                let changes = changes.ok_or(Refusal::NoSuchSource)?;
                Ok((Reply::Done, changes))
            }
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
            ..Description::default()
        };
        Controller::new(&description).unwrap()
    }

    fn store(controller: &mut Controller, offset: u64, value: u64) {
        let store = Some(value);
        let (_, changes) = controller.access(Access {
            offset,
            size: 4,
            store,
        });
        assert_eq!(changes, LineChanges::default());
    }

    fn raise(badge: u64, number: u8) -> Result<(Reply, LineChanges), Refusal> {
        let source = Source::new(number).unwrap();
        controller().request(
            badge,
            Request::Raise {
                source,
                level: true,
            },
        )
    }

    #[test]
    fn only_the_server_of_a_device_moves_its_line() {
        assert!(raise(5, 10).is_ok());
        assert_eq!(raise(4, 10), Err(Refusal::NotYours));
        assert_eq!(raise(5, 11), Err(Refusal::NotYours));
    }

    #[test]
    fn a_raised_line_is_claimed_and_counted() {
        let [priority, enable, claim] = REGISTERS;
        let mut controller = controller();
        store(&mut controller, priority, 1);
        store(&mut controller, enable, 1 << 10);
        let raise = Request::Raise {
            source: Source::new(10).unwrap(),
            level: true,
        };
        let (_, changes) = controller.request(5, raise).unwrap();
        assert!(changes.raised.contains(0) && !changes.raised.contains(1));
        let (source, changes) = controller.access(Access {
            offset: claim,
            size: 4,
            store: None,
        });
        assert_eq!(source, 10);
        assert!(changes.lowered.contains(0));
        let (reply, _) = controller.request(0, Request::Statistics).unwrap();
        assert!(matches!(reply, Reply::Statistics(counts) if counts.injected == 1));
    }

    #[test]
    fn odd_accesses_read_as_zero() {
        for (offset, size) in [(0, 8), (2, 4), (u64::MAX - 3, 4), (0x40_0000, 4)] {
            for store in [None, Some(u64::MAX)] {
                let answer = controller().access(Access {
                    offset,
                    size,
                    store,
                });
                assert_eq!(answer, (0, LineChanges::default()));
            }
        }
    }
}
