//! One slot: a capability, its place in the derivation tree, and its mapping if it has one.

use crate::word::{Link, Word};
use abi::{ObjectKind, Rights};
use arena::Handle;
use bitfield_struct::bitfield;
use core::sync::atomic::Ordering;
use zerocopy::FromBytes;

/// Names a slot.
pub type SlotRef = Handle<Slot>;

/// Returns slot `index` of those that lie at `first`.
pub fn nth(first: u64, index: u64) -> Option<SlotRef> {
    Handle::from_address(first + index * size_of::<Slot>() as u64)
}

/// What a slot inside an object does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// It is a slot of a capability table.
    Table = 0,
    /// A thread's address space.
    Space = 1,
    /// A thread's capability table.
    CapTable = 2,
    /// A thread's message page, or a vCPU's register page.
    MessagePage = 3,
    /// The endpoint of a thread's faults.
    FaultHandler = 4,
    /// The budget of a thread or vCPU.
    Budget = 5,
    /// The notification bound to a thread.
    Notification = 6,
    /// A vCPU's second-stage space.
    GuestSpace = 7,
    /// A route of a vCPU.
    Route = 8,
    /// Table memory of a space.
    Fund = 9,
    /// The notification of an interrupt.
    Interrupt = 10,
}

impl Role {
    /// Every role, by number.
    const ALL: [Self; 11] = [
        Self::Table,
        Self::Space,
        Self::CapTable,
        Self::MessagePage,
        Self::FaultHandler,
        Self::Budget,
        Self::Notification,
        Self::GuestSpace,
        Self::Route,
        Self::Fund,
        Self::Interrupt,
    ];
}

/// The word that says what a slot holds. Zero is an empty slot.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Tag {
    /// An [`ObjectKind`], 0 (empty) or [`Tag::DYING`].
    pub kind: u8,
    /// [`Rights`].
    #[bits(16)]
    pub rights: Rights,
    /// Depth in the derivation tree.
    pub depth: u8,
    /// Base-two logarithm of a Frame's or an Untyped's size; of a CapTable, of its slots.
    pub order: u8,
    /// A [`Role`].
    pub role_number: u8,
    /// This capability was made by retype: deleting it destroys the object.
    pub original: bool,
    /// Frame, Untyped: device memory.
    pub device: bool,
    /// Frame: it is mapped (also partly, while a map or unmap is under way).
    pub mapped: bool,
    /// Untyped: kernel objects were made of it.
    pub objects: bool,
    /// Original CapTable, Untyped: how many tables it lies in, at least; see `cap::table`.
    #[bits(4)]
    pub level: u8,
    /// Mapped Frame: while the mapping is taken away, the error that a `Map` of it answers; else 0.
    pub refusal: u8,
}

impl Tag {
    /// The greatest [`Tag::level`].
    pub const MAX_LEVEL: u8 = 15;
    /// Kind of a slot whose capability is being deleted.
    pub const DYING: u8 = 0xff;

    /// Returns the kind of object, or `None` for an empty or dying slot.
    #[must_use]
    pub const fn object_kind(self) -> Option<ObjectKind> {
        ObjectKind::from_number(self.kind() as u64)
    }

    /// Returns whether the slot can take a capability.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.kind() == 0
    }

    /// Returns what the slot does in its object.
    #[must_use]
    pub fn role(self) -> Role {
        Role::ALL
            .get(usize::from(self.role_number()))
            .copied()
            .unwrap_or(Role::Table)
    }
}

/// `Slot::badge` of a mapped Frame: tables behind the part that is mapped may be empty.
pub const FREEING: u64 = 1;

/// One slot of 64 bytes.
///
/// Filling writes the rest, then the tag with release order; deleting clears the tag first, and
/// the slot is used again only after every core acknowledged.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Slot {
    tag: Word,
    /// Address of the object; physical base of a Frame or an Untyped.
    pub object: Word,
    /// The badge; of an Untyped, the bytes that were handed out; of a mapped Frame, how many of its
    /// bytes are mapped, and [`FREEING`].
    pub badge: Word,
    /// Of a mapped Frame, the address of its space; of an Untyped, the bytes that are zero already.
    pub space: Word,
    /// Of a mapped Frame, where it is mapped.
    pub address: Word,
    /// Of a mapped Frame, the identity of its space; of an object that dies, how far it was searched; of
    /// an Untyped, up to where its pages are not raw yet, though nothing is in them any more.
    pub progress: Word,
    /// The next slot in tree order.
    pub next: Link<Slot>,
    /// The previous slot in tree order.
    pub previous: Link<Slot>,
}

impl Slot {
    /// Returns the tag.
    #[inline(always)]
    pub fn tag(&self) -> Tag {
        Tag::from_bits(self.tag.shared().load(Ordering::Acquire))
    }

    /// Returns the tag of a slot inside an object of this core, which filled it: whatever goes with
    /// the tag was written here.
    #[inline(always)]
    pub fn own_tag(&self) -> Tag {
        Tag::from_bits(self.tag.get())
    }

    /// Sets the tag, after all else was written.
    pub fn set_tag(&self, tag: Tag) {
        self.tag.shared().store(tag.into_bits(), Ordering::Release);
    }

    /// Fills an empty slot that is in no tree yet.
    pub fn fill(&self, cap: &Cap) {
        self.object.set(cap.object);
        self.badge.set(cap.badge);
        self.space.set(0);
        self.address.set(0);
        self.progress.set(0);
        self.set_tag(cap.tag.with_mapped(false).with_refusal(0));
    }

    /// Notes the place of a mapping that begins, the address of its space, its own and the identity of
    /// the space, and how many of its bytes are mapped then; the slot's tag is `tag` yet.
    #[inline(always)]
    pub fn begin_mapping(&self, tag: Tag, [space, address, identity]: [u64; 3], bytes: u64) {
        self.space.set(space);
        self.address.set(address);
        self.progress.set(identity);
        self.badge.set(bytes);
        self.set_tag(tag.with_mapped(true).with_refusal(0));
    }

    /// Returns the bytes of a Frame or an Untyped.
    pub fn bytes(&self) -> u64 {
        1 << self.tag().order()
    }
}

/// A capability on its way from slot to slot.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// What the tag will be.
    pub tag: Tag,
    /// The object.
    pub object: u64,
    /// The badge.
    pub badge: u64,
}

impl Cap {
    /// Returns the capability to a new object.
    pub const fn original(kind: ObjectKind, object: u64) -> Self {
        let tag = Tag::new().with_kind(kind as u8).with_original(true);
        Self {
            tag: tag.with_rights(Rights::ALL),
            object,
            badge: 0,
        }
    }

    /// Returns the capability in `slot`.
    pub fn of(slot: &Slot) -> Self {
        Self {
            tag: slot.tag(),
            object: slot.object.get(),
            badge: slot.badge.get(),
        }
    }

    /// Returns a copy that is no original, in role `role`, with at most the rights of `mask`.
    #[must_use]
    pub fn derive(self, mask: Rights, role: Role) -> Self {
        let rights = self.tag.rights().intersect(mask);
        let tag = self.tag.with_original(false).with_mapped(false);
        Self {
            tag: tag.with_rights(rights).with_role_number(role as u8),
            ..self
        }
    }
}
