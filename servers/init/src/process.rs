//! One process: its table, its space, its threads' objects and its pages.

use crate::grants::{Given, Grants};
use crate::image;
use crate::pool::Pool;
use crate::stacks::{self, Stack};
use crate::system::Failure;
use crate::tables;
use abi::boot::{self, SLOT_BUDGET, SLOT_CAP_TABLE, SLOT_SPACE, SLOT_THREAD};
use abi::call::Binding;
use abi::{ObjectKind, Rights};
use alloc::format;
use alloc::vec::Vec;
use manifest::compiled;
use rt::capability::Capability;
use rt::start::GRANTS;
use rt::window::{FIRST, Window};
use rt::{Budget, Endpoint, Frame, Notification, Space, Thread};

/// Slots of a process's table.
pub const SLOTS: u64 = 1024;
/// The least table memory of a process.
const LEAST_TABLES: u64 = 256 << 10;
/// First address of what init maps for a process beside image and stack.
const EXTRAS: u64 = 0x1100_0000;
/// Where the message pages of a process's further threads are.
const MESSAGE_PAGES: u64 = 0x1008_0000;

/// A process in the making.
pub struct Process {
    /// Index in the manifest.
    pub index: u16,
    /// Its space.
    pub space: Space,
    /// Its first thread.
    pub thread: Thread,
    /// All its threads and their cores.
    pub threads: Vec<(u64, Thread)>,
    /// Its endpoints, one per core.
    pub endpoints: Vec<(u64, Endpoint)>,
    /// Its notification.
    pub notification: Notification,
    /// The stacks of its threads.
    pub stacks: Vec<Stack>,
    /// What it is granted.
    pub grants: Grants,
    /// The next address for something that init maps.
    next_extra: u64,
}

/// Returns all rights that a process may have of an object of its own.
fn given(capability: Capability, kind: ObjectKind) -> Given {
    Given {
        capability,
        kind,
        rights: Rights::ALL,
        badge: 0,
    }
}

impl Process {
    /// Makes the objects of a process that maps so much memory of a guest.
    ///
    /// # Errors
    ///
    /// Memory, or a call of the kernel.
    pub fn new(
        pool: &mut Pool,
        (index, plan): (u16, &compiled::Process),
        guest_memory: u64,
    ) -> Result<Self, Failure> {
        let table = pool.make(ObjectKind::CapTable, SLOTS)?;
        let space = pool.make(ObjectKind::Space, 0)?;
        let fund = pool.make(
            ObjectKind::Untyped,
            tables::order(guest_memory, LEAST_TABLES),
        )?;
        rt::memory::fund(space, rt::Untyped::at(fund.slot()))?;
        let first = plan.cores.first().copied().map_or(0, u64::from);
        let thread = pool.make_on(ObjectKind::Thread, first)?;
        let budget = pool.make_on(ObjectKind::Budget, first)?;
        Budget::at(budget.slot()).configure(1, 1)?;
        let notification = pool.make_on(ObjectKind::Notification, first)?;
        let grants = Grants::new(table.slot().index);
        for (slot, capability, kind) in [
            (SLOT_CAP_TABLE, table, ObjectKind::CapTable),
            (SLOT_SPACE, space, ObjectKind::Space),
            (SLOT_THREAD, thread, ObjectKind::Thread),
            (SLOT_BUDGET, budget, ObjectKind::Budget),
        ] {
            grants.place(slot, given(capability, kind))?;
        }
        let thread = Thread::at(thread.slot());
        thread.bind(Binding::Space, Some(space))?;
        thread.bind(Binding::CapTable, Some(table))?;
        if plan.own_budget {
            thread.bind_own_budget(Budget::at(budget.slot()))?;
        } else {
            thread.bind(Binding::Budget, Some(budget))?;
        }
        thread.bind(Binding::Notification, Some(notification))?;
        thread.set_priority(u64::from(plan.priority))?;
        let mut process = Self {
            index,
            space: Space::at(space.slot()),
            thread,
            threads: alloc::vec![(first, thread)],
            endpoints: Vec::new(),
            notification: Notification::at(notification.slot()),
            stacks: Vec::new(),
            grants,
            next_extra: EXTRAS,
        };
        process.add_own(pool, plan)?;
        Ok(process)
    }

    /// Grants a process what is its own.
    fn add_own(&mut self, pool: &mut Pool, plan: &compiled::Process) -> Result<(), Failure> {
        self.grants.value("process", u64::from(self.index))?;
        let mask = plan.cores.iter().fold(0, |mask, core| mask | 1_u64 << core);
        self.grants.value("cores", mask)?;
        if plan.own_budget {
            self.grants.value(rt::spawn::OWN_BUDGET, 1)?;
        }
        let rights = Rights::new()
            .with_wait(true)
            .with_signal(true)
            .with_grant(true);
        let notification = Given {
            rights,
            ..given(self.notification.capability(), ObjectKind::Notification)
        };
        self.grants.capability("notification", notification, 0)?;
        for (position, core) in plan.cores.iter().enumerate() {
            let endpoint = pool.make_on(ObjectKind::Endpoint, u64::from(*core))?;
            let name = format!("endpoint.{core}");
            self.grants
                .capability(&name, given(endpoint, ObjectKind::Endpoint), 0)?;
            self.endpoints
                .push((u64::from(*core), Endpoint::at(endpoint.slot())));
            if position > 0 {
                self.add_thread(pool, u64::from(*core), (position as u64, plan))?;
            }
        }
        Ok(())
    }

    /// Grants a process the parts of a further thread.
    fn add_thread(
        &mut self,
        pool: &mut Pool,
        core: u64,
        (position, plan): (u64, &compiled::Process),
    ) -> Result<(), Failure> {
        let thread = pool.make_on(ObjectKind::Thread, core)?;
        let budget = pool.make_on(ObjectKind::Budget, core)?;
        Budget::at(budget.slot()).configure(1, 1)?;
        let page = pool.frame(abi::PAGE_SIZE)?;
        let address = MESSAGE_PAGES + position * abi::PAGE_SIZE;
        page.map(self.space.capability(), address, read_write())?;
        let top = stacks::top(position);
        self.stacks
            .push(Stack::new(pool, self.space, top, plan.stack)?);
        self.grants.value(&format!("stack.{core}"), top)?;
        let priority = u64::from(plan.priority);
        self.threads.push((core, Thread::at(thread.slot())));
        self.grants.capability(
            &format!("thread.{core}"),
            given(thread, ObjectKind::Thread),
            priority,
        )?;
        self.grants.capability(
            &format!("budget.{core}"),
            given(budget, ObjectKind::Budget),
            0,
        )?;
        let frame = given(page.capability(), ObjectKind::Frame);
        self.grants
            .capability(&format!("message.{core}"), frame, address)
    }

    /// Returns the endpoint of the process on a core.
    pub fn endpoint(&self, core: u64) -> Option<Endpoint> {
        self.endpoints
            .iter()
            .find(|(at, _)| *at == core)
            .map(|(_, endpoint)| *endpoint)
    }

    /// Maps a frame into init, to be filled.
    pub fn window(&self, pool: &mut Pool, frame: Frame) -> Result<Window, Failure> {
        open_window(pool, frame)
    }

    /// Takes the mapping of [`Process::window`] away.
    pub fn close_window(&self, window: Window) -> Result<(), Failure> {
        close_window(window)
    }

    /// Maps a frame into the process behind what was mapped before; returns its address.
    pub fn map(&mut self, frame: Frame, rights: Rights) -> Result<u64, Failure> {
        let bytes = 1_u64 << frame.capability().identify()?.size;
        // Aligned so that the largest leaves of both map it.
        let address = self.next_extra.next_multiple_of(bytes.min(1 << 21));
        frame.map(self.space.capability(), address, rights)?;
        self.next_extra = address + bytes;
        Ok(address)
    }

    /// Writes bytes into pages of their own that the process can read; returns their address.
    pub fn map_bytes(&mut self, pool: &mut Pool, bytes: &[u8]) -> Result<u64, Failure> {
        let frame = pool.frame(bytes.len() as u64)?;
        let window = open_window(pool, frame)?;
        window.clear();
        image::write(window, 0, bytes);
        close_window(window)?;
        self.map(frame, Rights::new().with_read(true))
    }

    /// Gives the process image, stack, message page and grants page, and starts it.
    pub fn start(
        &mut self,
        pool: &mut Pool,
        plan: &compiled::Process,
        bytes: &'static [u8],
    ) -> Result<(), Failure> {
        let entry = image::load(pool, self, &plan.image, bytes)?;
        let stack = Stack::new(pool, self.space, stacks::top(0), plan.stack)?;
        self.stacks.push(stack);
        let heap = pool.frame(plan.memory)?;
        let address = self.map(heap, read_write())?;
        self.grants.value("heap", address)?;
        self.grants.value("heap-bytes", plan.memory)?;
        let message = pool.frame(abi::PAGE_SIZE)?;
        message.map(self.space.capability(), boot::MESSAGE_PAGE, read_write())?;
        self.thread
            .bind(Binding::MessagePage, Some(message.capability()))?;
        let page = pool.frame(abi::PAGE_SIZE)?;
        let window = open_window(pool, page)?;
        self.grants.write(window);
        close_window(window)?;
        page.map(
            self.space.capability(),
            GRANTS,
            Rights::new().with_read(true),
        )?;
        self.thread.run(entry, boot::STACK_TOP, 0)?;
        Ok(())
    }
}

/// Returns the rights of ordinary memory.
pub const fn read_write() -> Rights {
    Rights::new().with_read(true).with_write(true)
}

/// Maps a frame into init; one window is open at a time.
pub fn open_window(pool: &mut Pool, frame: Frame) -> Result<Window, Failure> {
    let copy = frame.capability().copy(pool.window_slot())?;
    let space = Space::own(boot::SLOT_SPACE);
    Ok(Window::map(
        Frame::at(copy.slot()),
        space,
        FIRST,
        read_write(),
    )?)
}

/// Takes the mapping of [`open_window`] away.
pub fn close_window(window: Window) -> Result<(), Failure> {
    let _ = window;
    Ok(Capability::own(crate::pool::WINDOW_SLOT).delete()?)
}
