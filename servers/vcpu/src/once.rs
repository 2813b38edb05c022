//! A bounded table of what was reported already.

use heapless::index_set::FnvIndexSet;

/// Addresses that a table holds.
pub const CAPACITY: usize = 64;

/// Addresses that were reported; when it is full nothing more is reported.
#[derive(Clone, Debug, Default)]
pub struct Once {
    seen: FnvIndexSet<u64, CAPACITY>,
    /// Reports that were left out because the table was full.
    pub left_out: u64,
}

impl Once {
    /// Returns whether `address` is new; it is not new any more.
    pub fn is_new(&mut self, address: u64) -> bool {
        match self.seen.insert(address) {
            Ok(new) => new,
            Err(_) => {
                self.left_out += 1;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Once};

    #[test]
    fn each_address_is_new_once_and_the_table_is_bounded() {
        let mut once = Once::default();
        for address in 0..CAPACITY as u64 {
            assert!(once.is_new(address));
            assert!(!once.is_new(address));
        }
        assert!(!once.is_new(1 << 40));
        assert_eq!(once.left_out, 1);
    }
}
