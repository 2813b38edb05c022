//! Sizes of kernel and server images.

use std::fs;

use anyhow::Result;
use manifest::Overrides;

use crate::build::{elf, system};
use crate::workspace::Workspace;

use super::{Report, deps};

/// The most bytes of code in the kernel.
const KERNEL_TEXT_MAX: u64 = 64 << 10;

/// Builds every system of the repository, which checks `image_max`, and checks the kernel's code.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    for file in deps::manifests(workspace.root())? {
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = format!("check-{stem}");
        let built = match system::build(workspace, &file, &Overrides::default(), &name) {
            Ok(built) => built,
            Err(error) if format!("{error:#}").contains("is not in the workspace") => {
                report.absent.push(format!("{stem}: {error:#}"));
                continue;
            }
            Err(error) => {
                report.wrong.push(format!("{stem}: {error:#}"));
                continue;
            }
        };
        let text = elf::text_size(&fs::read(&built.kernel)?)?;
        let line = format!("{stem}: kernel text {text} of {KERNEL_TEXT_MAX} bytes");
        if text > KERNEL_TEXT_MAX {
            &mut report.wrong
        } else {
            &mut report.notes
        }
        .push(line);
        for (package, bytes) in &built.images {
            report
                .notes
                .push(format!("{stem}: image of {package} {bytes} bytes"));
        }
    }
    Ok(report)
}
