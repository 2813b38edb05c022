//! First instructions: of the boot core by PVH or multiboot2, in 32-bit protected mode without
//! paging, and of the other cores, in real mode.
//!
//! The boot tables map the first 4 GiB both onto themselves and at the direct map, and 16 MiB in the
//! kernel's gibibyte, for the supervisor only.

use crate::entry::LOAD_OFFSET;
use crate::paging::{DIRECT, DIRECT_LOW, IMAGE, KERNEL, ROOT};
use core::arch::global_asm;
use x86_regs::{Cr0, Cr4, Efer, Pte, msr};

/// A boot table entry for a table.
const TABLE: u64 = Pte::new().with_present(true).with_write(true).into_bits();
/// A boot table entry for 2 MiB of memory.
const LARGE: u64 = Pte::from_bits(TABLE).with_large(true).into_bits();
/// A 64-bit code segment of the supervisor (SDM 3A, "Code Segment Descriptor in 64-bit Mode").
const CODE_SEGMENT: u64 = 0x00af_9b00_0000_ffff;
/// A data segment of the supervisor.
const DATA_SEGMENT: u64 = 0x00cf_9300_0000_ffff;
/// A 32-bit code segment of the supervisor.
const CODE_SEGMENT_32: u64 = 0x00cf_9b00_0000_ffff;
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

global_asm!(
    // XEN_ELFNOTE_PHYS32_ENTRY: where the loader begins, in 32-bit mode.
    ".pushsection .note.pvh,\"a\",@note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_entry - {offset}",
    ".popsection",

    // The header of multiboot2 (Multiboot2 Specification, "OS image format"): magic, i386, length,
    // sum; where it begins; modules on pages; the end.
    ".pushsection .boot.multiboot,\"ax\",@progbits",
    ".balign 8",
    "4:",
    ".long 0xe85250d6, 0, 5f - 4b, -(0xe85250d6 + (5f - 4b))",
    ".balign 8",
    ".short 3, 0",
    ".long 12, multiboot_entry - {offset}",
    ".balign 8",
    ".short 6, 0",
    ".long 8",
    ".balign 8",
    ".short 0, 0",
    ".long 8",
    "5:",
    ".popsection",

    ".pushsection .boot.entry,\"ax\",@progbits",
    ".code32",
    // ebx = address of the start information, or of multiboot2's with its magic in eax.
    "pvh_entry:",
    "xorl %eax, %eax",
    ".globl multiboot_entry",
    "multiboot_entry:",
    "cli",
    "cld",
    "movl %ebx, %ebp",
    "movl %eax, %esi",
    "movl $({root} - {offset}), %edi",
    "movl $({direct} - {offset} + {table}), (%edi)",
    "movl $({direct} - {offset} + {table}), 2048(%edi)",
    "movl $({kernel} - {offset} + {table}), 4088(%edi)",
    "movl $({image} - {offset} + {table}), {kernel} - {offset} + 4080",
    // Four tables of 512 entries of 2 MiB for the direct map.
    "movl $({direct} - {offset}), %edi",
    "movl $({low} - {offset} + {table}), %eax",
    "movl $4, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $4096, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $({low} - {offset}), %edi",
    "movl ${large}, %eax",
    "movl $2048, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    // Eight entries for the image.
    "movl $({image} - {offset}), %edi",
    "movl ${large}, %eax",
    "movl $8, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $({root} - {offset}), %eax",
    "movl %eax, %cr3",
    "movl ${cr4}, %eax",
    "movl %eax, %cr4",
    "movl ${efer_number}, %ecx",
    "rdmsr",
    "orl ${efer}, %eax",
    "wrmsr",
    "movl ${cr0}, %eax",
    "movl %eax, %cr0",
    "lgdt _boot_segments_pointer - {offset}",
    "ljmp $8, $(2f - {offset})",
    ".code64",
    "2:",
    "movabsq $3f, %rax",
    "jmpq *%rax",
    "3:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "leaq _boot_stack_end(%rip), %rsp",
    "movl %ebp, %edi",
    "movl %esi, %esi",
    "xorl %ebp, %ebp",
    "callq {boot}",
    "ud2",

    ".balign 8",
    "_boot_segments:",
    ".quad 0, {code_segment}, {data_segment}, {code_segment_32}",
    "_boot_segments_pointer:",
    ".word . - _boot_segments - 1",
    ".long _boot_segments - {offset}",
    ".popsection",

    // What another core runs: copied to a page below 1 MiB, where it finds out its own address and
    // corrects the three places that depend on it.
    ".pushsection .rodata.trampoline,\"a\",@progbits",
    ".balign 16",
    ".globl _trampoline",
    "_trampoline:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "movzwl %ax, %ebx",
    "shll $4, %ebx",
    "addl %ebx, (6f - _trampoline + 2)",
    "addl %ebx, (7f - _trampoline)",
    "addl %ebx, (8f - _trampoline)",
    "lgdtl (6f - _trampoline)",
    "movl $1, %eax",
    "movl %eax, %cr0",
    "ljmpl *(7f - _trampoline)",
    ".code32",
    "4:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %ss",
    "movl ${cr4}, %eax",
    "movl %eax, %cr4",
    "movl (9f - _trampoline)(%ebx), %eax",
    "movl %eax, %cr3",
    "movl ${efer_number}, %ecx",
    "rdmsr",
    "orl ${efer}, %eax",
    "wrmsr",
    "movl ${cr0}, %eax",
    "movl %eax, %cr0",
    "ljmpl *(8f - _trampoline)(%ebx)",
    ".code64",
    "5:",
    "movl %ebx, %ebx",
    "movq (9f - _trampoline + 8)(%rbx), %rdi",
    "movq (9f - _trampoline + 16)(%rbx), %rsp",
    "movq (9f - _trampoline + 24)(%rbx), %rax",
    "xorl %ebp, %ebp",
    "callq *%rax",
    "ud2",
    ".balign 8",
    "6:",
    ".word 31",
    ".long 3f - _trampoline",
    "7:",
    ".long 4b - _trampoline",
    ".word 24",
    "8:",
    ".long 5b - _trampoline",
    ".word 8",
    ".balign 8",
    "3:",
    ".quad 0, {code_segment}, {data_segment}, {code_segment_32}",
    // Root table, argument, stack, entry.
    ".globl _trampoline_words",
    "_trampoline_words:",
    "9:",
    ".quad 0, 0, 0, 0",
    ".globl _trampoline_end",
    "_trampoline_end:",
    ".popsection",
    offset = const LOAD_OFFSET,
    root = sym ROOT,
    direct = sym DIRECT,
    low = sym DIRECT_LOW,
    kernel = sym KERNEL,
    image = sym IMAGE,
    table = const TABLE,
    large = const LARGE,
    cr4 = const CR4,
    efer_number = const msr::EFER,
    efer = const EFER,
    cr0 = const CR0,
    code_segment = const CODE_SEGMENT,
    data_segment = const DATA_SEGMENT,
    code_segment_32 = const CODE_SEGMENT_32,
    boot = sym super::boot_core,
    options(att_syntax),
);

unsafe extern "C" {
    /// First byte of what another core runs.
    pub static _trampoline: u8;
    /// The words in it that the boot core fills.
    pub static _trampoline_words: u8;
    /// First byte behind it.
    pub static _trampoline_end: u8;
}
