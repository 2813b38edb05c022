//! DBCN (section 12).

use super::{Call, SbiError, SbiResult};
use crate::machine::riscv::{Riscv, Trouble, absence};
use crate::{Effects, MemoryError};

/// Bytes that are copied at a time.
const CHUNK: usize = 256;
/// The most bytes of one call: it may write fewer than asked, and must not take long.
const MAX_BYTES: u64 = 4096;

impl Riscv {
    /// Performs a call of DBCN.
    #[inline(never)]
    pub(super) fn dbcn<E: Effects>(
        &mut self,
        call: Call,
        effects: &mut E,
    ) -> Result<SbiResult, Trouble> {
        let [count, low, high] = call.arguments(effects);
        if call.function == 2 {
            let sent = effects.console_write(&[count as u8]);
            return Ok(if sent == 1 {
                Ok(0)
            } else {
                Err(SbiError::Failed)
            });
        }
        if call.function > 2 {
            return Ok(Err(SbiError::NotSupported));
        }
        if high != 0 || !self.memory.contains(low, count) {
            return Ok(Err(SbiError::InvalidParameter));
        }
        let count = count.min(MAX_BYTES);
        if call.function == 0 {
            in_chunks(count, |done, chunk| {
                effects.read_guest(low + done, chunk)?;
                Ok(effects.console_write(chunk))
            })
        } else {
            in_chunks(count, |done, chunk| {
                // Is it there? Input that was taken could not be put back.
                effects.read_guest(low + done, chunk)?;
                let taken = effects.console_read(chunk);
                effects.write_guest(low + done, chunk.get(..taken).unwrap_or_default())?;
                Ok(taken)
            })
        }
    }
}

/// Moves `count` bytes in chunks, until one moves less than asked; returns how many moved. What is
/// absent at the very beginning is waited for; later the call ends early.
fn in_chunks(
    count: u64,
    mut step: impl FnMut(u64, &mut [u8]) -> Result<usize, MemoryError>,
) -> Result<SbiResult, Trouble> {
    let mut buffer = [0; CHUNK];
    let mut done = 0;
    while done < count {
        let length = usize::try_from(count - done).map_or(CHUNK, |rest| rest.min(CHUNK));
        let chunk = buffer.get_mut(..length).unwrap_or_default();
        match step(done, chunk) {
            Ok(moved) => {
                done += moved as u64;
                if moved < length {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => {
                return match absence(error) {
                    Some(address) => Err(Trouble::Absent(address)),
                    None => Ok(Err(SbiError::InvalidParameter)),
                };
            }
        }
    }
    Ok(Ok(done))
}
