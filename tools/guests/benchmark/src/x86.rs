//! x86-64: instructions that leave the guest, each between two readings of the time-stamp counter,
//! which counts instructions where the emulator does.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

use crate::rows::{self, Counted};

/// The UART: where it sends, whether it can, and its scratch register.
const TRANSMIT: u32 = 0x3f8;
const LINE_STATUS: u32 = 0x3fd;
const SCRATCH: u32 = 0x3ff;
/// The window of the I/O APIC.
const WINDOW: u64 = 0xfec0_0010;
/// Where memory begins.
const MEMORY: u64 = 0;

// The beginning by PVH, in 32-bit mode; the first 4 GiB are mapped onto themselves.
global_asm!(
    ".pushsection .note.pvh,\"a\",@note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long _start",
    ".popsection",
    ".pushsection .text.start,\"ax\",@progbits",
    ".code32",
    ".globl _start",
    "_start:",
    "cli",
    "cld",
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
    "lgdt _segments_pointer",
    "movl $_first_table, %eax",
    "movl %eax, %cr3",
    "movl $0x20, %eax",
    "movl %eax, %cr4",
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x100, %eax",
    "wrmsr",
    "movl $0x80010033, %eax",
    "movl %eax, %cr0",
    "ljmp $8, $2f",
    ".code64",
    "2:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "movl $_stack_end, %esp",
    "xorl %ebp, %ebp",
    "callq {main}",
    "ud2",
    ".balign 8",
    "_segments:",
    ".quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "_segments_pointer:",
    ".word 23",
    ".long _segments",
    ".popsection",
    ".pushsection .bss",
    ".balign 4096",
    "_first_table: .skip 4096",
    "_second_tables: .skip 4096",
    "_third_tables: .skip 4 * 4096",
    ".popsection",
    main = sym main,
    options(att_syntax),
);

/// Executes an instruction between two readings of the counter, with eax, edx, rdi, and ecx or 0 as
/// given; each reading belongs with what moves registers to the cost of counting. A jump is before each:
/// Bochs moves its counter on where instructions do not follow each other.
macro_rules! counted {
    ($instruction:literal, $eax:expr, $edx:expr, $address:expr) => {
        counted!($instruction, $eax, $edx, $address, 0)
    };
    ($instruction:literal, $eax:expr, $edx:expr, $address:expr, $ecx:expr) => {{
        let (taken, found): (u32, u32);
        let (eax, edx, address): (u32, u32, u64) = ($eax, $edx, $address);
        let ecx: u32 = $ecx;
        // SAFETY: rbx is kept; the instruction changes eax to edx and what it is there to change.
        unsafe {
            asm!(
                "mov r12, rbx",
                "jmp 8f",
                "8: rdtsc",
                "mov r8d, eax",
                "mov eax, r9d",
                "mov edx, r10d",
                "mov ecx, r11d",
                $instruction,
                "mov r9d, eax",
                "jmp 9f",
                "9: rdtsc",
                "sub eax, r8d",
                "mov rbx, r12",
                in("rdi") address,
                inlateout("r9") eax => found,
                in("r10") edx,
                in("r11") ecx,
                out("rax") taken,
                out("rcx") _,
                out("rdx") _,
                out("r8") _,
                out("r12") _,
                options(nostack),
            );
        }
        (Counted { instructions: taken.into(), is_refused: false }, found)
    }};
}

/// Marks the end of a row, for who traces the machine's instructions: it does nothing.
pub fn mark() {
    // SAFETY: a NOP, whose displacement is `Sker`.
    unsafe {
        asm!(
            ".byte 0x0f, 0x1f, 0x80, 0x53, 0x6b, 0x65, 0x72",
            options(nostack)
        )
    };
}

/// The UART.
struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while counted!("in al, dx", 0, LINE_STATUS, 0).1 & 1 << 5 == 0 {}
            counted!("out dx, al", u32::from(byte), TRANSMIT, 0);
        }
        Ok(())
    }
}

/// Passes of the loop of known length.
const PASSES: u32 = 1000;

/// Returns how many instructions of a loop were counted, and how many there are.
fn counted_loop() -> (u64, u64) {
    let empty = counted!("nop", 0, 0, 0).0.instructions;
    let whole = counted!("2: dec ecx\njnz 2b", 0, 0, 0, PASSES)
        .0
        .instructions;
    (whole.wrapping_sub(empty - 1), 2 * u64::from(PASSES))
}

/// Measures everything, if instructions are counted, and ends by an exit line.
extern "C" fn main() -> ! {
    let (found, expected) = counted_loop();
    if found == expected {
        measure();
        end(0);
    }
    let _ = writeln!(
        Console,
        "a loop of {expected} instructions was counted as {found}"
    );
    end(1)
}

/// Measures everything.
fn measure() {
    let nothing = counted!("nop", 0, 0, 0).0;
    let cost = nothing.instructions - 1;
    let row = |name, action: &dyn Fn() -> Counted| rows::row(&mut Console, name, cost, action);
    let touch = |address| counted!("mov al, [rdi]", 0, 0, address).0;
    rows::first_touches(&mut Console, MEMORY, cost, touch);
    row("exit_to_vcpu_server", &|| counted!("cpuid", 0, 0, 0).0);
    row("device_access_described", &|| {
        counted!("in al, dx", 0, SCRATCH, 0).0
    });
    row("device_store_described", &|| {
        counted!("out dx, al", 0, SCRATCH, 0).0
    });
    row("device_access_forwarded", &|| {
        counted!("mov eax, [rdi]", 0, 0, WINDOW).0
    });
}

/// Ends with a status, by an exit line.
fn end(status: u32) -> ! {
    let _ = writeln!(Console, "EXIT: STATUS={}", status << 1 | 1);
    loop {
        // SAFETY: it stands still for ever.
        unsafe { asm!("cli", "hlt", options(nostack)) };
    }
}
