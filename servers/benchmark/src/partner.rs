//! Partners: threads with a space and a table of their own that run a few instructions.

use crate::stage::{HIGH, Stage, read_write};
use abi::call::Binding;
use abi::{Error, ObjectKind, Rights, SlotAddress};
use rt::memory::{CapTable, fund};
use rt::window::Window;
use rt::{Capability, Space, Thread};

/// Where a partner's instructions are mapped.
const CODE: u64 = 0x20_0000;
/// Where its message page is mapped.
const PAGE: u64 = 0x30_0000;
/// Where the page is mapped that it shares with the thread that measures.
pub const SHARED: u64 = 0x40_0000;
/// Slot of its table that holds what it waits at.
pub const WAITS_AT: u32 = 1;
/// Another slot of its table.
pub const OTHER: u32 = 2;
/// One more.
pub const THIRD: u32 = 3;
/// First of the slots for many.
pub const MANY: u32 = 64;

/// A partner.
#[derive(Clone, Copy, Debug)]
pub struct Partner {
    /// Its thread.
    pub thread: Thread,
    /// Its table.
    pub table: CapTable,
    /// The page that both see.
    pub shared: Window,
}

impl Partner {
    /// Makes a partner on a core that will run `code`, with a table of so many slots.
    pub fn new(stage: &Stage, core: u64, code: &[u8], slots: u64) -> Result<Self, Error> {
        let table = CapTable::at(stage.make(ObjectKind::CapTable, slots)?);
        let space = Space::at(stage.make(ObjectKind::Space, 0)?);
        fund(space.capability(), stage.untyped(17)?)?;
        let (instructions, page, shared) = (stage.frame(12)?, stage.frame(12)?, stage.frame(12)?);
        stage.window(instructions, 12)?.write_code(code);
        let execute = Rights::new().with_read(true).with_execute(true);
        instructions.map(space.capability(), CODE, execute)?;
        page.map(space.capability(), PAGE, read_write())?;
        let window = stage.window(shared, 12)?;
        shared.map(space.capability(), SHARED, read_write())?;
        let thread = Thread::at(stage.make(ObjectKind::Thread, core)?);
        thread.bind(Binding::Space, Some(space.capability()))?;
        thread.bind(Binding::CapTable, Some(table.capability()))?;
        thread.bind(Binding::Budget, Some(stage.budget_on(core)?.capability()))?;
        thread.bind(Binding::MessagePage, Some(page.capability()))?;
        thread.set_priority(HIGH)?;
        Ok(Self {
            thread,
            table,
            shared: window,
        })
    }

    /// Gives the partner a copy of a capability.
    pub fn give(&self, slot: u32, what: Capability) -> Result<(), Error> {
        what.copy(SlotAddress::within(self.table.index(), slot))
            .map(drop)
    }

    /// Starts the partner, which runs until it waits.
    pub fn start(&self, stack: u64) -> Result<(), Error> {
        self.thread.run(CODE, stack, 0)
    }
}
