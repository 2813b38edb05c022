//! What the service processor says of the machine, and what the loader left in the image.

use crate::sclp::{self, HEADER_BYTES};
use heapless::Vec;
use kernel::boot::Range;

/// Commands that read the system's information; a machine has the first, or only the second.
const READ_INFORMATION: [u32; 2] = [0x0012_0001, 0x0002_0001];
/// Response: the information was read.
const NORMAL: u16 = 0x0010;
/// Bytes of the answer that are looked at, all of it.
const ANSWER_BYTES: usize = 4096;
/// Bytes of one CPU's entry.
const CPU_BYTES: usize = 16;
/// Real address of the loader's doubleword with the bundle's address; its length follows. QEMU's
/// `-kernel` writes them, as for Linux.
const BUNDLE: u64 = 0x1_0408;

/// The machine.
pub struct Host {
    /// Bytes of memory, from address 0.
    pub memory: u64,
    /// Addresses of the CPUs; the one that runs first.
    pub cpus: Vec<u16, { abi::MAX_CORES }>,
    /// How many more there are.
    pub too_many: usize,
    /// The boot bundle.
    pub bundle: Option<Range>,
    /// Whether the machine has SIE, as it says.
    pub has_sie: bool,
}

impl Host {
    /// Asks the service processor; `boot` is the address of the CPU that runs this.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn read(boot: u16) -> Result<Self, &'static str> {
        let empty = [0; ANSWER_BYTES - HEADER_BYTES];
        let ask = |command| {
            let read = |response, byte: &dyn Fn(usize) -> u8| {
                (response == NORMAL).then(|| Self::decode(byte, boot))
            };
            sclp::call(command, &empty, read).flatten()
        };
        let host = READ_INFORMATION.into_iter().find_map(ask);
        let mut host = host.ok_or("the service processor does not tell of the machine")?;
        host.bundle = bundle();
        let end = |bundle: Range| bundle.base.saturating_add(bundle.length);
        if host.bundle.map_or(1, end) > host.memory {
            return Err("too little memory: the boot bundle lies behind its end");
        }
        Ok(host)
    }

    /// Reads the answer (as Linux's `struct read_info_sccb` has it).
    fn decode(byte: &dyn Fn(usize) -> u8, boot: u16) -> Self {
        let number = |at: usize, bytes: usize| {
            (at..at + bytes).fold(0_u64, |value, index| value << 8 | u64::from(byte(index)))
        };
        let wide = |short: u64, long: u64| if short == 0 { long } else { short };
        let increments = wide(number(8, 2), number(112, 8));
        let megabytes = wide(number(10, 1), number(100, 4));
        let (mut cpus, mut too_many) = (Vec::new(), 0);
        let mut add = |address: u16| too_many += usize::from(cpus.push(address).is_err());
        add(boot);
        let (count, first) = (number(16, 2), number(18, 2) as usize);
        for index in 0..count as usize {
            let address = u16::from(byte(first + index * CPU_BYTES));
            if address != boot {
                add(address);
            }
        }
        Self {
            memory: (increments * megabytes) << 20,
            cpus,
            too_many,
            bundle: None,
            // Byte 2 of a CPU's entry, bit 4.
            has_sie: byte(first + 2) & 8 != 0,
        }
    }
}

/// Returns where the loader left the bundle.
fn bundle() -> Option<Range> {
    let word = |address: u64| {
        // SAFETY: the words lie in a part of the image that nobody else uses, which the linker
        // script keeps for the loader; any bits are valid.
        unsafe { core::ptr::read_volatile(address as *const u64) }
    };
    let (base, length) = (word(BUNDLE), word(BUNDLE + 8));
    (base != 0 && length != 0).then_some(Range { base, length })
}
