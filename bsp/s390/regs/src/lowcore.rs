//! The prefix area: where interruptions store and load (PoP chapter 3, "Assigned Storage
//! Locations"). Real addresses.

/// External interruption: parameter (32 bits), CPU address (16), code (16).
pub const EXTERNAL: u64 = 0x80;
/// Supervisor-call interruption: instruction length (16 bits), number (16); then the program
/// interruption's length and code.
pub const CODES: u64 = 0x88;
/// Program interruption: the translation-exception identification (TEID).
pub const TRANSLATION_EXCEPTION: u64 = 0xa8;
/// Input/output interruption: the interruption word (32 bits).
pub const INPUT_OUTPUT_WORD: u64 = 0xc0;
/// Old PSW of external interruptions.
pub const EXTERNAL_OLD: u64 = 0x130;
/// Old PSW of supervisor calls.
pub const CALL_OLD: u64 = 0x140;
/// Old PSW of program interruptions.
pub const PROGRAM_OLD: u64 = 0x150;
/// Old PSW of input/output interruptions.
pub const INPUT_OUTPUT_OLD: u64 = 0x170;
/// The first of the new PSWs: restart, external, supervisor call, program, machine check,
/// input/output.
pub const NEW: u64 = 0x1a0;
/// First byte that is software's.
pub const SOFTWARE: u64 = 0x200;
/// Bytes of a prefix area, and its alignment.
pub const BYTES: u64 = 0x2000;

/// Codes of external interruptions (PoP chapter 6).
pub mod external {
    /// The TOD clock is past the clock comparator.
    pub const CLOCK_COMPARATOR: u16 = 0x1004;
    /// The CPU timer is negative.
    pub const CPU_TIMER: u16 = 0x1005;
    /// Another CPU sent an emergency signal.
    pub const EMERGENCY_SIGNAL: u16 = 0x1201;
    /// The service processor signals.
    pub const SERVICE_SIGNAL: u16 = 0x2401;
}
