//! Guests: their state, lines, timer and registers, and what their exits were.

use crate::percore::{self, PerCore};
use crate::svm::{self, Block, FloatArea};
use crate::timer;
use abi::Error;
use abi::exit::{AccessInfo, RouteKey};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Exit, GuestRegisters, GuestTimer};
use kernel::word::Word;
use x86_regs::one_reg::{Register, SegmentField};
use x86_regs::vmcb::{self, exit};
use x86_regs::{Cr0, Efer, msr};
use zerocopy::FromBytes;

/// What a vCPU has beside its general registers.
#[derive(FromBytes)]
#[repr(C, align(4096))]
pub struct X86Guest {
    block: Block,
    float: FloatArea,
    /// The timer's deadline, plus one; 0 is never.
    deadline: Word,
    /// Generation of the address-space identifier that the block has.
    tag: Word,
    /// 1 from the injection of a non-maskable interrupt to the end of its handler.
    is_masked: Word,
    /// Lines that are raised while the guest runs.
    lines: Word,
    unused: [u64; 444],
}

/// Line of a maskable interrupt.
const INTERRUPT: u64 = 1;
/// Line of a non-maskable interrupt.
const NON_MASKABLE: u64 = 2;
/// Line of the guest's timer.
const TIMER: u64 = 4;
/// All lines. They are requests: the vector is a server's to choose.
pub const LINES: u64 = INTERRUPT | NON_MASKABLE | TIMER;

/// RFLAGS.IF.
const INTERRUPTS_ENABLED: u64 = 1 << 9;
/// An event's valid bit.
const VALID: u64 = 1 << 31;
/// Intercepts, first word: IRET.
const INTERCEPT_IRET: u64 = 1 << 20;
/// Intercepts, first word: the virtual interrupt can be taken.
const INTERCEPT_WINDOW: u64 = 1 << 4;
/// Virtual interrupt: requested, of the highest priority, whatever the guest's priority is; physical
/// interrupts obey the host's flag.
const REQUEST: u64 = 1 << 8 | 0xf << 16 | 1 << 20;
/// Virtual interrupt: physical interrupts obey the host's flag.
const MASKING: u64 = 1 << 24;
/// EFER.SVME, which a guest has to have and does not see.
const SVM_ENABLED: u64 = 1 << 12;

impl X86Guest {
    /// Brings a new guest into its reset state (APM, "Processor Initialization State").
    pub fn reset(&self) {
        let block = &self.block;
        svm::prepare(block);
        self.float.reset();
        for segment in 0..10 {
            let (selector, attributes, base) = match segment {
                1 => (0xf000, 0x9b, 0xffff_0000),
                0 | 2..=5 => (0, 0x93, 0),
                7 => (0, 0x82, 0),
                9 => (0, 0x8b, 0),
                _ => (0, 0, 0),
            };
            let offset = vmcb::SEGMENTS + segment * 16;
            block.set(offset, selector | attributes << 16 | 0xffff << 32);
            block.set(offset + 8, base);
        }
        block.set(vmcb::EFER, SVM_ENABLED);
        block.set(vmcb::CR0, 0x6000_0010);
        block.set(vmcb::DR6, 0xffff_0ff0);
        block.set(vmcb::DR7, 0x400);
        block.set(vmcb::RFLAGS, 2);
        block.set(vmcb::RIP, 0xfff0);
        block.set(vmcb::PAT, 0x0007_0406_0007_0406);
    }

    /// Puts the guest's state into this core.
    pub fn load(&self, root: u64) {
        self.block.set(vmcb::NESTED_ROOT, root);
        svm::load_float(&self.float);
    }

    /// Takes the guest's state out of this core.
    pub fn unload(&self) {
        svm::save_float(&self.float);
    }

    /// Sets the lines for the next entry.
    pub fn set_lines(&self, lines: u64) {
        self.lines.set(lines);
        let wanted = lines & (INTERRUPT | TIMER) != 0;
        let request = if wanted { REQUEST | MASKING } else { MASKING };
        self.block.set(vmcb::VIRTUAL_INTERRUPT, request);
        self.intercept(INTERCEPT_WINDOW, wanted);
    }

    /// Sets or clears intercepts of the first word.
    fn intercept(&self, bits: u64, wanted: bool) {
        let before = self.block.get_part(vmcb::INTERCEPT_FIRST, 32);
        let after = if wanted {
            before | bits
        } else {
            before & !bits
        };
        self.block.set_part(vmcb::INTERCEPT_FIRST, 32, after);
    }

    /// Returns whether lines or the timer would wake the guest from HLT.
    pub fn wakes(&self, lines: u64) -> bool {
        let passed = match self.timer() {
            Some(timer) if timer.deadline <= timer::now() => TIMER,
            _ => 0,
        };
        let is_open = self.block.get(vmcb::RFLAGS) & INTERRUPTS_ENABLED != 0;
        ((lines | passed) & (INTERRUPT | TIMER) != 0 && is_open)
            || (lines & NON_MASKABLE != 0 && self.is_masked.get() == 0)
    }

    /// Returns when the guest's timer fires.
    pub fn timer(&self) -> Option<GuestTimer> {
        let deadline = self.deadline.get().checked_sub(1)?;
        Some(GuestTimer {
            deadline,
            in_hardware: false,
        })
    }

    /// Raises the timer's line when the deadline has passed.
    pub fn timer_line(&self, now: u64) -> u64 {
        match self.timer() {
            Some(timer) if timer.deadline <= now => {
                self.deadline.set(0);
                TIMER
            }
            _ => 0,
        }
    }

    /// Drops the guest's cached translations at the next entry.
    pub fn flush(&self) {
        self.tag.set(u64::MAX);
    }

    /// Returns the program counter.
    pub fn program_counter(&self) -> u64 {
        self.block.get(vmcb::RIP)
    }

    /// Moves the program counter behind an instruction; a shadow that it was in is over.
    fn skip(&self, length: u64) {
        let next = self.program_counter().wrapping_add(length);
        self.block.set(vmcb::RIP, next);
        self.block.set(vmcb::SHADOW, 0);
    }

    /// Ends an access that somebody else made.
    pub fn complete(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        self.skip(u64::from(access.instruction_length()));
        let Some(word) = registers.get(usize::from(access.register())) else {
            return;
        };
        if access.write() {
            return;
        }
        let unused = 64 - (8 << access.size_log2());
        let loaded = value << unused >> unused;
        let before = word.load(Ordering::Relaxed);
        let after = if access.high() {
            before & !0xff00 | (value & 0xff) << 8
        } else if access.merge() && unused != 0 {
            before >> (64 - unused) << (64 - unused) | loaded
        } else if access.signed() {
            (loaded << unused)
                .cast_signed()
                .wrapping_shr(unused)
                .cast_unsigned()
        } else {
            loaded
        };
        word.store(after, Ordering::Relaxed);
    }

    /// Runs the guest until it leaves, and returns its exit; `None` is an interrupt of the host.
    pub fn run(&self, core: &PerCore, registers: &[AtomicU64; 16]) -> Option<Exit> {
        // An event that waits to be injected again goes first.
        let is_free = self.block.get(vmcb::INJECTED_EVENT) & VALID == 0;
        if self.lines.get() & NON_MASKABLE != 0 && self.is_masked.get() == 0 && is_free {
            return Some(Exit::Window {
                lines: NON_MASKABLE,
            });
        }
        svm::tag(core, &self.block, &self.tag);
        let [rax, ..] = registers;
        self.block.set(vmcb::CLEAN, 0);
        self.block.set(vmcb::RAX, rax.load(Ordering::Relaxed));
        svm::run(core, &self.block, registers);
        rax.store(self.block.get(vmcb::RAX), Ordering::Relaxed);
        // An event on whose way something happened is injected again; what was injected is gone.
        let event = self.block.get(vmcb::EXIT_EVENT);
        let again = if event & VALID == 0 { 0 } else { event };
        self.block.set(vmcb::INJECTED_EVENT, again);
        self.exit(registers)
    }

    /// Returns what the exit was.
    fn exit(&self, registers: &[AtomicU64; 16]) -> Option<Exit> {
        let code = self.block.get(vmcb::EXIT_CODE);
        let details = [
            code,
            self.block.get(vmcb::EXIT_INFO_1),
            self.block.get(vmcb::EXIT_INFO_2),
        ];
        let [_, first, second] = details;
        // Instructions are named by their bytes, the first the least significant.
        let instruction = |bits| Some(Exit::Instruction { bits });
        match code {
            exit::INTERRUPT => None,
            code if exit::OTHER_INTERRUPTS.contains(&code) => None,
            exit::WINDOW => Some(Exit::Window {
                lines: self.lines.get() & (INTERRUPT | TIMER),
            }),
            exit::IRET => {
                // The handler ends; the next entry is behind the instruction or at it.
                self.is_masked.set(0);
                self.intercept(INTERCEPT_IRET, false);
                None
            }
            exit::HLT => {
                self.skip(self.length(1));
                Some(Exit::Idle)
            }
            exit::VMMCALL => {
                self.skip(self.length(3));
                Some(Exit::Hypercall)
            }
            exit::CPUID => instruction(0xa20f),
            exit::INVD => instruction(0x080f),
            exit::WBINVD => instruction(0x090f),
            exit::XSETBV => instruction(0xd1_010f),
            exit::REGISTER => instruction(if first == 0 { 0x320f } else { 0x300f }),
            exit::PORT => Some(self.port_exit(first, second, registers)),
            exit::NESTED_FAULT => Some(Exit::Access {
                key: RouteKey::Device,
                address: second,
                virtual_address: 0,
                cause: first,
                access: None,
            }),
            _ => Some(Exit::Other { details }),
        }
    }

    /// Returns the length of the instruction that the guest left at: told, or `usual`.
    fn length(&self, usual: u64) -> u64 {
        if !svm::tells_next() {
            return usual;
        }
        let next = self.block.get(vmcb::NEXT_RIP);
        next.wrapping_sub(self.program_counter())
    }

    /// Returns the exit of a port access: direction, string, size and port in `first`, where the
    /// next instruction is in `next` (APM, "IOIO Intercept").
    fn port_exit(&self, first: u64, next: u64, registers: &[AtomicU64; 16]) -> Exit {
        const LOAD: u64 = 1;
        const STRING: u64 = 1 << 2;
        let size_log2 = (first >> 4 & 7).trailing_zeros().min(2) as u8;
        let length = next.wrapping_sub(self.program_counter()).min(15) as u8;
        let info = AccessInfo::new()
            .with_size_log2(size_log2)
            .with_write(first & LOAD == 0)
            .with_merge(size_log2 < 2)
            .with_instruction_length(length);
        let [rax, ..] = registers;
        let unused = 64 - (8 << size_log2);
        let value = match info.write() {
            true => rax.load(Ordering::Relaxed) << unused >> unused,
            false => 0,
        };
        Exit::Access {
            key: RouteKey::Port,
            address: first >> 16 & 0xffff,
            virtual_address: 0,
            cause: first,
            access: (first & STRING == 0).then_some((info, value)),
        }
    }

    /// Reads a register.
    pub fn read(&self, registers: Option<GuestRegisters<'_>>, id: u64) -> Result<u64, Error> {
        if id == abi::register::TIMER_DEADLINE {
            return Ok(self.deadline.get().wrapping_sub(1));
        }
        let register = Register::from_id(id).ok_or(Error::NoSuchRegister)?;
        match register {
            Register::General(4) => Ok(self.block.get(vmcb::RSP)),
            Register::General(number) => {
                let word = registers.and_then(|all| all.get(usize::from(number)));
                word.map(|word| word.load(Ordering::Relaxed))
                    .ok_or(Error::NoSuchRegister)
            }
            Register::Segment(segment, field) => {
                let (offset, bits) = segment_field(segment, field);
                Ok(match bits {
                    64 => self.block.get(offset),
                    bits => self.block.get_part(offset, bits),
                })
            }
            Register::ModelSpecific(msr::EFER) => Ok(self.block.get(vmcb::EFER) & !SVM_ENABLED),
            _ => {
                let offset = offset_of(register).ok_or(Error::NoSuchRegister)?;
                Ok(self.block.get(offset))
            }
        }
    }

    /// Writes a register after checking the value.
    pub fn write(
        &self,
        registers: Option<GuestRegisters<'_>>,
        (id, value): (u64, u64),
    ) -> Result<(), Error> {
        if id == abi::register::TIMER_DEADLINE {
            self.deadline.set(value.wrapping_add(1));
            return Ok(());
        }
        let register = Register::from_id(id).ok_or(Error::NoSuchRegister)?;
        if !is_good(register, value) {
            return Err(Error::BadRegisterValue);
        }
        match register {
            Register::General(4) => self.block.set(vmcb::RSP, value),
            Register::General(number) => registers
                .and_then(|all| all.get(usize::from(number)))
                .ok_or(Error::NoSuchRegister)?
                .store(value, Ordering::Relaxed),
            Register::Segment(segment, field) => {
                let (offset, bits) = segment_field(segment, field);
                match bits {
                    64 => self.block.set(offset, value),
                    bits => self.block.set_part(offset, bits, value),
                }
            }
            Register::ModelSpecific(msr::EFER) => {
                self.block.set(vmcb::EFER, value | SVM_ENABLED);
            }
            _ => {
                let offset = offset_of(register).ok_or(Error::NoSuchRegister)?;
                self.block.set(offset, value);
            }
        }
        self.note(register, value);
        Ok(())
    }

    /// Does what goes with a register that was written.
    fn note(&self, register: Register, value: u64) {
        const NON_MASKABLE_KIND: u64 = 2;
        match register {
            Register::Rip => self.block.set(vmcb::SHADOW, 0),
            Register::Event if value & VALID != 0 && value >> 8 & 7 == NON_MASKABLE_KIND => {
                self.is_masked.set(1);
                self.intercept(INTERCEPT_IRET, true);
            }
            // What is cached under the guest's tag depends on these.
            Register::Cr0 | Register::Cr3 | Register::Cr4 | Register::ModelSpecific(msr::EFER) => {
                self.flush();
            }
            _ => {}
        }
    }
}

/// Returns offset and size of a field of a segment.
const fn segment_field(segment: u8, field: SegmentField) -> (usize, u32) {
    let offset = vmcb::SEGMENTS + segment as usize * 16;
    match field {
        SegmentField::Selector => (offset, 16),
        SegmentField::Attributes => (offset + 2, 16),
        SegmentField::Limit => (offset + 4, 32),
        SegmentField::Base => (offset + 8, 64),
    }
}

/// Returns where the control block has a register of 64 bits.
const fn offset_of(register: Register) -> Option<usize> {
    Some(match register {
        Register::Rip => vmcb::RIP,
        Register::Rflags => vmcb::RFLAGS,
        Register::Cr0 => vmcb::CR0,
        Register::Cr2 => vmcb::CR2,
        Register::Cr3 => vmcb::CR3,
        Register::Cr4 => vmcb::CR4,
        Register::Dr6 => vmcb::DR6,
        Register::Dr7 => vmcb::DR7,
        Register::Event => vmcb::INJECTED_EVENT,
        Register::ModelSpecific(number) => match number {
            msr::STAR => vmcb::STAR,
            msr::LSTAR => vmcb::STAR + 8,
            0xc000_0083 => vmcb::STAR + 16,
            msr::SYSCALL_MASK => vmcb::STAR + 24,
            msr::KERNEL_GS_BASE => vmcb::STAR + 32,
            0x174 => vmcb::STAR + 40,
            0x175 => vmcb::STAR + 48,
            0x176 => vmcb::STAR + 56,
            msr::PAT => vmcb::PAT,
            _ => return None,
        },
        Register::General(_) | Register::Segment(..) => return None,
    })
}

/// Returns whether a register takes a value: what VMRUN would refuse is refused here (APM,
/// "Canonicalization and Consistency Checks").
fn is_good(register: Register, value: u64) -> bool {
    const FLAGS: u64 = 0x3f_7fd7;
    // Bits of CR4 that every processor with SVM has, or that CPUID does not guard.
    const CR4: u64 = 0x0035_0fff;
    const EFER: u64 = 0xd01;
    match register {
        Register::Rflags => value & !FLAGS == 0 && value & 2 != 0,
        Register::Cr0 => {
            let bits = Cr0::from_bits(value);
            value >> 32 == 0
                && (!bits.paging() || bits.protection())
                && (!bits.not_write_through() || bits.cache_disable())
        }
        Register::Cr4 => value & !CR4 == 0,
        Register::Dr6 | Register::Dr7 => value >> 32 == 0,
        Register::ModelSpecific(msr::EFER) => value & !EFER == 0 && !Efer::from_bits(value).svm(),
        Register::Segment(_, SegmentField::Selector) => value >> 16 == 0,
        Register::Segment(_, SegmentField::Attributes) => value >> 12 == 0,
        Register::Segment(_, SegmentField::Limit) => value >> 32 == 0,
        Register::Event => is_event(value),
        _ => true,
    }
}

/// Returns whether SVM injects this event (APM, "Event Injection").
fn is_event(value: u64) -> bool {
    const RESERVED: u64 = 0x7fff_f000;
    let (vector, kind) = (value & 0xff, value >> 8 & 7);
    value & VALID == 0
        || (value & RESERVED == 0
            && match kind {
                0 | 4 => true,
                2 => vector == 2,
                3 => vector < 32 && vector != 2,
                _ => false,
            })
}

/// Drops the cached translations of all guests on this core.
pub fn flush_all() {
    if svm::is_supported() {
        svm::flush_guests(percore::current());
    }
}
