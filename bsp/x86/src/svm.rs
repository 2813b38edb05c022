//! AMD's secure virtual machine: the control block, entry and exit (APM, "Secure Virtual Machine").

use crate::guest::{self, Block, Hardware, INTERRUPT, NON_MASKABLE, TIMER, VALID, X86Guest};
use crate::percore::PerCore;
use crate::{cpu, paging};
use abi::Error;
use abi::exit::RouteKey;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Access, Exit};
use x86_regs::one_reg::{NOTED, Register, SegmentField};
use x86_regs::vmcb::{self, exit};
use x86_regs::vmcs::kind;
use x86_regs::{Efer, msr};

/// Pages of a map in which a bit stands for a port or for an access to a register.
#[repr(C, align(4096))]
struct Map<const WORDS: usize>([AtomicU64; WORDS]);

/// All ports leave the guest.
static PORTS: Map<1536> = Map([const { AtomicU64::new(u64::MAX) }; 1536]);
/// All model-specific registers leave the guest, but those that VMLOAD and VMSAVE exchange.
static REGISTERS: Map<1024> = Map([const { AtomicU64::new(u64::MAX) }; 1024]);

/// Registers that a guest has for itself.
const OWN: [u32; 10] = [
    msr::SYSENTER_CS,
    msr::SYSENTER_ESP,
    msr::SYSENTER_EIP,
    msr::STAR,
    msr::LSTAR,
    msr::CSTAR,
    msr::SYSCALL_MASK,
    msr::FS_BASE,
    msr::GS_BASE,
    msr::KERNEL_GS_BASE,
];

/// Address-space identifiers that the processor has; 0 where it has no SVM.
static SPACES: AtomicU64 = AtomicU64::new(0);
/// Whether the processor tells where the next instruction is.
static TELLS_NEXT: AtomicU64 = AtomicU64::new(0);

/// Asks the processor for SVM with nested paging, and remembers the answer.
pub fn find() -> bool {
    const SVM: u32 = 1 << 2;
    const NESTED_PAGING: u32 = 1;
    const NEXT_RIP: u32 = 1 << 3;
    const DISABLED: u64 = 1 << 4;
    let leaf = cpu::identify(0x8000_000a, 0);
    if cpu::identify(0x8000_0001, 0).ecx & SVM == 0
        || leaf.edx & NESTED_PAGING == 0
        || cpu::read_register(msr::VM_CR) & DISABLED != 0
        || leaf.ebx < 2
    {
        return false;
    }
    for number in OWN {
        let index = match number {
            0..=0x1fff => number,
            _ => 0x2000 + (number & 0x1fff),
        };
        let bits = 3 << (index % 32 * 2);
        REGISTERS.0[index as usize / 32].fetch_and(!bits, Ordering::Relaxed);
    }
    SPACES.store(u64::from(leaf.ebx), Ordering::Relaxed);
    TELLS_NEXT.store(u64::from(leaf.edx & NEXT_RIP), Ordering::Relaxed);
    true
}

/// Returns whether the processor has SVM.
pub fn is_supported() -> bool {
    SPACES.load(Ordering::Relaxed) != 0
}

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    // rdi = guest's block, rsi = general registers, rdx = host's block. Interrupts are held off by
    // GIF from CLGI to STGI; with the host's own flag set, they end the guest meanwhile.
    ".globl _svm_enter",
    "_svm_enter:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    push rdx",
    "    push rsi",
    "    clgi",
    "    sti",
    "    mov rax, rdi",
    "    mov rcx, [rsi + 8]",
    "    mov rdx, [rsi + 16]",
    "    mov rbx, [rsi + 24]",
    "    mov rbp, [rsi + 40]",
    "    mov rdi, [rsi + 56]",
    "    mov r8, [rsi + 64]",
    "    mov r9, [rsi + 72]",
    "    mov r10, [rsi + 80]",
    "    mov r11, [rsi + 88]",
    "    mov r12, [rsi + 96]",
    "    mov r13, [rsi + 104]",
    "    mov r14, [rsi + 112]",
    "    mov r15, [rsi + 120]",
    "    mov rsi, [rsi + 48]",
    "    vmload rax",
    "    vmrun rax",
    "    vmsave rax",
    "    mov rax, [rsp]",
    "    mov [rax + 8], rcx",
    "    mov [rax + 16], rdx",
    "    mov [rax + 24], rbx",
    "    mov [rax + 40], rbp",
    "    mov [rax + 48], rsi",
    "    mov [rax + 56], rdi",
    "    mov [rax + 64], r8",
    "    mov [rax + 72], r9",
    "    mov [rax + 80], r10",
    "    mov [rax + 88], r11",
    "    mov [rax + 96], r12",
    "    mov [rax + 104], r13",
    "    mov [rax + 112], r14",
    "    mov [rax + 120], r15",
    "    mov rax, [rsp + 8]",
    "    vmload rax",
    "    cli",
    "    stgi",
    "    add rsp, 16",
    "    pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    ".popsection",
);

unsafe extern "C" {
    fn _svm_enter(guest: u64, registers: *const AtomicU64, host: u64);
}

/// Runs the guest until it leaves. Its general registers but rax and rsp are in `registers`.
fn enter(core: &PerCore, block: &Block, registers: &[AtomicU64; 16]) {
    // SAFETY: the block is one of this core's alone and was prepared; its nested tables are those
    // of a space that the kernel keeps; the host's block is this core's and was filled. The code
    // restores what the calling convention wants, and the processor and VMLOAD the rest.
    unsafe { _svm_enter(block.physical(), registers.as_ptr(), core.host.get() + 4096) };
}

/// Intercepts, first word: IRET.
const INTERCEPT_IRET: u64 = 1 << 20;
/// Intercepts, first word: the virtual interrupt can be taken.
const INTERCEPT_WINDOW: u64 = 1 << 4;
/// Virtual interrupt: requested, of the highest priority, whatever the guest's priority is; physical
/// interrupts obey the host's flag.
const REQUEST: u64 = 1 | 0xf << 8 | 1 << 12;
/// Virtual interrupt: physical interrupts obey the host's flag.
const MASKING: u64 = 1 << 16;
/// EFER.SVME, which a guest has to have and does not see.
const SVM_ENABLED: u64 = 1 << 12;

/// Guests by SVM.
pub struct Svm;

impl Hardware for Svm {
    fn start_core(&self, core: &PerCore) {
        let efer = Efer::from_bits(cpu::read_register(msr::EFER)).with_svm(true);
        cpu::write_register(msr::EFER, efer.into_bits());
        cpu::write_register(msr::VM_HSAVE_PA, core.host.get());
        // SAFETY: VMSAVE writes the second of the core's own host pages.
        unsafe { asm!("vmsave rax", in("rax") core.host.get() + 4096, options(nostack)) };
    }

    fn prepare(&self, guest: &X86Guest) {
        /// Physical interrupts of all kinds, RDPMC, CPUID, INVD, HLT, INVLPGA, ports, registers,
        /// frozen floating point, shutdown.
        const FIRST: u64 = 0xf | 1 << 15 | 1 << 18 | 1 << 22 | 1 << 24 | 0x1c00_0000 | 3 << 30;
        /// SVM's own instructions, WBINVD, MONITOR, MWAIT, XSETBV, RDPRU.
        const SECOND: u64 = 0x7f | 0x3f << 9;
        /// Debug exceptions and alignment checks, of which a guest can make endless chains, and
        /// machine checks, which are the host's.
        const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
        /// Stores into CR8. (QEMU 10.0 takes a load for one of CR0; it gives the virtual priority.)
        const CONTROL: u64 = 1 << 24;
        let block = &guest.block;
        block.set_part(vmcb::INTERCEPT_CONTROL, 32, CONTROL);
        block.set_part(vmcb::INTERCEPT_DEBUG, 32, u64::from(u32::MAX));
        block.set_part(vmcb::INTERCEPT_EXCEPTIONS, 32, EXCEPTIONS);
        block.set_part(vmcb::INTERCEPT_FIRST, 32, FIRST);
        block.set_part(vmcb::INTERCEPT_SECOND, 32, SECOND);
        block.set(vmcb::PORT_MAP, paging::physical_of(&raw const PORTS));
        block.set(
            vmcb::REGISTER_MAP,
            paging::physical_of(&raw const REGISTERS),
        );
        block.set(vmcb::NESTED_PAGING, 1);
    }

    fn load(&self, guest: &X86Guest, root: u64) {
        guest.block.set(vmcb::NESTED_ROOT, root);
    }

    fn unload(&self, _: &X86Guest) {}

    fn set_lines(&self, guest: &X86Guest, lines: u64) {
        let wanted = lines & (INTERRUPT | TIMER) != 0;
        let request = if wanted { REQUEST | MASKING } else { MASKING };
        guest.block.set_part(vmcb::VIRTUAL_INTERRUPT, 32, request);
        intercept(&guest.block, INTERCEPT_WINDOW, wanted);
    }

    fn program_counter(&self, guest: &X86Guest) -> u64 {
        guest.block.get(vmcb::RIP)
    }

    fn set_program_counter(&self, guest: &X86Guest, value: u64) {
        guest.block.set(vmcb::RIP, value);
        guest.block.set(vmcb::SHADOW, 0);
    }

    fn get(&self, guest: &X86Guest, register: Register) -> Option<u64> {
        let (offset, bits) = place_of(register)?;
        let value = match bits {
            64 => guest.block.get(offset),
            bits => guest.block.get_part(offset, bits),
        };
        Some(match register {
            Register::ModelSpecific(msr::EFER) => value & !SVM_ENABLED,
            _ => value,
        })
    }

    fn set(&self, guest: &X86Guest, register: Register, value: u64) -> Result<(), Error> {
        let (offset, bits) = place_of(register).ok_or(Error::NoSuchRegister)?;
        let value = match register {
            Register::ModelSpecific(msr::EFER) => value | SVM_ENABLED,
            _ => value,
        };
        match bits {
            64 => guest.block.set(offset, value),
            bits => guest.block.set_part(offset, bits, value),
        }
        match register {
            Register::Rip => guest.block.set(vmcb::SHADOW, 0),
            Register::Event if value & VALID != 0 && value >> 8 & 7 == u64::from(kind::NMI) => {
                guest.is_masked.set(1);
                intercept(&guest.block, INTERCEPT_IRET, true);
            }
            _ => {}
        }
        Ok(())
    }

    fn noted(&self, guest: &X86Guest) -> [u64; NOTED.len()] {
        let block = &guest.block;
        [
            block.get(vmcb::CR0),
            block.get(vmcb::CR3),
            block.get(vmcb::CR4),
            block.get(vmcb::EFER) & !SVM_ENABLED,
            block.get_part(vmcb::SEGMENTS + 16 + 2, 16),
            block.get(vmcb::SEGMENTS + 16 + 8),
        ]
    }

    fn set_segment(&self, guest: &X86Guest, segment: u8, parts: [u64; 4]) {
        let [selector, attributes, limit, base] = parts;
        let offset = vmcb::SEGMENTS + usize::from(segment) * 16;
        let described = selector | attributes << 16 | limit << 32;
        guest.block.set(offset, described);
        guest.block.set(offset + 8, base);
    }

    fn run(&self, core: &PerCore, guest: &X86Guest, registers: &[AtomicU64; 16]) -> Option<Exit> {
        let block = &guest.block;
        // An event that waits to be injected again goes first.
        let is_free = block.get(vmcb::INJECTED_EVENT) & VALID == 0;
        if guest.lines.get() & NON_MASKABLE != 0 && guest.is_masked.get() == 0 && is_free {
            return Some(Exit::Window {
                lines: NON_MASKABLE,
            });
        }
        tag(core, guest);
        let [rax, ..] = registers;
        block.set(vmcb::CLEAN, 0);
        block.set(vmcb::RAX, rax.load(Ordering::Relaxed));
        enter(core, block, registers);
        rax.store(block.get(vmcb::RAX), Ordering::Relaxed);
        // An event on whose way something happened is injected again; what was injected is gone.
        let event = block.get(vmcb::EXIT_EVENT);
        let again = if event & VALID == 0 { 0 } else { event };
        block.set(vmcb::INJECTED_EVENT, again);
        left(guest)
    }

    fn flush_all(&self, core: &PerCore) {
        guest::forget_tags(core);
    }
}

/// Gives the guest an address-space identifier of this core, if it has none of the current
/// generation, and says what the processor has to flush.
fn tag(core: &PerCore, guest: &X86Guest) {
    const FLUSH_ALL: u64 = 1 << 32;
    let block = &guest.block;
    match guest::new_tag(core, guest, SPACES.load(Ordering::Relaxed)) {
        Some((space, true)) => block.set(vmcb::SPACE, space | FLUSH_ALL),
        Some((space, false)) => block.set(vmcb::SPACE, space),
        None => block.set(vmcb::SPACE, block.get_part(vmcb::SPACE, 32)),
    }
}

/// Sets or clears intercepts of the first word.
fn intercept(block: &Block, bits: u64, wanted: bool) {
    let before = block.get_part(vmcb::INTERCEPT_FIRST, 32);
    let after = if wanted {
        before | bits
    } else {
        before & !bits
    };
    block.set_part(vmcb::INTERCEPT_FIRST, 32, after);
}

/// Returns what the exit of a guest was.
fn left(guest: &X86Guest) -> Option<Exit> {
    let block = &guest.block;
    let code = block.get(vmcb::EXIT_CODE);
    let details = [
        code,
        block.get(vmcb::EXIT_INFO_1),
        block.get(vmcb::EXIT_INFO_2),
    ];
    let [_, first, second] = details;
    // Instructions are named by their bytes, the first the least significant.
    let instruction = |bits| Some(Exit::Instruction { bits });
    match code {
        exit::INTERRUPT => None,
        code if exit::OTHER_INTERRUPTS.contains(&code) => None,
        exit::WINDOW => Some(Exit::Window {
            lines: guest.lines.get() & (INTERRUPT | TIMER),
        }),
        exit::IRET => {
            // The handler ends; the next entry is behind the instruction or at it.
            guest.is_masked.set(0);
            intercept(block, INTERCEPT_IRET, false);
            None
        }
        exit::HLT => {
            guest.skip(length(block, 1));
            Some(Exit::Idle)
        }
        exit::VMMCALL => {
            guest.skip(length(block, 3));
            Some(Exit::Hypercall)
        }
        exit::CPUID => instruction(0xa20f),
        exit::INVD => instruction(0x080f),
        exit::WBINVD => instruction(0x090f),
        exit::XSETBV => instruction(0xd1_010f),
        exit::REGISTER => instruction(if first == 0 { 0x320f } else { 0x300f }),
        exit::PORT => {
            let length = second.wrapping_sub(block.get(vmcb::RIP));
            Some(guest.port_exit(first, length))
        }
        exit::NESTED_FAULT => Some(Exit::Access(Access {
            key: RouteKey::Device,
            address: second,
            virtual_address: 0,
            cause: first,
            description: 0,
        })),
        _ => Some(Exit::Other { details }),
    }
}

/// Returns the length of the instruction that the guest left at: told, or `usual`.
fn length(block: &Block, usual: u64) -> u64 {
    if TELLS_NEXT.load(Ordering::Relaxed) == 0 {
        return usual;
    }
    block.get(vmcb::NEXT_RIP).wrapping_sub(block.get(vmcb::RIP))
}

/// Returns where the control block has a register, and how many bits of it.
const fn place_of(register: Register) -> Option<(usize, u32)> {
    let offset = match register {
        Register::Segment(segment, field) => {
            let offset = vmcb::SEGMENTS + segment as usize * 16;
            return Some(match field {
                SegmentField::Selector => (offset, 16),
                SegmentField::Attributes => (offset + 2, 16),
                SegmentField::Limit => (offset + 4, 32),
                SegmentField::Base => (offset + 8, 64),
            });
        }
        Register::Cr8 => return Some((vmcb::VIRTUAL_PRIORITY, 8)),
        Register::General(4) => vmcb::RSP,
        Register::General(_) => return None,
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
            msr::EFER => vmcb::EFER,
            msr::STAR => vmcb::STAR,
            msr::LSTAR => vmcb::STAR + 8,
            msr::CSTAR => vmcb::STAR + 16,
            msr::SYSCALL_MASK => vmcb::STAR + 24,
            msr::KERNEL_GS_BASE => vmcb::STAR + 32,
            msr::SYSENTER_CS => vmcb::STAR + 40,
            msr::SYSENTER_ESP => vmcb::STAR + 48,
            msr::SYSENTER_EIP => vmcb::STAR + 56,
            msr::PAT => vmcb::PAT,
            _ => return None,
        },
    };
    Some((offset, 64))
}
