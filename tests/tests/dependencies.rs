//! What the workspace is built on: licences from a short list, everything from the public registry with a checksum, and
//! every direct dependency in `docs/dependencies.md`. Offline: `cargo metadata` reads the manifests that were fetched to
//! build this test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Licences that any crate may have.
const ALLOWED: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
];
/// Licences that one crate may have.
const ALLOWED_FOR: [(&str, &str); 3] =
    [("jpeg-encoder", "IJG"), ("unicode-ident", "Unicode-3.0"), ("webpki-roots", "CDLA-Permissive-2.0")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// What cargo says of the workspace as it is built on this machine.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let version = Command::new("rustc").arg("-vV").output().expect("rustc is there").stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["metadata", "--format-version", "1", "--offline", "--locked"]);
    let output = command.args(["--filter-platform", host]).output().expect("cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The packages that take part, from elsewhere.
fn foreign(metadata: &Value) -> Vec<&Value> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let built: BTreeSet<&str> = nodes.iter().map(|node| text(node, "id")).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|p| built.contains(text(p, "id")) && !p["source"].is_null()).collect()
}

/// Whether an SPDX expression can be met by licences for which `allowed` holds. `AND` binds closer than `OR`; the slash of
/// old manifests is an `OR`.
fn met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    /// The alternatives, each with what must be allowed for it; `tokens` is what is left to read.
    fn any(tokens: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
        let mut met = all(tokens, allowed);
        while tokens.first().is_some_and(|t| t == "OR") {
            *tokens = &tokens[1..];
            met |= all(tokens, allowed);
        }
        met
    }
    fn all(tokens: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
        let mut met = one(tokens, allowed);
        while tokens.first().is_some_and(|t| t == "AND") {
            *tokens = &tokens[1..];
            met &= one(tokens, allowed);
        }
        met
    }
    fn one(tokens: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
        let Some((first, rest)) = tokens.split_first() else { return false };
        *tokens = rest;
        if first == "(" {
            let met = any(tokens, allowed);
            *tokens = tokens.get(1..).unwrap_or_default(); // the closing one
            return met;
        }
        match tokens {
            [with, exception, rest @ ..] if with == "WITH" => {
                *tokens = rest;
                allowed(&format!("{first} WITH {exception}"))
            }
            _ => allowed(first),
        }
    }
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut tokens = &words[..];
    any(&mut tokens, allowed) && tokens.is_empty()
}

#[test]
fn every_crate_has_a_licence_from_the_list() {
    let metadata = metadata();
    let packages = foreign(&metadata);
    assert!(packages.len() > 100, "{} crates: are they still found?", packages.len());
    for package in packages {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let allowed = |one: &str| ALLOWED.contains(&one) || ALLOWED_FOR.contains(&(name, one));
        assert!(met(licence, &allowed), "{name} has the licence `{licence}`, which is not on the list");
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let mit = |one: &str| one == "MIT" || one == "Apache-2.0 WITH LLVM-exception";
    for yes in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(GPL-3.0 OR MIT) AND MIT", "GPL-3.0 AND ISC OR MIT"]
    {
        assert!(met(yes, &mit), "{yes}");
    }
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "Apache-2.0", "MIT MIT"] {
        assert!(!met(no, &mit), "{no}");
    }
    assert!(met("Apache-2.0 WITH LLVM-exception", &mit));
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let (mut own, mut foreign) = (0, 0);
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.map(|value| value.trim_matches('"'))
        };
        match value("source") {
            None => own += 1,
            Some(source) => {
                let name = value("name").unwrap();
                assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
                assert!(value("checksum").is_some_and(|sum| sum.len() == 64), "{name} has no checksum");
                foreign += 1;
            }
        }
    }
    let members = metadata()["workspace_members"].as_array().unwrap().len();
    assert!(own == members && foreign > 100, "{own} of {members} members, {foreign} crates");
}

/// Of each direct dependency, who uses it: `cli, (tests)`, in brackets where only tests do.
fn used_by(metadata: &Value) -> BTreeMap<String, String> {
    let members = metadata["workspace_members"].as_array().unwrap();
    let mut uses: BTreeMap<String, BTreeMap<&str, bool>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|p| members.contains(&p["id"])) {
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|d| d["path"].is_null()) {
            let of = uses.entry(text(dependency, "name").to_owned()).or_default();
            *of.entry(text(package, "name")).or_default() |= dependency["kind"] != "dev";
        }
    }
    let shown = |(name, users): (String, BTreeMap<&str, bool>)| {
        let with = |product: bool| {
            users.iter().filter(move |(_, of)| **of == product).map(|(user, _)| *user).collect::<Vec<_>>()
        };
        let (product, tests) = (with(true).join(", "), with(false).join(", "));
        let tests = if tests.is_empty() { tests } else { format!("({tests})") };
        let parts: Vec<String> = [product, tests].into_iter().filter(|part| !part.is_empty()).collect();
        (name, parts.join(", "))
    };
    uses.into_iter().map(shown).collect()
}

#[test]
fn every_direct_dependency_is_in_the_table_with_its_users_and_a_reason() {
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeMap<String, String> = rows
        .map(|row| {
            let (name, rest) = row.split_once("` | ").expect("a name in backticks");
            let (users, reason) = rest.split_once(" | ").expect("three columns");
            assert!(reason.trim_end_matches('|').trim().len() > 5, "{name} has no reason");
            (name.to_owned(), users.to_owned())
        })
        .collect();
    let used = used_by(&metadata());
    for (name, users) in &used {
        assert_eq!(documented.get(name), Some(users), "the row of `{name}` in docs/dependencies.md");
    }
    assert_eq!(used.len(), documented.len(), "the table has crates that nobody uses");
}
