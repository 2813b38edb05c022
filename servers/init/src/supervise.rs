//! Watching the system: faults of processes, ends of guests, and the end of the system.
//!
//! A thread per core hears the faults of that core's threads; the one of core 0 also hears of
//! guests that ended.

use crate::guest::Guest;
use crate::pool::Pool;
use crate::process::{Process, read_write};
use crate::stacks;
use crate::system::Failure;
use abi::boot::{SLOT_CAP_TABLE, SLOT_FIRMWARE, SLOT_SPACE};
use abi::call::{Binding, FOREVER};
use abi::fault::FaultKind;
use abi::{DeliveryKind, ObjectKind, Rights};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use manifest::compiled::System;
use rt::memory::CapTable;
use rt::spawn::{Plan, ThreadPlace};
use rt::stack::Mark;
use rt::window::Window;
use rt::{
    Budget, Endpoint, Firmware, Incoming, Notification, Outgoing, Reply, Space, Thread, TicketLock,
};

/// Bit by which the console says that the user wants to quit.
pub const QUIT: u64 = 1 << 62;
/// Bit by which a watching thread says that a process faulted.
const FAULTED: u64 = 1 << 61;
/// Where init sees the reports of guests.
const REPORTS: u64 = 0x2800_0000;
/// Where init's further threads have their message pages.
const MESSAGE_PAGES: u64 = 0x2700_0000;
/// Priority of the watching threads: above everybody.
const PRIORITY: u64 = 62;
/// Cores that init watches.
const MAX_CORES: usize = 8;

/// Stacks of the watching threads.
static PLACES: [ThreadPlace<8192>; MAX_CORES] = [const { ThreadPlace::new() }; MAX_CORES];
/// Slots of their endpoints.
static ENDPOINTS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
/// Replies of each core: as many threads can have faulted before the main thread looks.
const REPLIES_PER_CORE: u32 = 4;
/// Slots of the first Reply of each core.
static REPLIES: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
/// Slot of the notification of the main thread.
static MAIN: AtomicU64 = AtomicU64::new(0);
/// Names of the processes, for reports.
static NAMES: TicketLock<Vec<String>> = TicketLock::new(Vec::new());
/// Processes that faulted, one bit each.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// What init watches with.
pub struct Watch {
    /// The notification that wakes the main thread.
    pub notification: Notification,
    endpoints: Vec<Endpoint>,
}

impl Watch {
    /// Makes endpoints for faults on every core, and the threads that listen.
    pub fn new(pool: &mut Pool, system: &System, cores: u64) -> Result<Self, Failure> {
        let names = system.processes.iter().map(|process| process.name.clone());
        *NAMES.lock() = names.collect();
        let notification = pool.make_on(ObjectKind::Notification, 0)?;
        let signal = notification.mint(pool.slot()?, Rights::ALL, FAULTED)?;
        MAIN.store(u64::from(signal.slot().index), Ordering::Relaxed);
        let mut watch = Self {
            notification: Notification::at(notification.slot()),
            endpoints: Vec::new(),
        };
        for core in 0..cores.min(MAX_CORES as u64) {
            watch.add_core(pool, core)?;
        }
        Ok(watch)
    }

    /// Starts the watching thread of a core.
    fn add_core(&mut self, pool: &mut Pool, core: u64) -> Result<(), Failure> {
        let endpoint = pool.make_on(ObjectKind::Endpoint, core)?;
        let thread = pool.make_on(ObjectKind::Thread, core)?;
        let budget = pool.make_on(ObjectKind::Budget, core)?;
        Budget::at(budget.slot()).configure(1, 1)?;
        let page = pool.frame(abi::PAGE_SIZE)?;
        let address = MESSAGE_PAGES + core * abi::PAGE_SIZE;
        let space = Space::own(SLOT_SPACE);
        page.map(space.capability(), address, read_write())?;
        let plan = Plan {
            space,
            table: CapTable::own(SLOT_CAP_TABLE),
            budget: Budget::at(budget.slot()),
            message_page: Some((page, address)),
            priority: PRIORITY,
            index: core + 1,
        };
        let index = usize::try_from(core).unwrap_or(0);
        if let (Some(place), Some(slot)) = (PLACES.get(index), ENDPOINTS.get(index)) {
            slot.store(u64::from(endpoint.slot().index), Ordering::Relaxed);
            let replies = pool.row_on(ObjectKind::Reply, core, REPLIES_PER_CORE)?;
            if let Some(first) = REPLIES.get(index) {
                first.store(u64::from(replies), Ordering::Relaxed);
            }
            place.start(Thread::at(thread.slot()), &plan, listen, core)?;
        }
        self.endpoints.push(Endpoint::at(endpoint.slot()));
        Ok(())
    }

    /// Lets init hear the faults of a thread on a core.
    pub fn hear_faults(
        &self,
        pool: &mut Pool,
        thread: Thread,
        core: u64,
        badge: u64,
    ) -> Result<(), Failure> {
        let index = usize::try_from(core).unwrap_or(usize::MAX);
        let endpoint = self.endpoints.get(index).ok_or(Failure::BadManifest)?;
        let rights = Rights::new().with_call(true).with_grant(true);
        let handler = endpoint.capability().mint(pool.slot()?, rights, badge)?;
        thread.bind(Binding::FaultHandler, Some(handler))?;
        Ok(())
    }
}

/// Listens to the faults of a core.
fn listen(core: u64) {
    let index = usize::try_from(core).unwrap_or(0);
    let slot = ENDPOINTS
        .get(index)
        .map_or(0, |slot| slot.load(Ordering::Relaxed));
    let endpoint = Endpoint::own(u32::try_from(slot).unwrap_or(0));
    let main = Notification::own(u32::try_from(MAIN.load(Ordering::Relaxed)).unwrap_or(0));
    loop {
        match endpoint.receive(FOREVER) {
            Ok(message) if message.kind() == Some(DeliveryKind::Fault) => {
                report(core, &message);
                FAULTS.fetch_or(1 << (message.badge & 63), Ordering::AcqRel);
                let _ = main.signal();
                put_aside(index);
            }
            Ok(_) => {}
            Err(error) => {
                rt::log!("skerry: init cannot watch core {core}: {error:?}");
                return;
            }
        }
    }
}

/// Puts the faulted thread aside, so that the next one can be heard. The main thread stops it
/// through its capability, which empties the Reply again.
fn put_aside(core: usize) {
    let Some(slot) = REPLIES.get(core) else {
        return;
    };
    let first = u32::try_from(slot.load(Ordering::Relaxed)).unwrap_or(0);
    loop {
        for index in 0..REPLIES_PER_CORE {
            if Reply::own(first + index).save().is_ok() {
                return;
            }
        }
        let _ = rt::capability::yield_now();
    }
}

/// Prints what a process did.
fn report(core: u64, message: &Incoming) {
    let kind = FaultKind::from_number(u64::from(message.label()));
    let kind = kind.map_or_else(|| String::from("fault"), |kind| format!("{kind:?}"));
    let [pc, address, cause, ..] = message.words;
    let index = usize::try_from(message.badge.wrapping_sub(1)).unwrap_or(usize::MAX);
    let name = NAMES.lock().get(index).cloned().unwrap_or_default();
    rt::log!(
        "skerry: server {name} on core {core} faulted: {kind} at {pc:#x}, address {address:#x}, cause {cause}"
    );
}

/// What became of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It runs.
    Running,
    /// It ended with this status.
    Status(u64),
}

/// What there is to watch.
pub struct Supervisor<'a> {
    /// For windows into stacks.
    pub pool: &'a mut Pool,
    /// The manifest.
    pub system: &'a System,
    /// The guests, in its order.
    pub guests: &'a [Guest],
    /// The processes, in its order.
    pub processes: &'a [Process],
}

impl Supervisor<'_> {
    /// Watches the system until its last guest has ended, then switches the machine off.
    pub fn run(&mut self, watch: &Watch) -> Result<(), Failure> {
        let mut reports: Vec<Window> = Vec::new();
        for (index, guest) in self.guests.iter().enumerate() {
            reports.push(guest.open_report(self.pool, REPORTS + index as u64 * abi::PAGE_SIZE)?);
        }
        let mut ends: Vec<End> = alloc::vec![End::Running; self.guests.len()];
        loop {
            let bits = watch.notification.wait(FOREVER)?;
            if bits & FAULTED != 0 {
                faulted().for_each(|process| self.bury(process, &mut ends));
            }
            for (index, report) in reports.iter().enumerate() {
                note_end(self.system, index, report.load(0), &mut ends);
            }
            let is_over = !self.guests.is_empty() && ends.iter().all(|end| *end != End::Running);
            if bits & QUIT != 0 || is_over {
                self.finish(ends.iter().any(|end| *end != End::Status(0)));
            }
        }
    }

    /// Stops a process that faulted, and the guest that it served.
    fn bury(&mut self, index: usize, ends: &mut [End]) {
        let plan = self.system.processes.get(index);
        let (Some(plan), Some(process)) = (plan, self.processes.get(index)) else {
            return;
        };
        if let Err(error) = process.thread.stop() {
            rt::log!("skerry: {} did not stop: {error:?}", plan.name);
        }
        rt::log!("skerry: server {} died", plan.name);
        let Some(guest) = plan.guest.map(|guest| usize::from(guest.0)) else {
            rt::log!("skerry: panic: the whole system depends on {}", plan.name);
            self.report_stacks();
            switch_off(true);
        };
        if let Some(stopped) = self.guests.get(guest) {
            stopped.stop();
        }
        note_end(self.system, guest, 2, ends);
    }

    /// Prints the marks of all stacks, init's own too.
    fn report_stacks(&mut self) {
        stacks::report(self.pool, self.system, self.processes);
        let own = PLACES.iter().filter_map(ThreadPlace::mark);
        if let Some(mark) = own.chain(rt::stack::of_first()).reduce(Mark::fuller) {
            rt::stack::report("init", mark);
        }
    }

    /// Lets the console print what it has, and switches the machine off; that failed where nobody saw
    /// all of it.
    fn finish(&mut self, failed: bool) -> ! {
        self.report_stacks();
        let flush = Outgoing::new(rt::api::log::FLUSH_LABEL);
        let is_shown = self.console().is_none_or(|console| {
            let answer = console.call(&flush);
            answer.is_ok_and(|answer| answer.words.first() == Some(&0))
        });
        switch_off(failed || !is_shown)
    }

    /// Returns the console's endpoint on the core of the main thread.
    fn console(&self) -> Option<Endpoint> {
        let console = usize::from(self.system.console?.0);
        self.processes.get(console)?.endpoint(0)
    }
}

/// Returns the processes that faulted since the last look.
fn faulted() -> impl Iterator<Item = usize> {
    let bits = FAULTS.swap(0, Ordering::AcqRel);
    (1..64)
        .filter(move |bit| bits >> bit & 1 == 1)
        .map(|bit| bit - 1)
}

/// Notes the end of a guest that has not ended before.
fn note_end(system: &System, index: usize, report: u64, ends: &mut [End]) {
    let (Some(plan), Some(end)) = (system.guests.get(index), ends.get_mut(index)) else {
        return;
    };
    if report == 0 || *end != End::Running {
        return;
    }
    *end = End::Status(report - 1);
    rt::log!("skerry: guest {} ended: status {}", plan.name, report - 1);
}

/// Switches the machine off.
fn switch_off(failed: bool) -> ! {
    let _ = Firmware::own(SLOT_FIRMWARE).shut_down(failed);
    rt::spawn::exit()
}
