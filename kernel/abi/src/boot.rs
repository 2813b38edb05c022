//! What the kernel hands to the first process.
//!
//! `init` starts with a capability table whose first slots are these constants, with its message
//! page at [`MESSAGE_PAGE`] and with a [`BootInfo`] at [`BOOT_INFO`], mapped read-only.

/// The capability table itself.
pub const SLOT_CAP_TABLE: u32 = 1;
/// The process's address space.
pub const SLOT_SPACE: u32 = 2;
/// The thread that runs.
pub const SLOT_THREAD: u32 = 3;
/// Its budget.
pub const SLOT_BUDGET: u32 = 4;
/// The authority over all interrupts.
pub const SLOT_INTERRUPT_CONTROL: u32 = 5;
/// The authority to call the firmware.
pub const SLOT_FIRMWARE: u32 = 6;
/// All I/O ports, on every machine; those without ports refuse their use.
pub const SLOT_IO_PORTS: u32 = 8;
/// First of the untyped capabilities; their number is in the boot information.
pub const SLOT_FIRST_UNTYPED: u32 = 16;
/// Slots of the first process's table.
pub const SLOTS: usize = 4096;

/// Where the boot information is mapped.
pub const BOOT_INFO: u64 = 0x1000_0000;
/// Where the message page is mapped.
pub const MESSAGE_PAGE: u64 = 0x1000_2000;
/// Where the stack ends; it grows down.
pub const STACK_TOP: u64 = 0x1010_0000;
/// Bytes of the stack.
pub const STACK_SIZE: u64 = 64 * 1024;
/// Where the boot bundle is mapped, read-only.
pub const BUNDLE: u64 = 0x4000_0000;

/// `BootInfo::magic`.
pub const MAGIC: u64 = 0x534b_4552_5259_4249;

/// Byte offsets of the boot information: 64-bit words in the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// Cores that run, numbered from 0.
    pub cores: u64,
    /// Ticks per second of the counter that deadlines are given in.
    pub ticks_per_second: u64,
    /// Bytes of the boot bundle at [`BUNDLE`].
    pub bundle_length: u64,
    /// Untyped capabilities from [`SLOT_FIRST_UNTYPED`] on.
    pub untyped_count: u64,
    /// Where the machine's device tree lies in physical memory, or 0.
    pub device_tree: u64,
    /// Its bytes.
    pub device_tree_length: u64,
    /// What the machine has, in words that its `*-regs` crate names.
    pub features: [u64; 4],
    /// Random bits of the firmware for guests, or zeros where it gave none.
    pub seed: [u64; 4],
    /// Which NUMA node memory belongs to; rows without bytes say nothing. What no row has belongs to
    /// node 0.
    pub nodes: [NodeRange; MAX_NODE_RANGES],
    /// The untyped ranges, in slot order.
    pub untyped: [UntypedRange; MAX_UNTYPED],
}

/// Most ranges of memory whose node is told.
pub const MAX_NODE_RANGES: usize = 16;

/// Memory of a NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NodeRange {
    /// First physical address.
    pub base: u64,
    /// Bytes.
    pub length: u64,
    /// The number that the machine gives the node.
    pub node: u64,
}

/// Most untyped ranges of one machine: memory and devices come in blocks of powers of two, so a
/// range of odd length alone is a dozen.
pub const MAX_UNTYPED: usize = 104;

/// One untyped capability of the first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UntypedRange {
    /// First physical address.
    pub base: u64,
    /// Bytes.
    pub length: u64,
    /// [`ORDINARY`], [`DEVICE`] or [`BUNDLE_MEMORY`].
    pub kind: u64,
}

/// `UntypedRange::kind`: unused memory.
pub const ORDINARY: u64 = 0;
/// `UntypedRange::kind`: device memory: only Frames can be made of it.
pub const DEVICE: u64 = 1;
/// `UntypedRange::kind`: memory that holds the boot bundle.
pub const BUNDLE_MEMORY: u64 = 2;
/// Priority that the first process starts with.
pub const PRIORITY: u64 = 60;
/// Slot of the first process's message page.
pub const SLOT_MESSAGE_PAGE: u32 = 7;
