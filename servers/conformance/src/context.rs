//! What a case works with: fresh memory, empty slots, time.

use crate::case::{Outcome, Stop, expect_error};
use abi::boot::{BootInfo, SLOT_BUDGET, SLOT_CAP_TABLE, SLOT_SPACE, SLOT_THREAD};
use abi::{Error, ObjectKind, Rights, SlotAddress};
use core::cell::Cell;
use rt::memory::{CapTable, fund};
use rt::window::{self, Window};
use rt::{Budget, Capability, Endpoint, Frame, Notification, Reply, Space, Thread, Untyped};

/// Slot of the memory that each case is given.
pub const CASE_MEMORY: u32 = 128;
/// Base-two logarithm of its size.
pub const CASE_ORDER: u64 = 25;
/// Slot of the memory that outlives cases.
pub const SUITE_MEMORY: u32 = 129;
/// Slot of the notification that nobody signals: waiting for it passes time.
pub const QUIET: u32 = 130;
/// Slot of the notification that a helper waits for when it has nothing more to do.
pub const QUIET_HELPER: u32 = 131;
/// Slot of the endpoint that programs receive from when they have nothing more to do.
pub const QUIET_ENDPOINT: u32 = 132;
/// First slot of the helpers' message pages.
pub const FIRST_PAGE: u32 = 136;
/// First slot that a case may use.
pub const FIRST_SLOT: u32 = 256;
/// End of the slots that a case may use.
pub const END_SLOT: u32 = 2048;
/// Priority of the suite's own thread.
pub const PRIORITY: u64 = 30;
/// A priority above the suite's.
pub const HIGH: u64 = 40;
/// A priority below the suite's.
pub const LOW: u64 = 20;

/// The surroundings of one case.
#[derive(Debug)]
pub struct Context {
    /// What the kernel said at the start.
    pub info: &'static BootInfo,
    next_slot: Cell<u32>,
    next_window: Cell<u64>,
}

impl Context {
    /// Returns the surroundings of a fresh case.
    #[must_use]
    pub const fn new(info: &'static BootInfo) -> Self {
        Self {
            info,
            next_slot: Cell::new(FIRST_SLOT),
            next_window: Cell::new(window::FIRST),
        }
    }

    /// Returns the end of the slots that the case used.
    #[must_use]
    pub const fn end_of_slots(&self) -> u32 {
        self.next_slot.get()
    }

    /// Returns the next empty slot.
    pub fn slot(&self) -> SlotAddress {
        self.slots(1)
    }

    /// Returns the first of `count` empty slots in a row.
    pub fn slots(&self, count: u32) -> SlotAddress {
        let first = self.next_slot.get();
        self.next_slot.set(first + count);
        assert!(first + count <= END_SLOT, "a case uses fewer slots");
        SlotAddress::own(first)
    }

    /// Returns the place from which slots are used next, for [`Self::rewind`].
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.next_slot.get()
    }

    /// Uses the slots from `mark` on again, which have to be empty.
    pub fn rewind(&self, mark: u32) {
        self.next_slot.set(mark);
    }

    /// Returns the memory of the case.
    #[must_use]
    pub const fn memory(&self) -> Untyped {
        Untyped::own(CASE_MEMORY)
    }

    /// Returns the suite's own table.
    #[must_use]
    pub const fn own_table(&self) -> CapTable {
        CapTable::own(SLOT_CAP_TABLE)
    }

    /// Returns the suite's own space.
    #[must_use]
    pub const fn own_space(&self) -> Space {
        Space::own(SLOT_SPACE)
    }

    /// Returns the suite's own thread.
    #[must_use]
    pub const fn own_thread(&self) -> Thread {
        Thread::own(SLOT_THREAD)
    }

    /// Returns the suite's own budget.
    #[must_use]
    pub const fn own_budget(&self) -> Budget {
        Budget::own(SLOT_BUDGET)
    }

    /// Returns the ticks of so many microseconds.
    #[must_use]
    pub const fn microseconds(&self, count: u64) -> u64 {
        self.info.ticks_per_second * count / 1_000_000
    }

    /// Returns the deadline that lies so many microseconds ahead.
    #[must_use]
    pub fn after(&self, microseconds: u64) -> u64 {
        rt::sys::counter() + self.microseconds(microseconds)
    }

    /// Returns a deadline that no case should reach.
    #[must_use]
    pub fn soon(&self) -> u64 {
        self.after(2_000_000)
    }

    /// Lets this much time pass, during which any other thread may run.
    ///
    /// # Errors
    ///
    /// A failure where waiting ends otherwise.
    #[track_caller]
    pub fn pause(&self, microseconds: u64) -> Outcome {
        expect_error(
            Notification::own(QUIET).wait(self.after(microseconds)),
            Error::TimedOut,
        )
    }

    /// Waits until `condition` holds, at most two seconds.
    ///
    /// # Errors
    ///
    /// A failure where it never holds.
    #[track_caller]
    pub fn until(&self, text: &'static str, mut condition: impl FnMut() -> bool) -> Outcome {
        let deadline = self.soon();
        while !condition() {
            if rt::sys::counter() > deadline {
                return Err(Stop::failed(text));
            }
            self.pause(100)?;
        }
        Ok(())
    }

    /// Returns the number of a core that is not this one.
    ///
    /// # Errors
    ///
    /// A skip where there is none.
    pub fn other_core(&self) -> Outcome<u64> {
        if self.info.cores > 1 {
            Ok(1)
        } else {
            Err(Stop::Skipped("one core"))
        }
    }

    /// Makes one object of the case's memory; `size` as `Retype` takes it.
    ///
    /// # Errors
    ///
    /// A failure, or a skip where the machine has no such object.
    #[track_caller]
    pub fn make(&self, kind: ObjectKind, size: u64) -> Outcome<Capability> {
        let slot = self.slot();
        match self.memory().retype(kind, size, 1, slot) {
            Err(Error::Unsupported) => Err(Stop::Skipped("no such object on this machine")),
            other => Ok(other?),
        }
    }

    /// Makes untyped memory of this order.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn untyped(&self, order: u64) -> Outcome<Untyped> {
        Ok(Untyped::at(self.make(ObjectKind::Untyped, order)?.slot()))
    }

    /// Makes a frame of this order.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn frame(&self, order: u64) -> Outcome<Frame> {
        Ok(Frame::at(self.make(ObjectKind::Frame, order)?.slot()))
    }

    /// Makes a capability table.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn table(&self, slots: u64) -> Outcome<CapTable> {
        Ok(CapTable::at(self.make(ObjectKind::CapTable, slots)?.slot()))
    }

    /// Makes an endpoint on this core.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn endpoint(&self) -> Outcome<Endpoint> {
        self.endpoint_on(0)
    }

    /// Makes an endpoint on a core.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn endpoint_on(&self, core: u64) -> Outcome<Endpoint> {
        Ok(Endpoint::at(self.make(ObjectKind::Endpoint, core)?.slot()))
    }

    /// Makes a notification on this core.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn notification(&self) -> Outcome<Notification> {
        self.notification_on(0)
    }

    /// Makes a notification on a core.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn notification_on(&self, core: u64) -> Outcome<Notification> {
        Ok(Notification::at(
            self.make(ObjectKind::Notification, core)?.slot(),
        ))
    }

    /// Makes a Reply object on this core.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn reply(&self) -> Outcome<Reply> {
        Ok(Reply::at(self.make(ObjectKind::Reply, 0)?.slot()))
    }

    /// Makes a budget on a core that never runs out.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn budget_on(&self, core: u64) -> Outcome<Budget> {
        let budget = Budget::at(self.make(ObjectKind::Budget, core)?.slot());
        let all = self.microseconds(10_000);
        budget.configure(all, all)?;
        Ok(budget)
    }

    /// Makes a thread on a core, with nothing bound.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn thread_on(&self, core: u64) -> Outcome<Thread> {
        Ok(Thread::at(self.make(ObjectKind::Thread, core)?.slot()))
    }

    /// Makes a space without memory for page tables.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn bare_space(&self) -> Outcome<Space> {
        Ok(Space::at(self.make(ObjectKind::Space, 0)?.slot()))
    }

    /// Makes a space with memory for page tables.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn space(&self) -> Outcome<Space> {
        let space = self.bare_space()?;
        fund(space.capability(), self.untyped(17)?)?;
        Ok(space)
    }

    /// Makes a copy with at most these rights and, unless it is 0, a badge.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn mint(&self, source: Capability, rights: Rights, badge: u64) -> Outcome<Capability> {
        Ok(source.mint(self.slot(), rights, badge)?)
    }

    /// Makes a copy.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn copy(&self, source: Capability) -> Outcome<Capability> {
        Ok(source.copy(self.slot())?)
    }

    /// Returns a free address for a window of this order.
    pub fn window_address(&self, order: u64) -> u64 {
        let address = self.next_window.get().next_multiple_of(1 << order);
        self.next_window.set(address + (1 << order));
        address
    }

    /// Maps a frame of this order into the suite's space.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn window(&self, frame: Frame) -> Outcome<Window> {
        let order = frame.capability().identify()?.size;
        let address = self.window_address(order);
        Ok(Window::map(frame, self.own_space(), address, read_write())?)
    }

    /// Returns a digest of everything that `Identify` tells of the suite's and the case's slots.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let fixed = (1..16).chain(CASE_MEMORY..FIRST_PAGE);
        let slots = fixed.chain(FIRST_SLOT..self.next_slot.get() + 2);
        slots.fold(0xcbf2_9ce4_8422_2325, |digest, slot| {
            digest_slot(digest, slot)
        })
    }

    /// Makes an attempt that has to be refused with `expected` and to change nothing.
    ///
    /// # Errors
    ///
    /// The failure.
    #[track_caller]
    pub fn refuses<T>(
        &self,
        expected: Error,
        attempt: impl FnOnce() -> Result<T, Error>,
    ) -> Outcome {
        let before = self.digest();
        let result = attempt();
        let after = self.digest();
        expect_error(result, expected)?;
        if before == after {
            Ok(())
        } else {
            Err(Stop::failed("a refused call changes nothing"))
        }
    }
}

/// Adds what `Identify` says of a slot to a digest (FNV-1a, by words).
fn digest_slot(digest: u64, slot: u32) -> u64 {
    let words = match Capability::own(slot).identify() {
        Ok(identity) => [
            identity.kind,
            identity.rights,
            identity.badge,
            identity.base,
            identity.size,
        ],
        Err(error) => [!error.number(); 5],
    };
    words.iter().fold(digest, |digest, word| {
        (digest ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the rights to read and write.
#[must_use]
pub const fn read_write() -> Rights {
    Rights::new().with_read(true).with_write(true)
}

/// Returns the rights to read and execute.
#[must_use]
pub const fn read_execute() -> Rights {
    Rights::new().with_read(true).with_execute(true)
}

/// Returns every right but these.
#[must_use]
pub const fn all_but(rights: Rights) -> Rights {
    Rights::from_bits(Rights::ALL.into_bits() & !rights.into_bits())
}
