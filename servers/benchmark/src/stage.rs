//! What all rows work with: memory, empty slots, windows, counted calls.

use crate::samples::Samples;
use abi::boot::{BootInfo, ORDINARY, SLOT_FIRST_UNTYPED, SLOT_SPACE, SLOT_THREAD};
use abi::{CallNumber, CallWord, Error, MessageInfo, ObjectKind, Rights, SlotAddress};
use core::cell::Cell;
use rt::memory::{CapTable, fund};
use rt::sys::{self, Results};
use rt::window::{self, Window};
use rt::{Budget, Capability, Endpoint, Frame, Notification, Space, Thread, Untyped};

/// First slot of the own table that is empty at the start.
const FIRST_SLOT: u32 = 256;
/// Priority of the thread that measures.
const PRIORITY: u64 = 30;
/// A priority above it: that of partners.
pub const HIGH: u64 = 40;
/// A priority below it: that of the guest.
pub const LOW: u64 = 20;
/// Most objects of one call of `Retype`.
const BATCH: u64 = 256;

/// The surroundings of the rows.
#[derive(Debug)]
pub struct Stage {
    memory: Untyped,
    ticks_per_second: u64,
    counting_cost: u64,
    next_slot: Cell<u32>,
    next_window: Cell<u64>,
}

impl Stage {
    /// Takes the largest range of memory and steps back to an ordinary priority.
    pub fn new() -> Result<Self, Error> {
        let info = rt::boot::info().ok_or(Error::NoCapability)?;
        Thread::own(SLOT_THREAD).set_priority(PRIORITY)?;
        let stage = Self {
            memory: largest_untyped(info),
            ticks_per_second: info.ticks_per_second,
            counting_cost: sys::counting_cost(),
            next_slot: Cell::new(FIRST_SLOT),
            next_window: Cell::new(window::FIRST),
        };
        fund(stage.own_space().capability(), stage.untyped(24)?)?;
        Ok(stage)
    }

    /// Returns no samples yet.
    pub const fn samples(&self) -> Samples {
        Samples::new(self.counting_cost)
    }

    /// Returns the own space.
    pub const fn own_space(&self) -> Space {
        Space::own(SLOT_SPACE)
    }

    /// Returns the next empty slot of the own table.
    pub fn slot(&self) -> SlotAddress {
        let slot = self.next_slot.get();
        self.next_slot.set(slot + 1);
        SlotAddress::own(slot)
    }

    /// Makes one object; `size` as `Retype` takes it.
    pub fn make(&self, kind: ObjectKind, size: u64) -> Result<SlotAddress, Error> {
        let slot = self.slot();
        self.memory.retype(kind, size, 1, slot)?;
        Ok(slot)
    }

    /// Makes `count` frames of one page in the slots of `table` from `first` on.
    pub fn frames(&self, table: CapTable, first: u32, count: u64) -> Result<(), Error> {
        let mut done = 0;
        while done < count {
            let batch = BATCH.min(count - done);
            let slot = SlotAddress::within(table.index(), first + done as u32);
            self.memory.retype(ObjectKind::Frame, 12, batch, slot)?;
            done += batch;
        }
        Ok(())
    }

    /// Makes untyped memory.
    pub fn untyped(&self, order: u64) -> Result<Untyped, Error> {
        Ok(Untyped::at(self.make(ObjectKind::Untyped, order)?))
    }

    /// Makes a frame.
    pub fn frame(&self, order: u64) -> Result<Frame, Error> {
        Ok(Frame::at(self.make(ObjectKind::Frame, order)?))
    }

    /// Makes an endpoint.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        self.endpoint_on(0)
    }

    /// Makes an endpoint on a core.
    pub fn endpoint_on(&self, core: u64) -> Result<Endpoint, Error> {
        Ok(Endpoint::at(self.make(ObjectKind::Endpoint, core)?))
    }

    /// Makes a notification.
    pub fn notification(&self) -> Result<Notification, Error> {
        self.notification_on(0)
    }

    /// Makes a notification on a core.
    pub fn notification_on(&self, core: u64) -> Result<Notification, Error> {
        Ok(Notification::at(self.make(ObjectKind::Notification, core)?))
    }

    /// Makes a budget on a core that never runs out.
    pub fn budget_on(&self, core: u64) -> Result<Budget, Error> {
        let budget = Budget::at(self.make(ObjectKind::Budget, core)?);
        let all = self.ticks_per_second / 100;
        budget.configure(all, all)?;
        Ok(budget)
    }

    /// Makes a copy of a capability in the own table.
    pub fn copy(&self, source: Capability) -> Result<Capability, Error> {
        source.copy(self.slot())
    }

    /// Maps a copy of a frame of this order into the own space.
    pub fn window(&self, frame: Frame, order: u64) -> Result<Window, Error> {
        let copy = Frame::at(self.copy(frame.capability())?.slot());
        let address = self.next_window.get().next_multiple_of(1 << order);
        self.next_window.set(address + (1 << order));
        let window = Window::map(copy, self.own_space(), address, read_write())?;
        window.clear();
        Ok(window)
    }
}

/// Returns the largest range of ordinary memory.
fn largest_untyped(info: &BootInfo) -> Untyped {
    let count = usize::try_from(info.untyped_count).unwrap_or(0);
    let ranges = info.untyped.iter().take(count).zip(SLOT_FIRST_UNTYPED..);
    let ordinary = ranges.filter(|(range, _)| range.kind == ORDINARY);
    let largest = ordinary.max_by_key(|(range, _)| range.length);
    Untyped::own(largest.map_or(SLOT_FIRST_UNTYPED, |(_, slot)| slot))
}

/// Makes a call that sends a message, the first six words of which are 1 to 6, or waits for one;
/// returns the results and the counter before and after.
pub fn counted_message(
    number: CallNumber,
    object: u64,
    info: MessageInfo,
) -> Result<(Results, [u64; 2]), Error> {
    let word = CallWord::new().with_number(number as u8).with_info(info);
    let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6];
    let counted = sys::counted(word, [object, a, b, c, d, e, f, abi::call::FOREVER]);
    counted.0.status()?;
    Ok(counted)
}

/// Makes a call without a message; returns the counter before and after.
pub fn counted<const N: usize>(number: CallNumber, arguments: [u64; N]) -> Result<[u64; 2], Error> {
    let mut x = [0; 8];
    x.iter_mut()
        .zip(arguments)
        .for_each(|(to, from)| *to = from);
    let (results, readings) = sys::counted(CallWord::new().with_number(number as u8), x);
    results.status()?;
    Ok(readings)
}

/// Returns the rights to read and write.
pub const fn read_write() -> Rights {
    Rights::new().with_read(true).with_write(true)
}
