//! What the server has to know of the machine beside its decoder.

use super::{Setup, World};
use crate::machine::Boot;
use crate::{Exit, FenceKind, Line, Machine, RebootKind, RegisterError, VcpuId};
use core::fmt::Display;

/// A kind of machine, as the server needs it.
pub trait Platform: Sized + 'static {
    /// The decoder and the state of one VM.
    type Machine: Machine + Send;
    /// Why a guest cannot be loaded, for its user.
    type Failure: Display;

    /// Whether general register 0 is always 0.
    const HAS_ZERO: bool;

    /// Returns the word of the register page in which an access that the hardware does not describe
    /// leaves the register with this id, if it leaves that one.
    #[must_use]
    fn noted(_id: u64) -> Option<usize> {
        None
    }

    /// Returns a VM in which nothing runs, or `None` where `setup` describes none.
    fn machine(setup: &Setup) -> Option<Self::Machine>;

    /// Writes the guest's files into its memory; `again` where there was a guest in it before. Behind
    /// a cold reboot the memory is as after power-on; behind a warm one, what nothing is loaded to
    /// keeps what it had.
    ///
    /// # Errors
    ///
    /// What is wrong with the files or the memory.
    fn load(setup: &Setup, again: Option<RebootKind>) -> Result<Boot, Self::Failure>;

    /// Returns the bit of a line in `Inject`.
    fn line(line: Line) -> u64;

    /// Returns the number of a fence's kind in `Fence`.
    fn fence(kind: FenceKind) -> u64;

    /// Returns extension and function of the firmware call that a vCPU makes.
    fn firmware_call(world: &mut World<Self>, vcpu: VcpuId) -> (u64, u64);

    /// Lets the guest meet the cause of an exit again when it goes on.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where the vCPU refuses a register that it must have.
    fn try_again(world: &mut World<Self>, vcpu: VcpuId, exit: Exit) -> Result<(), RegisterError>;
}
