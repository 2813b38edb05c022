//! What takes long, piece by piece: frames are cleared for who gets them, and contents are moved out of
//! the way. The desk looks after others between two pieces.

use super::contents::Filling;
use super::{lock, tell, with_steward};
use abi::Error;
use mem::{Decision, Emptying, Fill, Step};
use mem_api::{Mem, Refusal, Reply, Request};
use rt::Outgoing;
use rt::serve::reply_of;

/// Pages that are cleared at once, without looking after others.
const SHORT: u64 = 16;

/// Where a job is.
enum Stage {
    /// A place is to be emptied.
    Empty(Emptying),
    /// A folio is being copied for that.
    Copy(Emptying, Filling),
    /// Frames are to be cleared, from the one with this number on; one may just be.
    Clear(Fill, usize, Option<Filling>),
}

/// A request that takes long.
pub struct Job {
    core: u64,
    process: u16,
    request: Request,
    /// Nothing behind the end.
    stage: Option<Stage>,
}

impl Job {
    /// Returns the job that a decision about a request asks for, if it asks for one.
    pub fn of(core: u64, (process, request): (u16, Request), decision: Decision) -> Option<Self> {
        let stage = match decision {
            Decision::Empty(emptying) => Stage::Empty(emptying),
            Decision::Fill(fill) => Stage::Clear(fill, 0, None),
            Decision::Done(..) | Decision::Later => return None,
        };
        Some(Self {
            core,
            process,
            request,
            stage: Some(stage),
        })
    }

    /// Returns whether nobody notices when it is done at once.
    pub fn is_short(&self) -> bool {
        matches!(&self.stage, Some(Stage::Clear(fill, ..)) if fill.pages <= SHORT)
    }

    /// Does all of it; returns the answer.
    pub fn finish(&mut self) -> Outgoing {
        loop {
            if let Some(answer) = self.go_on() {
                return answer;
            }
        }
    }

    /// Does a piece of it; returns the answer behind the last one.
    pub fn go_on(&mut self) -> Option<Outgoing> {
        let stage = self.stage.take()?;
        let ended = match stage {
            Stage::Empty(emptying) => self.empty(emptying),
            Stage::Copy(emptying, filling) => self.copy(emptying, filling),
            Stage::Clear(fill, number, filling) => self.clear(fill, number, filling),
        };
        let reply = ended.transpose()?;
        if let Ok(reply) = reply {
            tell(self.process, self.request, reply);
        }
        Some(reply_of::<Mem>(&reply))
    }

    /// Asks what is to be done for a contiguous request.
    fn empty(&mut self, emptying: Emptying) -> Result<Option<Reply>, Refusal> {
        self.stage = match with_steward(|steward| steward.next_step(emptying))? {
            Step::Fill(fill) => Some(Stage::Clear(fill, 0, None)),
            Step::Copy { from, to } => match Filling::copy(self.core, from, to) {
                Ok(filling) => Some(Stage::Copy(emptying, filling)),
                Err(error) => {
                    rt::error!("a folio was not copied: {}", error);
                    with_steward(|steward| steward.copied(emptying, false))?;
                    return Err(Refusal::TooMany);
                }
            },
        };
        Ok(None)
    }

    /// Copies a piece of a folio.
    fn copy(&mut self, emptying: Emptying, mut filling: Filling) -> Result<Option<Reply>, Refusal> {
        if filling.go_on() {
            self.stage = Some(Stage::Copy(emptying, filling));
            return Ok(None);
        }
        // The windows are closed before the frames get elsewhere.
        drop(filling);
        with_steward(|steward| steward.copied(emptying, true))?;
        self.stage = Some(Stage::Empty(emptying));
        Ok(None)
    }

    /// Clears a piece of a frame.
    fn clear(
        &mut self,
        fill: Fill,
        number: usize,
        filling: Option<Filling>,
    ) -> Result<Option<Reply>, Refusal> {
        let Some(frame) = fill.frames.get(number) else {
            return with_steward(|steward| steward.filled(&fill)).map(Some);
        };
        let filling = filling.map_or_else(|| Filling::clear(self.core, *frame), Ok);
        let mut filling = filling.map_err(|error: Error| {
            rt::error!("a folio was not cleared: {}", error);
            lock(|state| state.steward.not_filled(&fill));
            Refusal::TooMany
        })?;
        self.stage = Some(if filling.go_on() {
            Stage::Clear(fill, number, Some(filling))
        } else {
            Stage::Clear(fill, number + 1, None)
        });
        Ok(None)
    }
}
