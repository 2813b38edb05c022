//! Entry by PVH: 32-bit protected mode without paging, and from there to long mode.
//!
//! The boot tables map the first gibibyte onto itself, for the supervisor only.

use x86_regs::entry::ENTRIES;
use x86_regs::{Cr0, Cr4, Efer, Pte, msr};

/// Bytes of the boot stack.
const STACK_BYTES: usize = 16 << 10;
/// A boot table entry for a table.
const TABLE: u64 = Pte::new().with_present(true).with_write(true).into_bits();
/// A boot table entry for 2 MiB of memory.
const LARGE: u64 = Pte::from_bits(TABLE).with_large(true).into_bits();
/// A 64-bit code segment of the supervisor (SDM 3A, "Code Segment Descriptor in 64-bit Mode").
const CODE_SEGMENT: u64 = 0x00af_9b00_0000_ffff;
/// A data segment of the supervisor.
const DATA_SEGMENT: u64 = 0x00cf_9300_0000_ffff;
/// Bits of CR4 that long mode needs.
const CR4: u64 = Cr4::new().with_physical_address_extension(true).into_bits();
/// Bits of EFER that long mode needs.
const EFER: u64 = Efer::new().with_long_mode(true).into_bits();
/// CR0: paging, and read-only pages hold for the supervisor too.
const CR0: u64 = Cr0::new()
    .with_protection(true)
    .with_extension_type(true)
    .with_numeric_error(true)
    .with_write_protect(true)
    .with_paging(true)
    .into_bits();

core::arch::global_asm!(
    // XEN_ELFNOTE_PHYS32_ENTRY: where the loader begins, in 32-bit mode.
    ".section .note.pvh,\"a\",@note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_entry",

    ".section .text.entry,\"ax\",@progbits",
    ".code32",
    ".globl pvh_entry",
    "pvh_entry:",
    "cli",
    "cld",
    "movl $boot_stack_end, %esp",
    // Root, then 1 GiB level, then 512 entries of 2 MiB.
    "movl $(boot_third + {table}), boot_root",
    "movl $(boot_second + {table}), boot_third",
    "movl $boot_second, %edi",
    "movl ${large}, %eax",
    "movl ${entries}, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $boot_root, %eax",
    "movl %eax, %cr3",
    "movl ${cr4}, %eax",
    "movl %eax, %cr4",
    "movl ${efer_number}, %ecx",
    "rdmsr",
    "orl ${efer}, %eax",
    "wrmsr",
    "movl ${cr0}, %eax",
    "movl %eax, %cr0",
    "lgdt boot_gdt_pointer",
    "ljmp $8, $2f",
    ".code64",
    "2:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "xorl %eax, %eax",
    "movl %eax, %fs",
    "movl %eax, %gs",
    "movl $boot_stack_end, %esp",
    "xorl %ebp, %ebp",
    "callq {start}",
    "ud2",

    ".section .rodata.boot,\"a\",@progbits",
    ".balign 8",
    "boot_gdt:",
    ".quad 0, {code_segment}, {data_segment}",
    "boot_gdt_pointer:",
    ".word . - boot_gdt - 1",
    ".long boot_gdt",

    ".section .bss.boot,\"aw\",@nobits",
    ".balign 4096",
    "boot_root: .skip 4096",
    "boot_third: .skip 4096",
    "boot_second: .skip 4096",
    ".skip {stack_bytes}",
    "boot_stack_end:",
    table = const TABLE,
    large = const LARGE,
    entries = const ENTRIES,
    cr4 = const CR4,
    efer_number = const msr::EFER,
    efer = const EFER,
    cr0 = const CR0,
    code_segment = const CODE_SEGMENT,
    data_segment = const DATA_SEGMENT,
    stack_bytes = const STACK_BYTES,
    start = sym crate::start,
    options(att_syntax),
);
