//! What init granted, checked and put together.

use abi::ObjectKind;
use abi::boot::SLOT_SPACE;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_memory::{CollectError, GuestMemory, Plan};
use rt::seed::{Seed, Seeds};
use rt::{Notification, Space, Vcpu, grant};
use vcpu_api::Description;

/// First slot of the guest's memory, and how many there are.
const MEMORY_SLOTS: (u32, u32) = (512, 512);

/// Everything that the server was given; it never changes.
#[derive(Debug)]
pub struct Setup {
    /// The guest.
    pub description: Description,
    /// Its vCPUs.
    pub vcpus: Vec<Processor>,
    /// The first vCPU, where the others follow it slot by slot: then a fence is one call.
    pub first_of_row: Option<Vcpu>,
    /// Its memory.
    pub memory: GuestMemory,
    /// Its kernel.
    pub kernel: Image,
    /// Its initial RAM disk.
    pub initrd: Option<&'static [u8]>,
    /// What the machine has, in its own words.
    pub features: [u64; 4],
    /// Ticks per second of the counter.
    pub ticks: u64,
    /// Random bits for each time that the guest starts, where the firmware gave some.
    pub seeds: Option<Seeds>,
    /// Core of the first thread, which loads the guest.
    pub core: u64,
}

/// One vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Its capability.
    pub capability: Vcpu,
    /// Its register page, with the general registers first.
    registers: &'static [AtomicU64; REGISTER_WORDS],
}

/// Words of a register page: more than there are numbers of registers.
const REGISTER_WORDS: usize = (abi::PAGE_SIZE / 8) as usize;
const _: () = assert!(REGISTER_WORDS > u8::MAX as usize);

impl Processor {
    /// Returns general register `register`; one that there is not is 0.
    #[must_use]
    #[inline]
    pub fn general(&self, register: u8) -> u64 {
        self.word(register.into()).unwrap_or(0)
    }

    /// Sets general register `register`.
    #[inline]
    pub fn set_general(&self, register: u8, value: u64) {
        if let Some(word) = self.registers.get(usize::from(register)) {
            word.store(value, Relaxed);
        }
    }

    /// Returns a word of the register page.
    #[must_use]
    #[inline]
    pub fn word(&self, place: usize) -> Option<u64> {
        self.registers.get(place).map(|word| word.load(Relaxed))
    }
}

/// A flat image.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Its bytes.
    pub bytes: &'static [u8],
    /// Guest-physical address of the first byte.
    pub load: u64,
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
}

/// Why the server cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// A grant is not there, or makes no sense.
    Missing(&'static str),
    /// The description cannot be decoded.
    Description,
    /// There is no memory for the guest.
    Memory(CollectError),
}

impl fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(formatter, "the grant `{name}` is not there"),
            Self::Description => formatter.write_str("its description is malformed"),
            Self::Memory(error) => error.fmt(formatter),
        }
    }
}

/// Returns the value of a grant.
fn value(name: &'static str) -> Result<u64, SetupError> {
    grant::value(name).ok_or(SetupError::Missing(name))
}

/// Returns the notification of init that hears of the guest's end.
pub fn ended() -> Option<Notification> {
    grant::slot("ended", ObjectKind::Notification).map(Notification::own)
}

impl Setup {
    /// Reads the grants, and takes the guest's memory; `core` is the calling thread's.
    pub(super) fn read(core: u64) -> Result<Self, SetupError> {
        let bytes = grant::bytes("description").ok_or(SetupError::Missing("description"))?;
        let description: Description =
            postcard::from_bytes(bytes).map_err(|_| SetupError::Description)?;
        let vcpus = processors(description.cores.len())?;
        let first_of_row = first_of_row(&vcpus);
        let memory = collect(&description, core).map_err(|error| match error {
            Some(error) => SetupError::Memory(error),
            None => SetupError::Missing("mem"),
        })?;
        Ok(Self {
            description,
            vcpus,
            first_of_row,
            memory,
            kernel: kernel()?,
            initrd: grant::bytes("initrd"),
            features: words("features").ok_or(SetupError::Missing("features.I"))?,
            ticks: value("ticks")?,
            seeds: seeds(),
            core,
        })
    }
}

/// Returns the four numbers that were granted under this name.
fn words(stem: &str) -> Option<[u64; 4]> {
    let word = |place| grant::indexed(stem, place).map(|grant| grant.value);
    Some([word(0)?, word(1)?, word(2)?, word(3)?])
}

/// Returns the random bits that were granted.
fn seeds() -> Option<Seeds> {
    words("seed").and_then(Seed::new).map(Seeds::new)
}

/// Returns the vCPUs with their register pages.
fn processors(count: usize) -> Result<Vec<Processor>, SetupError> {
    let one = |index: usize| {
        let slot = grant::indexed("vcpu", index as u64)
            .and_then(|grant| grant.slot_of(ObjectKind::Vcpu))
            .ok_or(SetupError::Missing("vcpu.I"))?;
        let registers =
            grant::page(&format!("registers.{index}")).ok_or(SetupError::Missing("registers.I"))?;
        let capability = Vcpu::own(slot);
        Ok(Processor {
            capability,
            registers,
        })
    };
    (0..count).map(one).collect()
}

/// Returns the first vCPU where the others lie behind it, slot by slot.
fn first_of_row(vcpus: &[Processor]) -> Option<Vcpu> {
    let first = vcpus.first()?.capability;
    let mut slots = first.bits()..;
    vcpus
        .iter()
        .all(|vcpu| slots.next() == Some(vcpu.capability.bits()))
        .then_some(first)
}

/// Returns the guest's memory; the error is `None` where there is no memory server.
fn collect(description: &Description, core: u64) -> Result<GuestMemory, Option<CollectError>> {
    rt::cores::peer("mem", core).ok_or(None)?;
    let (first_slot, slots) = MEMORY_SLOTS;
    let plan = Plan {
        server: "mem",
        space: Space::own(SLOT_SPACE),
        first_slot,
        slots,
    };
    GuestMemory::collect(&plan, description.memory_base, description.memory_bytes).map_err(Some)
}

/// Returns the guest's kernel.
fn kernel() -> Result<Image, SetupError> {
    let bytes = grant::bytes("kernel").ok_or(SetupError::Missing("kernel"))?;
    Ok(Image {
        bytes,
        load: value("kernel-load")?,
        entry: value("kernel-entry")?,
        memory_bytes: value("kernel-memory")?,
    })
}
