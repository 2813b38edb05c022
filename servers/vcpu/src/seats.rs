//! The vCPUs of a VM: how the last exit of each was answered, and whose exit is handled.
//!
//! Handlers name vCPUs by numbers, some of which come from the guest. One that the VM does not have
//! has no seat: what is meant for it is left out, whatever it is.

use crate::VcpuId;
use alloc::vec::Vec;
use api::{Delivery, Last};

/// A seat for each vCPU. `T` is what a vCPU is reached by, `R` how an exit is answered.
#[derive(Clone, Debug)]
pub struct Seats<T, R> {
    seats: Vec<Seat<T, R>>,
    current: Current<T>,
}

/// What is known of a vCPU, in a cache line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Seat<T, R> {
    /// Its last exit, and how that was answered.
    last: Last<R>,
    vcpu: T,
}

/// The exit that is handled: its vCPU is looked up once.
#[derive(Clone, Copy, Debug)]
struct Current<T> {
    id: VcpuId,
    vcpu: T,
    sequence: u64,
}

impl<T: Copy, R: Copy> Seats<T, R> {
    /// Returns the seats of vCPUs that made no exit yet; `None` where there are none.
    pub fn new(vcpus: &[T]) -> Option<Self> {
        let current = Current {
            id: VcpuId::FIRST,
            vcpu: *vcpus.first()?,
            sequence: 0,
        };
        let seat = |vcpu: &T| Seat {
            last: Last::default(),
            vcpu: *vcpu,
        };
        Some(Self {
            seats: vcpus.iter().map(seat).collect(),
            current,
        })
    }

    /// Begins with the exit of a vCPU that has this number: returns what its delivery is, or `None`
    /// where the VM does not have that vCPU.
    #[inline]
    pub fn begin(&mut self, id: VcpuId, sequence: u64) -> Option<Delivery<R>> {
        let seat = self.seats.get(id.index())?;
        self.current = Current {
            id,
            vcpu: seat.vcpu,
            sequence,
        };
        Some(seat.last.look(sequence))
    }

    /// Records how the exit that was begun was answered, so that it gets the same answer if it comes
    /// again.
    #[inline]
    pub fn record(&mut self, answer: R) {
        if let Some(seat) = self.seats.get_mut(self.current.id.index()) {
            seat.last.record(self.current.sequence, answer);
        }
    }

    /// Makes all exits of a vCPU up to this one stale.
    pub fn retire(&mut self, id: VcpuId, newest: u64) {
        if let Some(seat) = self.seats.get_mut(id.index()) {
            seat.last.retire(newest);
        }
    }

    /// Returns whose exit is handled.
    #[must_use]
    #[inline]
    pub const fn current(&self) -> VcpuId {
        self.current.id
    }

    /// Returns the number of the exit that is handled.
    #[must_use]
    #[inline]
    pub const fn sequence(&self) -> u64 {
        self.current.sequence
    }

    /// Returns what a vCPU is reached by; `None` where the VM does not have it.
    #[must_use]
    #[inline]
    pub fn get(&self, id: VcpuId) -> Option<T> {
        if id == self.current.id {
            return Some(self.current.vcpu);
        }
        self.other(id)
    }

    /// Returns what a vCPU is reached by whose exit is not handled now.
    #[cold]
    #[inline(never)]
    fn other(&self, id: VcpuId) -> Option<T> {
        self.seats.get(id.index()).map(|seat| seat.vcpu)
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;
    use crate::VcpuId;
    use api::Delivery;

    const SEQUENCE: u64 = 3;

    fn id(index: usize) -> VcpuId {
        VcpuId::new(index).unwrap()
    }

    #[test]
    fn a_vcpu_that_the_vm_does_not_have_has_no_seat_and_is_left_out() {
        let mut seats = Seats::<char, u8>::new(&['a', 'b']).unwrap();
        for index in [2, 3, 63] {
            assert_eq!(seats.get(id(index)), None);
            assert_eq!(seats.begin(id(index), SEQUENCE), None);
            seats.retire(id(index), SEQUENCE);
        }
        // Nor did it take the place of one that the VM has.
        assert_eq!(seats.current(), id(0));
        for index in 0..2 {
            assert_eq!(seats.begin(id(index), SEQUENCE), Some(Delivery::New));
        }
    }

    #[test]
    fn a_vcpu_is_the_same_whether_its_exit_is_handled_or_not() {
        let mut seats = Seats::<char, u8>::new(&['a', 'b']).unwrap();
        for current in 0..2 {
            seats.begin(id(current), SEQUENCE).unwrap();
            assert_eq!(seats.current(), id(current));
            assert_eq!(seats.get(id(0)), Some('a'));
            assert_eq!(seats.get(id(1)), Some('b'));
        }
    }

    #[test]
    fn an_exit_that_comes_again_gets_its_own_answer() {
        let mut seats = Seats::<char, u8>::new(&['a', 'b']).unwrap();
        seats.begin(id(1), SEQUENCE).unwrap();
        seats.record(7);
        assert_eq!(seats.begin(id(0), SEQUENCE), Some(Delivery::New));
        assert_eq!(seats.begin(id(1), SEQUENCE), Some(Delivery::Repeated(7)));
        seats.retire(id(1), SEQUENCE);
        assert_eq!(seats.begin(id(1), SEQUENCE), Some(Delivery::Stale));
    }

    #[test]
    fn a_vm_without_vcpus_has_no_seats() {
        assert!(Seats::<char, u8>::new(&[]).is_none());
    }
}
