//! What the server has to know of the machine beside its decoder.

use super::{Setup, World};
use crate::machine::Boot;
use crate::{Exit, FenceKind, Line, Machine, RebootKind, RegisterError, VcpuId};
use abi::exit::ExitClass;
use core::fmt::Display;

/// A kind of machine, as the server needs it.
pub trait Platform: Sized + 'static {
    /// The decoder and the state of one VM.
    type Machine: Machine + Send;
    /// Why a guest cannot be loaded, for its user.
    type Failure: Display;

    /// Whether general register 0 is always 0.
    const HAS_ZERO: bool;

    /// Ids of the registers that an access which the hardware does not describe leaves in the
    /// register page, one behind the other.
    const NOTED: &'static [u64] = &[];
    /// Word of the register page with the first of them.
    const NOTED_FROM: usize = 0;

    /// Returns whether an exit left them there.
    #[inline]
    #[must_use]
    fn notes(exit: Exit) -> bool {
        let [.., info] = exit.words;
        let is_access = matches!(exit.class, ExitClass::Device | ExitClass::Unclaimed);
        !Self::NOTED.is_empty() && is_access && info == 0
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

    /// Lets the guest meet the cause of an exit of this class, which says where the guest was, again
    /// when it goes on.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where the vCPU refuses a register that it must have.
    fn try_again(
        world: &mut World<Self>,
        vcpu: VcpuId,
        exit: (ExitClass, u64),
    ) -> Result<(), RegisterError>;
}
