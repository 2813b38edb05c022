//! The reference: capabilities as a tree with parent links, untyped memory as an offset, mappings
//! as intervals, notifications as words. It predicts what the calls on them answer.

use abi::{CallNumber, Error, ObjectKind, Rights};
use std::collections::{BTreeMap, HashMap};

/// What a call is expected to answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exactly this.
    Exactly(Result<(), Error>),
    /// Success, or this for want of memory that the model does not count.
    OrElse(Error),
    /// Anything that the call may answer.
    Any,
}

/// A place for a capability: a slot of the table, or one inside an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Slot(u64),
    Inner(u64, u64),
}

/// A capability.
#[derive(Clone, Debug)]
pub struct Cap {
    pub kind: ObjectKind,
    pub rights: Rights,
    pub badge: u64,
    pub object: u64,
    pub order: u32,
    pub original: bool,
    pub device: bool,
    /// Untyped: bytes handed out.
    pub used: u64,
    pub parent: Option<Place>,
    /// Space, its epoch, and address of a mapping.
    pub mapped: Option<(u64, u64, u64)>,
}

impl Cap {
    fn bytes(&self) -> u64 {
        1 << self.order
    }
}

#[derive(Default)]
pub struct Reference {
    pub cores: u64,
    pub caps: BTreeMap<Place, Cap>,
    /// How often a space lost its tables.
    epochs: HashMap<u64, u64>,
    /// Bits that were signalled and not received.
    pub bits: HashMap<u64, u64>,
}

const CONTROL: Rights = Rights::new().with_control(true);
const GRANT: Rights = Rights::new().with_grant(true);

/// Returns the bytes of an object in memory.
fn bytes_of(kind: ObjectKind, size: u64) -> u64 {
    match kind {
        ObjectKind::Untyped | ObjectKind::Frame => 1 << size,
        ObjectKind::CapTable => size * 64,
        ObjectKind::Thread | ObjectKind::GuestSpace => 2048,
        ObjectKind::Vcpu => 3 * 4096,
        ObjectKind::Space => 1024,
        _ => 64,
    }
}

impl Reference {
    /// Returns the capability in a slot of `kind` with `need`.
    pub fn look(&self, slot: u64, kind: ObjectKind, need: Rights) -> Result<&Cap, Error> {
        let cap = self
            .caps
            .get(&Place::Slot(slot))
            .ok_or(Error::NoCapability)?;
        if cap.kind != kind {
            return Err(Error::WrongObject);
        }
        cap.rights
            .covers(need)
            .then_some(cap)
            .ok_or(Error::MissingRight)
    }

    fn any(&self, slot: u64) -> Result<&Cap, Error> {
        self.caps.get(&Place::Slot(slot)).ok_or(Error::NoCapability)
    }

    fn empty(&self, slot: u64) -> Result<(), Error> {
        match slot {
            0 | 4096.. => Err(Error::NoCapability),
            _ if self.caps.contains_key(&Place::Slot(slot)) => Err(Error::SlotOccupied),
            _ => Ok(()),
        }
    }

    pub fn depth(&self, place: Place) -> u32 {
        let mut parents =
            std::iter::successors(self.caps[&place].parent, |at| self.caps[at].parent);
        parents.by_ref().count().try_into().expect("small")
    }

    fn has_children(&self, place: Place) -> bool {
        self.caps.values().any(|cap| cap.parent == Some(place))
    }

    fn sendable(&self, slot: u64) -> Result<&Cap, Error> {
        let cap = self.any(slot)?;
        match cap.kind {
            ObjectKind::Untyped | ObjectKind::Reply => Err(Error::NotCopyable),
            _ if !cap.rights.covers(GRANT) => Err(Error::MissingRight),
            _ => Ok(cap),
        }
    }

    /// Returns where the mapping of a frame is, if its space still has its tables.
    fn mapping(&self, cap: &Cap) -> Option<(u64, u64)> {
        let (space, epoch, address) = cap.mapped?;
        (self.epochs.get(&space).copied().unwrap_or(0) == epoch).then_some((space, address))
    }

    /// Returns what a call will answer.
    pub fn predict(&self, number: CallNumber, x: &[u64; 8]) -> Expect {
        let result = match number {
            CallNumber::Identify if x[0] == 0 => Ok(()),
            CallNumber::Identify | CallNumber::Delete | CallNumber::Revoke => {
                self.any(x[0]).map(drop)
            }
            CallNumber::Copy | CallNumber::Mint => self.copy(number, x),
            CallNumber::Move => self.any(x[0]).and_then(|_| self.empty(x[1])),
            CallNumber::Retype => self.retype(x).map(drop),
            CallNumber::Split => self.split(x),
            CallNumber::Signal => self
                .look(
                    x[0],
                    ObjectKind::Notification,
                    Rights::new().with_signal(true),
                )
                .map(drop),
            CallNumber::Unmap => self
                .look(x[0], ObjectKind::Frame, Rights::new())
                .and_then(|cap| self.mapping(cap).map(drop).ok_or(Error::NotMapped)),
            CallNumber::Map => match self.map(x) {
                Ok(()) => return Expect::OrElse(Error::NeedsMemory),
                Err(error) => Err(error),
            },
            CallNumber::FirmwareCall => {
                let firmware = self.look(x[0], ObjectKind::Firmware, CONTROL);
                firmware.and_then(|_| match x[1] {
                    1 => Ok(()),
                    2 => Err(Error::FirmwareRefused),
                    3 => Err(Error::BadArgument),
                    _ => Err(Error::Unsupported),
                })
            }
            CallNumber::PortRead => self.port(x, Rights::new().with_read(true), 0),
            CallNumber::PortWrite => self.port(x, Rights::new().with_write(true), x[3]),
            _ => return Expect::Any,
        };
        Expect::Exactly(result)
    }

    /// The fake machine's ports end at 16.
    fn port(&self, x: &[u64; 8], need: Rights, value: u64) -> Result<(), Error> {
        let range = self.look(x[0], ObjectKind::IoPorts, need)?.badge;
        if ![1, 2, 4].contains(&x[2]) || u128::from(value) >= 1 << (8 * x[2]) {
            return Err(Error::BadArgument);
        }
        let (first, count) = match range {
            0 => (0, 1 << 16),
            _ => (range & 0xffff, range >> 16),
        };
        let end = first.saturating_add(count).min(1 << 16);
        if x[1] < first || x[1].saturating_add(x[2]) > end {
            return Err(Error::OutOfRange);
        }
        (x[1] < 16).then_some(()).ok_or(Error::Unsupported)
    }

    fn copy(&self, number: CallNumber, x: &[u64; 8]) -> Result<(), Error> {
        let cap = self.sendable(x[0])?;
        self.empty(x[1])?;
        let takes = matches!(
            cap.kind,
            ObjectKind::Endpoint | ObjectKind::Notification | ObjectKind::IoPorts
        );
        if number == CallNumber::Mint && x[3] != 0 && (cap.badge != 0 || !takes) {
            return Err(Error::BadArgument);
        }
        if self.depth(Place::Slot(x[0])) >= 64 {
            return Err(Error::TreeTooDeep);
        }
        Ok(())
    }

    /// Returns the offset at which the objects of a retype begin.
    fn retype(&self, x: &[u64; 8]) -> Result<u64, Error> {
        let cap = self.look(x[0], ObjectKind::Untyped, CONTROL)?;
        let kind = ObjectKind::from_number(x[1]).filter(|kind| kind.is_retyped());
        let kind = kind.ok_or(Error::BadArgument)?;
        let is_memory = matches!(kind, ObjectKind::Untyped | ObjectKind::Frame);
        if x[3] == 0 || x[3] > 256 || (cap.device && !is_memory) {
            return Err(Error::BadArgument);
        }
        match kind {
            ObjectKind::Untyped | ObjectKind::Frame if !(12..=38).contains(&x[2]) => {
                return Err(Error::BadArgument);
            }
            ObjectKind::CapTable if !x[2].is_power_of_two() || !(64..=65536).contains(&x[2]) => {
                return Err(Error::BadArgument);
            }
            ObjectKind::Untyped | ObjectKind::Frame | ObjectKind::CapTable => {}
            ObjectKind::Space | ObjectKind::GuestSpace => {}
            _ if x[2] >= self.cores => return Err(Error::OutOfRange),
            _ => {}
        }
        let bytes = bytes_of(kind, x[2]);
        let align = if is_memory { bytes } else { 4096 };
        let offset = (cap.object + cap.used).next_multiple_of(align) - cap.object;
        if offset + bytes * x[3] > cap.bytes() {
            return Err(Error::OutOfMemory);
        }
        if x[4] == 0 || x[4] + x[3] > 4096 {
            return Err(Error::OutOfRange);
        }
        for slot in x[4]..x[4] + x[3] {
            self.empty(slot)?;
        }
        Ok(offset)
    }

    fn split(&self, x: &[u64; 8]) -> Result<(), Error> {
        let cap = self.look(x[0], ObjectKind::Frame, CONTROL)?;
        if cap.order == 12 {
            return Err(Error::BadArgument);
        }
        // A mapping whose space is gone is remembered until the next Map or Unmap.
        if cap.mapped.is_some() {
            return Err(Error::AlreadyMapped);
        }
        if !cap.original || self.has_children(Place::Slot(x[0])) {
            return Err(Error::HasChildren);
        }
        self.empty(x[1])
    }

    fn map(&self, x: &[u64; 8]) -> Result<(), Error> {
        if !(1..4096).contains(&x[0]) {
            return Err(Error::NoCapability);
        }
        if x[3] > 7 || x[3] == 0 || x[3] & 3 == 2 {
            return Err(Error::BadArgument);
        }
        let rights = Rights::from_bits(u16::try_from(x[3]).expect("small"));
        let cap = self.look(x[0], ObjectKind::Frame, rights)?;
        let space = self.any(x[1])?;
        let end = match space.kind {
            ObjectKind::Space => 1_u64 << 38,
            ObjectKind::GuestSpace => 1 << 41,
            _ => return Err(Error::WrongObject),
        };
        if !space.rights.covers(CONTROL) {
            return Err(Error::MissingRight);
        }
        if self.mapping(cap).is_some() {
            return Err(Error::AlreadyMapped);
        }
        let leaf = match cap.order {
            30.. => 30,
            21.. => 21,
            _ => 12,
        };
        if !x[2].is_multiple_of(1 << leaf) {
            return Err(Error::Misaligned);
        }
        let last = x[2].checked_add(cap.bytes()).filter(|last| *last <= end);
        let last = last.ok_or(Error::OutOfRange)?;
        let taken = self.caps.values().any(|other| {
            self.mapping(other).is_some_and(|(of, at)| {
                of == space.object && at < last && x[2] < at + other.bytes()
            })
        });
        // An unfunded space lacks memory before it is looked into.
        if taken {
            Err(Error::AlreadyMapped)
        } else {
            Ok(())
        }
    }

    /// Does what a call that succeeded does. `object_of` tells the address of a new object.
    pub fn apply(&mut self, number: CallNumber, x: &[u64; 8]) {
        let from = Place::Slot(x[0]);
        match number {
            CallNumber::Copy | CallNumber::Mint => self.derive(number, from, Place::Slot(x[1]), x),
            CallNumber::Move => self.rename(from, Place::Slot(x[1])),
            CallNumber::Delete => self.delete(from),
            CallNumber::Revoke => self.revoke(from),
            CallNumber::Retype => self.make(x),
            CallNumber::Split => {
                let mut half = self.caps[&from].clone();
                half.order -= 1;
                self.caps.insert(from, half.clone());
                half.object += half.bytes();
                self.caps.insert(Place::Slot(x[1]), half);
            }
            CallNumber::Map => {
                let space = self.caps[&Place::Slot(x[1])].object;
                let epoch = self.epochs.get(&space).copied().unwrap_or(0);
                self.caps.get_mut(&from).expect("there").mapped = Some((space, epoch, x[2]));
            }
            CallNumber::Unmap => self.caps.get_mut(&from).expect("there").mapped = None,
            CallNumber::Signal => {
                let cap = &self.caps[&from];
                let bits = if cap.badge == 0 { 1 } else { cap.badge };
                *self.bits.entry(cap.object).or_default() |= bits;
            }
            CallNumber::ThreadBind | CallNumber::VcpuBind => self.bind(from, x[1], x[2]),
            CallNumber::VcpuExitRoute => self.bind(from, 100 + x[1], x[2]),
            CallNumber::VcpuDeviceRoute => self.bind(from, 200 + x[1], x[2]),
            CallNumber::InterruptBind => self.bind(from, 300, x[1]),
            CallNumber::Fund => {
                let object = self.caps[&from].object;
                let free = (400..).find(|at| !self.caps.contains_key(&Place::Inner(object, *at)));
                self.bind(from, free.expect("endless"), x[1]);
                let untyped = self.caps.get_mut(&Place::Slot(x[1])).expect("there");
                untyped.used = untyped.bytes();
            }
            _ => {}
        }
    }

    fn derive(&mut self, number: CallNumber, from: Place, to: Place, x: &[u64; 8]) {
        let source = &self.caps[&from];
        let mut cap = Cap {
            original: false,
            mapped: None,
            parent: Some(from),
            ..source.clone()
        };
        if number == CallNumber::Mint {
            let mask = u16::try_from(x[2]).unwrap_or(u16::MAX);
            cap.rights = cap.rights.intersect(Rights::from_bits(mask));
            cap.badge |= x[3];
        }
        self.caps.insert(to, cap);
    }

    fn rename(&mut self, from: Place, to: Place) {
        let cap = self.caps.remove(&from).expect("there");
        self.caps.insert(to, cap);
        for cap in self.caps.values_mut() {
            if cap.parent == Some(from) {
                cap.parent = Some(to);
            }
        }
    }

    /// Binds slot `slot`, or clears the binding.
    fn bind(&mut self, owner: Place, index: u64, slot: u64) {
        let place = Place::Inner(self.caps[&owner].object, index);
        if slot == 0 {
            if self.caps.contains_key(&place) {
                self.delete(place);
            }
        } else {
            self.derive(CallNumber::Copy, Place::Slot(slot), place, &[0; 8]);
        }
    }

    fn make(&mut self, x: &[u64; 8]) {
        let offset = self.retype(x).expect("it succeeded");
        let kind = ObjectKind::from_number(x[1]).expect("it succeeded");
        let parent = Place::Slot(x[0]);
        let bytes = bytes_of(kind, x[2]);
        let untyped = self.caps.get_mut(&parent).expect("there");
        untyped.used = (offset + bytes * x[3]).next_multiple_of(4096);
        let (base, device) = (untyped.object + offset, untyped.device);
        for index in 0..x[3] {
            let cap = Cap {
                kind,
                rights: Rights::ALL,
                badge: 0,
                object: base + index * bytes,
                order: match kind {
                    ObjectKind::CapTable => x[2].ilog2(),
                    _ => u32::try_from(x[2]).expect("small"),
                },
                original: true,
                device,
                used: 0,
                parent: Some(parent),
                mapped: None,
            };
            self.bits.remove(&cap.object);
            self.caps.insert(Place::Slot(x[4] + index), cap);
        }
    }

    fn revoke(&mut self, place: Place) {
        let is_child = |(at, cap): (&Place, &Cap)| (cap.parent == Some(place)).then_some(*at);
        let children: Vec<Place> = self.caps.iter().filter_map(is_child).collect();
        for child in children {
            self.delete(child);
        }
    }

    /// Deletes a capability, what was derived from it and what dies with its object.
    pub fn delete(&mut self, place: Place) {
        self.revoke(place);
        let Some(cap) = self.caps.remove(&place) else {
            return;
        };
        if cap.original {
            let inside =
                |at: &&Place| matches!(at, Place::Inner(object, _) if *object == cap.object);
            let inner: Vec<Place> = self.caps.keys().filter(inside).copied().collect();
            for place in inner {
                self.delete(place);
            }
        }
        let funds = matches!(place, Place::Inner(_, 400..));
        let is_space =
            cap.original && matches!(cap.kind, ObjectKind::Space | ObjectKind::GuestSpace);
        match place {
            Place::Inner(space, _) if funds => *self.epochs.entry(space).or_default() += 1,
            _ if is_space => *self.epochs.entry(cap.object).or_default() += 1,
            _ => {}
        }
        if let Some(parent) = cap.parent
            && !self.has_children(parent)
            && let Some(parent) = self.caps.get_mut(&parent)
            && parent.kind == ObjectKind::Untyped
        {
            parent.used = 0;
        }
    }
}
