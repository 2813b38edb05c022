//! The last instructions: out of 64-bit mode, and to the kernel's 32-bit entry.

use crate::load::{Pages, Refusal};
use core::arch::{asm, global_asm};

global_asm!(
    // edi = the kernel's entry, esi = the start information. Copied to a page below 4 GiB, for paging
    // ends here.
    ".pushsection .rdata, \"dr\"",
    ".globl _doorway",
    "_doorway:",
    "    cli",
    "    cld",
    "    lea rax, [rip + 3f]",
    "    mov [rip + 4f + 2], rax",
    "    lgdt [rip + 4f]",
    "    lea rax, [rip + 2f]",
    "    push 8",
    "    push rax",
    "    retfq",
    ".code32",
    "2:  mov eax, 16",
    "    mov ds, eax",
    "    mov es, eax",
    "    mov ss, eax",
    // Paging off, then long mode (SDM 3A, "Switching from 64-Bit Mode").
    "    mov eax, cr0",
    "    and eax, 0x7fffffff",
    "    mov cr0, eax",
    "    mov ecx, 0xc0000080",
    "    rdmsr",
    "    and eax, 0xfffffeff",
    "    wrmsr",
    "    mov ebx, esi",
    "    jmp edi",
    ".code64",
    ".balign 8",
    // 32-bit code and data of the supervisor.
    "3:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff",
    "4:  .word 23",
    "    .quad 0",
    ".globl _doorway_end",
    "_doorway_end:",
    ".popsection",
);

unsafe extern "C" {
    static _doorway: u8;
    static _doorway_end: u8;
}

/// A copy of the last instructions, and where they go.
pub struct Doorway {
    page: Pages,
    entry_point: u32,
}

impl Doorway {
    /// Makes the copy.
    pub fn new(entry_point: u32) -> Result<Self, Refusal> {
        let mut page = Pages::for_code()?;
        let start = &raw const _doorway;
        let length = &raw const _doorway_end as usize - start as usize;
        // SAFETY: these are the bytes between the two labels.
        let code = unsafe { core::slice::from_raw_parts(start, length) };
        page.bytes()[..length].copy_from_slice(code);
        Ok(Self { page, entry_point })
    }

    /// Goes to the kernel, whose start information is at an address.
    pub fn enter(self, information: u64) -> ! {
        // SAFETY: the firmware is left, so that nobody needs its interrupts or its tables; the copy
        // is complete, and the kernel's entry expects what it leaves.
        unsafe {
            asm!(
                "jmp {code}",
                code = in(reg) self.page.base(),
                in("rdi") u64::from(self.entry_point),
                in("rsi") information,
                options(noreturn),
            )
        }
    }
}
