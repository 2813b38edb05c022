//! Which sets of extensions make sense.
//!
//! Each extension is judged against what was accepted so far and what may still be: *keep*,
//! *later* (a requirement is still open) or *drop*. Judging repeats until nothing changes; what
//! then still waits is dropped.

use super::Extension::{self, *};
use super::{ExtensionSet, Xlen};

/// What validation made of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The extensions that a machine with this set has, implied ones included.
    pub accepted: ExtensionSet,
    /// Extensions that were asked for and that cannot be.
    pub dropped: ExtensionSet,
}

/// The judgement on one extension.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Later,
    Drop,
}

/// The state of a validation.
struct State {
    xlen: Xlen,
    accepted: ExtensionSet,
    open: ExtensionSet,
}

/// Returns the largest consistent part of `requested`, with what it implies.
#[must_use]
pub fn validate(xlen: Xlen, requested: ExtensionSet) -> Validated {
    let open = with_implied(xlen, requested);
    let mut state = State {
        xlen,
        accepted: ExtensionSet::EMPTY,
        open,
    };
    while state.round() {}
    // What still waits does so for something that will never be there.
    Validated {
        accepted: state.accepted,
        dropped: requested.difference(state.accepted),
    }
}

/// Adds what other extensions stand for (I 28.2: C is Zca, with Zcf and Zcd where F and D are).
fn with_implied(xlen: Xlen, mut set: ExtensionSet) -> ExtensionSet {
    if set.contains(A) {
        set = set.with(Zaamo).with(Zalrsc);
    }
    if set.contains(C) {
        set = set.with(Zca);
        if set.contains(D) {
            set = set.with(Zcd);
        }
        if set.contains(F) && xlen == Xlen::Rv32 {
            set = set.with(Zcf);
        }
    }
    set
}

impl State {
    /// Judges every open extension once; returns whether anything changed.
    fn round(&mut self) -> bool {
        let before = self.open;
        for extension in before.iter() {
            match self.judge(extension) {
                Verdict::Keep => self.accepted = self.accepted.with(extension),
                Verdict::Drop => {}
                Verdict::Later => continue,
            }
            self.open = self.open.without(extension);
        }
        self.open != before
    }

    /// Judges one extension.
    fn judge(&self, extension: Extension) -> Verdict {
        if requires_rv32(extension) && self.xlen != Xlen::Rv32 {
            return Verdict::Drop;
        }
        if let Some(rival) = excluded_by(extension) {
            if self.accepted.contains(rival) {
                return Verdict::Drop;
            }
            if self.open.contains(rival) {
                return Verdict::Later;
            }
        }
        self.requirements(requirements(extension))
    }

    /// Judges a list of alternatives, each of which is a list of requirements.
    fn requirements(&self, alternatives: &[&[Extension]]) -> Verdict {
        let possible = self.accepted.union(self.open);
        if alternatives
            .iter()
            .any(|all| self.accepted.contains_all(all))
        {
            Verdict::Keep
        } else if alternatives.iter().any(|all| possible.contains_all(all)) {
            Verdict::Later
        } else {
            Verdict::Drop
        }
    }
}

/// Returns whether an extension exists on RV32 only.
const fn requires_rv32(extension: Extension) -> bool {
    matches!(extension, Zilsd | Zclsd | Zcf)
}

/// Returns the extension whose presence excludes this one: Zclsd reuses Zcf's encodings.
const fn excluded_by(extension: Extension) -> Option<Extension> {
    if matches!(extension, Zclsd) {
        Some(Zcf)
    } else {
        None
    }
}

/// Returns the alternatives of which one must be there in full.
const fn requirements(extension: Extension) -> &'static [&'static [Extension]] {
    match extension {
        I => &[&[]],
        D | Zfh | Zfhmin | Zfa | Zfbfmin => &[&[F]],
        V => &[&[D]],
        Zvfh => &[&[V, Zfhmin], &[V, Zfh]],
        Zvbb | Zvbc | Zvkb | Zvkg | Zvkned | Zvknha | Zvknhb | Zvksed | Zvksh | Zvkt | Zvfhmin
        | Zvfbfmin => &[&[V]],
        Zvfbfwma => &[&[Zvfbfmin, Zfbfmin]],
        Zcb | Zcmop => &[&[Zca]],
        Zcd => &[&[Zca, D]],
        Zcf => &[&[Zca, F]],
        Zclsd => &[&[Zilsd, Zca]],
        Zacas | Zabha => &[&[Zaamo], &[A]],
        Ssnpm | Smnpm | Ssaia | Sstc | Smstateen => &[&[I, Zicsr], &[I]],
        _ => &[&[I]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(extensions: &[Extension]) -> ExtensionSet {
        extensions.iter().copied().collect()
    }

    #[test]
    fn pairs_of_registers_do_not_exist_on_rv64() {
        let result = validate(Xlen::Rv64, set(&[I, C, Zilsd, Zclsd]));
        assert_eq!(result.dropped, set(&[Zilsd, Zclsd]));
        assert_eq!(result.accepted, set(&[I, C, Zca]));
    }

    #[test]
    fn compressed_pairs_need_pairs_and_zca() {
        assert_eq!(
            validate(Xlen::Rv32, set(&[I, Zca, Zclsd])).dropped,
            set(&[Zclsd])
        );
        assert_eq!(
            validate(Xlen::Rv32, set(&[I, Zilsd, Zclsd])).dropped,
            set(&[Zclsd])
        );
        assert!(
            validate(Xlen::Rv32, set(&[I, Zca, Zilsd, Zclsd]))
                .dropped
                .is_empty()
        );
    }

    #[test]
    fn compressed_pairs_give_way_to_compressed_floats() {
        let result = validate(Xlen::Rv32, set(&[I, F, C, Zilsd, Zclsd]));
        assert_eq!(result.dropped, set(&[Zclsd]));
        assert!(result.accepted.contains(Zcf));
    }

    #[test]
    fn a_requirement_may_come_later_in_the_list() {
        let result = validate(Xlen::Rv64, set(&[I, Zvfbfwma, Zvfbfmin, Zfbfmin, V, D, F]));
        assert!(result.dropped.is_empty());
    }

    #[test]
    fn a_dropped_extension_takes_its_dependants_along() {
        let result = validate(Xlen::Rv64, set(&[I, D, V, Zvbb]));
        assert_eq!(result.dropped, set(&[D, V, Zvbb]));
    }

    #[test]
    fn nothing_is_left_without_the_base() {
        assert!(!validate(Xlen::Rv64, set(&[M, Zicsr])).accepted.contains(M));
    }

    fn any_set() -> impl Strategy<Value = ExtensionSet> {
        proptest::collection::vec(proptest::sample::select(Extension::ALL), 0..40)
            .prop_map(|list| list.into_iter().collect())
    }

    proptest! {
        #[test]
        fn validating_twice_changes_nothing(requested in any_set(), wide: bool) {
            let xlen = if wide { Xlen::Rv64 } else { Xlen::Rv32 };
            let once = validate(xlen, requested);
            let twice = validate(xlen, once.accepted);
            prop_assert_eq!(twice.accepted, once.accepted);
            prop_assert!(twice.dropped.is_empty());
        }

        #[test]
        fn what_was_asked_for_is_accepted_or_dropped(requested in any_set()) {
            let result = validate(Xlen::Rv64, requested);
            prop_assert_eq!(requested.difference(result.accepted), result.dropped);
            prop_assert!(result.accepted.intersection(result.dropped).is_empty());
        }
    }
}
