//! apt with a configuration of its own: nothing under `/etc` is read for sources or changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::mirror::Mirror;

/// A private apt: its own sources, lists and archives, optionally for another architecture.
#[derive(Debug)]
pub struct PrivateApt {
    folder: PathBuf,
    options: Vec<String>,
}

impl PrivateApt {
    /// Sets up a private apt in `folder` with `sources` as its only sources.
    ///
    /// With an architecture it sees only that one, and nothing as installed: good for downloads.
    /// Without one it is for installing on this machine, and uses the machine's own dpkg status.
    pub fn new(folder: &Path, sources: &str, architecture: Option<&str>) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("no folder {}", part.display()))?;
        }
        let list = folder.join("sources.list");
        fs::write(&list, sources).with_context(|| format!("cannot write {}", list.display()))?;
        let mut options = vec![
            format!("Dir::State::lists={}", folder.join("state/lists").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "APT::Sandbox::User=".to_owned(),
        ];
        if let Some(architecture) = architecture {
            options.extend([
                format!("APT::Architecture={architecture}"),
                format!("APT::Architectures={architecture}"),
                format!("Dir::State={}", folder.join("state").display()),
                "Dir::State::status=/dev/null".to_owned(),
            ]);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            options,
        })
    }

    /// Returns a command with this configuration.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.configure(&mut command);
        command
    }

    /// Adds this configuration to a command.
    fn configure(&self, command: &mut Command) {
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C");
        command.current_dir(&self.folder);
        for option in &self.options {
            command.args(["-o", option]);
        }
    }

    /// Fetches the package lists.
    pub fn update(&self) -> Result<()> {
        process::output(self.command("apt-get").args(["--error-on=any", "update"])).map(drop)
    }

    /// Downloads `packages`, verified by apt; returns their files in that order.
    pub fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        process::output(self.command("apt-get").arg("download").args(packages))?;
        packages
            .iter()
            .map(|package| self.downloaded(package))
            .collect()
    }

    /// Downloads `packages` and all that they depend on, verified by apt; returns the files.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut command = self.command("apt-get");
        command.args([
            "install",
            "--yes",
            "--no-install-recommends",
            "--download-only",
        ]);
        process::output(command.args(packages))?;
        let archives = self.folder.join("cache/archives");
        let rows = fs::read_dir(&archives)?.flatten().map(|row| row.path());
        let is_package = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "deb");
        Ok(rows.filter(is_package).collect())
    }

    /// Returns the file of a downloaded package.
    fn downloaded(&self, package: &str) -> Result<PathBuf> {
        let start = format!("{package}_");
        let rows = fs::read_dir(&self.folder)?.flatten();
        let mut files: Vec<_> = rows
            .filter(|row| row.file_name().to_string_lossy().starts_with(&start))
            .map(|row| row.path())
            .collect();
        files.sort();
        files
            .pop()
            .with_context(|| format!("apt-get download left no file of {package}"))
    }

    /// Returns the packages that `package` depends on.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = process::output(self.command("apt-cache").args(["depends", package]))?;
        let depends = |line: &str| Some(line.trim().strip_prefix("Depends: ")?.to_owned());
        Ok(text.lines().filter_map(depends).collect())
    }
}

/// Who may install packages here.
enum Authority {
    /// We are root.
    Root,
    /// sudo lets us without asking.
    Sudo,
}

impl Authority {
    /// Returns what this user may do.
    fn find() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::Root);
        }
        let sudo = process::output(Command::new("sudo").args(["-n", "true"]));
        sudo.is_ok().then_some(Self::Sudo)
    }

    /// Returns a command that runs `program` as root.
    fn command(&self, program: &str) -> Command {
        match self {
            Self::Root => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", "DEBIAN_FRONTEND=noninteractive", program]);
                command
            }
        }
    }
}

/// Installs `package`, of at least major version `minimum`, from this machine's release or from
/// its backports, both on the mirror that the machine is configured for.
pub fn install_newer(workspace: &Workspace, package: &str, minimum: u32) -> Result<()> {
    let needed = format!("{package} {minimum} or newer is needed");
    if process::find("apt-get").is_none() {
        bail!(
            "{needed}; there is no apt here: install it, or name the emulator by --emulator-path"
        );
    }
    let mirror = Mirror::find().with_context(|| format!("{needed}, and cannot be installed"))?;
    let backports = format!("{}-backports", mirror.codename);
    let Some(authority) = Authority::find() else {
        bail!("{needed}; type: {}", advice(&mirror, &backports, package));
    };
    let _step = Step::begin(&format!("installing {package} with apt"));
    let folder = workspace.cache().join("apt-install");
    let own = mirror.line(&mirror.codename);
    let apt = PrivateApt::new(&folder, &own, None)?;
    apt.update()?;
    if candidate(&apt, package)?.is_none_or(|version| version < minimum) {
        let both = format!("{own}{}", mirror.line(&backports));
        let apt = PrivateApt::new(&folder, &both, None)?;
        apt.update()?;
        return install_words(&apt, &authority, &["-t", &backports, package]);
    }
    install_words(&apt, &authority, &[package])
}

/// Installs `packages` of this machine's release, from the mirror that it is configured for.
pub fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if process::find("apt-get").is_none() {
        bail!("needed: {names}; there is no apt here");
    }
    let Some(authority) = Authority::find() else {
        bail!("needed; type: su -c 'apt-get install {names}'");
    };
    let mirror = Mirror::find().with_context(|| format!("{names} cannot be installed"))?;
    let _step = Step::begin(&format!("installing {names} with apt"));
    let own = mirror.line(&mirror.codename);
    let apt = PrivateApt::new(&workspace.cache().join("apt-install"), &own, None)?;
    apt.update()?;
    install_words(&apt, &authority, packages)
}

/// Installs what `words` say.
fn install_words(apt: &PrivateApt, authority: &Authority, words: &[&str]) -> Result<()> {
    let mut command = authority.command("apt-get");
    apt.configure(&mut command);
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(words);
    process::output(&mut command).map(drop)
}

/// Returns the major version of `package` that apt would install.
fn candidate(apt: &PrivateApt, package: &str) -> Result<Option<u32>> {
    let text = process::output(apt.command("apt-cache").args(["policy", package]))?;
    Ok(candidate_major(&text))
}

/// Returns the major version in the text of `apt-cache policy`.
fn candidate_major(text: &str) -> Option<u32> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let upstream = line.split_once(':').map_or(line, |(_, rest)| rest);
    upstream.split('.').next()?.parse().ok()
}

/// Returns the one command that a person with a root password has to type.
fn advice(mirror: &Mirror, backports: &str, package: &str) -> String {
    let list = "/etc/apt/sources.list.d/skerry-backports.list";
    format!(
        "su -c 'echo \"{}\" > {list} && apt-get update && apt-get install -t {backports} {package}'",
        mirror.line(backports).trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidates_major_version_is_read_without_its_epoch() {
        let text = "qemu:\n  Installed: (none)\n  Candidate: 1:10.0.2+ds-2\n  Version table:\n";
        assert_eq!(candidate_major(text), Some(10));
        assert_eq!(candidate_major("  Candidate: 7.2\n"), Some(7));
        assert_eq!(candidate_major("  Candidate: (none)\n"), None);
        assert_eq!(candidate_major(""), None);
    }
}
