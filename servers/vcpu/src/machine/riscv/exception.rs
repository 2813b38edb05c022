//! Exceptions into the guest, exactly as its hart would take them (II 10.1.1, 10.1.2).

use super::{Riscv, Trouble, read, write};
use crate::{Effects, VcpuId};
use riscv_regs::one_reg::{CsrRegister, MODE_SUPERVISOR, MODE_USER};
use riscv_regs::status::Sstatus;
use riscv_regs::{Exception, Register};

impl Riscv {
    /// Makes the guest take `exception` at `program_counter` with `value` in stval.
    pub(super) fn raise<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        (exception, value): (Exception, u64),
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let id = |register| Register::Csr(register).id();
        let status = Sstatus::from_bits(read(vcpu, id(CsrRegister::Sstatus), effects)?);
        let vector = read(vcpu, id(CsrRegister::Stvec), effects)?;
        let mode = read(vcpu, Register::Mode.id(), effects)?;
        let status = status
            .with_spie(status.sie())
            .with_sie(false)
            .with_spp(mode != MODE_USER);
        let writes = [
            (id(CsrRegister::Sepc), program_counter),
            (id(CsrRegister::Scause), exception.number()),
            (id(CsrRegister::Stval), value),
            (id(CsrRegister::Sstatus), status.into_bits()),
            (Register::Mode.id(), MODE_SUPERVISOR),
            // Exceptions go to the base whatever the vector's mode.
            (Register::ProgramCounter.id(), vector & !3),
        ];
        for (id, value) in writes {
            write(vcpu, id, value, effects)?;
        }
        self.metrics.exceptions += 1;
        Ok(())
    }
}
