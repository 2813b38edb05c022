//! Guests, whichever way the processor runs them: lines, timer, registers and their checks. What
//! depends on the way is behind [`Hardware`].

use crate::float::{self, FloatArea};
use crate::percore::PerCore;
use crate::svm::{self, Svm};
use crate::timer;
use crate::vmx::{self, Vmx};
use abi::Error;
use abi::exit::{AccessInfo, RouteKey};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Access, Exit, GuestRegisters};
use kernel::word::Word;
use x86_regs::one_reg::{NOTED, NOTED_FROM, Register, SegmentField};
use x86_regs::vmcs::{Event, kind};
use x86_regs::{Cr0, Efer, feature, msr};
use zerocopy::FromBytes;

/// A way of running guests.
pub trait Hardware: Sync {
    /// Turns it on in this core, whose `host` pages nobody else uses; after all segments are loaded.
    fn start_core(&self, core: &PerCore);
    /// Fills what the processor reads of a new guest with what is the same for all guests.
    fn prepare(&self, guest: &X86Guest);
    /// Makes the guest the one that this core runs, with its memory under the table at `root`.
    fn load(&self, guest: &X86Guest, root: u64);
    /// Takes the guest's state out of this core.
    fn unload(&self, guest: &X86Guest);
    /// Lets the loaded guest leave as soon as it can take one of these lines.
    fn set_lines(&self, guest: &X86Guest, lines: u64);
    /// Returns the program counter.
    fn program_counter(&self, guest: &X86Guest) -> u64;
    /// Sets the program counter; what held interrupts off until there is over.
    fn set_program_counter(&self, guest: &X86Guest, value: u64);
    /// Returns a register that is not in the register page, if there is such a one.
    fn get(&self, guest: &X86Guest, register: Register) -> Option<u64>;
    /// Sets such a register to a value that was checked, if the hardware has it and takes the value.
    ///
    /// # Errors
    ///
    /// What is refused.
    fn set(&self, guest: &X86Guest, register: Register, value: u64) -> Result<(), Error>;
    /// Returns the registers of [`NOTED`].
    fn noted(&self, guest: &X86Guest) -> [u64; NOTED.len()] {
        NOTED.map(|register| self.get(guest, register).unwrap_or(0))
    }
    /// Sets selector, attributes, limit and base of a segment, by its number.
    fn set_segment(&self, guest: &X86Guest, segment: u8, parts: [u64; 4]) {
        use SegmentField::{Attributes, Base, Limit, Selector};
        for (field, value) in [Selector, Attributes, Limit, Base].into_iter().zip(parts) {
            // All hardware has all segments.
            let _ = self.set(guest, Register::Segment(segment, field), value);
        }
    }
    /// Runs the loaded guest until it leaves, and returns its exit; `None` is an interrupt of the
    /// host.
    fn run(&self, core: &PerCore, guest: &X86Guest, registers: &[AtomicU64; 16]) -> Option<Exit>;
    /// Drops the cached translations of all guests on this core.
    fn flush_all(&self, core: &PerCore);
}

/// Returns the processor's way of running guests, if it has one.
#[inline(always)]
pub fn hardware() -> Option<&'static dyn Hardware> {
    if svm::is_supported() {
        Some(&Svm)
    } else if vmx::is_supported() {
        Some(&Vmx)
    } else {
        None
    }
}

/// Returns the way of a guest's; there are no guests without one.
#[inline(never)]
fn own() -> &'static dyn Hardware {
    hardware().expect("guests are made only where there is hardware for them")
}

/// Bytes that a core needs for the hardware: of SVM VMRUN's page and what VMSAVE takes, of VMX the
/// VMXON region.
pub const HOST_BYTES: u64 = 8192;

/// Returns the bits of the boot information that tell how guests are run.
pub fn features() -> u64 {
    if svm::is_supported() {
        feature::SVM
    } else if vmx::is_supported() {
        feature::VMX
    } else {
        0
    }
}

/// What the processor reads and writes of a guest: SVM's control block or VMX's control structure.
#[derive(FromBytes)]
#[repr(C, align(4096))]
pub struct Block([Word; 512]);

impl Block {
    /// Returns the word with byte `offset`, and the bit at which that byte begins.
    fn place(&self, offset: usize) -> (&Word, u32) {
        let index = offset / 8 % self.0.len();
        (&self.0[index], (offset % 8 * 8) as u32)
    }

    /// Returns the 64-bit field at an offset.
    pub fn get(&self, offset: usize) -> u64 {
        self.place(offset).0.get()
    }

    /// Sets the 64-bit field at an offset.
    pub fn set(&self, offset: usize, value: u64) {
        self.place(offset).0.set(value);
    }

    /// Returns the field of `bits` bits (8, 16 or 32) at an offset.
    pub fn get_part(&self, offset: usize, bits: u32) -> u64 {
        let (word, shift) = self.place(offset);
        word.get() >> shift & ((1 << bits) - 1)
    }

    /// Sets the field of `bits` bits at an offset.
    pub fn set_part(&self, offset: usize, bits: u32, value: u64) {
        let (word, shift) = self.place(offset);
        let mask = ((1 << bits) - 1) << shift;
        word.set(word.get() & !mask | value << shift & mask);
    }

    /// Returns where the block is for the processor.
    pub fn physical(&self) -> u64 {
        physical(self)
    }
}

/// Returns where a part of a guest is for the processor.
pub fn physical<T>(part: &T) -> u64 {
    core::ptr::from_ref(part) as u64 - crate::entry::DIRECT_MAP
}

/// What a vCPU has beside its general registers.
#[derive(FromBytes)]
#[repr(C, align(4096))]
pub struct X86Guest {
    /// The processor's part.
    pub block: Block,
    float: FloatArea,
    /// What VMX leaves to us.
    pub vmx: vmx::State,
    /// The timer's deadline, plus one; 0 is never.
    deadline: Word,
    /// Generation of the tag of translations that the guest has.
    pub tag: Word,
    /// 1 from the injection of a non-maskable interrupt to the end of its handler.
    pub is_masked: Word,
    /// Lines that are raised while the guest runs.
    pub lines: Word,
    unused: [u64; 444 - size_of::<vmx::State>() / 8],
}

/// Line of a maskable interrupt.
pub const INTERRUPT: u64 = 1;
/// Line of a non-maskable interrupt.
pub const NON_MASKABLE: u64 = 2;
/// Line of the guest's timer.
pub const TIMER: u64 = 4;
/// All lines. They are requests: the vector is a server's to choose.
pub const LINES: u64 = INTERRUPT | NON_MASKABLE | TIMER;

/// RFLAGS.IF.
pub const INTERRUPTS_ENABLED: u64 = 1 << 9;
/// An event's valid bit.
pub const VALID: u64 = 1 << 31;

impl X86Guest {
    /// Brings a new guest into its reset state (SDM 3A, "Processor State After Reset"; APM,
    /// "Processor Initialization State").
    pub fn reset(&self) {
        let hardware = own();
        hardware.prepare(self);
        self.float.reset();
        let set = |register, value| {
            // The hardware has all of these, and takes what they are after a reset.
            let _ = hardware.set(self, register, value);
        };
        for segment in 0..10 {
            let (selector, attributes, base) = match segment {
                1 => (0xf000, 0x9b, 0xffff_0000),
                0 | 2..=5 => (0, 0x93, 0),
                7 => (0, 0x82, 0),
                9 => (0, 0x8b, 0),
                _ => (0, 0, 0),
            };
            hardware.set_segment(self, segment, [selector, attributes, 0xffff, base]);
        }
        set(Register::ModelSpecific(msr::EFER), 0);
        set(Register::ModelSpecific(msr::PAT), 0x0007_0406_0007_0406);
        set(Register::Cr0, 0x6000_0010);
        set(Register::Cr4, 0);
        set(Register::Dr6, 0xffff_0ff0);
        set(Register::Dr7, 0x400);
        set(Register::Rflags, 2);
        set(Register::Rip, 0xfff0);
    }

    /// Puts the guest's state into this core.
    pub fn load(&self, root: u64) {
        own().load(self, root);
        float::load(&self.float);
    }

    /// Takes the guest's state out of this core.
    pub fn unload(&self) {
        float::save(&self.float);
        own().unload(self);
    }

    /// Sets the lines for the next entry.
    pub fn set_lines(&self, lines: u64) {
        self.lines.set(lines);
        own().set_lines(self, lines);
    }

    /// Returns whether lines or the timer would wake the guest from HLT.
    pub fn wakes(&self, lines: u64) -> bool {
        let passed = match self.timer() {
            deadline if deadline <= timer::now() => TIMER,
            _ => 0,
        };
        let flags = own().get(self, Register::Rflags).unwrap_or(0);
        ((lines | passed) & (INTERRUPT | TIMER) != 0 && flags & INTERRUPTS_ENABLED != 0)
            || (lines & NON_MASKABLE != 0 && self.is_masked.get() == 0)
    }

    /// Returns when the guest's timer fires; `u64::MAX` is never.
    pub fn timer(&self) -> u64 {
        self.deadline.get().wrapping_sub(1)
    }

    /// Raises the timer's line when the deadline has passed.
    pub fn timer_line(&self) -> u64 {
        match self.timer() {
            u64::MAX => 0,
            deadline if deadline > timer::now() => 0,
            _ => {
                self.deadline.set(0);
                TIMER
            }
        }
    }

    /// Drops the guest's cached translations at the next entry.
    pub fn flush(&self) {
        self.tag.set(u64::MAX);
    }

    /// Returns the program counter.
    pub fn program_counter(&self) -> u64 {
        own().program_counter(self)
    }

    /// Moves the program counter behind an instruction; a shadow that it was in is over.
    pub fn skip(&self, length: u64) {
        const LONG: u64 = 1 << 9;
        let hardware = own();
        let before = hardware.program_counter(self);
        let mut next = before.wrapping_add(length);
        if (before ^ next) >> 32 != 0 {
            // Outside of 64-bit mode the next instruction is at the beginning.
            let code = Register::Segment(1, SegmentField::Attributes);
            if hardware.get(self, code).unwrap_or(0) & LONG == 0 {
                next &= 0xffff_ffff;
            }
        }
        hardware.set_program_counter(self, next);
    }

    /// Returns the access that [`X86Guest::port_exit`] described, with what `rax` has for a port; where
    /// nothing is described, the registers of [`NOTED`] are put into the page.
    pub fn access<'r>(
        &self,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        let info = AccessInfo::from_bits(description);
        if description == 0 {
            let places = registers().get(NOTED_FROM..).unwrap_or(&[]);
            for (word, value) in places.iter().zip(&own().noted(self)) {
                word.store(*value, Ordering::Relaxed);
            }
            return None;
        }
        let unused = 64 - (8 << info.size_log2());
        let value = match info.write().then(registers).and_then(<[_]>::first) {
            Some(rax) => rax.load(Ordering::Relaxed) << unused >> unused,
            None => 0,
        };
        Some((info, value))
    }

    /// Puts what an access loaded into its register.
    pub fn loaded(registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        let Some(word) = registers.get(usize::from(access.register())) else {
            return;
        };
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
    #[inline(always)]
    pub fn run(&self, core: &PerCore, registers: &[AtomicU64; 16]) -> Option<Exit> {
        own().run(core, self, registers)
    }

    /// Returns the exit of a port access: direction, string, size and port in `first`, where the
    /// next instruction is in `next` (APM, "IOIO Intercept").
    pub fn port_exit(&self, first: u64, length: u64) -> Exit {
        const LOAD: u64 = 1;
        const STRING: u64 = 1 << 2;
        let size_log2 = (first >> 4 & 7).trailing_zeros().min(2) as u8;
        let info = AccessInfo::new()
            .with_size_log2(size_log2)
            .with_write(first & LOAD == 0)
            .with_merge(size_log2 < 2)
            .with_instruction_length(length.min(15) as u8);
        Exit::Access(Access {
            key: RouteKey::Port,
            address: first >> 16 & 0xffff,
            virtual_address: 0,
            cause: first,
            description: match first & STRING {
                0 => info.into_bits(),
                _ => 0,
            },
        })
    }

    /// Reads a register.
    pub fn read(&self, registers: Option<GuestRegisters<'_>>, id: u64) -> Result<u64, Error> {
        if id == abi::register::TIMER_DEADLINE {
            return Ok(self.deadline.get().wrapping_sub(1));
        }
        let register = Register::from_id(id).ok_or(Error::NoSuchRegister)?;
        let value = match register {
            Register::General(number) if number != STACK_POINTER => {
                let word = registers.and_then(|all| all.get(usize::from(number)));
                word.map(|word| word.load(Ordering::Relaxed))
            }
            _ => own().get(self, register),
        };
        value.ok_or(Error::NoSuchRegister)
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
            Register::General(number) if number != STACK_POINTER => {
                let word = registers.and_then(|all| all.get(usize::from(number)));
                word.ok_or(Error::NoSuchRegister)?
                    .store(value, Ordering::Relaxed);
            }
            _ => own().set(self, register, value)?,
        }
        // What is cached under the guest's tag depends on these.
        if let Register::Cr0 | Register::Cr3 | Register::Cr4 | Register::ModelSpecific(msr::EFER) =
            register
        {
            self.flush();
        }
        Ok(())
    }
}

/// Number of the stack pointer, which is not in the register page.
const STACK_POINTER: u8 = 4;

/// Bits of CR4 that every processor with guests has, or that CPUID does not guard.
pub const CR4: u64 = 0x0035_0fff;

/// Returns whether a register takes a value: what the hardware would refuse at the entry is refused
/// here (APM, "Canonicalization and Consistency Checks"; SDM 3C, "Checks on the Guest State Area").
pub fn is_good(register: Register, value: u64) -> bool {
    const FLAGS: u64 = 0x3f_7fd7;
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
        Register::Cr8 => value < 16,
        Register::Dr6 | Register::Dr7 => value >> 32 == 0,
        Register::ModelSpecific(msr::EFER) => value & !EFER == 0 && !Efer::from_bits(value).svm(),
        Register::Segment(_, SegmentField::Selector) => value >> 16 == 0,
        Register::Segment(_, SegmentField::Attributes) => value >> 12 == 0,
        Register::Segment(_, SegmentField::Limit) => value >> 32 == 0,
        Register::Event => is_event(value),
        _ => true,
    }
}

/// Returns whether this event can be injected (APM, "Event Injection").
fn is_event(value: u64) -> bool {
    const RESERVED: u64 = 0x7fff_f000;
    let event = Event::from_bits(value as u32);
    let vector = event.vector();
    value & VALID == 0
        || (value & RESERVED == 0
            && match event.kind() {
                kind::INTERRUPT | kind::SOFTWARE => true,
                kind::NMI => vector == 2,
                kind::EXCEPTION => vector < 32 && vector != 2,
                _ => false,
            })
}

/// Gives a guest a tag of translations of this core, of which the hardware has `limit`, if it has
/// none of the core's current generation. Returns the new one, and whether everything that is cached
/// under any tag has to go first.
pub fn new_tag(core: &PerCore, guest: &X86Guest, limit: u64) -> Option<(u64, bool)> {
    if guest.tag.get() == core.generation.get() {
        return None;
    }
    let mut flush = core.is_fresh.replace(1) == 0;
    if core.next_space.get() >= limit {
        core.generation.add(1);
        core.next_space.set(1);
        flush = true;
    }
    let tag = core.next_space.get();
    core.next_space.add(1);
    guest.tag.set(core.generation.get());
    Some((tag, flush))
}

/// Forgets the tags of all guests of this core.
pub fn forget_tags(core: &PerCore) {
    core.generation.add(1);
    core.next_space.set(1);
    core.is_fresh.set(0);
}
