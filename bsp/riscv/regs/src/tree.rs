//! The flattened device tree (Devicetree Specification 0.4, chapter 5), as firmware passes it.
//!
//! A reader that copies nothing. Where the bytes are malformed the tree ends there: every step reads
//! at least four bytes and none beyond the end, so that no input makes it panic or go on for ever.

/// First word of the header.
const MAGIC: u32 = 0xd00d_feed;
/// Tokens of the structure block (5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;

/// A device tree.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
}

/// A node: what follows its name in the structure block.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    name: &'a [u8],
    rest: &'a [u8],
    strings: &'a [u8],
}

/// What the structure block consists of.
enum Token<'a> {
    Begin(Node<'a>),
    Property(&'a [u8], &'a [u8]),
    End,
}

/// Returns the number that big-endian bytes make, the last eight of them: a property of one cell or
/// of two.
///
/// Out of line: machines that do not load what is not aligned need many instructions for it.
#[must_use]
#[inline(never)]
pub fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Returns the cell at `offset`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let cell = bytes.get(offset..offset.checked_add(4)?)?;
    u32::try_from(number(cell)).ok()
}

/// Returns what begins at the offset that the header has at `field`.
#[inline(never)]
fn block(bytes: &[u8], field: usize) -> Option<&[u8]> {
    bytes.get(usize::try_from(word(bytes, field)?).ok()?..)
}

/// Returns the bytes before the first NUL.
fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split(|byte| *byte == 0).next()
}

/// Takes `length` bytes and what pads them to whole words off the front.
fn take_padded<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let taken = bytes.get(..length)?;
    *bytes = bytes
        .get(length.checked_next_multiple_of(4)?..)
        .unwrap_or_default();
    Some(taken)
}

/// Takes a token off the front of the structure block; `None` at its end.
fn token<'a>(rest: &mut &'a [u8], strings: &'a [u8]) -> Option<Token<'a>> {
    loop {
        let kind = word(rest, 0)?;
        *rest = rest.get(4..)?;
        return Some(match kind {
            BEGIN_NODE => {
                let name = until_nul(rest)?;
                take_padded(rest, name.len() + 1)?;
                Token::Begin(Node {
                    name,
                    rest,
                    strings,
                })
            }
            PROPERTY => {
                let length = usize::try_from(word(rest, 0)?).ok()?;
                let name = usize::try_from(word(rest, 4)?).ok()?;
                *rest = rest.get(8..)?;
                let value = take_padded(rest, length)?;
                Token::Property(until_nul(strings.get(name..)?)?, value)
            }
            END_NODE => Token::End,
            NOTHING => continue,
            _ => return None,
        });
    }
}

/// Takes everything up to the next node off the front.
#[inline(never)]
fn next_node<'a>(rest: &mut &'a [u8], strings: &'a [u8]) -> Option<Node<'a>> {
    loop {
        if let Token::Begin(node) = token(rest, strings)? {
            return Some(node);
        }
    }
}

/// Takes everything up to the next node of the first level off the front.
#[inline(never)]
fn next_child<'a>(rest: &mut &'a [u8], depth: &mut u32, strings: &'a [u8]) -> Option<Node<'a>> {
    loop {
        match token(rest, strings)? {
            Token::Begin(node) => {
                *depth += 1;
                if *depth == 1 {
                    return Some(node);
                }
            }
            Token::End => *depth = depth.checked_sub(1)?,
            Token::Property(..) => {}
        }
    }
}

impl<'a> Tree<'a> {
    /// Returns the device tree at the start of `bytes`, or `None` where there is none.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (word(bytes, 0)? == MAGIC).then_some(())?;
        Some(Self {
            structure: block(bytes, 8)?,
            strings: block(bytes, 12)?,
            reservations: block(bytes, 16)?,
        })
    }

    /// Returns all nodes, each before its children; the root is the first.
    pub fn nodes(self) -> impl Iterator<Item = Node<'a>> {
        let mut rest = self.structure;
        core::iter::from_fn(move || next_node(&mut rest, self.strings))
    }

    /// Returns the child of the root with this name.
    #[must_use]
    pub fn child_of_root(self, name: &str) -> Option<Node<'a>> {
        let root = self.nodes().next()?;
        root.children().find(|child| child.name == name.as_bytes())
    }

    /// Returns address and size of every range that is reserved (5.3).
    pub fn reservations(self) -> impl Iterator<Item = (u64, u64)> {
        let rows = self.reservations.chunks_exact(16);
        rows.map(|row| {
            let (address, size) = row.split_at(8);
            (number(address), number(size))
        })
        .take_while(|row| *row != (0, 0))
    }
}

impl<'a> Node<'a> {
    /// Returns the name, with its unit address.
    #[must_use]
    pub const fn name(self) -> &'a [u8] {
        self.name
    }

    /// Returns the value of a property.
    #[must_use]
    #[inline(never)]
    pub fn property(self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.rest;
        while let Token::Property(key, value) = token(&mut rest, self.strings)? {
            if key == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// Returns the value of a property of one or two cells, as [`number`] reads it.
    #[must_use]
    #[inline(never)]
    pub fn cells(self, name: &str) -> Option<u64> {
        self.property(name).map(number)
    }

    /// Returns the nodes right below this one.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let mut rest = self.rest;
        let mut depth = 0_u32;
        core::iter::from_fn(move || next_child(&mut rest, &mut depth, self.strings))
    }
}
