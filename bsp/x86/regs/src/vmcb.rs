//! The virtual machine control block of SVM: offsets in bytes (APM, appendix "VMCB Layout").

/// Intercepts of control-register accesses: reads, then writes.
pub const INTERCEPT_CONTROL: usize = 0x000;
/// Intercepts of debug-register accesses: reads, then writes.
pub const INTERCEPT_DEBUG: usize = 0x004;
/// Intercepts of exceptions, by vector.
pub const INTERCEPT_EXCEPTIONS: usize = 0x008;
/// Intercepts, first word.
pub const INTERCEPT_FIRST: usize = 0x00c;
/// Intercepts, second word.
pub const INTERCEPT_SECOND: usize = 0x010;
/// Physical address of the I/O permission map.
pub const PORT_MAP: usize = 0x040;
/// Physical address of the MSR permission map.
pub const REGISTER_MAP: usize = 0x048;
/// Address-space identifier, 32 bits; in the upper half what is flushed at entry.
pub const SPACE: usize = 0x058;
/// CR8 of the guest, in 8 bits.
pub const VIRTUAL_PRIORITY: usize = 0x060;
/// The virtual interrupt, from bit 8 of its word on.
pub const VIRTUAL_INTERRUPT: usize = 0x061;
/// Bit 0: the guest is in an interrupt shadow.
pub const SHADOW: usize = 0x068;
/// Why the guest was left.
pub const EXIT_CODE: usize = 0x070;
/// First word of details.
pub const EXIT_INFO_1: usize = 0x078;
/// Second word of details.
pub const EXIT_INFO_2: usize = 0x080;
/// The event that was being delivered.
pub const EXIT_EVENT: usize = 0x088;
/// Bit 0: nested paging.
pub const NESTED_PAGING: usize = 0x090;
/// The event to inject.
pub const INJECTED_EVENT: usize = 0x0a8;
/// Physical address of the nested root table.
pub const NESTED_ROOT: usize = 0x0b0;
/// Parts of the block that are unchanged since the last entry.
pub const CLEAN: usize = 0x0c0;
/// Where the next instruction is, if the processor tells.
pub const NEXT_RIP: usize = 0x0c8;
/// First of the segments ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR, of 16 bytes each.
pub const SEGMENTS: usize = 0x400;
/// Extended feature enables.
pub const EFER: usize = 0x4d0;
/// Control registers 4, 3, 0, and debug registers 7 and 6 follow each other.
pub const CR4: usize = 0x548;
/// Control register 3.
pub const CR3: usize = 0x550;
/// Control register 0.
pub const CR0: usize = 0x558;
/// Debug register 7.
pub const DR7: usize = 0x560;
/// Debug register 6.
pub const DR6: usize = 0x568;
/// Flags.
pub const RFLAGS: usize = 0x570;
/// Instruction pointer.
pub const RIP: usize = 0x578;
/// Stack pointer.
pub const RSP: usize = 0x5d8;
/// Register rax.
pub const RAX: usize = 0x5f8;
/// Registers that SYSCALL and its kin use: STAR, LSTAR, CSTAR, mask, kernel GS base, SYSENTER's.
pub const STAR: usize = 0x600;
/// Control register 2.
pub const CR2: usize = 0x640;
/// The guest's page attribute table.
pub const PAT: usize = 0x668;

/// Exit codes (APM, appendix "SVM Intercept Exit Codes").
pub mod exit {
    /// A physical interrupt waits.
    pub const INTERRUPT: u64 = 0x60;
    /// A non-maskable, system-management or INIT interrupt waits.
    pub const OTHER_INTERRUPTS: core::ops::RangeInclusive<u64> = 0x61..=0x63;
    /// The virtual interrupt can be taken.
    pub const WINDOW: u64 = 0x64;
    /// CPUID.
    pub const CPUID: u64 = 0x72;
    /// IRET.
    pub const IRET: u64 = 0x74;
    /// INVD.
    pub const INVD: u64 = 0x76;
    /// HLT.
    pub const HLT: u64 = 0x78;
    /// A port.
    pub const PORT: u64 = 0x7b;
    /// RDMSR or WRMSR.
    pub const REGISTER: u64 = 0x7c;
    /// VMMCALL.
    pub const VMMCALL: u64 = 0x81;
    /// WBINVD.
    pub const WBINVD: u64 = 0x89;
    /// XSETBV.
    pub const XSETBV: u64 = 0x8d;
    /// A nested page fault.
    pub const NESTED_FAULT: u64 = 0x400;
}
