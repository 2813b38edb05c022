//! Parsing of extension lists and of ISA strings (I 35).

use super::{Extension, ExtensionSet, Xlen};

/// Why an ISA string was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// It begins neither with `rv32` nor with `rv64`.
    NoBase,
}

/// Returns the set that the entries of `riscv,isa-extensions` name; unknown names are ignored.
pub fn from_list<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> ExtensionSet {
    names
        .into_iter()
        .filter_map(Extension::from_bytes)
        .collect()
}

/// Returns width and set of an ISA string such as `rv64imafdc_zicsr_sstc`.
///
/// Names are lower case, multi-letter names end at `_`, version suffixes (`2p1`) are stripped, and
/// the `su` that old emulators wrote among the single letters is skipped.
///
/// # Errors
///
/// [`IsaError::NoBase`] where the string does not begin with a base.
pub fn from_string(isa: &[u8]) -> Result<(Xlen, ExtensionSet), IsaError> {
    let (xlen, rest) = match isa.split_first_chunk() {
        Some((b"rv64", rest)) => (Xlen::Rv64, rest),
        Some((b"rv32", rest)) => (Xlen::Rv32, rest),
        _ => return Err(IsaError::NoBase),
    };
    let mut parts = rest.split(|letter| *letter == b'_');
    let mut set = parts.next().map_or(ExtensionSet::EMPTY, single_letters);
    for part in parts {
        set = set.union(one_part(part));
    }
    Ok((xlen, set))
}

/// Returns what one part behind an underscore names.
fn one_part(part: &[u8]) -> ExtensionSet {
    if matches!(part, [b's' | b'z' | b'x', ..]) {
        multi_letter(part)
    } else {
        single_letters(part)
    }
}

/// Returns the extension of a multi-letter name, without its version.
fn multi_letter(name: &[u8]) -> ExtensionSet {
    Extension::from_bytes(name)
        .or_else(|| Extension::from_bytes(strip_version(name)))
        .into_iter()
        .collect()
}

/// Removes `<major>` or `<major>p<minor>` from the end of a name.
fn strip_version(name: &[u8]) -> &[u8] {
    let minor_gone = strip_digits(name);
    if minor_gone.len() == name.len() {
        return name;
    }
    let [major @ .., b'p'] = minor_gone else {
        return minor_gone;
    };
    let major_gone = strip_digits(major);
    if major_gone.len() == major.len() {
        minor_gone
    } else {
        major_gone
    }
}

/// Removes digits from the end of a name.
fn strip_digits(mut name: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'..=b'9'] = name {
        name = rest;
    }
    name
}

/// Returns the set that a run of single letters names; a multi-letter name may end the run.
fn single_letters(mut run: &[u8]) -> ExtensionSet {
    let mut set = ExtensionSet::EMPTY;
    while let [letter, rest @ ..] = run {
        run = match (*letter, rest) {
            (b's', [b'u', rest @ ..]) => rest,
            (b's' | b'z' | b'x', _) => return set.union(multi_letter(run)),
            (letter, rest) => {
                set = set.union(single_letter(letter));
                rest
            }
        };
    }
    set
}

/// Returns what one letter stands for.
fn single_letter(letter: u8) -> ExtensionSet {
    use Extension::{A, D, F, I, M, Zba, Zbb, Zbs, Zicsr, Zifencei};
    match letter {
        b'g' => [I, M, A, F, D, Zicsr, Zifencei].into_iter().collect(),
        b'b' => [Zba, Zbb, Zbs].into_iter().collect(),
        _ => Extension::from_bytes(&[letter]).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Extension::{A, C, D, F, I, M, Sstc, Svinval, Zba, Zbb, Zbs, Zicntr, Zicsr, Zifencei};
    use proptest::prelude::*;

    fn set(extensions: &[Extension]) -> ExtensionSet {
        extensions.iter().copied().collect()
    }

    fn parsed(isa: &str) -> ExtensionSet {
        from_string(isa.as_bytes()).unwrap().1
    }

    #[test]
    fn letters_and_long_names_are_told_apart() {
        assert_eq!(
            parsed("rv64imafdc_zicntr_sstc"),
            set(&[I, M, A, F, D, C, Zicntr, Sstc])
        );
        assert_eq!(
            parsed("rv64imaczicsr_sstc"),
            set(&[I, M, A, C, Zicsr, Sstc])
        );
        assert_eq!(
            parsed("rv64gcb"),
            set(&[I, M, A, F, D, C, Zicsr, Zifencei, Zba, Zbb, Zbs])
        );
    }

    #[test]
    fn versions_are_stripped() {
        assert_eq!(
            parsed("rv64i2p1m2p0a2p1_zicsr2p0_svinval1p0"),
            set(&[I, M, A, Zicsr, Svinval])
        );
        assert_eq!(parsed("rv64i_zicsr2"), set(&[I, Zicsr]));
    }

    #[test]
    fn the_old_su_among_the_letters_is_skipped() {
        assert_eq!(parsed("rv64imafdcsu"), set(&[I, M, A, F, D, C]));
        assert_eq!(parsed("rv64imasu_sstc"), set(&[I, M, A, Sstc]));
    }

    #[test]
    fn unknown_names_and_upper_case_are_ignored() {
        assert_eq!(parsed("rv64iXYZ_xvendor_zunknown1p0_sstc"), set(&[I, Sstc]));
        assert_eq!(
            from_list([b"i".as_slice(), b"M", b"zicsr", b"nonsense"]),
            set(&[I, Zicsr])
        );
    }

    #[test]
    fn a_string_without_base_is_refused() {
        assert_eq!(from_string(b"imafdc"), Err(IsaError::NoBase));
        assert_eq!(from_string(b"RV64i"), Err(IsaError::NoBase));
    }

    #[test]
    fn the_two_forms_say_the_same() {
        for &extension in Extension::ALL {
            let text = std::format!("rv32i_{}", extension.name());
            assert_eq!(
                parsed(&text),
                from_list([b"i".as_slice(), extension.name().as_bytes()]),
                "{text}"
            );
        }
    }

    extern crate std;
    proptest! {
        #[test]
        fn no_string_panics(isa in "(rv64|rv32)?\\PC{0,40}") {
            let _ = from_string(isa.as_bytes());
        }

        #[test]
        fn versions_never_change_the_result(major in 0u32..100, minor in 0u32..100) {
            for &extension in Extension::ALL {
                let text = std::format!("rv64_{}{major}p{minor}", extension.name());
                prop_assert_eq!(parsed(&text), set(&[extension]));
            }
        }
    }
}
