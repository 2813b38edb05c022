//! What the process was granted.
//!
//! The grants page is a table of named capabilities and values, in the machine's byte order.

use crate::start::{FILES, FILES_END, MAPPED};
use crate::window;
use abi::{ObjectKind, PAGE_SIZE};
use core::sync::atomic::AtomicU64;

/// `Table::magic`.
pub const MAGIC: u64 = 0x534b_4552_5259_4752;
/// Bytes of a grant's name, padded with zeros.
pub const NAME_SIZE: usize = 24;
/// The most grants of a process.
pub const MAX_GRANTS: usize = 85;

/// One grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Grant {
    /// Its name, padded with zeros.
    pub name: [u8; NAME_SIZE],
    /// Number of the `ObjectKind` in the slot, or 0 where there is only a value.
    pub kind: u64,
    /// Slot of the capability, or 0.
    pub slot: u64,
    /// A number that belongs to it: an address, a length, an index.
    pub value: u64,
}

/// The grants page.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Table {
    /// [`MAGIC`].
    pub magic: u64,
    /// Grants in the table.
    pub count: u64,
    /// The grants; those from `count` on are zero.
    pub grants: [Grant; MAX_GRANTS],
}

const _: () = assert!(size_of::<Table>() as u64 == PAGE_SIZE);

impl Grant {
    /// Returns a grant with this name, or `None` where the name is too long.
    #[must_use]
    pub fn new(name: &str, kind: u64, slot: u64, value: u64) -> Option<Self> {
        let mut bytes = [0; NAME_SIZE];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        Some(Self {
            name: bytes,
            kind,
            slot,
            value,
        })
    }

    /// Returns the name; one that is no text is empty.
    #[must_use]
    pub fn name(&self) -> &str {
        let end = self
            .name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(NAME_SIZE);
        core::str::from_utf8(&self.name[..end]).unwrap_or("")
    }

    /// Returns the words that the creator writes for this grant.
    #[must_use]
    pub fn to_words(&self) -> [u64; 6] {
        let mut words = [0; 6];
        for (word, chunk) in words.iter_mut().zip(self.name.chunks_exact(8)) {
            *word = u64::from_ne_bytes(chunk.try_into().unwrap_or_default());
        }
        [words[3], words[4], words[5]] = [self.kind, self.slot, self.value];
        words
    }

    /// Returns the index behind the dot where the name is `stem.index`.
    #[must_use]
    pub fn index_of(&self, stem: &str) -> Option<u64> {
        let (own, index) = self.name().rsplit_once('.')?;
        (own == stem).then(|| index.parse().ok()).flatten()
    }

    /// Returns the slot, as an index of the own table, of a capability of this kind.
    #[must_use]
    pub fn slot_of(&self, kind: ObjectKind) -> Option<u32> {
        (self.kind == kind.number()).then(|| self.index())
    }

    /// Returns the slot as an index of the own table.
    #[must_use]
    pub fn index(&self) -> u32 {
        u32::try_from(self.slot).unwrap_or(0)
    }
}

/// Returns the grants of this process; none in the first process, and none on a host.
#[must_use]
pub fn grants() -> &'static [Grant] {
    if cfg!(not(target_os = "none")) {
        return &[];
    }
    // SAFETY: the creator mapped a page of initialised memory there, read-only for this process,
    // for as long as it lives; any bit pattern is a valid table.
    let table = unsafe { &*(crate::start::GRANTS as *const Table) };
    let count = usize::try_from(table.count).unwrap_or(0).min(MAX_GRANTS);
    if table.magic == MAGIC {
        &table.grants[..count]
    } else {
        &[]
    }
}

/// Returns the grant with this name.
#[must_use]
pub fn grant(name: &str) -> Option<&'static Grant> {
    grants().iter().find(|grant| grant.name() == name)
}

/// Returns the grant `stem.index`.
#[must_use]
pub fn indexed(stem: &str, index: u64) -> Option<&'static Grant> {
    grants()
        .iter()
        .find(|grant| grant.index_of(stem) == Some(index))
}

/// Returns the number that was granted under this name.
#[must_use]
pub fn value(name: &str) -> Option<u64> {
    grant(name).map(|grant| grant.value)
}

/// Returns the slot of the capability of this kind and name.
#[must_use]
pub fn slot(name: &str, kind: ObjectKind) -> Option<u32> {
    grant(name)?.slot_of(kind)
}

/// Returns whether these bytes lie where the creator maps what it tells of in grants.
pub(crate) fn is_mapped(address: u64, bytes: u64) -> bool {
    let end = address.checked_add(bytes);
    address >= MAPPED && end.is_some_and(|end| end <= window::FIRST)
}

/// Words of a page.
const PAGE_WORDS: usize = (PAGE_SIZE / 8) as usize;

/// Returns the page, shared with another process, whose address the grant with this name tells.
#[must_use]
pub fn page(name: &str) -> Option<&'static [AtomicU64; PAGE_WORDS]> {
    let address = value(name)?;
    if !address.is_multiple_of(PAGE_SIZE) || !is_mapped(address, PAGE_SIZE) {
        return None;
    }
    // SAFETY: in this part of the space lies nothing but what the creator mapped for good before
    // the process began, and no Rust object that is not atomic or read-only; an address at which
    // nothing is mapped stops the thread.
    Some(unsafe { &*(address as *const [AtomicU64; PAGE_WORDS]) })
}

/// Returns the bytes of which grant `name` tells the address and `name-bytes` the length: pages
/// that the creator filled for this process to read. A page of [`page`] has no such length.
#[must_use]
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    let is_length = |grant: &&Grant| grant.name().strip_suffix("-bytes") == Some(name);
    let length = grants().iter().find(is_length)?.value;
    let address = value(name)?;
    let is_file = address >= FILES && address.checked_add(length)? <= FILES_END;
    if !is_file && !is_mapped(address, length) {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    // SAFETY: as in `page`; what has a length was written before the process began and is never
    // written again.
    Some(unsafe { core::slice::from_raw_parts(address as *const u8, length) })
}

#[cfg(test)]
mod tests {
    use super::{Grant, is_mapped};
    use abi::ObjectKind;

    #[test]
    fn a_number_belongs_to_the_name() {
        let grant = Grant::new("left.irq.12", ObjectKind::Endpoint.number(), 17, 0).unwrap();
        assert_eq!(grant.index_of("left.irq"), Some(12));
        assert_eq!(grant.index_of("irq"), None);
        assert_eq!(grant.slot_of(ObjectKind::Endpoint), Some(17));
        assert_eq!(grant.slot_of(ObjectKind::Vcpu), None);
        let grant = Grant::new("irq", 8, 17, 0).unwrap();
        assert_eq!(grant.index_of("irq"), None);
    }

    #[test]
    fn addresses_outside_of_what_is_mapped_are_refused() {
        assert!(is_mapped(0x1100_0000, 0x1000));
        assert!(is_mapped(0x1fff_f000, 0x1000));
        assert!(!is_mapped(0x1fff_f000, 0x1001));
        assert!(!is_mapped(0x10ff_f000, 0x1000));
        assert!(!is_mapped(u64::MAX, 2));
        assert!(!is_mapped(0, 8));
    }

    #[test]
    fn a_name_is_kept_as_long_as_it_fits() {
        let grant = Grant::new("mem", 8, 16, 0).unwrap();
        assert_eq!(grant.name(), "mem");
        assert_eq!(grant.to_words()[3..], [8, 16, 0]);
        assert_eq!(Grant::new("twenty-four bytes exactly", 8, 16, 0), None);
        assert_eq!(
            Grant::new("twenty-four bytes longgg", 8, 16, 0)
                .unwrap()
                .name()
                .len(),
            24
        );
    }
}
