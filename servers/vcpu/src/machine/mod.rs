//! The machines whose guests this server knows.

pub mod riscv;
pub mod s390;
pub mod x86;

use crate::{Absent, Effects, EndReason, Exit, Lifecycle, Metrics, Outcome, VcpuId, VcpuSet};

/// A kind of machine, with the state of one VM of that kind.
pub trait Machine {
    /// Handles one exit.
    ///
    /// # Errors
    ///
    /// [`Absent`] where it has to be handled again.
    fn exit<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Absent>;

    /// The reply of an [`Outcome::STOP`] was made: the vCPU is stopped now.
    fn parked(&mut self, vcpu: VcpuId);

    /// A vCPU whose start was put off runs now.
    fn started(&mut self, vcpu: VcpuId);

    /// Sets the registers of all vCPUs for a boot of the first one and forgets their state; the VM
    /// runs (again). Start the first vCPU afterwards.
    ///
    /// # Errors
    ///
    /// [`BootError`] where a vCPU refuses a register.
    fn boot<E: Effects>(&mut self, boot: Boot, effects: &mut E) -> Result<VcpuId, BootError>;

    /// The interrupt controllers rang: processors have to start or to stop.
    fn rung<E: Effects>(&mut self, _effects: &mut E) {}

    /// The guest ended by other means than its firmware: an exit line. Stops every vCPU.
    fn end<E: Effects>(&mut self, reason: EndReason, effects: &mut E);

    /// Returns where the VM stands.
    fn lifecycle(&self) -> Lifecycle;

    /// Returns the vCPUs that run.
    fn running(&self) -> VcpuSet;

    /// Returns the counters.
    fn metrics(&self) -> &Metrics;
}

/// How a guest starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// Guest-physical address of the device tree, or of what the machine has instead.
    pub device_tree: u64,
}

/// A vCPU refused a register that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootError {
    /// Which vCPU.
    pub vcpu: VcpuId,
    /// The id of the register.
    pub id: u64,
}
