//! What cases need to know of the machine: instructions, register ids, numbers that it refuses.

mod riscv;
mod s390;
mod x86;

use abi::exit::RouteKey;
use abi::fault::FaultKind;

/// The machine's part of the suite.
#[derive(Debug)]
pub struct Machine {
    /// Instructions that fault: the kind, whether the address in the argument register is what they
    /// access, and their bytes.
    pub faults: &'static [(FaultKind, &'static [u8])],
    /// An instruction that computes with floating-point numbers.
    pub floating_point: &'static [u8],
    /// Registers that a process can use and that the kernel does not save for it.
    pub unsaved: Option<Unsaved>,
    /// An instruction that executes the system-call instruction, which lies elsewhere, if the machine
    /// has one.
    pub executed_call: Option<&'static [u8]>,
    /// Signals the notification whose slot is in the stack pointer, and then receives for ever from
    /// the endpoint in slot [`crate::context::QUIET_ENDPOINT`].
    pub report: &'static [u8],
    /// Spins.
    pub spin: &'static [u8],
    /// Stores its argument at the address in it, for ever.
    pub touch: &'static [u8],
    /// Base-two logarithm of the bytes that the second-smallest leaf maps, or of a page where there
    /// are no other leaves.
    pub large_order: u64,
    /// Base-two logarithm of a fund that has room for the tables of one place, and of few others
    /// far away from it.
    pub small_fund: u64,
    /// Feature bits of the boot information, of which one says that pages without `execute` cannot
    /// be executed; 0 where it is always so.
    pub execute_feature: u64,
    /// A firmware call that is not on the kernel's list.
    pub firmware_unknown: [u64; 6],
    /// A firmware call on the list with an argument that the kernel does not let through.
    pub firmware_bad: Option<[u64; 6]>,
    /// A firmware call on the list that the firmware refuses.
    pub firmware_refused: Option<[u64; 6]>,
    /// A port that keeps the byte that is written to it and does nothing else, if the machine has
    /// ports.
    pub port: Option<u64>,
    /// What guests are made of.
    pub guest: Guest,
}

/// Registers that a process can use and that the kernel does not save for it.
#[derive(Debug)]
pub struct Unsaved {
    /// Loads them from the memory at the argument.
    pub fill: &'static [u8],
    /// Stores them to the memory at the argument.
    pub store: &'static [u8],
    /// Words that are stored.
    pub words: usize,
}

/// The machine's guests.
#[derive(Debug)]
pub struct Guest {
    /// Where the guest's memory begins.
    pub memory: u64,
    /// The address space of its device.
    pub device_key: RouteKey,
    /// Where its device lies.
    pub device: u64,
    /// Registers that a new vCPU gets so that it runs its instructions: id and value.
    pub prepare: &'static [(u64, u64)],
    /// Pages of the root table of its memory.
    pub root_pages: u64,
    /// Bits of what one access moves.
    pub width: u32,
    /// Two hypercalls, then spins.
    pub hypercall: &'static [u8],
    /// An instruction that has to be emulated, and the bits that are told of it.
    pub emulated: (&'static [u8], u64),
    /// Stores the second argument register at the first, then makes a hypercall.
    pub store: &'static [u8],
    /// Stores the second argument register at the first in the device's address space, in a way that
    /// the hardware describes, then makes a hypercall; nothing where hardware describes no access.
    pub device_store: &'static [u8],
    /// Loads the result register likewise.
    pub device_load: &'static [u8],
    /// Waits for an interrupt, then makes a hypercall.
    pub wait: &'static [u8],
    /// Counts in the memory that the first argument register points to, for ever.
    pub count: &'static [u8],
    /// Waits for `other_line`, takes it, counts as `count` does, for ever.
    pub take_lines: &'static [u8],
    /// Takes `other_line` without ever waiting for it, counts as `count` does, for ever.
    pub poll_lines: &'static [u8],
    /// Value of `enable`'s register that lets `other_line` end a wait.
    pub other_enable: u64,
    /// Bytes of an instruction.
    pub instruction_size: u64,
    /// Index of the first argument register in the register page, of the second, and of the result.
    pub registers: [usize; 3],
    /// Register ids that hold whatever was written while the guest makes hypercalls.
    pub kept: &'static [u64],
    /// Register id of the program counter.
    pub program_counter: u64,
    /// Register id and value that let an injected line end a wait.
    pub enable: (u64, u64),
    /// Value of the same register that lets the guest's timer end a wait.
    pub timer_enable: u64,
    /// The line of the guest's timer, or 0 where the machine delivers its interrupt: it is a
    /// hypercall then.
    pub timer_line: u64,
    /// Register id of the guest's own time. `None` where a deadline is in the host's.
    pub time: Option<u64>,
    /// Whether lines are requests: the guest leaves when it can take one.
    pub has_windows: bool,
    /// Register id and value that end the guest's wait where it waits until it takes a line.
    pub end_of_wait: Option<(u64, u64)>,
    /// Changes bits of a control register that are the host's, reads it into the result register and
    /// makes a hypercall; and what is read. `None` where all bits are the guest's.
    pub control: Option<(&'static [u8], u64)>,
    /// Reads the storage key of the memory at the first argument register into the last byte of the
    /// result register, sets it to the second argument register, and makes a hypercall, all that three
    /// times. `None` where memory has no keys.
    pub storage_key: Option<&'static [u8]>,
    /// Bits of an address that are told of an access to memory that is not there.
    pub told: u64,
    /// The line that `enable` is about.
    pub line: u64,
    /// Another line.
    pub other_line: u64,
    /// A line that the machine does not have.
    pub no_line: u64,
    /// A register id that there is not.
    pub no_register: u64,
    /// A register id and a value that it does not take.
    pub bad_value: (u64, u64),
}

impl Guest {
    /// Returns `value` as one access moves it.
    #[must_use]
    pub const fn cut(&self, value: u64) -> u64 {
        let unused = 64 - self.width;
        value << unused >> unused
    }
}

/// Returns this machine's part.
#[must_use]
pub fn current() -> &'static Machine {
    match rt::sys::MACHINE {
        rt::sys::Machine::Riscv => &riscv::RISCV,
        rt::sys::Machine::X86 => x86::current(),
        rt::sys::Machine::S390 => &s390::S390,
    }
}
