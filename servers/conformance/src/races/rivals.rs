//! Who acts beside the driver: a thread on every other core, above all else there.

use super::laws::Victim;
use super::scene::{SENT, Scene};
use super::{Kind, Random};
use crate::case::{Outcome, Stop};
use crate::context::{Context, HIGH, LOW, read_write};
use crate::crew::{self, Role};
use crate::machine;
use abi::call::FOREVER;
use abi::{Error, Rights, SlotAddress};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use rt::lock::TicketLock;
use rt::window::Window;
use rt::{Capability, Endpoint, Frame, Notification, Outgoing, Space, Thread, Vcpu};

/// The most rivals.
const RIVALS: u32 = 3;
/// Where rivals map their own pages: each in a table of its own, which comes and goes with it.
const PAGES: u64 = 0x3400_0000;
/// Bytes that a table of pages covers.
const TABLE: u64 = 1 << 21;
/// The most that a rival does in a volley.
const STEPS: u64 = 6;

/// What the rivals do in this volley.
static ASSIGNMENT: TicketLock<Option<Assignment>> = TicketLock::new(None);
/// How many rivals are at it.
static BUSY: AtomicU64 = AtomicU64::new(0);
/// The greatest count of taken interrupts that somebody saw before he raised one.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// What a rival needs to know for a volley.
#[derive(Clone, Copy, Debug)]
struct Assignment {
    kind: Kind,
    seed: u64,
    notification: Notification,
    victim: Victim,
    guests: Option<GuestsToo>,
}

/// The guests of an assignment.
#[derive(Clone, Copy, Debug)]
struct GuestsToo {
    taker: Vcpu,
    counts: Window,
    counter: Vcpu,
}

/// The rivals of a scene.
#[derive(Clone, Copy, Debug)]
pub struct Rivals {
    /// What each waits for.
    go: [Option<Notification>; RIVALS as usize],
    /// First of the slots in which they keep what they make, one each.
    slots: SlotAddress,
}

impl Rivals {
    /// Starts a rival on every core but the driver's.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn start(context: &Context) -> Outcome<Self> {
        let slots = context.slots(RIVALS);
        let mut rivals = Self {
            go: [None; RIVALS as usize],
            slots,
        };
        let cores = (1..context.info.cores).zip(slots.index..);
        for ((core, slot), place) in cores.zip(&mut rivals.go) {
            let go = context.notification_on(core)?;
            let page = context.frame(12)?;
            let role = Role::EAGER.on(core).with_priority(HIGH + 1);
            context.spawn(role, &[go.bits(), page.bits(), u64::from(slot)], rival)?;
            *place = Some(go);
        }
        Ok(rivals)
    }

    /// Lets the rivals begin.
    ///
    /// # Errors
    ///
    /// A failure.
    pub fn begin(&self, scene: &Scene, random: &mut Random, kind: Kind, victim: Victim) -> Outcome {
        *ASSIGNMENT.lock() = Some(Assignment {
            kind,
            seed: random.next(),
            notification: scene.notification,
            victim,
            guests: scene.guests.as_ref().map(|guests| GuestsToo {
                taker: guests.taker.vcpu,
                counts: guests.taker.memory,
                counter: guests.counter.vcpu,
            }),
        });
        SEEN.store(0, SeqCst);
        let all = self.go.iter().flatten();
        BUSY.store(all.clone().count() as u64, SeqCst);
        for go in all {
            go.signal()?;
        }
        Ok(())
    }

    /// Waits until the rivals are done.
    ///
    /// # Errors
    ///
    /// A failure where they are not.
    pub fn end(&self, context: &Context) -> Outcome {
        let busy = || BUSY.load(SeqCst) != 0;
        let end = context.after(20);
        while busy() && rt::sys::counter() < end {}
        context.until("the rivals are done", || !busy())
    }

    /// Checks that the rivals hold no capability.
    ///
    /// # Errors
    ///
    /// A failure where one does.
    pub fn hold_nothing(&self) -> Outcome {
        for index in self.slots.index..self.slots.index + RIVALS {
            if Capability::own(index).identify() != Err(Error::NoCapability) {
                return Err(Stop::failed("no capability outlives its original"));
            }
        }
        Ok(())
    }
}

/// Raises the taker's line; what the guest has taken then is noted first, for it has to take one
/// more.
///
/// # Errors
///
/// The kernel's.
pub fn raise(taker: Vcpu, counts: Window) -> Result<(), Error> {
    SEEN.fetch_max(counts.load(super::scene::TAKEN), SeqCst);
    taker
        .inject(machine::current().guest.other_line, 0)
        .map(drop)
}

/// Returns what [`raise`] noted in this volley.
pub fn seen() -> u64 {
    SEEN.load(SeqCst)
}

/// One rival.
struct Rival {
    /// Its page, and where it maps it.
    page: (Frame, u64),
    /// Its slot.
    slot: SlotAddress,
    /// Its numbers of this volley.
    random: Random,
}

/// Acts in one volley after the other.
fn rival(number: u64) {
    let note = crew::note(number);
    let mut rival = Rival {
        page: (Frame::at(note.slot(1)), PAGES + number * TABLE),
        slot: note.slot(2),
        random: Random::new(0),
    };
    while Notification::at(note.slot(0)).wait(FOREVER).is_ok() {
        let assignment = *ASSIGNMENT.lock();
        if let Some(assignment) = assignment {
            rival.random = Random::new(assignment.seed ^ number);
            // A copy that it keeps has to go with its original.
            for _ in 0..rival.random.below(STEPS) {
                rival.act(&assignment);
                rival.random.moment();
            }
        }
        BUSY.fetch_sub(1, SeqCst);
    }
}

impl Rival {
    /// Does one thing. Whatever it acts on may be gone: that is an error, and no failure.
    fn act(&mut self, assignment: &Assignment) {
        if self.random.below(4) == 0 {
            SENT.fetch_add(1, SeqCst);
            let _ = assignment.notification.signal();
            return;
        }
        let _ = match assignment.kind {
            Kind::Signal => {
                SENT.fetch_add(1, SeqCst);
                assignment.notification.signal()
            }
            Kind::Delete | Kind::Revoke => self.use_copy(assignment.victim),
            Kind::Map => self.use_page(),
            Kind::Inject => self.interrupt(assignment.guests),
            Kind::Guest => self.disturb(assignment.guests),
        };
    }

    /// Makes a copy of what is about to die, uses it, and gives it up or keeps it.
    fn use_copy(&mut self, victim: Victim) -> Result<(), Error> {
        let copy = Capability::at(self.slot);
        if self.random.below(2) == 0 {
            let _ = copy.delete();
        }
        let _ = victim.capability().mint(self.slot, Rights::ALL, 0);
        self.random.moment();
        match victim {
            Victim::None => Ok(()),
            Victim::Thread(_) => self.use_thread(Thread::at(self.slot)),
            Victim::Notification(_) => Notification::at(self.slot).signal(),
            Victim::Endpoint(_) => Endpoint::at(self.slot).call(&Outgoing::new(1)).map(drop),
        }
    }

    /// Stops, lets go on or moves a thread in the order of threads.
    fn use_thread(&mut self, thread: Thread) -> Result<(), Error> {
        match self.random.below(3) {
            0 => thread.stop(),
            1 => thread.resume(),
            _ => thread.set_priority(LOW + self.random.below(4)),
        }
    }

    /// Maps, protects or unmaps its own page.
    fn use_page(&mut self) -> Result<(), Error> {
        let (frame, address) = self.page;
        let space = Space::own(abi::boot::SLOT_SPACE).capability();
        match self.random.below(4) {
            0 | 1 => frame.map(space, address, read_write()),
            2 => frame.protect(0, abi::PAGE_SIZE, Rights::new().with_read(true)),
            _ => frame.unmap(),
        }
    }

    /// Raises a line of the taker, or lets it forget its translations.
    fn interrupt(&mut self, guests: Option<GuestsToo>) -> Result<(), Error> {
        let Some(GuestsToo { taker, counts, .. }) = guests else {
            return Ok(());
        };
        match self.random.below(8) {
            0 => taker.fence(1, 0),
            _ => raise(taker, counts),
        }
    }

    /// Lets the counter forget its translations, or raises a line that it does not take.
    fn disturb(&mut self, guests: Option<GuestsToo>) -> Result<(), Error> {
        let Some(GuestsToo { counter, .. }) = guests else {
            return Ok(());
        };
        let line = machine::current().guest.other_line;
        match self.random.below(3) {
            0 => counter.fence(1, 0),
            1 => counter.inject(line, 0).map(drop),
            _ => counter.inject(0, line).map(drop),
        }
    }
}
