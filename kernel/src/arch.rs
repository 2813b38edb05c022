//! The machine, as the portable kernel sees it. `docs/arch-trait.md` says for each method what it
//! means on RISC-V H, SVM, VMX and SIE.

use abi::exit::{AccessInfo, RouteKey};
use abi::fault::FaultKind;
use abi::{Error, Rights};
use core::sync::atomic::AtomicU64;
use zerocopy::FromBytes;

/// Saved user registers of one thread.
pub trait UserFrame: FromBytes + Sync {
    /// Returns the call word of a system call.
    fn call_word(&self) -> u64;
    /// Returns argument `index` (0 to 7) of a system call.
    fn argument(&self, index: usize) -> u64;
    /// Sets result `index` (0 to 8, where 0 is the status) of a system call; it is in the register of
    /// the argument with that index.
    fn set_result(&self, index: usize, value: u64);
    /// Sets the information word of a received message.
    fn set_info(&self, info: u64);
    /// Ends a system call: moves behind its instruction and clears every register that is neither
    /// preserved nor a result. Results are set afterwards.
    fn complete(&self);
    /// Returns the program counter.
    fn program_counter(&self) -> u64;
    /// Returns a register, numbered as by `abi::call::ThreadRegister` and the machine.
    fn register(&self, number: u64) -> Option<u64>;
    /// Sets a register that a user may set; `None` where there is no such register.
    fn set_register(&self, number: u64, value: u64) -> Option<()>;
}

/// Which of the two kinds of translation a table belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Of a process.
    User,
    /// Of a guest: guest-physical to physical.
    Guest,
}

/// Shape of one level of translation tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Bits of the address below this level's index.
    pub shift: u32,
    /// Bits of the index.
    pub bits: u32,
    /// Whether an entry of this level can be a leaf.
    pub leaf: bool,
}

impl Level {
    /// Returns the bytes of a table of this level.
    #[must_use]
    pub const fn table_bytes(&self) -> u64 {
        8 << self.bits
    }

    /// Returns the index of `address` in a table of this level.
    #[must_use]
    pub const fn index(&self, address: u64) -> usize {
        ((address >> self.shift) & ((1 << self.bits) - 1)) as usize
    }
}

/// What a translation-table entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableEntry {
    /// Nothing.
    Empty,
    /// The table of the next level at this physical address.
    Table(u64),
    /// Memory.
    Leaf {
        /// Its physical address.
        physical: u64,
        /// Of `read`, `write`, `execute`.
        access: Rights,
    },
}

/// An entry of a table that cores may be using.
#[derive(Clone, Copy, Debug)]
pub struct LiveEntry<'e> {
    /// The entry.
    pub word: &'e AtomicU64,
    /// Whose tables it is in.
    pub stage: Stage,
    /// The shape of its level.
    pub level: &'static Level,
    /// An address that it translates.
    pub address: u64,
}

/// What a leaf designates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Physical address.
    pub physical: u64,
    /// Of `read`, `write`, `execute`. None is a leaf that no access uses, but that
    /// [`Arch::decode`] still tells from an empty entry: the place is taken.
    pub access: Rights,
    /// Whether accesses are uncached.
    pub device: bool,
}

/// Names translations in the TLB; the machine's address-space number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceTag(pub u64);

/// Why the kernel was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call of the current thread.
    Call,
    /// A fault of the current thread.
    Fault {
        /// What kind.
        kind: FaultKind,
        /// The address, or 0; of the page, where the machine knows no more. A machine that does not
        /// know the kind of access reports a missing translation as a load; what an existing one
        /// does not allow it reports as a store or a fetch.
        address: u64,
        /// The machine's cause.
        cause: u64,
    },
    /// The timer's deadline passed.
    Timer,
    /// Another core sent an inter-processor interrupt.
    Ipi,
    /// A device raised an interrupt.
    External,
    /// The current vCPU left its guest.
    Exit(Exit),
}

/// Why a vCPU left its guest.
///
/// The guest's program counter is **behind the instruction for [`Exit::Hypercall`] and
/// [`Exit::Idle`]**, and **at it for every other exit**, whatever the hardware leaves there: the
/// machine moves it before it reports the exit. So the answer to a call is only a `Resume`, an
/// instruction that nobody emulates is made again, and [`Arch::guest_skip`] adds the length of an
/// access that a device answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called its hypervisor; the program counter is behind the instruction.
    Hypercall,
    /// An instruction has to be emulated.
    Instruction {
        /// Its bits, or 0.
        bits: u64,
    },
    /// An access that somebody else has to make: to memory that the second stage does not translate,
    /// or to another of the machine's address spaces.
    Access(Access),
    /// It waits for an interrupt; the program counter is behind the instruction.
    Idle,
    /// It can take an interrupt now: lines are requests on this machine, whose delivery is a
    /// server's. They stay raised until `Inject` lowers them.
    Window {
        /// The raised lines that it can take.
        lines: u64,
    },
    /// Anything else.
    Other {
        /// The machine's cause and details.
        details: [u64; 3],
    },
}

/// An access of a guest that somebody else has to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The address space: [`RouteKey::Device`] stands for guest-physical memory.
    pub key: RouteKey,
    /// The address in it; of the page, where the machine knows no more.
    pub address: u64,
    /// The guest's own address, or 0 where the machine does not know it.
    pub virtual_address: u64,
    /// The machine's cause.
    pub cause: u64,
    /// What the hardware says about the access, for [`Arch::guest_access`]; 0 where it says nothing.
    pub description: u64,
}

/// The general registers of a guest, in a page that a server sees too.
pub type GuestRegisters<'a> = &'a [AtomicU64];

/// The machine.
pub trait Arch: Sized + Sync + 'static {
    /// Saved user registers of one thread.
    type Frame: UserFrame + 'static;
    /// What a vCPU has beside its general registers, valid when all zero.
    type Guest: FromBytes + Sync + 'static;

    /// First address that no process may map.
    const USER_END: u64;
    /// Largest index of an interrupt line plus one.
    const INTERRUPTS: u32;

    /// Returns the instructions, about, after which a call that takes long lets others get in between.
    #[inline(always)]
    fn step(&self) -> u64 {
        1000
    }
    /// Returns the counter that deadlines are given in.
    fn now(&self) -> u64;
    /// Asks for a [`Trap::Timer`] at `deadline`; `u64::MAX` is never.
    fn set_timer(&self, deadline: u64);
    /// Copies words of one page to as many of another; `false` where it has no instruction for that.
    #[inline(always)]
    fn copy(&self, _: (&[AtomicU64], &[AtomicU64])) -> bool {
        false
    }
    /// Interrupts every core of the mask.
    fn send_ipi(&self, cores: u64);

    /// Returns the levels of a stage's tables, root first; of guests, none where the machine has no
    /// guests. Tables below the root have one size, but those of the last level can have another.
    /// What they are is found out before the kernel is made, and never changes.
    fn levels(&self, stage: Stage) -> &'static [Level];
    /// Returns the entry of a table of this level that says nothing: new tables are filled with it,
    /// and what [`Arch::decode`] reads out of it is [`TableEntry::Empty`].
    fn empty(&self, stage: Stage, level: &Level) -> u64;
    /// Returns whether every entry of a table of this level is empty: zero, where a machine says no more.
    fn is_empty(&self, _stage: Stage, _level: &Level, table: &[AtomicU64]) -> bool {
        arena::is_zero(table)
    }
    /// Fills the kernel's part of a new process's root table, whose entries are empty.
    fn initialise_root(&self, root: &[AtomicU64]);
    /// Makes an entry of a table of this level for memory. Of memory that differs in its physical
    /// address alone, entries differ in proportion to that.
    fn leaf(&self, stage: Stage, level: &Level, memory: Memory) -> u64;
    /// Makes an entry of a table of this level for a table of the next level.
    fn table(&self, stage: Stage, level: &Level, physical: u64) -> u64;
    /// Reads an entry of a table of this level.
    fn decode(&self, stage: Stage, entry: u64, level: &Level) -> TableEntry;
    /// Changes an entry of a table that cores may be using. It never reads as something third in
    /// between, so that a fault of another core finds what was there or what is there now. What
    /// cores remember of the old entry may be dropped here or by the flush that follows; a machine
    /// that follows remembered tables until that flush must not take the address of a page for a
    /// valid entry (the link of free tables is one).
    fn replace(&self, place: &LiveEntry<'_>, entry: u64);
    /// Returns how many spaces can have a number of their own; a machine without tags in its TLB
    /// returns a bound.
    fn space_tags(&self) -> u64;
    /// Returns the word that [`Arch::load_space`] takes for a process's root table; `None` is the
    /// kernel's own. It is never 0.
    fn space_word(&self, space: Option<(u64, SpaceTag)>) -> u64;
    /// Makes the tables current on this core that a word is of.
    fn load_space(&self, word: u64);
    /// Drops cached translations of a process on this core.
    fn flush_space(&self, tag: SpaceTag);
    /// Drops cached translations of all processes on this core.
    fn flush_all_spaces(&self);
    /// Drops one page's cached translation of a process on this core.
    fn flush_page(&self, tag: SpaceTag, address: u64);
    /// Drops all cached translations of guests on this core.
    fn flush_guests(&self);

    /// Masks an interrupt line, on this core at least: the kernel drops what another core still
    /// claims.
    fn mask_interrupt(&self, line: u32);
    /// Unmasks an interrupt line for delivery to this core.
    fn unmask_interrupt(&self, line: u32);
    /// Takes the line that interrupts this core and masks it; `None` when there is no more.
    fn claim_interrupt(&self) -> Option<u32>;
    /// Makes an allow-listed firmware call. `page` is the caller's message page, where it has one:
    /// a machine whose calls take more than words passes them through it.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`], [`Error::BadArgument`] (also where a page is missing),
    /// [`Error::FirmwareRefused`].
    fn firmware(&self, arguments: [u64; 6], page: Option<&[AtomicU64]>) -> Result<u64, Error>;
    /// Writes `value` to the I/O port, or reads it; `size` is 1, 2 or 4 bytes, all of them are at
    /// ports below 65536.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the machine has no ports.
    fn port(&self, port: u64, size: u64, value: Option<u64>) -> Result<u64, Error>;

    /// Returns whether vCPUs can be made.
    fn has_guests(&self) -> bool;
    /// Returns the interrupt lines that a vCPU has.
    fn guest_lines(&self) -> u64;
    /// Brings a new vCPU into its reset state.
    fn guest_reset(&self, guest: &Self::Guest);
    /// Makes a vCPU the loaded one of this core: its control state and second-stage root.
    fn guest_load(&self, guest: &Self::Guest, root: u64);
    /// Saves the loaded vCPU's state out of this core.
    fn guest_unload(&self, guest: &Self::Guest);
    /// Sets the lines of the loaded vCPU.
    fn guest_set_lines(&self, guest: &Self::Guest, lines: u64);
    /// Returns the lines of the loaded vCPU as the guest left them, of the given ones.
    fn guest_remaining_lines(&self, guest: &Self::Guest, lines: u64) -> u64;
    /// Returns whether a vCPU with these lines would wake from idling; loaded says whether its
    /// state is in this core.
    fn guest_wakes(&self, guest: &Self::Guest, loaded: bool, lines: u64) -> bool;
    /// Returns when the guest's own timer will fire, in this machine's ticks; `u64::MAX` is never. Where
    /// it has come, that is some time that is past.
    fn guest_timer(&self, guest: &Self::Guest, loaded: bool) -> u64;
    /// Returns the same while the guest runs, `u64::MAX` where the machine then raises the interrupt by
    /// itself.
    fn guest_software_timer(&self, guest: &Self::Guest) -> u64;
    /// Raises the timer line if the guest's timer has no hardware behind it and its time has come.
    fn guest_timer_line(&self, guest: &Self::Guest) -> u64;
    /// Drops the loaded vCPU's cached translations of this kind (0 is all).
    fn guest_flush(&self, guest: &Self::Guest, kind: u64);
    /// Returns the guest's program counter; after an exit by the rule of [`Exit`].
    fn guest_program_counter(&self, guest: &Self::Guest) -> u64;
    /// Returns what a server of [`Exit::Hypercall`] and [`Exit::Instruction`] would have to ask for
    /// each time: the instruction, and a register that says how it is executed; 0 where it has none.
    fn guest_instruction(&self, _guest: &Self::Guest) -> [u64; 2] {
        [0; 2]
    }
    /// Returns the access of which the hardware says this (key and route 0), and the value of a store;
    /// `None` where that does not describe one that somebody else can make: what a decoder asks for is
    /// in the registers then, where the machine has a place for it.
    fn guest_access<'r>(
        &self,
        guest: &Self::Guest,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)>;
    /// Moves the guest's program counter by the length of an instruction that somebody else made.
    fn guest_skip(&self, guest: &Self::Guest, length: u64);
    /// Puts what such an access loaded into its register.
    fn guest_loaded(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64);
    /// Reads a register.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRegister`].
    fn guest_read(
        &self,
        guest: &Self::Guest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error>;
    /// Writes a register after checking the value.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRegister`], [`Error::BadRegisterValue`].
    fn guest_write(
        &self,
        guest: &Self::Guest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        write: (u64, u64),
    ) -> Result<(), Error>;
}
