//! AMD's secure virtual machine: the control block, entry and exit (APM, "Secure Virtual Machine").

use crate::percore::PerCore;
use crate::{cpu, paging};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::word::Word;
use x86_regs::{Efer, msr, vmcb};
use zerocopy::FromBytes;

/// A virtual machine control block.
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
    fn physical(&self) -> u64 {
        core::ptr::from_ref(self) as u64 - crate::entry::DIRECT_MAP
    }
}

/// Pages of a map in which a bit stands for a port or for an access to a register.
#[repr(C, align(4096))]
struct Map<const WORDS: usize>([AtomicU64; WORDS]);

/// All ports leave the guest.
static PORTS: Map<1536> = Map([const { AtomicU64::new(u64::MAX) }; 1536]);
/// All model-specific registers leave the guest, but those that VMLOAD and VMSAVE exchange.
static REGISTERS: Map<1024> = Map([const { AtomicU64::new(u64::MAX) }; 1024]);

/// Registers that a guest has for itself.
const OWN: [u32; 10] = [
    0x174,
    0x175,
    0x176,
    msr::STAR,
    msr::LSTAR,
    0xc000_0083,
    msr::SYSCALL_MASK,
    msr::FS_BASE,
    msr::GS_BASE,
    msr::KERNEL_GS_BASE,
];

/// Address-space identifiers that the processor has; 0 where it has no SVM.
static SPACES: AtomicU64 = AtomicU64::new(0);
/// Whether the processor tells where the next instruction is.
static TELLS_NEXT: AtomicU64 = AtomicU64::new(0);

/// Bytes of host state that a core needs: VMRUN's page, and what VMSAVE takes.
pub const HOST_BYTES: u64 = 8192;

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

/// Returns whether the processor tells where the next instruction is.
pub fn tells_next() -> bool {
    TELLS_NEXT.load(Ordering::Relaxed) != 0
}

/// Turns SVM on in this core, whose `host` pages nobody else uses; after all segments are loaded.
pub fn start_core(core: &PerCore) {
    if !is_supported() {
        return;
    }
    let efer = Efer::from_bits(cpu::read_register(msr::EFER)).with_svm(true);
    cpu::write_register(msr::EFER, efer.into_bits());
    cpu::write_register(msr::VM_HSAVE_PA, core.host.get());
    // SAFETY: VMSAVE writes the second of the core's own host pages.
    unsafe { asm!("vmsave rax", in("rax") core.host.get() + 4096, options(nostack)) };
}

/// Fills the part of a new block that is the same for all guests.
pub fn prepare(block: &Block) {
    /// Physical interrupts of all kinds, RDPMC, CPUID, INVD, HLT, INVLPGA, ports, registers,
    /// frozen floating point, shutdown.
    const FIRST: u64 = 0xf | 1 << 15 | 1 << 18 | 1 << 22 | 1 << 24 | 0x1c00_0000 | 3 << 30;
    /// SVM's own instructions, WBINVD, MONITOR, MWAIT, XSETBV, RDPRU.
    const SECOND: u64 = 0x7f | 0x3f << 9;
    /// Debug exceptions and alignment checks, of which a guest can make endless chains, and
    /// machine checks, which are the host's.
    const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
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

/// Gives the guest an address-space identifier of this core, if it has none of the current
/// generation: `tag` is its last one's generation. Says what the processor has to flush.
pub fn tag(core: &PerCore, block: &Block, tag: &Word) {
    const FLUSH_ALL: u64 = 1 << 32;
    if tag.get() == core.generation.get() {
        return block.set(vmcb::SPACE, block.get_part(vmcb::SPACE, 32));
    }
    let mut flush = 0;
    if core.next_space.get() >= SPACES.load(Ordering::Relaxed) {
        core.generation.add(1);
        core.next_space.set(1);
        flush = FLUSH_ALL;
    }
    // Translations of an earlier generation under this number go with the first entry.
    flush |= if core.is_fresh.replace(1) == 0 {
        FLUSH_ALL
    } else {
        0
    };
    block.set(vmcb::SPACE, core.next_space.get() | flush);
    core.next_space.add(1);
    tag.set(core.generation.get());
}

/// Forgets the cached translations of all guests of this core before the next entry.
pub fn flush_guests(core: &PerCore) {
    core.generation.add(1);
    core.next_space.set(1);
    core.is_fresh.set(0);
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
pub fn run(core: &PerCore, block: &Block, registers: &[AtomicU64; 16]) {
    // SAFETY: the block is one of this core's alone and was prepared; its nested tables are those
    // of a space that the kernel keeps; the host's block is this core's and was filled. The code
    // restores what the calling convention wants, and the processor and VMLOAD the rest.
    unsafe { _svm_enter(block.physical(), registers.as_ptr(), core.host.get() + 4096) };
}

/// Saves the floating-point registers of this core to `area`.
pub fn save_float(area: &FloatArea) {
    with_float(|| {
        // SAFETY: FXSAVE64 writes 512 bytes of atomics, aligned, which this core alone uses now.
        unsafe { asm!("fxsave64 [{}]", in(reg) &raw const *area, options(nostack)) };
    });
}

/// Loads the floating-point registers of this core from `area`.
pub fn load_float(area: &FloatArea) {
    with_float(|| {
        // SAFETY: FXRSTOR64 reads 512 bytes that FXSAVE64 wrote or that are the reset state.
        unsafe { asm!("fxrstor64 [{}]", in(reg) &raw const *area, options(nostack)) };
    });
}

/// Does something with floating-point instructions allowed.
fn with_float(work: impl FnOnce()) {
    const TASK_SWITCHED: u64 = 1 << 3;
    let before = cpu::cr0();
    cpu::set_cr0(before & !TASK_SWITCHED);
    work();
    cpu::set_cr0(before);
}

/// x87 and SSE registers, as FXSAVE64 lays them out.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct FloatArea([Word; 64]);

impl FloatArea {
    /// Brings it into the reset state.
    pub fn reset(&self) {
        const CONTROL: u64 = 0x37f;
        const SSE_CONTROL: u64 = 0x1f80;
        self.0[0].set(CONTROL);
        self.0[3].set(SSE_CONTROL);
    }
}
