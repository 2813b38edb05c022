//! What the rows need of a machine: instructions of partners and guests, put together by hand, and
//! where numbers are.

mod code;
mod riscv;
mod s390;
mod x86;

pub use code::BYTES;

use abi::exit::RouteKey;

/// Instructions.
pub type Program = [u8; BYTES];

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Answers each call with its own words.
    pub echo: fn() -> Program,
    /// Waits for a signal, makes so many calls with four words, below 2048, reads the counter before
    /// and after each, makes a mark and signals; the stack pointer is a page that it may store to.
    pub caller: fn(u16) -> Program,
    /// Answers each message with so many words, which are zero.
    pub answer: fn(u8) -> Program,
    /// Waits for signals, and writes the counter to the start of the page in the stack pointer.
    pub wait: fn() -> Program,
    /// Loads from address 0 for ever, and writes the counter right before and right after to the
    /// first words of the page in the stack pointer, or keeps it in registers.
    pub fault: fn() -> Program,
    /// Bytes of the load.
    pub fault_length: u64,
    /// Registers with the counter before and after the load, where it is in registers.
    pub fault_registers: Option<[u64; 2]>,
    /// Bytes that one table of leaves maps.
    pub table_reach: u64,
    /// Tables of leaves that one table above them names, without that of the neighbour.
    pub tables: u64,
    /// Its guests.
    pub guest: Guest,
}

/// The guests of a machine. Each counts an instruction again and again, writes down what it took,
/// eight bytes further each time, and stores to address 0 at the end.
#[derive(Debug)]
pub struct Guest {
    /// Where a guest's memory begins.
    pub memory: u64,
    /// Register id of the program counter.
    pub program_counter: u64,
    /// Registers that a new vCPU gets so that it runs its instructions: id and value.
    pub prepare: &'static [(u64, u64)],
    /// Where its device is.
    pub device: (RouteKey, u64),
    /// Counts an instruction that does nothing.
    pub nothing: fn() -> Program,
    /// Makes hypercalls.
    pub hypercall: fn() -> Program,
    /// Loads from a device.
    pub load: fn() -> Program,
    /// Stores to a device.
    pub store: fn() -> Program,
    /// Stores to one page after the other.
    pub touch: fn() -> Program,
    /// Answers each missing page by mapping the next frame at the next address; address and slot are
    /// in the first words of the page in the stack pointer.
    pub pager: fn() -> Program,
    /// Returns what the general registers hold at the start, by index in the register page: where
    /// the guest accesses, where it writes down, and how many rounds.
    pub start: fn(u64, u64, u64) -> [(usize, u64); 3],
}

/// Returns this machine.
#[must_use]
pub fn current() -> &'static Machine {
    match rt::sys::MACHINE {
        rt::sys::Machine::Riscv => &riscv::RISCV,
        rt::sys::Machine::X86 => &x86::X86,
        rt::sys::Machine::S390 => &s390::S390,
    }
}
