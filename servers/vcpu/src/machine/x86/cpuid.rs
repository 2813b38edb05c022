//! What CPUID tells a guest: a processor that is the same on every host, so that a guest can move.
//!
//! Only what needs no help beyond this server, the irq server and the registers that the kernel
//! switches is there: no XSAVE and what rests on it, no MTRRs, no machine checks.

/// The answer to CPUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// Who makes the processor that the guest runs on: how it calls its hypervisor, and where it can
/// execute SYSCALL and SYSENTER, follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Guests by SVM: VMMCALL, and SYSCALL in compatibility mode too.
    Amd,
    /// Guests by VMX: VMCALL, and SYSENTER in all modes.
    Intel,
}

impl Vendor {
    /// Returns its name.
    const fn name(self) -> &'static [u8; 12] {
        match self {
            Self::Amd => b"AuthenticAMD",
            Self::Intel => b"GenuineIntel",
        }
    }

    /// Returns family, model and stepping: of a processor that has all that is told of here.
    const fn signature(self) -> u32 {
        match self {
            // Family 0x17, model 1, stepping 2.
            Self::Amd => 0x0080_0f12,
            // Family 6, model 0x1a, stepping 3.
            Self::Intel => 0x0001_06a3,
        }
    }
}

/// What the answers depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Who makes it.
    pub vendor: Vendor,
    /// Index of the vCPU, its x2APIC identifier.
    pub index: u32,
    /// vCPUs.
    pub count: u32,
    /// Ticks per second of the counter.
    pub ticks_per_second: u64,
}

/// The highest basic leaf.
const BASIC: u32 = 0xb;
/// The highest extended leaf.
const EXTENDED: u32 = 0x8000_0008;
/// The hypervisor's leaves.
const HYPERVISOR: u32 = 0x4000_0000;
/// Leaf with the frequencies of the counter and of the timer, in kHz.
const FREQUENCIES: u32 = HYPERVISOR + 0x10;
/// SSE3, CMPXCHG16B, x2APIC, POPCNT, a deadline for the timer, a hypervisor.
const FEATURES_ECX: u32 = 1 | 1 << 13 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 31;
/// FPU, debugging extensions, large pages, counter, MSRs, PAE, CMPXCHG8B, APIC, SYSENTER, global
/// pages, CMOV, PAT, PSE-36, CLFLUSH, MMX, FXSR, SSE, SSE2.
const FEATURES_EDX: u32 = 0x078b_ab7d;
/// LAHF in 64-bit mode.
const EXTENDED_ECX: u32 = 1;
/// SYSCALL, no-execute, long mode.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 29;
/// Bits of physical and of linear addresses.
const ADDRESS_BITS: u32 = 40 | 48 << 8;
/// The name, in three leaves.
const NAME: &[u8; 48] = b"Skerry virtual processor\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Returns four bytes of a text.
fn word(text: &[u8], index: usize) -> u32 {
    let bytes = text.get(index * 4..index * 4 + 4).unwrap_or_default();
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

impl Processor {
    /// Returns the answer to a leaf and a sub-leaf.
    #[must_use]
    #[inline]
    pub fn answer(self, leaf: u32, part: u32) -> Answer {
        match leaf {
            0 | 0x8000_0000 => {
                let vendor = self.vendor.name();
                Answer {
                    eax: if leaf == 0 { BASIC } else { EXTENDED },
                    ebx: word(vendor, 0),
                    edx: word(vendor, 1),
                    ecx: word(vendor, 2),
                }
            }
            1 => Answer {
                eax: self.vendor.signature(),
                ebx: self.index << 24 | self.count.min(0xff) << 16 | 8 << 8,
                ecx: FEATURES_ECX,
                edx: FEATURES_EDX | u32::from(self.count > 1) << 28,
            },
            0xb => self.topology(part),
            HYPERVISOR => {
                let vendor = b"SkerrySkerry";
                Answer {
                    eax: FREQUENCIES,
                    ebx: word(vendor, 0),
                    ecx: word(vendor, 1),
                    edx: word(vendor, 2),
                }
            }
            FREQUENCIES => {
                let kilohertz = u32::try_from(self.ticks_per_second / 1000).unwrap_or(u32::MAX);
                Answer {
                    eax: kilohertz,
                    ebx: kilohertz,
                    ..Answer::default()
                }
            }
            0x8000_0001 => Answer {
                eax: self.vendor.signature(),
                ecx: EXTENDED_ECX,
                edx: EXTENDED_EDX,
                ebx: 0,
            },
            0x8000_0002..=0x8000_0004 => {
                let first = (leaf - 0x8000_0002) as usize * 4;
                Answer {
                    eax: word(NAME, first),
                    ebx: word(NAME, first + 1),
                    ecx: word(NAME, first + 2),
                    edx: word(NAME, first + 3),
                }
            }
            0x8000_0008 => Answer {
                eax: ADDRESS_BITS,
                ecx: self.count.saturating_sub(1).min(0xff),
                ..Answer::default()
            },
            _ => Answer::default(),
        }
    }

    /// Returns a level of the topology: cores of one thread each, in one package.
    fn topology(self, part: u32) -> Answer {
        let (kind, bits, count) = match part {
            0 => (1, 0, 1),
            1 => (
                2,
                self.count.next_power_of_two().trailing_zeros(),
                self.count,
            ),
            _ => (0, 0, 0),
        };
        Answer {
            eax: bits,
            ebx: count,
            ecx: kind << 8 | part & 0xff,
            edx: self.index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FEATURES_EDX, Processor, Vendor};

    #[test]
    fn a_guest_finds_its_identifier_and_no_more_than_there_is() {
        let processor = Processor {
            vendor: Vendor::Amd,
            index: 3,
            count: 5,
            ticks_per_second: 2_000_000_000,
        };
        assert_eq!(processor.answer(1, 0).ebx >> 24, 3);
        assert_eq!(processor.answer(0xb, 1).eax, 3);
        assert_eq!(processor.answer(0xb, 7).edx, 3);
        assert_eq!(processor.answer(0x4000_0010, 0).eax, 2_000_000);
        // No XSAVE, no machine checks, no MTRRs.
        assert_eq!(processor.answer(1, 0).ecx & (3 << 26), 0);
        assert_eq!(FEATURES_EDX & (1 << 7 | 1 << 12 | 1 << 14), 0);
        assert_eq!(processor.answer(0x1234, 0), super::Answer::default());
        assert_eq!(
            processor.answer(0x8000_0002, 0).eax,
            u32::from_le_bytes(*b"Sker")
        );
    }

    #[test]
    fn a_guest_finds_the_vendor_whose_hypercall_it_has_to_make() {
        for (vendor, last, family) in [(Vendor::Amd, *b"cAMD", 0x17), (Vendor::Intel, *b"ntel", 6)]
        {
            let processor = Processor {
                vendor,
                index: 0,
                count: 1,
                ticks_per_second: 1,
            };
            assert_eq!(processor.answer(0, 0).ecx, u32::from_le_bytes(last));
            let signature = processor.answer(1, 0).eax;
            let base = signature >> 8 & 0xf;
            let extended = if base == 0xf {
                signature >> 20 & 0xff
            } else {
                0
            };
            assert_eq!(base + extended, family);
        }
    }
}
