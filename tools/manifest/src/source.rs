//! The manifest as written: TOML, with the place of every value that a check may refuse.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::compiled::{Grant, LogLevel, Population};
use crate::size::Size;

/// A table whose keys were chosen by the author.
pub(crate) type Named<T> = BTreeMap<Spanned<String>, T>;

/// A whole manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemSource {
    pub(crate) machine: Spanned<String>,
    pub(crate) cores: Option<Spanned<i64>>,
    pub(crate) memory: Option<Spanned<Size>>,
    pub(crate) log: Option<LogLevel>,
    pub(crate) console: Option<Spanned<String>>,
    /// Package of the first process.
    pub(crate) init: Option<Spanned<String>>,
    /// Texts that become entries of the bundle.
    #[serde(default)]
    pub(crate) text: Named<String>,
    #[serde(default)]
    pub(crate) server: Named<ProcessSource>,
    #[serde(default)]
    pub(crate) template: Named<ProcessSource>,
    #[serde(default)]
    pub(crate) guest: Named<GuestSource>,
    #[serde(default)]
    pub(crate) area: Vec<Spanned<AreaSource>>,
}

/// A server, or a template of servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessSource {
    pub(crate) package: Spanned<String>,
    pub(crate) priority: Spanned<i64>,
    pub(crate) stack: Option<Spanned<Size>>,
    pub(crate) image_max: Option<Spanned<Size>>,
    pub(crate) memory: Option<Spanned<Size>>,
    pub(crate) cores: Option<Spanned<CoresSource>>,
    #[serde(default)]
    pub(crate) uses: Named<Spanned<String>>,
    pub(crate) device: Option<Spanned<HostDeviceSource>>,
    #[serde(default)]
    pub(crate) grants: Vec<Grant>,
    #[serde(default)]
    pub(crate) arguments: String,
    pub(crate) panic_on_sbi: Option<SbiCallSource>,
    pub(crate) quota: Option<Spanned<Size>>,
    pub(crate) pins: Option<Spanned<Size>>,
    #[serde(default)]
    pub(crate) own_budget: bool,
}

/// An area of memory for contiguous requests.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AreaSource {
    pub(crate) base: Option<u64>,
    pub(crate) size: Size,
}

/// The cores of a server.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum CoresSource {
    /// A word: only `all` is known.
    Word(String),
    /// Core numbers.
    List(Vec<i64>),
}

/// A device of the host: registers in memory or ports, an interrupt line, or both.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostDeviceSource {
    pub(crate) base: Option<u64>,
    /// The first port, of a device that has no `base`.
    pub(crate) port: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) irq: Option<u32>,
}

/// A function of an SBI extension.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SbiCallSource {
    pub(crate) extension: u64,
    pub(crate) function: u64,
}

/// A function of an SBI extension, and an address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SbiTouchSource {
    pub(crate) extension: u64,
    pub(crate) function: u64,
    pub(crate) address: u64,
}

/// A guest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestSource {
    pub(crate) memory: Spanned<Size>,
    #[serde(default)]
    pub(crate) population: Population,
    pub(crate) cores: Vec<Spanned<i64>>,
    pub(crate) kernel: Spanned<String>,
    pub(crate) initrd: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) append: String,
    pub(crate) servers: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) devices: Named<Spanned<GuestDeviceSource>>,
    pub(crate) panic_on_sbi: Option<SbiCallSource>,
    pub(crate) touch_on_sbi: Option<SbiTouchSource>,
    pub(crate) reboots: Option<u32>,
    pub(crate) quota: Option<Spanned<Size>>,
}

/// A device of a guest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestDeviceSource {
    pub(crate) server: Spanned<String>,
    pub(crate) base: Option<u64>,
    /// The first port, of a device that has no `base`.
    pub(crate) port: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) irq: u32,
}

/// Returns the rows of a table in the order of the file.
pub(crate) fn in_order<T>(table: &Named<T>) -> Vec<(&Spanned<String>, &T)> {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by_key(|(name, _)| name.span().start);
    rows
}
