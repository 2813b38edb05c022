//! The controller of one guest as its clients see it: who may move which line.

use crate::chips::{Access, Chips};
use crate::plic::SOURCES;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use api::{Deliveries, Delivery, Last};
use irq_api::floating::{Act, Answer};
use irq_api::{Refusal, Reply, Request, Source};
use vcpu_api::Description;

/// The controllers, and the owners of their sources.
#[derive(Clone, Debug)]
pub struct Controller<C> {
    /// On the heap: they have kilobytes, and every move of them would be one more copy on the stack.
    chips: Box<C>,
    /// Badges of the clients that own a source.
    owners: Vec<(u64, Source)>,
    /// Badge of the guest's vcpu server.
    supervisor: u64,
    /// Accesses, by vCPU, and the values that they loaded.
    accesses: Deliveries<u64, Vec<Last<u64>>>,
    /// Exits, by vCPU, and what became of what they asked for of interruptions.
    interruptions: Deliveries<Answer, Vec<Last<Answer>>>,
    /// Reports of devices, by source.
    reports: Deliveries<(), Vec<Last<()>>>,
}

/// Makes the chips of so many vCPUs. A function of its own: the copies that it makes of them are off
/// the stack again when it returns.
#[inline(never)]
fn on_heap<C: Chips>(vcpus: usize) -> Option<Box<C>> {
    Some(Box::new(C::new(vcpus)?))
}

impl<C: Chips> Controller<C> {
    /// Returns the controllers of a guest, or `None` where it has no vCPUs, or too many. A source
    /// belongs to the process that serves its device.
    #[must_use]
    pub fn new(description: &Description) -> Option<Self> {
        let owners = description.devices.iter().filter_map(|device| {
            let source = Source::new(u8::try_from(device.source).ok()?)?;
            Some((u64::from(device.process) + 1, source))
        });
        Some(Self {
            chips: on_heap(description.cores.len())?,
            owners: owners.collect(),
            supervisor: u64::from(description.vcpu) + 1,
            accesses: Deliveries::new(vec![Last::default(); description.cores.len()]),
            interruptions: Deliveries::new(vec![Last::default(); description.cores.len()]),
            reports: Deliveries::new(vec![Last::default(); SOURCES]),
        })
    }

    /// Serves an access of the guest; returns the loaded value, and adds what has to be done to
    /// `changes`. One that comes again has no second effect and gets the same value.
    #[inline]
    pub fn access(&mut self, access: &Access, changes: &mut C::Changes) -> u64 {
        let sender = (access.vcpu, access.sequence);
        self.once(sender, |chips| chips.access(access, changes))
    }

    /// Serves a vCPU that can take what its `lines` ask for.
    pub fn window(&mut self, sender: (usize, u64), lines: u64, now: u64) -> C::Changes {
        let mut changes = C::Changes::default();
        self.once(sender, |chips| {
            changes = chips.window(sender.0, lines, now);
            0
        });
        changes
    }

    /// Serves an exit of a vCPU with this number, unless it was served; returns what was loaded then.
    #[inline]
    fn once(&mut self, (vcpu, sequence): (usize, u64), serve: impl FnOnce(&mut C) -> u64) -> u64 {
        let chips = &mut self.chips;
        self.accesses.serve((vcpu, sequence), 0, || serve(chips))
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
        now: u64,
    ) -> Result<(Reply, C::Changes), Refusal> {
        match request {
            Request::Raise {
                source,
                level,
                sequence,
            } => self.report(badge, source, (level, sequence)),
            Request::Statistics => Ok((
                Reply::Statistics(self.chips.counts()),
                C::Changes::default(),
            )),
            _ if badge != self.supervisor => Err(Refusal::NotYours),
            Request::Reset { newest } => {
                self.accesses.retire_all(&newest);
                self.interruptions.retire_all(&newest);
                Ok((Reply::Done, self.chips.reset()))
            }
            Request::Register {
                vcpu,
                sequence,
                number,
                store,
            } => self.register((usize::from(vcpu), sequence), (number, store), now),
            Request::Access {
                vcpu,
                sequence,
                address,
                size,
            } => {
                let access = Access {
                    vcpu: usize::from(vcpu),
                    sequence,
                    key: abi::exit::RouteKey::Device,
                    address,
                    size: u64::from(size),
                    store: None,
                    now,
                };
                let mut changes = C::Changes::default();
                let value = self.access(&access, &mut changes);
                Ok((Reply::Value { value }, changes))
            }
            Request::Interruption { by, sequence, act } => {
                self.interruption((usize::from(by), sequence), act)
            }
            Request::TakeStart => {
                let start = self.chips.take_start();
                Ok((Reply::Start { start }, C::Changes::default()))
            }
        }
    }

    /// Serves the report of a device about its line.
    fn report(
        &mut self,
        badge: u64,
        source: Source,
        (level, sequence): (bool, u64),
    ) -> Result<(Reply, C::Changes), Refusal> {
        if !self.owners.contains(&(badge, source)) {
            return Err(Refusal::NotYours);
        }
        let sender = usize::from(source.number());
        if self.reports.look(sender, sequence) != Delivery::New {
            return Ok((Reply::Done, C::Changes::default()));
        }
        let changes = self.chips.raise(source, level);
        let changes = changes.ok_or(Refusal::NoSuchSource)?;
        self.reports.record(sender, sequence, ());
        Ok((Reply::Done, changes))
    }

    /// Serves what an exit asks for of interruptions, once.
    fn interruption(
        &mut self,
        (by, sequence): (usize, u64),
        act: Act,
    ) -> Result<(Reply, C::Changes), Refusal> {
        let (answer, changes) = match self.interruptions.look(by, sequence) {
            Delivery::New => {
                let done = self.chips.interruption(act);
                let (answer, changes) = done.ok_or(Refusal::NoSuchSource)?;
                self.interruptions.record(by, sequence, answer);
                (answer, changes)
            }
            Delivery::Repeated(answer) => (answer, C::Changes::default()),
            Delivery::Stale => (Answer::default(), C::Changes::default()),
        };
        Ok((Reply::Interruption(answer), changes))
    }

    /// Serves an access to a register that is a controller's.
    fn register(
        &mut self,
        (vcpu, sequence): (usize, u64),
        access: (u32, Option<u64>),
        now: u64,
    ) -> Result<(Reply, C::Changes), Refusal> {
        if let Delivery::Repeated(value) = self.accesses.look(vcpu, sequence) {
            return Ok((Reply::Value { value }, C::Changes::default()));
        }
        let answer = self.chips.register(vcpu, access, now);
        let (value, changes) = answer.ok_or(Refusal::NoSuchRegister)?;
        self.accesses.record(vcpu, sequence, value);
        Ok((Reply::Value { value }, changes))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::plic::{LineChanges, Plic};
    use abi::exit::RouteKey;
    use vcpu_api::Device;
    use vcpu_api::description::PLIC_BASE;

    /// Priority of source 10, enable of context 0, claim of context 0.
    const REGISTERS: [u64; 3] = [40, 0x2000, 0x20_0004];

    fn controller() -> Controller<Plic> {
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
            key: RouteKey::Device,
            address: PLIC_BASE.wrapping_add(offset),
            size: 4,
            store,
            now: 0,
        }
    }

    fn report(number: u8, level: bool, sequence: u64) -> Request {
        Request::Raise {
            source: Source::new(number).unwrap(),
            level,
            sequence,
        }
    }

    fn serve(controller: &mut Controller<Plic>, access: &Access) -> (u64, LineChanges) {
        let mut changes = LineChanges::default();
        let value = controller.access(access, &mut changes);
        (value, changes)
    }

    fn raise(badge: u64, number: u8) -> Result<(Reply, LineChanges), Refusal> {
        controller().request(badge, report(number, true, 1), 0)
    }

    /// A controller whose source 10 is raised for vCPU 0, after two accesses.
    fn raised() -> Controller<Plic> {
        let [priority, enable, _] = REGISTERS;
        let mut controller = controller();
        for (sequence, offset, value) in [(1, priority, 1), (2, enable, 1 << 10)] {
            let (_, changes) = serve(&mut controller, &access(sequence, offset, Some(value)));
            assert_eq!(changes, LineChanges::default());
        }
        let (_, changes) = controller.request(5, report(10, true, 1), 0).unwrap();
        assert!(changes.raised.contains(0) && !changes.raised.contains(1));
        controller
    }

    fn injected(controller: &mut Controller<Plic>) -> u64 {
        match controller.request(0, Request::Statistics, 0) {
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
        let (source, changes) = serve(&mut controller, &access(3, claim, None));
        assert_eq!(source, 10);
        assert!(changes.lowered.contains(0));
        assert_eq!(injected(&mut controller), 1);
    }

    #[test]
    fn a_claim_that_comes_again_claims_nothing_more() {
        let [.., claim] = REGISTERS;
        let mut controller = raised();
        let first = serve(&mut controller, &access(3, claim, None));
        let again = serve(&mut controller, &access(3, claim, None));
        assert_eq!((first.0, again.0), (10, 10));
        assert_eq!(again.1, LineChanges::default());
        assert_eq!(injected(&mut controller), 1);
        // A later one is another claim, which finds nothing.
        assert_eq!(serve(&mut controller, &access(4, claim, None)).0, 0);
        // A report that comes again is answered and raises nothing.
        let repeated = controller.request(5, report(10, true, 1), 0);
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
            assert_eq!(controller.request(badge, reset, 0), Err(Refusal::NotYours));
            assert_eq!(controller.chips, before.chips);
        }
        let (_, changes) = controller.request(8, reset, 0).unwrap();
        assert!(changes.lowered.contains(0));
        for (sequence, offset) in [(6, priority), (7, enable), (8, claim)] {
            assert_eq!(serve(&mut controller, &access(sequence, offset, None)).0, 0);
        }
        // What was made before the reset and is handled after it does nothing.
        let _ = serve(&mut controller, &access(5, priority, Some(3)));
        assert_eq!(serve(&mut controller, &access(9, priority, None)).0, 0);
        assert!(controller.chips.check());
    }

    #[test]
    fn odd_accesses_read_as_zero() {
        for (offset, size) in [(0, 8), (2, 4), (u64::MAX - 3, 4), (0x40_0000, 4)] {
            for store in [None, Some(u64::MAX)] {
                let odd = Access {
                    size,
                    ..access(1, offset, store)
                };
                assert_eq!(serve(&mut controller(), &odd), (0, LineChanges::default()));
            }
        }
    }

    #[test]
    fn interruptions_that_are_posted_again_are_answered_again_and_posted_once() {
        use crate::floating::Floating;
        use irq_api::floating::Interruption;
        let description = Description {
            cores: std::vec![0, 1],
            vcpu: 7,
            ..Description::default()
        };
        let post = |sequence| {
            let interruption = Interruption::ServiceSignal { parameter: 8 };
            let act = Act::Post {
                cpu: None,
                interruption,
            };
            Request::Interruption {
                by: 0,
                sequence,
                act,
            }
        };
        let mut controller: Controller<Floating> = Controller::new(&description).unwrap();
        let counts = |controller: &Controller<Floating>| controller.chips.counts();
        assert_eq!(controller.request(9, post(1), 0), Err(Refusal::NotYours));
        let (reply, changes) = controller.request(8, post(5), 0).unwrap();
        assert_eq!(
            (reply, changes.len()),
            (Reply::Interruption(Answer::default()), 2)
        );
        let (again, changes) = controller.request(8, post(5), 0).unwrap();
        assert_eq!((again, changes.len()), (reply, 0));
        assert_eq!(counts(&controller).raised, 1);
        let _ = controller.request(8, post(6), 0).unwrap();
        assert_eq!(counts(&controller).coalesced, 1);
        // What was made before a reset and comes after it does nothing.
        let mut newest = api::Newest::default();
        newest.set(0, 9);
        let _ = controller.request(8, Request::Reset { newest }, 0).unwrap();
        let _ = controller.request(8, post(7), 0).unwrap();
        assert_eq!(counts(&controller).raised, 2);
    }
}
