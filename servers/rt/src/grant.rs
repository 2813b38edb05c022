//! What the process was granted.
//!
//! The grants page is a table of named capabilities and values, in the machine's byte order.

use abi::PAGE_SIZE;

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

#[cfg(test)]
mod tests {
    use super::Grant;

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
