//! The state description of SIE, format 2: the block that holds a virtual CPU.
//!
//! IBM does not publish it; Linux's `struct kvm_s390_sie_block` stands in for that, and what
//! Hercules does.

/// A field of the block: bits of one of its doublewords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    offset: usize,
    bits: u32,
}

impl Field {
    /// Returns the field of so many bits at this byte.
    ///
    /// # Panics
    ///
    /// Where it crosses a doubleword's end.
    #[must_use]
    pub const fn new(offset: usize, bits: u32) -> Self {
        assert!((offset % 8) as u32 * 8 + bits <= 64);
        Self { offset, bits }
    }

    /// Returns the index of the doubleword.
    #[must_use]
    pub const fn word(self) -> usize {
        self.offset / 8
    }

    /// Returns the byte that it begins at.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Returns how far it is from the doubleword's least significant bit.
    const fn shift(self) -> u32 {
        64 - (self.offset % 8) as u32 * 8 - self.bits
    }

    /// Returns the field's bits of a doubleword, where they are.
    const fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.bits)) << self.shift()
    }

    /// Returns its value in a doubleword.
    #[must_use]
    pub const fn of(self, word: u64) -> u64 {
        (word & self.mask()) >> self.shift()
    }

    /// Returns the doubleword with this value in the field.
    #[must_use]
    pub const fn placed(self, word: u64, value: u64) -> u64 {
        word & !self.mask() | value << self.shift() & self.mask()
    }
}

/// [`KEY_CONTROLS`]: the guest's storage keys are those of the memory, reference and change bits too.
/// Without it these are kept in entries for the pages' status, 2 KiB behind those of the page table: in
/// whatever is there.
pub const STATUS_BYPASS: u64 = 0x10;
/// Bytes of the block, and its alignment.
pub const BYTES: usize = 512;
/// What wants the virtual CPU's attention: [`intervention`].
pub const INTERVENTION: Field = Field::new(0x00, 8);
/// Machine mode: [`Z_ARCHITECTURE`].
pub const MODE: Field = Field::new(0x02, 8);
/// Prefix.
pub const PREFIX: Field = Field::new(0x04, 32);
/// CPU timer.
pub const CPU_TIMER: Field = Field::new(0x28, 64);
/// Clock comparator, in the guest's time.
pub const CLOCK_COMPARATOR: Field = Field::new(0x30, 64);
/// What the guest's TOD clock is ahead of the host's.
pub const EPOCH: Field = Field::new(0x38, 64);
/// Control registers whose loads leave the guest, the first bit register 0.
pub const CONTROL_LOADS: Field = Field::new(0x44, 16);
/// Execution controls: [`EXTERNAL_ASSIST`].
pub const EXECUTION_CONTROLS: Field = Field::new(0x4c, 32);
/// Why the guest was left: [`code`]. SIE leaves it as it is where the host was interrupted.
pub const CODE: Field = Field::new(0x50, 8);
/// More of that.
pub const STATUS: Field = Field::new(0x51, 8);
/// First two bytes of the instruction.
pub const INSTRUCTION_A: Field = Field::new(0x56, 16);
/// The four that follow; of a validity interception, the reason in the first two.
pub const INSTRUCTION_B: Field = Field::new(0x58, 32);
/// Controls of the guest's storage keys: [`STATUS_BYPASS`].
pub const KEY_CONTROLS: Field = Field::new(0x62, 8);
/// TOD programmable field.
pub const TOD_PROGRAMMABLE: Field = Field::new(0x6c, 32);
/// First byte of the host's primary space that is the guest's memory, in MiB.
pub const STORAGE_ORIGIN: Field = Field::new(0x80, 64);
/// The last one's MiB.
pub const STORAGE_LIMIT: Field = Field::new(0x88, 64);
/// First doubleword of the PSW.
pub const PSW_MASK: Field = Field::new(0x90, 64);
/// Second doubleword of the PSW.
pub const PSW_ADDRESS: Field = Field::new(0x98, 64);
/// General register 14.
pub const GENERAL_14: Field = Field::new(0xa0, 64);
/// General register 15.
pub const GENERAL_15: Field = Field::new(0xa8, 64);
/// An external interruption's CPU address and code.
pub const EXTERNAL: Field = Field::new(0xc4, 32);
/// A program interruption's instruction length.
pub const PROGRAM_LENGTH: Field = Field::new(0xcc, 16);
/// A program interruption's code.
pub const PROGRAM_CODE: Field = Field::new(0xce, 16);
/// A program interruption's translation-exception identification.
pub const TRANSLATION_EXCEPTION: Field = Field::new(0xe8, 64);

/// Returns the field of a control register.
#[must_use]
pub const fn control(number: u8) -> Field {
    Field::new(0x100 + 8 * (number & 15) as usize, 64)
}

/// [`MODE`]: a guest of z/Architecture.
pub const Z_ARCHITECTURE: u64 = 0x08;
/// [`EXECUTION_CONTROLS`]: interruptions of the guest's timers happen without an interception.
pub const EXTERNAL_ASSIST: u64 = 0x8000_0000;
/// [`STATUS`]: the instruction is the target of an EXECUTE.
pub const EXECUTED: u64 = 0x01;
/// A validity interception's reason: the guest's prefix area is not there.
pub const NO_PREFIX_AREA: u64 = 0x0037;

/// Bits of [`INTERVENTION`].
pub mod intervention {
    /// An external interruption.
    pub const EXTERNAL: u64 = 0x01;
    /// An input/output interruption.
    pub const INPUT_OUTPUT: u64 = 0x02;
    /// Something that does not ask whether the guest is open to it.
    pub const STOP: u64 = 0x04;
}

/// Values of [`CODE`].
pub mod code {
    /// The host was interrupted.
    pub const NONE: u64 = 0;
    /// An instruction.
    pub const INSTRUCTION: u64 = 4;
    /// A program interruption, of which nothing was stored in the guest.
    pub const PROGRAM: u64 = 8;
    /// The guest is open to an external interruption that was asked for.
    pub const EXTERNAL_REQUEST: u64 = 16;
    /// The same of input/output.
    pub const INPUT_OUTPUT_REQUEST: u64 = 24;
    /// The guest waits.
    pub const WAIT: u64 = 28;
    /// The block is not valid.
    pub const VALIDITY: u64 = 32;
    /// A stop was asked for.
    pub const STOP_REQUEST: u64 = 40;
}

/// Returns the bytes of the instruction that an interception is behind: that of an EXECUTE is its
/// own, 4 where the block does not tell.
#[must_use]
pub const fn instruction_bytes(status: u64, first: u64) -> u64 {
    if status & EXECUTED != 0 {
        let told = status >> 4 & 6;
        return if told == 0 { 4 } else { told };
    }
    match first >> 14 & 3 {
        0 => 2,
        3 => 6,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All fields but the control registers.
    const FIELDS: [Field; 23] = [
        INTERVENTION,
        MODE,
        PREFIX,
        CPU_TIMER,
        CLOCK_COMPARATOR,
        EPOCH,
        EXECUTION_CONTROLS,
        CODE,
        STATUS,
        INSTRUCTION_A,
        INSTRUCTION_B,
        KEY_CONTROLS,
        TOD_PROGRAMMABLE,
        STORAGE_ORIGIN,
        STORAGE_LIMIT,
        PSW_MASK,
        PSW_ADDRESS,
        GENERAL_14,
        GENERAL_15,
        EXTERNAL,
        PROGRAM_LENGTH,
        PROGRAM_CODE,
        TRANSLATION_EXCEPTION,
    ];

    #[test]
    fn fields_do_not_overlap_and_lie_in_the_block() {
        let controls = (0..16).map(control);
        let mut taken = [0_u64; BYTES / 8];
        for field in FIELDS.into_iter().chain(controls) {
            let word = &mut taken[field.word()];
            assert_eq!(*word & field.mask(), 0, "{field:?}");
            *word |= field.mask();
        }
    }

    #[test]
    fn bytes_count_from_the_most_significant() {
        let word = 0x0123_4567_89ab_cdef;
        assert_eq!(INTERVENTION.of(word), 0x01);
        assert_eq!(MODE.of(word), 0x45);
        assert_eq!(KEY_CONTROLS.of(word), 0x45);
        assert_eq!(PREFIX.of(word), 0x89ab_cdef);
        assert_eq!(PREFIX.placed(word, 0x2000), 0x0123_4567_0000_2000);
        assert_eq!(MODE.placed(0, u64::MAX), 0xff << 40);
        assert_eq!(INSTRUCTION_A.of(word), 0xcdef);
    }

    #[test]
    fn an_instruction_tells_its_length_and_execute_its_own() {
        assert_eq!(instruction_bytes(0, 0x0a00), 2);
        assert_eq!(instruction_bytes(0, 0x8324), 4);
        assert_eq!(instruction_bytes(0, 0xb220), 4);
        assert_eq!(instruction_bytes(0, 0xeb00), 6);
        assert_eq!(instruction_bytes(0x01, 0x0a00), 4);
        assert_eq!(instruction_bytes(0x61, 0x0a00), 6);
    }
}
