//! Guests: VS-mode CSRs, lines, timer, and what hardware says of their exits.

use crate::csr;
use crate::float::FloatState;
use crate::percore::{self, PerCore};
use crate::timer;
use abi::Error;
use abi::exit::{AccessInfo, RouteKey};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::arch::{Access, Exit, GuestRegisters};
use kernel::word::Word;
use riscv_regs::Register;
use riscv_regs::csr as number;
use riscv_regs::instruction::{DataAccess, MemoryInstruction, Operation};
use riscv_regs::isa;
use riscv_regs::one_reg::{ConfigRegister, CsrRegister, TimerRegister};
use riscv_regs::status::Hstatus;
use riscv_regs::translation::{Hgatp, Mode};
use riscv_regs::trap_instruction::TrapInstruction;
use zerocopy::FromBytes;

/// What a vCPU has beside its general registers.
#[derive(FromBytes)]
#[repr(C)]
pub struct RiscvGuest {
    /// The program counter.
    pub pc: Word,
    /// 1 in supervisor mode, 0 in user mode.
    pub supervisor: Word,
    vsstatus: Word,
    vsie: Word,
    vstvec: Word,
    vsscratch: Word,
    vsepc: Word,
    vscause: Word,
    vstval: Word,
    vsatp: Word,
    scounteren: Word,
    senvcfg: Word,
    time_delta: Word,
    /// vstimecmp; without Sstc, the deadline that the kernel watches.
    deadline: Word,
    /// sstatus.FS while the guest runs, in place.
    pub float_state: Word,
    float: FloatState,
    tag: Word,
    tag_generation: Word,
}

/// Interrupt lines of a vCPU, at their places in hvip: VSSIP, VSTIP, VSEIP.
pub const LINES: u64 = SOFTWARE | TIMER | EXTERNAL;
const SOFTWARE: u64 = 1 << 2;
const TIMER: u64 = 1 << 6;
const EXTERNAL: u64 = 1 << 10;
/// sstatus.VS: the vector unit.
const VS: u64 = 3 << 9;
/// sstatus.FS.
pub const FS: u64 = 3 << 13;
const FS_INITIAL: u64 = 1 << 13;
const FS_CLEAN: u64 = 2 << 13;
/// WFI.
const WFI: u64 = 0x1050_0073;

/// hgatp with the guest mode and no root.
static MODE: AtomicU64 = AtomicU64::new(0);
/// Largest mode of vsatp that every hart has.
static SATP_MODE: AtomicU64 = AtomicU64::new(u64::MAX);
/// Bits of a VMID.
static TAG_BITS: AtomicU64 = AtomicU64::new(0);
/// henvcfg of every guest: of what guests can use, what every hart and its firmware keep.
static ENVIRONMENT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Whether the harts have Smstateen.
static HAS_STATE_ENABLE: AtomicBool = AtomicBool::new(false);

/// Finds out which second-stage mode and how many VMID bits this hart has (II 15.2.10); returns
/// whether it can run guests.
#[inline(never)]
pub fn probe() -> bool {
    let mode = 8_u64 << 60;
    csr::write!(number::HGATP, mode);
    let sticks = csr::read!(number::HGATP) >> 60 == 8;
    // A VMID may only be probed in a real mode: in Bare all other fields have to be zero.
    csr::write!(number::HGATP, mode | 0x3fff << 44);
    let bits = u64::from(Hgatp::from_bits(csr::read!(number::HGATP)).vmid_bits());
    csr::write!(number::HGATP, 0);
    csr::fence_guest_memory();
    SATP_MODE.fetch_min(largest_satp_mode(), Ordering::Relaxed);
    let known = TAG_BITS.load(Ordering::Relaxed);
    let first = MODE.load(Ordering::Relaxed) == 0;
    TAG_BITS.store(
        if first { bits } else { bits.min(known) },
        Ordering::Relaxed,
    );
    let wanted = isa::guest_environment().with_stce(timer::has_sstc());
    csr::write!(number::HENVCFG, wanted.into_bits());
    ENVIRONMENT.fetch_and(csr::read!(number::HENVCFG), Ordering::Relaxed);
    if sticks {
        MODE.store(mode, Ordering::Relaxed);
    }
    sticks
}

/// Returns the largest mode that this hart's vsatp has: outside of guests, an unsupported one is not
/// kept (II 15.2.13).
fn largest_satp_mode() -> u64 {
    let mut largest = Mode::Sv57 as u64;
    while largest >= Mode::Sv39 as u64 {
        csr::write!(number::VSATP, largest << 60);
        if csr::read!(number::VSATP) >> 60 == largest {
            break;
        }
        largest -= 1;
    }
    csr::write!(number::VSATP, 0);
    largest
}

/// Returns whether guests can run.
pub fn is_supported() -> bool {
    MODE.load(Ordering::Relaxed) != 0
}

/// Notes whether the harts have Smstateen.
pub fn set_has_state_enable(has: bool) {
    HAS_STATE_ENABLE.store(has, Ordering::Relaxed);
}

/// Returns henvcfg of every guest.
pub fn environment() -> u64 {
    ENVIRONMENT.load(Ordering::Relaxed)
}

/// Sets this hart's CSRs that are the same for every guest.
pub fn start_hart() {
    // Firmware may leave it on, but nobody saves vector registers: one guest would find another's.
    csr::clear!(number::SSTATUS, VS);
    // Exceptions that a guest handles itself: misaligned fetch, illegal instruction, breakpoint,
    // call from user mode, page faults; and its three interrupts.
    csr::write!(
        number::HEDELEG,
        1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 8 | 0b1011 << 12
    );
    csr::write!(number::HIDELEG, LINES);
    csr::write!(number::HCOUNTEREN, 7);
    csr::write!(number::HVIP, 0);
    csr::write!(number::HIE, 0);
    csr::write!(number::HGEIE, 0);
    csr::write!(number::HENVCFG, environment());
    if timer::has_sstc() {
        csr::write!(number::VSTIMECMP, u64::MAX);
    }
    if HAS_STATE_ENABLE.load(Ordering::Relaxed) {
        // senvcfg only: the guest is told of nothing else that the register guards.
        csr::write!(number::HSTATEEN0, 1 << 62);
    }
}

/// Returns hstatus for entering a guest in supervisor or user mode.
pub const fn hstatus() -> u64 {
    Hstatus::new()
        .with_spv(true)
        .with_vtw(true)
        .with_vsxl(2)
        .into_bits()
}

impl RiscvGuest {
    /// Brings a new guest into its reset state.
    pub fn reset(&self) {
        self.supervisor.set(1);
        self.deadline.set(u64::MAX);
        self.float_state.set(FS_INITIAL);
        self.scounteren.set(7);
    }

    /// Puts the guest's state into this hart.
    pub fn load(&self, root: u64) {
        self.load_registers();
        let hart = percore::current();
        let tag = self.tag_for(hart);
        csr::write!(
            number::HGATP,
            MODE.load(Ordering::Relaxed) | tag << 44 | root >> 12
        );
        if TAG_BITS.load(Ordering::Relaxed) == 0 {
            csr::fence_guest_memory();
            csr::fence_guest_virtual();
        }
        csr::set!(number::SSTATUS, FS);
        self.float.load();
        if self.float_state.get() != FS_INITIAL {
            self.float_state.set(FS_CLEAN);
        }
    }

    /// Puts the guest's CSRs into this hart.
    fn load_registers(&self) {
        csr::write!(number::VSSTATUS, self.vsstatus.get());
        csr::write!(number::VSIE, self.vsie.get());
        csr::write!(number::VSTVEC, self.vstvec.get());
        csr::write!(number::VSSCRATCH, self.vsscratch.get());
        csr::write!(number::VSEPC, self.vsepc.get());
        csr::write!(number::VSCAUSE, self.vscause.get());
        csr::write!(number::VSTVAL, self.vstval.get());
        csr::write!(number::VSATP, self.vsatp.get());
        csr::write!(number::SCOUNTEREN, self.scounteren.get() | 2);
        csr::write!(number::SENVCFG, self.senvcfg.get());
        csr::write!(number::HTIMEDELTA, self.time_delta.get());
        if timer::has_sstc() {
            csr::write!(number::VSTIMECMP, self.deadline.get());
        }
    }

    /// Saves the guest's CSRs from this hart.
    fn save_registers(&self) {
        self.vsstatus.set(csr::read!(number::VSSTATUS));
        self.vsie.set(csr::read!(number::VSIE));
        self.vstvec.set(csr::read!(number::VSTVEC));
        self.vsscratch.set(csr::read!(number::VSSCRATCH));
        self.vsepc.set(csr::read!(number::VSEPC));
        self.vscause.set(csr::read!(number::VSCAUSE));
        self.vstval.set(csr::read!(number::VSTVAL));
        self.vsatp.set(csr::read!(number::VSATP));
        self.scounteren.set(csr::read!(number::SCOUNTEREN));
        self.senvcfg.set(csr::read!(number::SENVCFG));
        if timer::has_sstc() {
            self.deadline.set(csr::read!(number::VSTIMECMP));
        }
    }

    /// Saves the guest's floating-point registers from this hart, if they changed.
    fn save_float(&self) {
        if self.float_state.get() == FS {
            csr::set!(number::SSTATUS, FS);
            self.float.save();
            self.float_state.set(FS_CLEAN);
        }
    }

    /// Takes the guest's state out of this hart.
    pub fn unload(&self) {
        self.save_registers();
        self.save_float();
        if timer::has_sstc() {
            // A deadline that stays behind would raise the next guest's line.
            csr::write!(number::VSTIMECMP, u64::MAX);
        }
        csr::write!(number::HVIP, 0);
    }

    /// Returns the VMID of this guest on this hart. A new generation begins when they are used up.
    fn tag_for(&self, hart: &PerCore) -> u64 {
        let limit = 1_u64 << TAG_BITS.load(Ordering::Relaxed);
        if limit == 1 {
            return 0;
        }
        if self.tag_generation.get() != hart.tag_generation.get() {
            if hart.next_tag.get() >= limit {
                hart.tag_generation.add(1);
                hart.next_tag.set(1);
                csr::fence_guest_memory();
                csr::fence_guest_virtual();
            }
            self.tag.set(hart.next_tag.get());
            self.tag_generation.set(hart.tag_generation.get());
            hart.next_tag.add(1);
        }
        self.tag.get()
    }

    /// Returns whether lines or the timer would wake the guest from WFI.
    pub fn wakes(&self, loaded: bool, lines: u64) -> bool {
        let enabled = if loaded {
            csr::read!(number::VSIE)
        } else {
            self.vsie.get()
        } << 1;
        let passed = match self.timer(loaded) {
            deadline if deadline <= csr::time() => TIMER,
            _ => 0,
        };
        (lines | passed) & enabled != 0
    }

    /// Returns when the guest's timer fires, in the hart's time; 0 where that is past, `u64::MAX` is
    /// never.
    pub fn timer(&self, loaded: bool) -> u64 {
        let deadline = if loaded && timer::has_sstc() {
            csr::read!(number::VSTIMECMP)
        } else {
            self.deadline.get()
        };
        if deadline == u64::MAX {
            return deadline;
        }
        // The guest's time may be behind the hart's as well as before it.
        let now = csr::time();
        let guest_now = now.wrapping_add(self.time_delta.get());
        if deadline <= guest_now {
            return 0;
        }
        now.saturating_add(deadline - guest_now)
    }

    /// Returns the same of a timer that has no hardware behind it while the guest runs.
    #[inline(always)]
    pub fn software_timer(&self) -> u64 {
        if timer::has_sstc() {
            return u64::MAX;
        }
        self.timer(false)
    }

    /// Raises the timer line when a deadline without hardware has passed.
    #[inline(always)]
    pub fn timer_line(&self) -> u64 {
        if timer::has_sstc() || self.timer(false) > csr::time() {
            return 0;
        }
        self.deadline.set(u64::MAX);
        TIMER
    }

    /// Moves the program counter behind an instruction.
    pub fn skip(&self, length: u64) {
        self.pc.add(length);
    }

    /// Puts what an access loaded into its register.
    pub fn loaded(registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        let register = usize::from(access.register());
        if register == 0 {
            return;
        }
        let unused = 64 - (8 << access.size_log2());
        let value = value << unused;
        let value = if access.signed() {
            (value.cast_signed() >> unused).cast_unsigned()
        } else {
            value >> unused
        };
        if let Some(word) = registers.get(register) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Reads a register; the CSRs are brought out of the hart first.
    pub fn read(
        &self,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        if loaded {
            self.save_registers();
            self.save_float();
        }
        let register = Self::register(id)?;
        match register {
            Register::General(general) => {
                let word = registers.and_then(|all| all.get(usize::from(general.number())));
                word.map(|word| word.load(Ordering::Relaxed))
                    .ok_or(Error::NoSuchRegister)
            }
            Register::Timer(TimerRegister::Time) => {
                Ok(csr::time().wrapping_add(self.time_delta.get()))
            }
            Register::Timer(TimerRegister::State) => Ok(u64::from(self.deadline.get() != u64::MAX)),
            Register::Config(ConfigRegister::SatpMode) => Ok(SATP_MODE.load(Ordering::Relaxed)),
            Register::Csr(CsrRegister::Sip) => Ok((csr::read!(number::HVIP) & LINES) >> 1),
            _ => self
                .word(register)
                .map(Word::get)
                .ok_or(Error::NoSuchRegister),
        }
    }

    /// Writes a register after checking the value; the CSRs go back into the hart.
    pub fn write(
        &self,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        (id, value): (u64, u64),
    ) -> Result<(), Error> {
        if loaded {
            self.save_registers();
            self.save_float();
        }
        let register = Self::register(id)?;
        match register {
            Register::General(general) => {
                let word = registers.and_then(|all| all.get(usize::from(general.number())));
                word.ok_or(Error::NoSuchRegister)?
                    .store(value, Ordering::Relaxed);
            }
            Register::Mode if value > 1 => return Err(Error::BadRegisterValue),
            Register::ProgramCounter if value & 1 != 0 => return Err(Error::BadRegisterValue),
            Register::FloatControl if value > 0xff => return Err(Error::BadRegisterValue),
            Register::Timer(TimerRegister::Time) => {
                self.time_delta.set(value.wrapping_sub(csr::time()));
            }
            _ => self.word(register).ok_or(Error::NoSuchRegister)?.set(value),
        }
        if loaded {
            self.load_registers();
            if matches!(register, Register::Double(_) | Register::FloatControl) {
                csr::set!(number::SSTATUS, FS);
                self.float.load();
            }
        }
        Ok(())
    }

    /// Returns the register with this id.
    fn register(id: u64) -> Result<Register, Error> {
        if id == abi::register::TIMER_DEADLINE {
            return Ok(Register::Timer(TimerRegister::Compare));
        }
        Register::from_id(id).ok_or(Error::NoSuchRegister)
    }

    /// Returns the word that holds a register while the guest is not in a hart.
    fn word(&self, register: Register) -> Option<&Word> {
        Some(match register {
            Register::ProgramCounter => &self.pc,
            Register::Mode => &self.supervisor,
            Register::Csr(csr) => match csr {
                CsrRegister::Sstatus => &self.vsstatus,
                CsrRegister::Sie => &self.vsie,
                CsrRegister::Stvec => &self.vstvec,
                CsrRegister::Sscratch => &self.vsscratch,
                CsrRegister::Sepc => &self.vsepc,
                CsrRegister::Scause => &self.vscause,
                CsrRegister::Stval => &self.vstval,
                CsrRegister::Satp => &self.vsatp,
                CsrRegister::Scounteren => &self.scounteren,
                CsrRegister::Senvcfg => &self.senvcfg,
                CsrRegister::Sip => return None,
            },
            Register::Timer(TimerRegister::Compare) => &self.deadline,
            Register::Double(number) => self.float.f.get(usize::from(number))?,
            Register::FloatControl => &self.float.control,
            Register::General(_)
            | Register::Config(_)
            | Register::Aia(_)
            | Register::StateEnable
            | Register::Timer(_)
            | Register::Extension(_)
            | Register::Sbi(_) => return None,
        })
    }
}

/// Returns the exit that a trap out of a guest was.
#[inline(always)]
pub fn exit(guest: &RiscvGuest, cause: u64) -> Exit {
    let value = csr::read!(number::STVAL);
    match cause {
        10 => {
            guest.pc.add(4);
            Exit::Hypercall
        }
        22 if value == WFI => {
            guest.pc.add(4);
            Exit::Idle
        }
        2 | 22 => Exit::Instruction { bits: value },
        // htval has bits 63:2 of the guest-physical address; the rest is stval's, unless the fault was
        // met on the way through the guest's own tables.
        20 | 21 | 23 => Exit::Access(Access {
            key: RouteKey::Device,
            address: csr::read!(number::HTVAL) << 2 | value & 3,
            virtual_address: value,
            cause,
            description: csr::read!(number::HTINST),
        }),
        _ => Exit::Other {
            details: [cause, value, csr::read!(number::HTVAL)],
        },
    }
}

/// Returns the access that a value of htinst describes.
#[inline(never)]
pub fn access<'r>(
    htinst: u64,
    registers: impl FnOnce() -> GuestRegisters<'r>,
) -> Option<(AccessInfo, u64)> {
    match TrapInstruction::decode(htinst) {
        TrapInstruction::Memory {
            instruction: MemoryInstruction::Data(data),
            offset: 0,
        } => Some(describe(data, registers)),
        TrapInstruction::Memory { .. }
        | TrapInstruction::PageTable { .. }
        | TrapInstruction::Unknown => None,
    }
}

/// Returns an access as the kernel describes it, and the value of a store: only for that registers are
/// looked for.
fn describe<'r>(
    data: DataAccess,
    registers: impl FnOnce() -> GuestRegisters<'r>,
) -> (AccessInfo, u64) {
    let info = AccessInfo::new()
        .with_size_log2(data.width.log2())
        .with_instruction_length(data.length.bytes());
    match data.operation {
        Operation::Load {
            destination,
            signed,
        } => (
            info.with_register(destination.number()).with_signed(signed),
            0,
        ),
        Operation::Store { source } => {
            let word = registers().get(usize::from(source.number()));
            let value = match source.number() {
                0 => 0,
                _ => word.map_or(0, |word| word.load(Ordering::Relaxed)),
            };
            let unused = 64 - (8 << data.width.log2());
            (info.with_write(true), value << unused >> unused)
        }
    }
}
