//! Where a guest's files lie: the image where it says, the initial file system behind it, and where
//! a kernel looks for their addresses and its command line.

/// Where a kernel's parameters are: the address of the initial file system, its bytes, and the command
/// line.
const PARAMETERS: (u64, u64, u64) = (0x1_0408, 0x1_0410, 0x1_0480);
/// Bytes of the command line, its end included.
const COMMAND_LINE_BYTES: usize = 896;
/// Alignment of the initial file system.
const INITRD_ALIGNMENT: u64 = 1 << 20;

/// A flat image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Absolute address of its first byte.
    pub load: u64,
    /// Its bytes in storage.
    pub memory_bytes: u64,
    /// Address of the first instruction.
    pub entry: u64,
}

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Absolute address of the initial file system.
    pub initrd: Option<u64>,
    /// Whether the image has room for a kernel's parameters.
    pub has_parameters: bool,
}

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The image is larger than the storage, or begins outside of it.
    ImageTooLarge,
    /// The initial file system does not fit behind it.
    InitrdTooLarge,
    /// The command line is longer than there is room for, or the image has none.
    CommandLine,
}

/// Returns where everything goes in `memory` bytes of storage.
///
/// # Errors
///
/// [`LoadError`].
pub fn plan(
    image: Image,
    initrd_bytes: Option<u64>,
    (command_line, memory): (&str, u64),
) -> Result<Plan, LoadError> {
    let end = image.load.checked_add(image.memory_bytes);
    let end = end.filter(|end| *end <= memory && image.entry < *end);
    let end = end.ok_or(LoadError::ImageTooLarge)?;
    let (.., line) = PARAMETERS;
    let has_parameters = image.load <= line && end >= line + COMMAND_LINE_BYTES as u64;
    let is_possible = command_line.is_empty() || has_parameters;
    if !is_possible || command_line.len() >= COMMAND_LINE_BYTES {
        return Err(LoadError::CommandLine);
    }
    let place = end.checked_next_multiple_of(INITRD_ALIGNMENT);
    let initrd = initrd_bytes
        .map(|bytes| {
            let place = place.ok_or(LoadError::InitrdTooLarge)?;
            let fits = place.checked_add(bytes).is_some_and(|end| end <= memory);
            fits.then_some(place).ok_or(LoadError::InitrdTooLarge)
        })
        .transpose()?;
    Ok(Plan {
        initrd,
        has_parameters,
    })
}

/// Gives what is written beside image and file system to `put`: addresses and bytes.
///
/// # Errors
///
/// Those of `put`.
pub fn parameters<Error>(
    plan: Plan,
    initrd_bytes: u64,
    command_line: &str,
    mut put: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    if !plan.has_parameters {
        return Ok(());
    }
    let (address, size, line) = PARAMETERS;
    if let Some(initrd) = plan.initrd {
        put(address, &initrd.to_be_bytes())?;
        put(size, &initrd_bytes.to_be_bytes())?;
    }
    if !command_line.is_empty() {
        put(line, command_line.as_bytes())?;
        put(line + command_line.len() as u64, &[0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Image, LoadError, Plan, parameters, plan};
    use std::vec::Vec;

    const IMAGE: Image = Image {
        load: 0,
        memory_bytes: 0x2_0000,
        entry: 0x1_0000,
    };
    const MEMORY: u64 = 4 << 20;

    #[test]
    fn files_lie_behind_each_other_and_their_places_are_told() {
        let plan = plan(IMAGE, Some(0x1000), ("quiet", MEMORY)).unwrap();
        let expected = Plan {
            initrd: Some(1 << 20),
            has_parameters: true,
        };
        assert_eq!(plan, expected);
        let mut written: Vec<(u64, Vec<u8>)> = Vec::new();
        parameters(plan, 0x1000, "quiet", |address, bytes| {
            written.push((address, bytes.to_vec()));
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(written[0], (0x1_0408, (1_u64 << 20).to_be_bytes().to_vec()));
        assert_eq!(written[1], (0x1_0410, 0x1000_u64.to_be_bytes().to_vec()));
        assert_eq!(written[2], (0x1_0480, b"quiet".to_vec()));
        assert_eq!(written[3], (0x1_0485, [0].to_vec()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |memory_bytes, initrd, line| {
            plan(
                Image {
                    memory_bytes,
                    ..IMAGE
                },
                initrd,
                (line, MEMORY),
            )
        };
        assert_eq!(with(MEMORY + 1, None, ""), Err(LoadError::ImageTooLarge));
        assert_eq!(with(u64::MAX, None, ""), Err(LoadError::ImageTooLarge));
        assert_eq!(with(0x1_0000, None, ""), Err(LoadError::ImageTooLarge));
        let end = plan(IMAGE, Some(3 << 20), ("", MEMORY));
        assert!(end.is_ok());
        let behind = plan(IMAGE, Some((3 << 20) + 1), ("", MEMORY));
        assert_eq!(behind, Err(LoadError::InitrdTooLarge));
        assert_eq!(with(0x1_0400, None, "x"), Err(LoadError::CommandLine));
        let long = "x".repeat(896);
        assert_eq!(with(0x2_0000, None, &long), Err(LoadError::CommandLine));
    }
}
