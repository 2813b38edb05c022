//! First instructions: of the boot processor by PVH, in 32-bit protected mode without paging, and of
//! the second, in real mode. The first 4 GiB are mapped onto themselves.

use core::arch::global_asm;
use core::ptr::{copy_nonoverlapping, with_exposed_provenance_mut};

use super::{apic, facts, processor, traps};
use crate::{laws, second};

/// Where the second processor begins: a page below 1 MiB that is free.
pub const TRAMPOLINE: usize = 0x8000;

global_asm!(
    // XEN_ELFNOTE_PHYS32_ENTRY: where the loader begins, in 32-bit mode.
    ".pushsection .note.pvh,\"a\",@note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long _start",
    ".popsection",

    ".pushsection .text.start,\"ax\",@progbits",
    ".code32",
    // ebx = address of the start information.
    ".globl _start",
    "_start:",
    "cli",
    "cld",
    "movl %ebx, %ebp",
    "movl $(_second_tables + 3), _first_table",
    "movl $_second_tables, %edi",
    "movl $(_third_tables + 3), %eax",
    "movl $4, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $4096, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $_third_tables, %edi",
    "movl $0x83, %eax",
    "movl $2048, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $_stack_end, %esp",
    "movl ${first}, %esi",
    "lgdt _segments_pointer",
    "_go_on:",
    "movl $_first_table, %eax",
    "movl %eax, %cr3",
    // CR4: physical-address extension, and FXSAVE with its exceptions.
    "movl $0x620, %eax",
    "movl %eax, %cr4",
    // EFER: long mode.
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x100, %eax",
    "wrmsr",
    // CR0: paging, write protection, numeric errors, monitor coprocessor, protection.
    "movl $0x80010033, %eax",
    "movl %eax, %cr0",
    "ljmp $8, $2f",
    ".code64",
    "2:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %fs",
    "movl %eax, %gs",
    "movl %eax, %ss",
    "movl %ebp, %edi",
    "movl %esi, %esi",
    "xorl %ebp, %ebp",
    "callq *%rsi",
    "ud2",

    ".code32",
    "_second_start:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "movl $_second_stack_end, %esp",
    "movl ${second}, %esi",
    "jmp _go_on",

    // What the second processor runs at first, copied to its page.
    ".balign 16",
    ".code16",
    "_trampoline:",
    "cli",
    "cld",
    "xorw %ax, %ax",
    "movw %ax, %ds",
    "lgdtl ({trampoline} + 3f - _trampoline)",
    "movl $1, %eax",
    "movl %eax, %cr0",
    "ljmpl $24, $_second_start",
    ".balign 4",
    "3:",
    ".word 31",
    ".long _segments",
    "_trampoline_end:",
    ".code64",

    ".balign 8",
    // 64-bit code, data, 32-bit code (SDM 3A, 3.4.5).
    "_segments:",
    ".quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff",
    "_segments_pointer:",
    ".word 31",
    ".long _segments",
    ".popsection",

    ".pushsection .bss",
    ".balign 4096",
    "_first_table: .skip 4096",
    "_second_tables: .skip 4096",
    "_third_tables: .skip 4 * 4096",
    ".popsection",
    first = sym first,
    second = sym second,
    trampoline = const TRAMPOLINE,
    options(att_syntax),
);

unsafe extern "C" {
    static _trampoline: u8;
    static _trampoline_end: u8;
}

/// Puts the second processor's first instructions into their page.
pub fn place_trampoline() {
    let start = &raw const _trampoline;
    let length = (&raw const _trampoline_end).addr() - start.addr();
    // SAFETY: the page is memory that nobody else uses, and the code is shorter.
    unsafe { copy_nonoverlapping(start, with_exposed_provenance_mut(TRAMPOLINE), length) };
}

/// The boot processor's beginning: where the start information is.
extern "C" fn first(start: u64) -> ! {
    processor::prepare(0);
    traps::make_table();
    traps::load_table();
    facts::read(start);
    apic::switch_on();
    laws::run()
}

/// The second processor's beginning.
extern "C" fn second() -> ! {
    processor::prepare(1);
    traps::load_table();
    apic::switch_on();
    second::live()
}
