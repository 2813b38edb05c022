//! Guests: their state, lines, timers and registers, and what their exits were.

use crate::float::{self, AFP, Registers};
use crate::percore::PerCore;
use crate::sie::{self as hardware, Block, Left};
use crate::{paging, timer, trap};
use abi::Error;
use abi::exit::{AccessInfo, RouteKey};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Access, Exit, GuestRegisters};
use kernel::word::Word;
use s390_regs::one_reg::Register;
use s390_regs::sie::{self, Field, code, intervention};
use s390_regs::{Cr0, Identification, ProgramException, PswMask, lowcore};
use zerocopy::FromBytes;

/// What a vCPU has beside its general registers.
#[derive(FromBytes)]
#[repr(C, align(512))]
pub struct S390Guest {
    block: Block,
    /// Control registers 0 and 1 of the host while the guest runs.
    pub control: [Word; 2],
    /// Address of the general registers.
    pub registers: Word,
    /// Floating-point registers.
    pub float: Registers,
    /// Access registers, two in a word.
    pub access: [Word; 8],
    /// Floating-point control register.
    float_control: Word,
    /// When it began to wait, or 0: its CPU timer runs meanwhile.
    waits_since: Word,
    unused: [u64; 35],
}

/// Line of an external interruption.
const EXTERNAL: u64 = 1;
/// Line of an input/output interruption.
const INPUT_OUTPUT: u64 = 2;
/// Line of what a guest cannot be closed to.
const STOP: u64 = 4;
/// All lines. They are requests: the interruption is a server's to choose and to store.
pub const LINES: u64 = EXTERNAL | INPUT_OUTPUT | STOP;
/// First byte of DIAGNOSE, a guest's call of its hypervisor.
const DIAGNOSE: u64 = 0x83;

impl S390Guest {
    /// Makes the state of a guest that was not reset.
    pub const fn new() -> Self {
        Self {
            block: Block::new(),
            control: [const { Word::new(0) }; 2],
            registers: Word::new(0),
            float: [const { Word::new(0) }; 16],
            access: [const { Word::new(0) }; 8],
            float_control: Word::new(0),
            waits_since: Word::new(0),
            unused: [0; 35],
        }
    }

    /// Brings a new guest into its reset state (PoP chapter 4, "Resets"), but for its timers, which
    /// are far away.
    pub fn reset(&self) {
        let block = &self.block;
        block.set(sie::MODE, sie::Z_ARCHITECTURE);
        block.set(sie::EXECUTION_CONTROLS, sie::EXTERNAL_ASSIST);
        block.set(sie::KEY_CONTROLS, sie::STATUS_BYPASS);
        block.set(sie::CPU_TIMER, i64::MAX.cast_unsigned());
        block.set(sie::CLOCK_COMPARATOR, u64::MAX);
        block.set(sie::STORAGE_LIMIT, paging::USER_END - 1);
        block.set(sie::control(0), 0xe0);
        block.set(sie::control(14), 0xc200_0000);
    }

    /// Makes it what no machine runs: memory that ends before it begins.
    pub fn make_invalid(&self) {
        self.block.set(sie::MODE, sie::Z_ARCHITECTURE);
        self.block.set(sie::STORAGE_ORIGIN, 1 << 20);
        // Nobody looks at them.
        self.registers.set(self.float.as_ptr() as u64);
    }

    /// Returns whether it was not valid.
    pub fn was_invalid(&self) -> bool {
        self.block.get(sie::CODE) == code::VALIDITY
    }

    /// Prepares an entry on this CPU.
    pub fn prepare(&self, cpu: &PerCore) {
        let ([control0, _], [place, _]) = (&cpu.control, &self.control);
        place.set(control0.get() | AFP);
        self.block.set(sie::CODE, code::NONE);
    }

    /// Puts the guest's state into this CPU, and its space's root table into its state.
    pub fn load(&self, cpu: &PerCore, root: u64) {
        let [_, space] = &self.control;
        space.set(paging::space_of(root).into_bits());
        float::load(cpu, &self.float, &self.float_control);
    }

    /// Takes the guest's state out of this CPU.
    pub fn unload(&self, cpu: &PerCore) {
        float::save(cpu, &self.float, &self.float_control);
    }

    /// Sets the lines for the next entry.
    pub fn set_lines(&self, lines: u64) {
        let bit = |line, bit| if lines & line == 0 { 0 } else { bit };
        let bits = bit(EXTERNAL, intervention::EXTERNAL)
            | bit(INPUT_OUTPUT, intervention::INPUT_OUTPUT)
            | bit(STOP, intervention::STOP);
        self.block.set(sie::INTERVENTION, bits);
    }

    /// Returns the first doubleword of the PSW.
    pub fn mask(&self) -> PswMask {
        PswMask::from_bits(self.block.get(sie::PSW_MASK))
    }

    /// Returns the program counter.
    pub fn program_counter(&self) -> u64 {
        self.block.get(sie::PSW_ADDRESS)
    }

    /// Moves the program counter, as far as its addresses go.
    pub fn skip(&self, bytes: u64) {
        let mask = self.mask();
        let last = match (mask.extended(), mask.basic()) {
            (true, _) => u64::MAX,
            (false, true) => 0x7fff_ffff,
            (false, false) => 0x00ff_ffff,
        };
        let next = self.program_counter().wrapping_add(bytes) & last;
        self.block.set(sie::PSW_ADDRESS, next);
    }

    /// Returns whether lines or the timers would wake the guest from its wait.
    pub fn wakes(&self, lines: u64) -> bool {
        let mask = self.mask();
        let passed = || {
            self.timer()
                .is_some_and(|deadline| deadline <= timer::now())
        };
        lines & STOP != 0
            || (lines & EXTERNAL != 0 && mask.external())
            || (lines & INPUT_OUTPUT != 0 && mask.input_output())
            || passed()
    }

    /// Returns when a timer of the guest interrupts it: its comparator, or while it waits its CPU
    /// timer.
    pub fn timer(&self) -> Option<u64> {
        let control0 = Cr0::from_bits(self.block.get(sie::control(0)));
        let since = self.waits_since.get();
        let comparator = control0.clock_comparator().then(|| self.deadline());
        let cpu_timer = (control0.cpu_timer() && since != 0).then(|| {
            let left = self.block.get(sie::CPU_TIMER).cast_signed().max(0);
            since.saturating_add(left.cast_unsigned())
        });
        let deadline = comparator.into_iter().chain(cpu_timer).min()?;
        self.mask().external().then_some(deadline)
    }

    /// Returns when the clock comparator interrupts, in the host's time: 0 where it has passed.
    fn deadline(&self) -> u64 {
        let comparator = self.block.get(sie::CLOCK_COMPARATOR);
        let now = timer::now();
        let guests = now.wrapping_add(self.block.get(sie::EPOCH));
        match comparator.checked_sub(guests) {
            _ if comparator == u64::MAX => u64::MAX,
            Some(left) => now.saturating_add(left),
            None => 0,
        }
    }

    /// Puts what an access loaded into its register.
    pub fn loaded(registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        let Some(word) = registers.get(usize::from(access.register() & 15)) else {
            return;
        };
        let unused = 64 - (8 << access.size_log2());
        let loaded = value << unused;
        let before = word.load(Ordering::Relaxed);
        let after = if access.signed() {
            (loaded.cast_signed() >> unused).cast_unsigned()
        } else if access.merge() && unused != 0 {
            before >> (64 - unused) << (64 - unused) | loaded >> unused
        } else {
            loaded >> unused
        };
        word.store(after, Ordering::Relaxed);
    }

    /// Runs the guest until it leaves.
    pub fn run(&self, cpu: &PerCore, registers: &[AtomicU64; 16]) -> Left {
        let since = self.waits_since.replace(0);
        if since != 0 {
            let left = self.block.get(sie::CPU_TIMER);
            let passed = timer::now().wrapping_sub(since);
            self.block.set(sie::CPU_TIMER, left.wrapping_sub(passed));
        }
        self.registers.set(registers.as_ptr() as u64);
        let [.., r14, r15] = registers;
        self.block.set(sie::GENERAL_14, r14.load(Ordering::Relaxed));
        self.block.set(sie::GENERAL_15, r15.load(Ordering::Relaxed));
        let left = hardware::enter(cpu, self);
        r14.store(self.block.get(sie::GENERAL_14), Ordering::Relaxed);
        r15.store(self.block.get(sie::GENERAL_15), Ordering::Relaxed);
        left
    }

    /// Returns the exit that a program interruption of the host is: memory that is not there.
    pub fn missing_memory(&self) -> Exit {
        let (code, identification) = hardware::host_program_interruption();
        match ProgramException::of(code) {
            ProgramException::Translation | ProgramException::Protection => {
                access(Identification(identification).page(), code, identification)
            }
            _ => trap::kernel_trap(),
        }
    }

    /// Returns the exit that the block has, if it has one.
    pub fn exit(&self) -> Option<Exit> {
        let block = &self.block;
        let bits = self.instruction();
        let (first, rest) = (bits >> 32, bits & u64::from(u32::MAX));
        let why = block.get(sie::CODE);
        Some(match why {
            code::NONE => return None,
            code::INSTRUCTION if first >> 8 == DIAGNOSE => Exit::Hypercall,
            code::INSTRUCTION => {
                let length = sie::instruction_bytes(block.get(sie::STATUS), first);
                self.skip(length.wrapping_neg());
                Exit::Instruction { bits }
            }
            code::PROGRAM => self.program_interruption(),
            code::EXTERNAL_REQUEST => Exit::Window { lines: EXTERNAL },
            code::INPUT_OUTPUT_REQUEST => Exit::Window {
                lines: INPUT_OUTPUT,
            },
            code::STOP_REQUEST => Exit::Window { lines: STOP },
            code::WAIT if self.is_open() => {
                self.waits_since.set(timer::now());
                Exit::Idle
            }
            code::VALIDITY if rest >> 16 == sie::NO_PREFIX_AREA => {
                access(block.get(sie::PREFIX), 0, 0)
            }
            _ => Exit::Other {
                details: [why, bits, block.get(sie::EXTERNAL)],
            },
        })
    }

    /// Returns the six bytes of the instruction that was intercepted.
    pub fn instruction(&self) -> u64 {
        self.block.get(sie::INSTRUCTION_A) << 32 | self.block.get(sie::INSTRUCTION_B)
    }

    /// Returns whether any interruption ends the guest's wait.
    fn is_open(&self) -> bool {
        let mask = self.mask();
        mask.external() || mask.input_output() || mask.machine_check()
    }

    /// Returns the exit of a program interruption that SIE leaves to the host. A store that the
    /// host's table does not allow is one, too; where the guest itself translates addresses, the
    /// block has its own address of the place, and what its tables allow decides whose it is.
    fn program_interruption(&self) -> Exit {
        let length = self.block.get(sie::PROGRAM_LENGTH);
        let number = self.block.get(sie::PROGRAM_CODE);
        let identification = self.block.get(sie::TRANSLATION_EXCEPTION);
        let code = number as u16;
        let exception = ProgramException::of(code);
        if exception.is_behind() {
            self.skip((length & 6).wrapping_neg());
        }
        let id = Identification(identification);
        if exception == ProgramException::Protection
            && id.is_protected_by_table()
            && !self.mask().translation()
        {
            return access(self.absolute(id.page()), code, identification);
        }
        Exit::Other {
            details: [code::PROGRAM, length << 16 | number, identification],
        }
    }

    /// Returns the guest's absolute address of a real one (PoP chapter 3, "Prefixing").
    fn absolute(&self, real: u64) -> u64 {
        let prefix = self.block.get(sie::PREFIX);
        match real & !(lowcore::BYTES - 1) {
            0 => real + prefix,
            base if base == prefix => real - prefix,
            _ => real,
        }
    }

    /// Reads a register.
    pub fn read(
        &self,
        loaded: Option<&PerCore>,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        if id == abi::register::TIMER_DEADLINE {
            let comparator = self.block.get(sie::CLOCK_COMPARATOR);
            let hosts = comparator.wrapping_sub(self.block.get(sie::EPOCH));
            return Ok(if comparator == u64::MAX {
                comparator
            } else {
                hosts
            });
        }
        let register = Register::from_id(id).ok_or(Error::NoSuchRegister)?;
        if register == Register::Instruction {
            return Ok(self.instruction());
        }
        self.save_float(loaded, register);
        let place = self.place(registers, register);
        place.ok_or(Error::NoSuchRegister).map(|it| it.get())
    }

    /// Writes a register after checking the value.
    pub fn write(
        &self,
        loaded: Option<&PerCore>,
        registers: Option<GuestRegisters<'_>>,
        (id, value): (u64, u64),
    ) -> Result<(), Error> {
        if id == abi::register::TIMER_DEADLINE {
            let guests = value.wrapping_add(self.block.get(sie::EPOCH));
            let comparator = if value == u64::MAX { value } else { guests };
            self.block.set(sie::CLOCK_COMPARATOR, comparator);
            return Ok(());
        }
        let register = Register::from_id(id).ok_or(Error::NoSuchRegister)?;
        if !register.takes(value) {
            return Err(Error::BadRegisterValue);
        }
        self.save_float(loaded, register);
        let place = self.place(registers, register);
        place.ok_or(Error::NoSuchRegister)?.set(value);
        if let Some(cpu) = loaded.filter(|_| is_float(register)) {
            float::load(cpu, &self.float, &self.float_control);
        }
        Ok(())
    }

    /// Saves the floating-point registers where a loaded guest's are in the CPU.
    fn save_float(&self, loaded: Option<&PerCore>, register: Register) {
        if let Some(cpu) = loaded.filter(|_| is_float(register)) {
            float::save(cpu, &self.float, &self.float_control);
        }
    }

    /// Returns where a register is.
    fn place<'p>(
        &'p self,
        registers: Option<GuestRegisters<'p>>,
        register: Register,
    ) -> Option<Place<'p>> {
        const WHOLE: Field = Field::new(0, 64);
        let word = |words: &'p [Word], index: u8| words.get(usize::from(index)).map(Word::shared);
        let (word, field) = match register {
            Register::General(number) => (registers?.get(usize::from(number)), WHOLE),
            Register::Float(number) => (word(&self.float, number), WHOLE),
            Register::FloatControl => (Some(self.float_control.shared()), Field::new(4, 32)),
            Register::Access(number) => {
                let half = Field::new(usize::from(number & 1) * 4, 32);
                (word(&self.access, number / 2), half)
            }
            _ => {
                let field = field_of(register)?;
                (self.block.word(field), field)
            }
        };
        word.map(|word| Place { word, field })
    }
}

/// Where a register is: part of a word.
struct Place<'p> {
    word: &'p AtomicU64,
    field: Field,
}

impl Place<'_> {
    /// Returns the value.
    fn get(&self) -> u64 {
        self.field.of(self.word.load(Ordering::Relaxed))
    }

    /// Sets the value.
    fn set(&self, value: u64) {
        let before = self.word.load(Ordering::Relaxed);
        let after = self.field.placed(before, value);
        self.word.store(after, Ordering::Relaxed);
    }
}

/// Returns whether a register can be one of those that stay in the CPU while others run.
const fn is_float(register: Register) -> bool {
    matches!(register, Register::Float(_) | Register::FloatControl)
}

/// Returns the exit of an access to guest-absolute memory that the host's tables do not allow.
fn access(address: u64, code: u16, identification: u64) -> Exit {
    Exit::Access(Access {
        key: RouteKey::Device,
        address,
        virtual_address: 0,
        cause: (identification & 0xfff) << 16 | u64::from(code),
        description: 0,
    })
}

/// Returns where the block has a register.
const fn field_of(register: Register) -> Option<Field> {
    Some(match register {
        Register::PswMask => sie::PSW_MASK,
        Register::PswAddress => sie::PSW_ADDRESS,
        Register::Prefix => sie::PREFIX,
        Register::Control(number) => sie::control(number),
        Register::Epoch => sie::EPOCH,
        Register::CpuTimer => sie::CPU_TIMER,
        Register::ClockComparator => sie::CLOCK_COMPARATOR,
        Register::TodProgrammable => sie::TOD_PROGRAMMABLE,
        Register::ControlLoads => sie::CONTROL_LOADS,
        Register::General(_)
        | Register::Instruction
        | Register::Access(_)
        | Register::Float(_)
        | Register::FloatControl => return None,
    })
}
