//! The compiled form: what `init` reads from the boot bundle.
//!
//! The encoding is postcard's and has no names in it: fields and variants are only ever appended
//! together with a new [`FORMAT`]. A decoded [`System`] is consistent: every index in it is in
//! range, so `init` may use [`System::process`] and [`System::guest`] without a fallback.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Name of the manifest's entry in the boot bundle.
pub const ENTRY_NAME: &str = "manifest";

/// Version of the encoding; the first field of every compiled manifest.
pub const FORMAT: u16 = 6;

/// Names a process of the system by its place in [`System::processes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessIndex(pub u16);

/// Names a guest of the system by its place in [`System::guests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuestIndex(pub u16);

/// How much the system's processes log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing but what the contracts of the serial line require.
    Off,
    /// What went wrong.
    Error,
    /// Also what looks wrong.
    Warn,
    /// Also milestones.
    #[default]
    Info,
    /// Also decisions.
    Debug,
    /// Also every event.
    Trace,
}

/// Authority over the whole machine that a process is given beside its own objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// All ordinary memory that is left after every process was made.
    AllMemory,
    /// The authority over all interrupts.
    InterruptControl,
    /// The authority to call the firmware.
    Firmware,
    /// The process's own capability table, space, threads and budgets.
    OwnObjects,
}

/// What the addresses of a device are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AddressSpace {
    /// Physical addresses, or a guest's.
    #[default]
    Memory,
    /// x86 I/O ports.
    Ports,
}

/// When a guest's memory is mapped into it; it is the guest's from the start either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Population {
    /// Before it starts.
    #[default]
    Eager,
    /// Folio by folio, when it first touches one.
    Lazy,
}

/// A whole system: one boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// [`FORMAT`].
    pub format: u16,
    /// The machine's name, as `qemu-virt`.
    pub machine: String,
    /// Cores of the machine that are used, numbered from 0.
    pub cores: u16,
    /// Bytes of memory that the machine has at least.
    pub memory: u64,
    /// How much is logged.
    pub log: LogLevel,
    /// The process that owns the serial line of the host, log and guest consoles alike.
    pub console: Option<ProcessIndex>,
    /// All processes but `init`: servers in the manifest's order, then guest by guest.
    pub processes: Vec<Process>,
    /// All guests, in the manifest's order.
    pub guests: Vec<Guest>,
    /// Areas of memory that are lent until somebody needs a contiguous piece.
    pub areas: Vec<Area>,
}

/// An area of the machine's memory for contiguous requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Its first physical address, whole pages; where there is none, the memory server chooses.
    pub base: Option<u64>,
    /// Its bytes, whole large pages.
    pub bytes: u64,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Unique name: `mem`, or `left.vcpu` for a guest's own.
    pub name: String,
    /// Bundle entry of its ELF file.
    pub image: String,
    /// Priority of its threads, below `abi::PRIORITIES`.
    pub priority: u8,
    /// Bytes of stack of each of its threads, whole pages.
    pub stack: u64,
    /// Bytes of memory given to it beside image and stacks, whole pages.
    pub memory: u64,
    /// Cores that it serves, ascending: one thread and one endpoint on each.
    pub cores: Vec<u16>,
    /// The servers that it may call, and what it calls them.
    pub uses: Vec<Use>,
    /// The guest that it belongs to, if it belongs to one.
    pub guest: Option<GuestIndex>,
    /// The host device that it drives.
    pub device: Option<HostDevice>,
    /// Authority over the whole machine.
    pub grants: Vec<Grant>,
    /// Text for the process itself, as test seeds.
    pub arguments: String,
    /// For tests of isolation: a vcpu server panics when its guest makes this SBI call.
    pub panic_on_sbi: Option<SbiCall>,
    /// For tests of isolation: a vcpu server reads at this address when its guest makes the call.
    pub touch_on_sbi: Option<SbiTouch>,
    /// Bytes that it may take from the memory server for itself.
    pub quota: u64,
    /// Whether it serves its clients on its own budget instead of theirs.
    pub own_budget: bool,
    /// Bytes of its memory that it may have pinned for devices at a time.
    pub pins: u64,
}

/// A peer, under the name that the user calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Name in the user's own terms, as `out`.
    pub name: String,
    /// The process that is called.
    pub peer: ProcessIndex,
}

/// A device of the host, owned by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDevice {
    /// First physical address of its registers, or their first port.
    pub base: u64,
    /// Bytes of its registers; 0 where it has none in memory.
    pub size: u64,
    /// Its interrupt line.
    pub irq: Option<u32>,
    /// What `base` is.
    pub space: AddressSpace,
}

/// One function of one SBI extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SbiCall {
    /// Extension id, as in a7.
    pub extension: u64,
    /// Function id, as in a6.
    pub function: u64,
}

/// An address, and the call of a guest at which its vcpu server reads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SbiTouch {
    /// The call.
    pub call: SbiCall,
    /// The address, in the server's space.
    pub address: u64,
}

/// One virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Unique name.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
    /// Guest-physical address of its memory.
    pub memory_base: u64,
    /// The core of each of its vCPUs.
    pub cores: Vec<u16>,
    /// What it boots.
    pub kernel: GuestImage,
    /// Bundle entry of its initial file system.
    pub initrd: Option<String>,
    /// Its kernel's command line.
    pub append: String,
    /// Its vcpu server.
    pub vcpu: ProcessIndex,
    /// Its irq server.
    pub irq: ProcessIndex,
    /// Its devices, in the manifest's order.
    pub devices: Vec<GuestDevice>,
    /// When its memory is mapped.
    pub population: Population,
    /// How often it may reboot; nothing is no limit.
    pub reboots: Option<u32>,
    /// Bytes that its servers may take from the memory server for it.
    pub quota: u64,
}

/// A guest's kernel as a flat image: every format was unpacked when the bundle was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestImage {
    /// Bundle entry of its bytes.
    pub image: String,
    /// Guest-physical address of its first byte.
    pub load: u64,
    /// Guest-physical address of its first instruction.
    pub entry_point: u64,
    /// Bytes from `load` that it uses, zeroed memory behind the image included.
    pub memory_size: u64,
}

/// A device that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDevice {
    /// Name within the guest, as `ttyS0`.
    pub name: String,
    /// What it is: the package of its server, as `device-uart16550`.
    pub model: String,
    /// First guest-physical address of its registers, or their first port.
    pub base: u64,
    /// Bytes of its registers.
    pub size: u64,
    /// Its line at the guest's interrupt controller.
    pub irq: u32,
    /// The process that serves it.
    pub process: ProcessIndex,
    /// What `base` is.
    pub space: AddressSpace,
}

/// Why bytes are no compiled manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They are of another [`FORMAT`].
    Format,
    /// They end early, hold an impossible value, or go on after the manifest.
    Malformed,
    /// An index names no process, guest or core.
    Dangling,
}

impl System {
    /// Returns the compiled manifest in `bytes`, which it fills exactly.
    ///
    /// # Errors
    ///
    /// Every [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (format, _) =
            postcard::take_from_bytes::<u16>(bytes).map_err(|_| DecodeError::Malformed)?;
        if format != FORMAT {
            return Err(DecodeError::Format);
        }
        let (system, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| DecodeError::Malformed)?;
        if !rest.is_empty() {
            return Err(DecodeError::Malformed);
        }
        if system.is_consistent() {
            Ok(system)
        } else {
            Err(DecodeError::Dangling)
        }
    }

    /// Returns the bytes of the compiled form.
    ///
    /// # Errors
    ///
    /// Those of postcard; none is known for these types.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// Returns a process of this system.
    ///
    /// # Panics
    ///
    /// For an index of another system.
    #[must_use]
    pub fn process(&self, index: ProcessIndex) -> &Process {
        &self.processes[usize::from(index.0)]
    }

    /// Returns a guest of this system.
    ///
    /// # Panics
    ///
    /// For an index of another system.
    #[must_use]
    pub fn guest(&self, index: GuestIndex) -> &Guest {
        &self.guests[usize::from(index.0)]
    }

    /// Returns the processes with their indices.
    pub fn indexed_processes(&self) -> impl Iterator<Item = (ProcessIndex, &Process)> {
        (0_u16..).map(ProcessIndex).zip(&self.processes)
    }

    /// Tells whether every index and core in it is in range.
    fn is_consistent(&self) -> bool {
        self.console.is_none_or(|process| self.has(process))
            && self
                .processes
                .iter()
                .all(|process| self.holds_process(process))
            && self.guests.iter().all(|guest| self.holds_guest(guest))
    }

    /// Tells whether `index` names one of its processes.
    fn has(&self, index: ProcessIndex) -> bool {
        usize::from(index.0) < self.processes.len()
    }

    /// Tells whether the indices and cores of `process` are in range.
    fn holds_process(&self, process: &Process) -> bool {
        process
            .guest
            .is_none_or(|guest| usize::from(guest.0) < self.guests.len())
            && process.uses.iter().all(|link| self.has(link.peer))
            && process.cores.iter().all(|core| *core < self.cores)
    }

    /// Tells whether the indices and cores of `guest` are in range.
    fn holds_guest(&self, guest: &Guest) -> bool {
        self.has(guest.vcpu)
            && self.has(guest.irq)
            && guest.devices.iter().all(|device| self.has(device.process))
            && guest.cores.iter().all(|core| *core < self.cores)
    }
}
