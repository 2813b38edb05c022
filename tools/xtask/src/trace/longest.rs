//! The longest paths of the kernel: from an entry to its return, with interrupts off all the way.
//!
//! Of one core. A path ends where user mode goes on, and where the kernel lets interrupts in; the way
//! from reset to the first process is none. What firmware executes for the kernel is part of a path.

use ::trace::record::Record;

use super::Sink;
use super::known::Book;
use super::rows::Piece;

/// The longest path of one part of a run.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// How many marks were before its end: which case it is of.
    pub mark: usize,
    /// The numbers of its instructions.
    pub piece: Piece,
}

/// The longest paths of a run.
#[derive(Debug)]
pub struct Longest {
    /// The instructions.
    pub book: Book,
    has_begun: bool,
    current: Piece,
    marks: usize,
    /// For each mark the longest path before it.
    longest: Vec<Path>,
}

impl Longest {
    /// Returns nothing yet.
    pub fn new(book: Book) -> Self {
        Self {
            book,
            has_begun: false,
            current: Piece::new(),
            marks: 0,
            longest: Vec::new(),
        }
    }

    /// Returns how many marks there were.
    pub fn marks(&self) -> usize {
        self.marks
    }

    /// Returns the longest path between each two marks, the longest first.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<_> = self.longest.iter().collect();
        paths.sort_by(|one, other| {
            let order = other.piece.len().cmp(&one.piece.len());
            order.then(one.mark.cmp(&other.mark))
        });
        paths
    }

    /// Ends a path.
    fn end(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let path = Path {
            mark: self.marks,
            piece: std::mem::take(&mut self.current),
        };
        if !self.has_begun {
            return;
        }
        match self
            .longest
            .last_mut()
            .filter(|last| last.mark == self.marks)
        {
            None => self.longest.push(path),
            Some(last) if last.piece.len() < path.piece.len() => *last = path,
            Some(_) => {}
        }
    }
}

impl Sink for Longest {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Define(instruction) => self.book.define(instruction),
            Record::Access(_) => {}
            Record::Execute { number, .. } => {
                let Some(known) = self.book.get(*number) else {
                    return;
                };
                if known.is_kernel || known.is_firmware {
                    self.current.push(*number);
                    if known.is_kernel && known.operation.enables_interrupts {
                        self.end();
                    }
                    return;
                }
                self.end();
                self.has_begun |= self.book.has_kernel();
                if known.operation.is_mark {
                    self.marks += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::Image;
    use super::super::known::tests::{KERNEL, USER, instruction};
    use super::*;
    use ::trace::operation::Machine;

    /// Returns what a run of these instructions gives; each is a word, of the kernel or not.
    fn of(run: &[(u64, u32)]) -> Longest {
        let image = Image::of_code("kernel", KERNEL, [0x13_u8, 0, 0, 0, 0x73, 0, 0x50, 0x10]);
        let mut longest = Longest::new(Book::new(Machine::Riscv, image));
        for (number, (address, word)) in (0..).zip(run) {
            longest.take(&Record::Define(instruction(*address, *word)));
            longest.take(&Record::Execute { core: 0, number });
        }
        longest
    }

    const NOTHING: u32 = 0x13;
    const WAIT: u32 = 0x1050_0073;
    const MARK: u32 = 0x05c0_2013;

    #[test]
    fn a_path_is_between_two_instructions_of_users() {
        let kernel = (KERNEL, NOTHING);
        let user = (USER, NOTHING);
        let mark = (USER + 4, MARK);
        let run = [
            kernel, kernel, kernel, kernel, user, kernel, kernel, user, kernel, mark, kernel,
            kernel, kernel, user,
        ];
        let longest = of(&run);
        let found: Vec<_> = longest
            .paths()
            .iter()
            .map(|path| (path.mark, path.piece.len()))
            .collect();
        assert_eq!(found, [(1, 3), (0, 2)]);
        assert_eq!(longest.marks(), 1);
    }

    #[test]
    fn waiting_for_an_interrupt_ends_a_path() {
        let kernel = (KERNEL, NOTHING);
        let run = [
            kernel,
            (USER, NOTHING),
            kernel,
            (KERNEL + 4, WAIT),
            kernel,
            (USER, NOTHING),
        ];
        assert_eq!(of(&run).paths()[0].piece.len(), 2);
    }
}
