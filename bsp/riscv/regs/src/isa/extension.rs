//! The extensions that have a register id, and sets of them.

/// Declares the extensions with their ids and names.
macro_rules! extensions {
    ($($name:ident = $id:literal, $text:literal;)+) => {
        /// An extension of the instruction set. The number is its register id (type 7), append-only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names are the manual's")]
        pub enum Extension { $($name = $id,)+ }

        impl Extension {
            /// Every extension, by id.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the name in an ISA string or a device tree.
            #[must_use]
            pub const fn name(self) -> &'static str {
                const NAMES: &[&str] = &[$($text,)+];
                NAMES[self as usize]
            }

            /// Returns the extension with this name (lower case), or `None`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::from_bytes(name.as_bytes())
            }

            /// Returns the extension with this name, as a device tree has it.
            #[must_use]
            pub fn from_bytes(name: &[u8]) -> Option<Self> {
                let named = |extension: &Self| extension.name().as_bytes() == name;
                Self::ALL.iter().copied().find(named)
            }
        }
    };
}

extensions! {
    A = 0, "a";
    C = 1, "c";
    D = 2, "d";
    F = 3, "f";
    H = 4, "h";
    I = 5, "i";
    M = 6, "m";
    Svpbmt = 7, "svpbmt";
    Sstc = 8, "sstc";
    Svinval = 9, "svinval";
    Zihintpause = 10, "zihintpause";
    Zicbom = 11, "zicbom";
    Zicboz = 12, "zicboz";
    Zbb = 13, "zbb";
    Ssaia = 14, "ssaia";
    V = 15, "v";
    Svnapot = 16, "svnapot";
    Zba = 17, "zba";
    Zbs = 18, "zbs";
    Zicntr = 19, "zicntr";
    Zicsr = 20, "zicsr";
    Zifencei = 21, "zifencei";
    Zihpm = 22, "zihpm";
    Smstateen = 23, "smstateen";
    Zicond = 24, "zicond";
    Zbc = 25, "zbc";
    Zbkb = 26, "zbkb";
    Zbkc = 27, "zbkc";
    Zbkx = 28, "zbkx";
    Zknd = 29, "zknd";
    Zkne = 30, "zkne";
    Zknh = 31, "zknh";
    Zkr = 32, "zkr";
    Zksed = 33, "zksed";
    Zksh = 34, "zksh";
    Zkt = 35, "zkt";
    Zvbb = 36, "zvbb";
    Zvbc = 37, "zvbc";
    Zvkb = 38, "zvkb";
    Zvkg = 39, "zvkg";
    Zvkned = 40, "zvkned";
    Zvknha = 41, "zvknha";
    Zvknhb = 42, "zvknhb";
    Zvksed = 43, "zvksed";
    Zvksh = 44, "zvksh";
    Zvkt = 45, "zvkt";
    Zfh = 46, "zfh";
    Zfhmin = 47, "zfhmin";
    Zihintntl = 48, "zihintntl";
    Zvfh = 49, "zvfh";
    Zvfhmin = 50, "zvfhmin";
    Zfa = 51, "zfa";
    Ztso = 52, "ztso";
    Zacas = 53, "zacas";
    Sscofpmf = 54, "sscofpmf";
    Zimop = 55, "zimop";
    Zca = 56, "zca";
    Zcb = 57, "zcb";
    Zcd = 58, "zcd";
    Zcf = 59, "zcf";
    Zcmop = 60, "zcmop";
    Zawrs = 61, "zawrs";
    Smnpm = 62, "smnpm";
    Ssnpm = 63, "ssnpm";
    Svade = 64, "svade";
    Svadu = 65, "svadu";
    Svvptc = 66, "svvptc";
    Zabha = 67, "zabha";
    Ziccrse = 68, "ziccrse";
    Zaamo = 69, "zaamo";
    Zalrsc = 70, "zalrsc";
    Zicbop = 71, "zicbop";
    Zfbfmin = 72, "zfbfmin";
    Zvfbfmin = 73, "zvfbfmin";
    Zvfbfwma = 74, "zvfbfwma";
    Zclsd = 75, "zclsd";
    Zilsd = 76, "zilsd";
}

impl Extension {
    /// Returns the extension with this register id, or `None`.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        usize::try_from(id)
            .ok()
            .and_then(|id| Self::ALL.get(id).copied())
    }

    /// Returns the register id, 0 to 76.
    #[must_use]
    pub const fn id(self) -> u64 {
        self as u64
    }

    /// Returns whether the name has one letter.
    #[must_use]
    pub const fn is_single_letter(self) -> bool {
        self.name().len() == 1
    }
}

/// A set of extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExtensionSet(u128);

impl ExtensionSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// Returns the set with `extension` too.
    #[must_use]
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | 1 << extension as u8)
    }

    /// Returns the set without `extension`.
    #[must_use]
    pub const fn without(self, extension: Extension) -> Self {
        Self(self.0 & !(1 << extension as u8))
    }

    /// Returns whether `extension` is a member.
    #[must_use]
    pub const fn contains(self, extension: Extension) -> bool {
        self.0 & 1 << extension as u8 != 0
    }

    /// Returns the set in two words: register id `n` is bit `n % 64` of word `n / 64`.
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        [self.0 as u64, (self.0 >> 64) as u64]
    }

    /// Returns the set of two words; bits of no extension are ignored.
    #[must_use]
    pub const fn from_words([low, high]: [u64; 2]) -> Self {
        let known = (1 << Extension::ALL.len()) - 1;
        Self((low as u128 | (high as u128) << 64) & known)
    }

    /// Returns whether every one of `extensions` is a member.
    #[must_use]
    pub fn contains_all(self, extensions: &[Extension]) -> bool {
        extensions.iter().all(|&extension| self.contains(extension))
    }

    /// Returns what both sets have: what a system has is the intersection over its harts.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns what either set has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what this set has and `other` has not.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members by id.
    pub fn iter(self) -> impl Iterator<Item = Extension> {
        Extension::ALL
            .iter()
            .copied()
            .filter(move |&extension| self.contains(extension))
    }
}

impl FromIterator<Extension> for ExtensionSet {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        extensions.into_iter().fold(Self::EMPTY, Self::with)
    }
}
