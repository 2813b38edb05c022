//! How a scenario is described.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use manifest::compiled::LogLevel;
use manifest::{GuestOverrides, Overrides, Size};
use serde::Deserialize;

use crate::build::system::Features;
use crate::emulator::command::{Boot, MachineArgs};
use crate::emulator::kind::Kind;
use crate::emulator::session::Keys;
use crate::trace::verdict::Law;

/// Folder of the descriptions, in the repository.
const FOLDER: &str = "tools/e2e/scenarios";
/// Seconds that a scenario may take if it does not say.
const DEFAULT_TIMEOUT: u64 = 120;

/// How a scenario has to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// As `cargo xtask run --batch` with status 0.
    #[default]
    Clean,
    /// With a guest that ends with another status than 0.
    Guest,
    /// With a panic of the system.
    Panic,
    /// With a system that says that it failed.
    System,
}

/// What is wrong with a boot bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// It ends in its middle.
    Cut,
    /// A bit in its middle is another.
    Flipped,
    /// It is no bundle.
    Foreign,
}

impl Damage {
    /// Damages the bytes of a bundle.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let middle = bytes.len() / 2;
        match self {
            Self::Cut => bytes.truncate(middle),
            Self::Flipped => bytes[middle] ^= 1,
            Self::Foreign => bytes.fill(b'?'),
        }
    }
}

/// One scenario in one variant.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name of the file, with that of the variant.
    pub name: String,
    /// The system manifest, in the repository.
    pub system: PathBuf,
    /// The emulated machine.
    pub machine: MachineArgs,
    /// What is changed in the manifest.
    pub overrides: Overrides,
    /// The limit of time.
    pub timeout: Duration,
    /// How it has to end.
    pub ending: Expected,
    /// Texts that lines have to contain, in this order.
    pub expect: Vec<String>,
    /// Texts that lines have to contain, in any order.
    pub expect_any_order: Vec<String>,
    /// Texts that no line may contain.
    pub forbid: Vec<String>,
    /// Whether it prints the cases of the conformance suite, each of which counts.
    pub conformance: bool,
    /// Why it is not run yet; then it is counted as skipped.
    pub pending: Option<String>,
    /// What is wrong with its boot bundle.
    pub bundle: Option<Damage>,
    /// Keys that are typed.
    pub keys: Vec<Keys>,
    /// A flat image that takes the place of the first guest's kernel.
    pub code: Option<Vec<u8>>,
    /// A guest of ours that boots on the bare machine in place of the system.
    pub native: Option<String>,
    /// Features that its kernel is built with.
    pub kernel_features: Vec<String>,
    /// What is asked of a trace of it; then it is traced.
    pub trace: Option<Law>,
    /// Features that servers are built with, by package: mutants that the scenario has to notice.
    pub server_features: Features,
}

/// What a file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    system: PathBuf,
    #[serde(default)]
    ending: Expected,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    expect_any_order: Vec<String>,
    #[serde(default)]
    forbid: Vec<String>,
    #[serde(default)]
    conformance: bool,
    #[serde(default)]
    keys: Vec<Keys>,
    pending: Option<String>,
    code: Option<String>,
    native: Option<String>,
    trace: Option<Law>,
    emulator: Option<Kind>,
    boot: Option<Boot>,
    cpu: Option<String>,
    aia: Option<bool>,
    line_mode: Option<bool>,
    icount: Option<bool>,
    bundle: Option<Damage>,
    log: Option<LogLevel>,
    harts: Option<u16>,
    memory_host: Option<String>,
    nodes: Option<u8>,
    vcpus: Option<u16>,
    reboots: Option<u32>,
    append: Option<String>,
    timeout: Option<u64>,
    #[serde(default)]
    text: BTreeMap<String, String>,
    #[serde(default)]
    variant: Vec<Variant>,
}

/// What a variant changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    kernel_features: Vec<String>,
    #[serde(default)]
    server_features: Features,
    pending: Option<String>,
    native: Option<String>,
    trace: Option<Law>,
    emulator: Option<Kind>,
    boot: Option<Boot>,
    icount: Option<bool>,
    processors: Option<u16>,
    grub: Option<String>,
    bundle: Option<Damage>,
    memory_host: Option<String>,
    conformance: Option<bool>,
    ending: Option<Expected>,
    cpu: Option<String>,
    aia: Option<bool>,
    line_mode: Option<bool>,
    keys: Option<Vec<Keys>>,
    harts: Option<u16>,
    vcpus: Option<u16>,
    append: Option<String>,
    timeout: Option<u64>,
    #[serde(default)]
    text: BTreeMap<String, String>,
}

/// Returns all scenarios of the repository at `root`, in the order of their names.
pub fn load_all(root: &Path) -> Result<Vec<Scenario>> {
    let folder = root.join(FOLDER);
    let rows = fs::read_dir(&folder).with_context(|| format!("no folder {FOLDER}"))?;
    let mut files = Vec::new();
    for row in rows {
        let path = row?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{FOLDER} has no scenario");
    let mut scenarios = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let found = parse(&stem, &text).with_context(|| format!("{FOLDER}/{stem}.toml"))?;
        scenarios.extend(found);
    }
    Ok(scenarios)
}

/// Returns the scenarios that the text of one file describes.
fn parse(stem: &str, text: &str) -> Result<Vec<Scenario>> {
    let file: File = toml::from_str(text)?;
    if file.variant.is_empty() {
        return Ok(vec![scenario(stem.to_owned(), &file, &Variant::default())?]);
    }
    let named = |variant: &Variant| scenario(format!("{stem}-{}", variant.name), &file, variant);
    file.variant.iter().map(named).collect()
}

/// Returns one variant of what a file describes.
fn scenario(name: String, file: &File, variant: &Variant) -> Result<Scenario> {
    let memory = variant.memory_host.as_deref();
    let memory = memory
        .or(file.memory_host.as_deref())
        .map(str::parse::<Size>)
        .transpose()?;
    let mut texts = file.text.clone();
    texts.extend(variant.text.clone());
    let machine = MachineArgs {
        emulator: variant.emulator.or(file.emulator).unwrap_or_default(),
        boot: variant.boot.or(file.boot),
        cpu: variant.cpu.clone().or_else(|| file.cpu.clone()),
        aia: variant.aia.or(file.aia).unwrap_or(false),
        processors: variant.processors,
        nodes: file.nodes,
        grub: variant.grub.clone(),
        line_mode: variant.line_mode.or(file.line_mode).unwrap_or(false),
        icount: variant.icount.or(file.icount).unwrap_or(false),
        ..MachineArgs::default()
    };
    let guest = GuestOverrides {
        append: variant.append.clone().or_else(|| file.append.clone()),
        vcpus: variant.vcpus.or(file.vcpus),
        reboots: file.reboots,
        ..GuestOverrides::default()
    };
    let overrides = Overrides {
        cores: variant.harts.or(file.harts),
        memory,
        guest,
        log: file.log,
        texts: texts.into_iter().collect(),
        ..Overrides::default()
    };
    let code = file.code.as_deref().map(machine_code).transpose()?;
    let seconds = variant.timeout.or(file.timeout).unwrap_or(DEFAULT_TIMEOUT);
    Ok(Scenario {
        name,
        system: file.system.clone(),
        machine,
        overrides,
        timeout: Duration::from_secs(seconds),
        ending: variant.ending.unwrap_or(file.ending),
        expect: [file.expect.clone(), variant.expect.clone()].concat(),
        expect_any_order: file.expect_any_order.clone(),
        forbid: file.forbid.clone(),
        conformance: variant.conformance.unwrap_or(file.conformance),
        bundle: variant.bundle.or(file.bundle),
        pending: variant.pending.clone().or_else(|| file.pending.clone()),
        keys: variant.keys.clone().unwrap_or_else(|| file.keys.clone()),
        code,
        native: variant.native.clone().or_else(|| file.native.clone()),
        kernel_features: variant.kernel_features.clone(),
        trace: variant.trace.or(file.trace),
        server_features: variant.server_features.clone(),
    })
}

/// Returns the bytes of a program: each line has one word of 32 bits in hexadecimal, and behind `#`
/// what it means.
fn machine_code(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let word = line.split('#').next().unwrap_or_default().trim();
        if !word.is_empty() {
            let number = u32::from_str_radix(word, 16);
            let number = number.with_context(|| format!("`{word}` is not a word of code"))?;
            bytes.extend(number.to_le_bytes());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_changes_what_its_file_says() {
        let text = "system = \"a.toml\"\ncpu = \"rv64\"\nappend = \"poweroff\"\n\
                    text = { seed = \"1\", rounds = \"2\" }\n\
                    [[variant]]\nname = \"x\"\nharts = 4\ntext = { seed = \"3\" }\n\
                    [[variant]]\nname = \"y\"\ncpu = \"rva23s64\"\n";
        let scenarios = parse("linux", text).expect("good");
        assert_eq!(scenarios[0].name, "linux-x");
        assert_eq!(scenarios[0].overrides.cores, Some(4));
        assert_eq!(
            scenarios[0].overrides.guest.append.as_deref(),
            Some("poweroff")
        );
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            scenarios[0].overrides.texts,
            [pair("rounds", "2"), pair("seed", "3")]
        );
        assert_eq!(scenarios[1].machine.cpu.as_deref(), Some("rva23s64"));
        assert_eq!(scenarios[1].overrides.cores, None);
    }

    #[test]
    fn a_scenario_can_choose_how_much_is_logged() {
        let scenarios = parse("a", "system = \"a.toml\"\nlog = \"debug\"\n").expect("good");
        assert_eq!(scenarios[0].overrides.log, Some(LogLevel::Debug));
        assert!(parse("a", "system = \"a.toml\"\nlog = \"loud\"\n").is_err());
    }

    #[test]
    fn a_variant_expects_what_its_file_does_and_more() {
        let text = "system = \"a.toml\"\nexpect = [\"x\"]\n[[variant]]\nname = \"b\"\n\
                    expect = [\"y\"]\n";
        let scenarios = parse("a", text).expect("good");
        assert_eq!(scenarios[0].expect, ["x", "y"]);
    }

    #[test]
    fn a_scenario_or_one_variant_of_it_can_be_pending() {
        let variants = "[[variant]]\nname = \"x\"\npending = \"no disk\"\n\
                        [[variant]]\nname = \"y\"\n";
        let some = parse("a", &format!("system = \"a.toml\"\n{variants}")).expect("good");
        assert_eq!(some[0].pending.as_deref(), Some("no disk"));
        assert_eq!(some[1].pending, None);
        let all = parse("a", "system = \"a.toml\"\npending = \"no net\"\n").expect("good");
        assert_eq!(all[0].pending.as_deref(), Some("no net"));
    }

    #[test]
    fn code_is_words_with_remarks() {
        let code = machine_code("# begin\n10500073 # wfi\n\n 13\n").expect("good");
        assert_eq!(code, [0x73, 0, 0x50, 0x10, 0x13, 0, 0, 0]);
        assert!(machine_code("wfi\n").is_err());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(parse("a", "system = \"a.toml\"\nspeed = 1\n").is_err());
    }

    #[test]
    fn every_scenario_of_the_repository_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let scenarios = load_all(&root).expect("all good");
        for scenario in &scenarios {
            assert!(root.join(&scenario.system).is_file(), "{}", scenario.name);
        }
        let mut names: Vec<_> = scenarios.iter().map(|scenario| &scenario.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), scenarios.len());
    }
}
