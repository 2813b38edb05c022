//! The machine: the trap into the kernel and the few instructions that Rust cannot say.
//!
//! The only choice of machine in user land. Where a machine's kernel does not exist yet, calls are
//! answered by `Unsupported`; so they are on a host, where servers are tested.

#[cfg(not(target_os = "none"))]
mod host;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
mod riscv;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
mod s390;
#[cfg(all(target_arch = "x86_64", target_os = "none"))]
mod x86;

#[cfg(not(target_os = "none"))]
use host as machine;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
use riscv as machine;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
use s390 as machine;
#[cfg(all(target_arch = "x86_64", target_os = "none"))]
use x86 as machine;

pub use machine::{
    MACHINE, counted_instructions, counted_loop, counter, counting_cost, halt, instruction_counter,
    mark, synchronize_code,
};
pub(crate) use machine::{firmware_shut_down, firmware_write_byte, thread_entry};

use crate::block::ThreadBlock;
use abi::{CallNumber, CallWord, Error, MessageInfo};

/// The machines that servers are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit RISC-V with the hypervisor extension.
    Riscv,
    /// x86-64.
    X86,
    /// s390x.
    S390,
}

/// The registers that a call leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    /// Register of the call word: shape of a received message.
    pub word: u64,
    /// Registers x0 to x8.
    pub x: [u64; 9],
}

impl Results {
    /// Returns what registers of a refused call hold.
    #[must_use]
    pub const fn refused(error: Error) -> Self {
        let mut x = [0; 9];
        x[0] = error.number();
        Self { word: 0, x }
    }

    /// Returns the status.
    ///
    /// # Errors
    ///
    /// The kernel's; a number that this program does not know is `UnknownCall`.
    #[inline]
    pub fn status(&self) -> Result<(), Error> {
        match self.x[0] {
            0 => Ok(()),
            number => Err(error(number)),
        }
    }
}

/// Returns the error with this number.
#[cold]
#[inline(never)]
fn error(number: u64) -> Error {
    Error::from_number(number).unwrap_or(Error::UnknownCall)
}

/// Makes a call with any number and any registers: what the typed handles are made of.
#[inline(always)]
#[must_use]
pub fn raw(word: CallWord, x: [u64; 8]) -> Results {
    machine::enter(word.into_bits(), x)
}

/// Makes a call as [`raw`] does; also returns the machine's count of instructions right before and
/// right after the trap instruction.
#[must_use]
pub fn counted(word: CallWord, x: [u64; 8]) -> (Results, [u64; 2]) {
    machine::enter_counted(word.into_bits(), x)
}

/// Makes a call without a message; `arguments` are x0 and up, the results x1 and up.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn call<const N: usize>(number: CallNumber, arguments: [u64; N]) -> Result<[u64; 6], Error> {
    const { assert!(N <= 7, "a call has at most seven arguments in registers") };
    let mut x = [0; 8];
    x[..N].copy_from_slice(&arguments);
    let word = CallWord::new().with_number(number as u8);
    let results = raw(word, x);
    results.status()?;
    let [_, values @ .., _, _] = results.x;
    Ok(values)
}

/// Makes a call that sends or receives a message: x0, the six words, and x7.
#[inline]
#[must_use]
pub fn exchange(
    number: CallNumber,
    info: MessageInfo,
    object: u64,
    words: [u64; 6],
    deadline: u64,
) -> Results {
    let word = CallWord::new().with_number(number as u8).with_info(info);
    let [a, b, c, d, e, f] = words;
    raw(word, [object, a, b, c, d, e, f, deadline])
}

/// Returns the block of the thread that runs.
pub(crate) fn block() -> &'static ThreadBlock {
    let pointer = machine::thread_pointer();
    // SAFETY: the thread pointer is set to a static ThreadBlock before a thread's first Rust code
    // runs (`start`, `spawn`), is never changed after that, and the kernel preserves it.
    unsafe { &*pointer }
}
