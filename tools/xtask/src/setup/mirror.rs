//! The package mirror that this machine is configured for, read from apt's own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Debian's own archive keys are.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// The mirror of this machine's own release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its address.
    pub uri: String,
    /// Code name of the release.
    pub codename: String,
    /// The file with the keys that sign it.
    pub keyring: PathBuf,
}

/// One suite at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
}

impl Mirror {
    /// Returns the mirror that apt is configured for.
    pub fn find() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("no /etc/os-release")?;
        let id = field(&release, "ID").unwrap_or_default();
        anyhow::ensure!(id == "debian", "this is no Debian system (ID={id})");
        let codename = field(&release, "VERSION_CODENAME").context("a release without name")?;
        let mut sources = Vec::new();
        for file in source_files(Path::new("/etc/apt")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let is_deb822 = file.extension().is_some_and(|ending| ending == "sources");
            sources.extend(if is_deb822 {
                deb822(&text)
            } else {
                one_line(&text)
            });
        }
        let uri = sources.into_iter().find(|source| source.suite == codename);
        let uri = uri.map(|source| source.uri).with_context(|| {
            format!("apt is configured for no mirror of its own release ({codename})")
        })?;
        let keyring = KEYRINGS
            .iter()
            .map(PathBuf::from)
            .find(|file| file.is_file());
        let keyring =
            keyring.context("no Debian keyring: apt-get install debian-archive-keyring")?;
        Ok(Self {
            uri,
            codename,
            keyring,
        })
    }

    /// Returns apt's line for `suite` on this mirror.
    pub fn line(&self, suite: &str) -> String {
        format!(
            "deb [signed-by={}] {} {suite} main\n",
            self.keyring.display(),
            self.uri
        )
    }
}

/// Returns the value of `key` in the text of an os-release file.
fn field(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Returns apt's source files.
fn source_files(apt: &Path) -> Vec<PathBuf> {
    let mut files = vec![apt.join("sources.list")];
    let rows = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten();
    let mut parts: Vec<_> = rows.map(|row| row.path()).collect();
    parts.sort();
    let ending = |file: &PathBuf| file.extension().map(|ending| ending.to_owned());
    parts.retain(|file| ending(file).is_some_and(|end| end == "list" || end == "sources"));
    files.extend(parts);
    files
}

/// Returns the sources in one-line form: `deb [options] uri suite component…`.
fn one_line(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            Some(Source {
                uri: words.next()?.to_owned(),
                suite: words.next()?.to_owned(),
            })
        })
        .collect()
}

/// Returns the sources in deb822 form: paragraphs of `Key: value`.
fn deb822(text: &str) -> Vec<Source> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .filter(|paragraph| {
            value(paragraph, "Types")
                .split_whitespace()
                .any(|kind| kind == "deb")
                && !value(paragraph, "Enabled").eq_ignore_ascii_case("no")
        })
        .flat_map(|paragraph| {
            let uri = value(paragraph, "URIs")
                .split_whitespace()
                .next()
                .unwrap_or_default();
            let suites = value(paragraph, "Suites");
            let source = |suite: &str| Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
            };
            suites.split_whitespace().map(source).collect::<Vec<_>>()
        })
        .filter(|source| !source.uri.is_empty())
        .collect()
}

/// Returns the value of `key` in a deb822 paragraph, or nothing.
fn value<'a>(paragraph: &[&'a str], key: &str) -> &'a str {
    let found = paragraph.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(key).then(|| value.trim())
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a source.
    fn source(uri: &str, suite: &str) -> Source {
        Source {
            uri: uri.to_owned(),
            suite: suite.to_owned(),
        }
    }

    #[test]
    fn paragraphs_give_one_source_per_suite() {
        let text = "Types: deb\n# comment\nURIs: http://a.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://b.example\nSuites: bookworm\n\n\
                    Types: deb\nEnabled: no\nURIs: http://c.example\nSuites: bookworm\n";
        let uri = "http://a.example/debian";
        assert_eq!(
            deb822(text),
            [source(uri, "bookworm"), source(uri, "bookworm-updates")]
        );
    }

    #[test]
    fn lines_give_sources_with_and_without_options() {
        let text = "# deb http://no.example x main\n\
                    deb http://a.example/debian bookworm main contrib\n\
                    deb [arch=amd64 signed-by=/k.gpg] https://b.example trixie main\n\
                    deb-src http://c.example bookworm main\n";
        let expected = [
            source("http://a.example/debian", "bookworm"),
            source("https://b.example", "trixie"),
        ];
        assert_eq!(one_line(text), expected);
    }

    #[test]
    fn quoted_and_bare_release_fields_are_read() {
        let text = "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_CODENAME=\"bookworm\"\n";
        assert_eq!(field(text, "ID").as_deref(), Some("debian"));
        assert_eq!(field(text, "VERSION_CODENAME").as_deref(), Some("bookworm"));
        assert_eq!(field(text, "VERSION_ID"), None);
    }
}
