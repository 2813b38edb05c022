//! The memory, frame by frame, as the documentation tells it.

/// A frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is memory.
    pub present: bool,
    pub node: u8,
    /// Place of its descriptor.
    pub descriptor: usize,
    /// Whether it belongs to the area.
    pub area: bool,
    pub poisoned: bool,
    /// The folio that it is in: index of its first frame.
    pub folio: Option<usize>,
}

/// A folio, kept at its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    pub order: u8,
    pub owner: u16,
    pub movable: bool,
    pub pins: u64,
    pub mappings: u64,
}

impl Folio {
    pub const fn frames(&self) -> usize {
        1 << self.order
    }
}

/// All frames; indexes are counted from the first one.
pub struct Reference {
    pub frames: Vec<Frame>,
    pub folios: Vec<Option<Folio>>,
    pub used: [u64; 3],
    pub limits: [u64; 3],
}

impl Reference {
    pub fn is_free(&self, index: usize) -> bool {
        let frame = self.frames[index];
        frame.present && frame.folio.is_none() && !frame.poisoned
    }

    /// Whether a folio of the order could begin here.
    pub fn has_block(&self, first: usize, order: u8, movable: bool) -> bool {
        let range = first..first + (1 << order);
        let area = self.frames[first].area;
        (movable || !area)
            && range
                .clone()
                .all(|index| self.is_free(index) && self.frames[index].area == area)
    }

    /// Whether a folio of the order could begin anywhere. Nothing coalesces across donations.
    pub fn has_any_block(&self, order: u8, movable: bool) -> bool {
        let starts = (0..self.frames.len()).step_by(1 << order);
        starts
            .into_iter()
            .any(|first| self.has_block(first, order, movable))
    }

    /// Puts a folio at its place.
    pub fn place(&mut self, first: usize, folio: Folio) {
        for index in first..first + folio.frames() {
            assert!(
                self.frames[index].folio.is_none(),
                "frame {index} is in use"
            );
            self.frames[index].folio = Some(first);
        }
        self.folios[first] = Some(folio);
    }

    /// Takes a folio away.
    pub fn remove(&mut self, first: usize) -> Folio {
        let folio = self.folios[first].take().expect("a folio is there");
        for index in first..first + folio.frames() {
            self.frames[index].folio = None;
        }
        folio
    }

    /// Puts the largest aligned blocks of a range at their places.
    pub fn place_range(&mut self, range: std::ops::Range<usize>, base: u64, like: Folio) {
        let mut at = range.start;
        while at < range.end {
            let aligned = (base + at as u64).trailing_zeros();
            let order = aligned.min((range.end - at).ilog2()) as u8;
            self.place(at, Folio { order, ..like });
            at += 1 << order;
        }
    }

    /// Whether a contiguous request could have this place: in a row, all that is in it movable, and
    /// as many frames free elsewhere as its folios have.
    pub fn is_compatible(&self, first: usize, frames: usize) -> bool {
        let Some(range) = self.frames.get(first..first + frames) else {
            return false;
        };
        let start = range[0];
        let in_a_row = |(index, frame): (usize, &Frame)| {
            frame.area && frame.node == start.node && frame.descriptor == start.descriptor + index
        };
        if !range.iter().enumerate().all(in_a_row) {
            return false;
        }
        let mut occupants: Vec<usize> = range.iter().filter_map(|frame| frame.folio).collect();
        occupants.dedup();
        let heads = occupants
            .iter()
            .map(|&first| (first, self.folios[first].expect("a folio")));
        let heads: Vec<_> = heads.collect();
        let is_movable = |(first, folio): &(usize, Folio)| {
            let poisoned = (*first..first + folio.frames()).any(|at| self.frames[at].poisoned);
            folio.movable && folio.pins == 0 && !poisoned
        };
        let lost = range
            .iter()
            .any(|frame| frame.folio.is_none() && frame.poisoned);
        let room = (0..self.frames.len())
            .filter(|&index| self.is_free(index) && !(first..first + frames).contains(&index))
            .count();
        let needed: usize = heads.iter().map(|(_, folio)| folio.frames()).sum();
        !lost && heads.iter().all(is_movable) && needed <= room
    }
}
