//! Giving memory: taken, cleared, mapped, told of.

use super::contiguous::is_moving;
use super::{Decision, Fill, Given, Held, MAX_ALLOCATIONS, Steward, Touch, no_deed};
use crate::account::Owner;
use crate::cover::{Cover, Piece};
use crate::folios::Folios;
use crate::kernel::Kernel;
use crate::pool::Want;
use alloc::vec::Vec;
use mem_api::{Refusal as Refused, Reply};

impl<K: Kernel> Steward<K> {
    /// Takes memory for a client.
    pub(super) fn allocate(
        &mut self,
        client: usize,
        frames: u64,
        (start, node): (u64, u8),
    ) -> Result<Decision, Refused> {
        if !self.folios.has_node(node) {
            return Err(Refused::NoSuchNode);
        }
        self.check_room(client, start, frames)?;
        let row = self.clients[client];
        let cover = Cover {
            start,
            frames,
            node: Some(node),
            max_order: self.max_order,
        };
        let pieces = self.folios.cover(row.owner, cover);
        let pieces = pieces.map_err(|refusal| self.refused(refusal))?;
        let held = self.make_frames(client, &pieces)?;
        Ok(Decision::Fill(self.note(Given {
            client,
            guest: row.client.guest.map(|guest| (guest, start)),
            frames,
            is_ready: false,
            held,
        })))
    }

    /// Lets a client take folios of a size.
    pub(super) fn register_size(&mut self, client: usize, order: u8) -> Result<Decision, Refused> {
        self.check_order(order)?;
        let owner = self.clients[client].owner;
        let registered = self.folios.register_size(owner, order);
        registered.map_err(|refusal| self.refused(refusal))?;
        Ok(Decision::Done(Reply::Registered, Vec::new()))
    }

    /// Checks that folios of an order can be given.
    const fn check_order(&self, order: u8) -> Result<(), Refused> {
        let max_order = self.max_order;
        if order > max_order {
            return Err(Refused::TooLarge { max_order });
        }
        Ok(())
    }

    /// Takes one folio of a size that a client registered.
    pub(super) fn allocate_folio(
        &mut self,
        client: usize,
        order: u8,
        (start, node): (u64, u8),
    ) -> Result<Decision, Refused> {
        self.check_order(order)?;
        if !self.folios.has_node(node) {
            return Err(Refused::NoSuchNode);
        }
        let row = self.clients[client];
        let account = self.folios.account(row.owner);
        let account = account.map_err(|refusal| self.refused(refusal))?;
        if account.sizes() & 1 << order == 0 {
            return Err(Refused::NoSuchSize);
        }
        let frames = 1 << order;
        if !start.is_multiple_of(frames) {
            return Err(Refused::Misaligned);
        }
        self.check_room(client, start, frames)?;
        let want = Want {
            order,
            node: Some(node),
            movable: true,
        };
        let extent = self.folios.allocate(row.owner, want);
        let extent = extent.map_err(|refusal| self.refused(refusal))?;
        let held = self.make_frames(client, &[Piece { offset: 0, extent }])?;
        Ok(Decision::Fill(self.note(Given {
            client,
            guest: row.client.guest.map(|guest| (guest, start)),
            frames,
            is_ready: false,
            held,
        })))
    }

    /// Checks that a client can have one more allocation at these pages of its guest.
    fn check_room(&self, client: usize, start: u64, frames: u64) -> Result<(), Refused> {
        let last = start.checked_add(frames - 1).ok_or(Refused::Overflow)?;
        crate::FrameNumber::new(last).ok_or(Refused::Overflow)?;
        let guest = self.clients[client].client.guest;
        let mut count = 0;
        for given in self.given.iter().flatten() {
            count += usize::from(given.client == client);
            if let Some((other, first)) = given.guest
                && Some(other) == guest
                && first <= last
                && start < first + given.frames
            {
                let page = first.max(start);
                return Err(Refused::Overlap { page });
            }
        }
        if count < MAX_ALLOCATIONS {
            Ok(())
        } else {
            Err(Refused::TooMany)
        }
    }

    /// Makes the frames of folios that a client was charged for; without them, it is not.
    pub(super) fn make_frames(
        &mut self,
        client: usize,
        pieces: &[Piece],
    ) -> Result<Vec<Held>, Refused> {
        let mut held = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match self.deeds.make(&mut self.kernel, piece.extent) {
                Ok(frame) => held.push(Held {
                    offset: piece.offset,
                    extent: piece.extent,
                    frame,
                    is_mapped: false,
                }),
                Err(refusal) => {
                    for piece in pieces {
                        self.give_up(client, piece.extent);
                    }
                    return Err(no_deed(refusal));
                }
            }
        }
        Ok(held)
    }

    /// Ends an allocation whose frames are clear: maps them into the guest, unless that is put off,
    /// and tells the client.
    ///
    /// # Errors
    ///
    /// A refusal where the guest has no room for the mapping; the memory is free again.
    pub fn filled(&mut self, fill: &Fill) -> Result<Reply, Refused> {
        let number = usize::try_from(fill.allocation.0).unwrap_or(usize::MAX);
        let place = self.given.get_mut(number);
        let Some(mut given) = place.and_then(Option::take) else {
            return Err(Refused::NoSuchAllocation);
        };
        self.keep_still(&given, false);
        if !self.clients[given.client].client.is_lazy {
            for index in 0..given.held.len() {
                if !self.map(&mut given, index) {
                    self.take_all(given);
                    return Err(Refused::TooMany);
                }
            }
        }
        given.is_ready = true;
        let folios = u32::try_from(given.held.len()).unwrap_or(u32::MAX);
        self.given[number] = Some(given);
        Ok(Reply::Allocated {
            allocation: fill.allocation,
            folios,
        })
    }

    /// Gives an allocation up whose frames could not be cleared.
    pub fn not_filled(&mut self, fill: &Fill) {
        let number = usize::try_from(fill.allocation.0).unwrap_or(usize::MAX);
        let place = self.given.get_mut(number);
        if let Some(given) = place.and_then(Option::take) {
            self.keep_still(&given, false);
            self.take_all(given);
        }
    }

    /// Maps a folio of an allocation into its guest, if it has one; returns whether it is mapped
    /// there.
    fn map(&mut self, given: &mut Given, index: usize) -> bool {
        let owner = self.clients[given.client].owner;
        let guest = given.guest;
        let held = given.held.get_mut(index);
        held.is_none_or(|held| map_held(&mut self.folios, &mut self.kernel, (owner, guest), held))
    }

    /// Maps the folio of a guest's memory that an address lies in, unless it is mapped.
    pub fn touch(&mut self, guest: u16, address: u64) -> Touch {
        let page = address >> crate::FRAME_SHIFT;
        let mut all = self.given.iter_mut().flatten();
        let found = all.find_map(|given| {
            let (other, start) = given.guest.filter(|_| given.is_ready)?;
            let offset = page.wrapping_sub(start);
            (other == guest && offset < given.frames).then_some((given, offset))
        });
        let Some((given, offset)) = found else {
            return Touch::Outside;
        };
        let owner = (self.clients[given.client].owner, given.guest);
        match given.held_with(offset) {
            None => Touch::Outside,
            Some(held) if is_moving(&self.underway, held.extent) => Touch::Later,
            Some(held) => {
                if map_held(&mut self.folios, &mut self.kernel, owner, held) {
                    Touch::Mapped
                } else {
                    Touch::Failed
                }
            }
        }
    }
}

/// Maps a folio of an owner into the guest that has it, if there is one; returns whether it is mapped
/// there.
#[inline]
fn map_held(
    folios: &mut Folios,
    kernel: &mut impl Kernel,
    (owner, guest): (Owner, Option<(u16, u64)>),
    held: &mut Held,
) -> bool {
    let Some((guest, start)) = guest.filter(|_| !held.is_mapped) else {
        return true;
    };
    let address = (start + held.offset) << crate::FRAME_SHIFT;
    let base = held.extent.base();
    if folios.note_mapped(owner, base).is_err() {
        return false;
    }
    if kernel.map(held.frame, guest.into(), address).is_err() {
        // It was counted a moment ago.
        let _ = folios.note_unmapped(owner, base);
        return false;
    }
    held.is_mapped = true;
    true
}
