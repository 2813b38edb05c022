//! Kinds of pages, and the types that may live in them.

use zerocopy::FromBytes;

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;

/// Kind of a page that is no usable memory.
pub const RESERVED: u8 = 0;
/// Kind of a page that holds no object: unused, or a Frame's.
pub const RAW: u8 = 1;
/// Kind of a page that holds translation tables.
pub const TABLE: u8 = 2;
/// First kind that objects may have.
pub const FIRST_OBJECT: u8 = 8;
/// Kind of the second and later pages of an object that is larger than a page.
pub const CONTINUED: u8 = 255;

/// A type that lives in pages of its own kind. Declared by [`crate::objects!`].
///
/// # Safety
///
/// 1. `KIND` is at least [`FIRST_OBJECT`], is not [`CONTINUED`], and no other type has it.
/// 2. The size is a power of two of at least 8 bytes, or a multiple of [`PAGE_SIZE`].
pub unsafe trait Object: FromBytes + Sync + Sized + 'static {
    /// The kind byte of its pages.
    const KIND: u8;

    /// Bytes from one object to the next.
    const STRIDE: u64 = {
        let size = size_of::<Self>();
        assert!(size >= 8 && (size.is_power_of_two() || size.is_multiple_of(4096)));
        assert!(align_of::<Self>() <= 4096);
        size as u64
    };
}

/// A type that lives inside objects of several kinds, at a fixed place. Declared by
/// [`crate::parts!`]; `Program` tells one program's declaration from another's.
///
/// # Safety
///
/// 1. `lies_at` and `lies_inside` are true only where an object of that kind has a `Self` at that
///    offset in its page.
pub unsafe trait Part<Program>: FromBytes + Sync + Sized + 'static {
    /// Returns whether a page of `kind` has a `Self` at `offset`.
    fn lies_at(kind: u8, offset: u64) -> bool;

    /// Returns whether it is so for objects of which a `Self` is only a part.
    fn lies_inside(kind: u8, offset: u64) -> bool;
}

/// Declares the types of a program's objects, each with the kind byte of its pages.
///
/// A program has one such declaration: the kinds are checked to differ from each other in it.
#[macro_export]
macro_rules! objects {
    ($([$($generics:tt)*] $kind:expr => $type:ty,)+) => {
        $(
            // SAFETY: the kinds are checked below (1); `STRIDE` checks the size when used (2).
            unsafe impl<$($generics)*> $crate::Object for $type { const KIND: u8 = $kind; }
        )+
        const _: () = {
            let kinds: &[u8] = &[$($kind,)+];
            let mut left = 0;
            while left < kinds.len() {
                assert!(kinds[left] >= $crate::FIRST_OBJECT && kinds[left] != 255);
                let mut right = left + 1;
                while right < kinds.len() {
                    assert!(kinds[left] != kinds[right]);
                    right += 1;
                }
                left += 1;
            }
        };
    };
}

/// Declares where a part lies in objects: in the array field of `$count` of them; in
/// brackets, the type of which every object is one part, if there is one.
///
/// The owners must be [`Object`]s; of one that is larger than a page, the parts must lie in its first
/// page, for the others have no kind of their own.
#[macro_export]
macro_rules! parts {
    (
        [$($generics:tt)*] $part:ty, $program:ty, [$($whole:ty)?]:
        $($owner:ty, $field:ident, $count:expr;)+
    ) => {
        // SAFETY: the offsets are those of fields of that type in objects of that kind (1).
        unsafe impl<$($generics)*> $crate::Part<$program> for $part {
            #[inline(always)]
            fn lies_at(kind: u8, offset: u64) -> bool {
                $(
                    if kind == <$whole as $crate::Object>::KIND {
                        let _: fn(&$whole) -> &$part = |whole| whole;
                        return offset % <$whole as $crate::Object>::STRIDE == 0;
                    }
                )?
                <Self as $crate::Part<$program>>::lies_inside(kind, offset)
            }

            // Where objects are parts as a whole, those inside of others are rare: then this is one
            // function, not a copy at each place.
            $(
                #[doc = concat!("For pages that do not hold a `", stringify!($whole), "` each.")]
                #[inline(never)]
            )?
            fn lies_inside(kind: u8, offset: u64) -> bool {
                $(
                    if kind == <$owner as $crate::Object>::KIND {
                        const {
                            let end = ::core::mem::offset_of!($owner, $field)
                                + size_of::<$part>() * ($count as usize);
                            assert!(<$owner as $crate::Object>::STRIDE <= 4096 || end <= 4096);
                        };
                        let _: fn(&$owner) -> &[$part; $count] = |owner| &owner.$field;
                        let stride = <$owner as $crate::Object>::STRIDE;
                        let first = ::core::mem::offset_of!($owner, $field) as u64;
                        let within = (offset % stride).wrapping_sub(first);
                        let size = size_of::<$part>() as u64;
                        return within < size * ($count as u64) && within % size == 0;
                    }
                )+
                false
            }
        }
    };
}
