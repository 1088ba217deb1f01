//! Who may depend on whom, and under which licenses: read from `cargo metadata`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use super::output;

/// Packages are called by their directory with this before it.
const PREFIX: &str = "apogee-";
/// Rank of each crate: it may use what has a lower one. Tools may use everything and are used by nobody but tools.
const RANKS: [(&str, u32); 27] = [
    ("wire", 0),
    ("metrics", 0),
    ("filter", 0),
    ("proto", 0),
    ("env", 1),
    ("store", 2),
    ("net", 2),
    ("web", 2),
    ("auth", 2),
    ("ha", 3),
    ("client", 3),
    ("broker", 4),
    ("namesrv", 4),
    ("controller", 4),
    ("proxy", 5),
    ("mqtt", 5),
    ("connect", 5),
    ("streams", 5),
    ("eventbus", 5),
    ("admin", 5),
    ("console", 6),
    ("cli", 6),
    ("bench", 6),
    ("server", 7),
    ("e2e", TOOL),
    ("xtask", TOOL),
    ("sim", TOOL),
];
const TOOL: u32 = 9;
/// The crate of everything nondeterministic stands below all others: it may use none of them.
const ALONE: &str = "env";
/// From this rank to [`BLIND_UNTIL`], crates reach brokers and stores only through requests.
const BLIND_FROM: u32 = 5;
const BLIND_UNTIL: u32 = 6;
const UNSEEN: [&str; 2] = ["broker", "store"];
/// Crates from outside that only these may name.
const ONLY: [(&str, &[&str]); 5] = [
    ("openraft", &["controller"]),
    ("tonic", &["proto", "proxy"]),
    ("axum", &["console", "server"]),
    ("clap", &["cli", "bench", "server", "xtask"]),
    ("anyhow", &["cli", "bench", "server", "xtask", "e2e"]),
];
/// Crates that must stay free of a runtime.
const WITHOUT_RUNTIME: [&str; 3] = ["wire", "metrics", "filter"];

/// Findings about dependencies and licenses.
pub(super) fn check() -> anyhow::Result<Vec<String>> {
    // Those of other platforms need not have been fetched.
    let platform = output("rustc", &["--print", "host-tuple"])?;
    let args = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform"];
    let text = output("cargo", &[&args[..], &[platform.trim()]].concat())?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().context("metadata has packages")?;
    let mut found = Vec::new();
    for package in packages.iter().filter(|p| p["source"].is_null()) {
        layers(package, &mut found);
    }
    let allowed = allowed_licenses()?;
    for package in packages {
        let license = package["license"].as_str().unwrap_or("none stated");
        if !is_allowed(license, &allowed) {
            found.push(format!(
                "{}: license {license} is not in deny.toml",
                text_of(&package["name"])
            ));
        }
    }
    Ok(found)
}

fn layers(package: &Value, found: &mut Vec<String>) {
    let ranks = BTreeMap::from(RANKS);
    let name = text_of(&package["name"]);
    let Some((user, rank)) = name.strip_prefix(PREFIX).and_then(|n| ranks.get(n).map(|r| (n, *r)))
    else {
        found.push(format!("{name}: has no rank in xtask/src/tidy/graph.rs"));
        return;
    };
    // What only tests use is not part of the product.
    let used = package["dependencies"].as_array().into_iter().flatten();
    for dependency in used.filter(|d| d["kind"].as_str() != Some("dev")) {
        let used = text_of(&dependency["name"]);
        let (used, wrong) =
            match used.strip_prefix(PREFIX).and_then(|n| ranks.get(n).map(|r| (n, *r))) {
                Some((used, used_rank)) => (used, breaks_layers(user, rank, used, used_rank)),
                None => (used, breaks_bans(user, used)),
            };
        if let Some(rule) = wrong {
            found.push(format!("{user} uses {used}: {rule}"));
        }
    }
}

fn breaks_layers(user: &str, rank: u32, used: &str, used_rank: u32) -> Option<&'static str> {
    let blind = (BLIND_FROM..=BLIND_UNTIL).contains(&rank) && UNSEEN.contains(&used);
    match () {
        () if user == ALONE => Some("it may use no crate of the workspace"),
        () if rank == TOOL && used_rank == TOOL => None,
        () if used_rank >= rank => Some("only crates of a lower rank may be used"),
        () if blind => Some("gateways and tools reach it through requests"),
        () => None,
    }
}

fn breaks_bans(user: &str, used: &str) -> Option<&'static str> {
    let elsewhere = ONLY.iter().any(|(name, users)| *name == used && !users.contains(&user));
    match () {
        () if used == "tokio" && WITHOUT_RUNTIME.contains(&user) => Some("it does no I/O"),
        () if elsewhere => Some("only the crates listed in xtask/src/tidy/graph.rs may"),
        () => None,
    }
}

/// The list that `cargo deny` uses too.
fn allowed_licenses() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(crate::fixtures::workspace().join("deny.toml"))?;
    let list = text
        .lines()
        .find_map(|line| line.strip_prefix("allow = "))
        .context("deny.toml allows nothing")?;
    Ok(serde_json::from_str(list)?)
}

/// Whether one alternative of every part of the expression is allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|l| allowed.iter().any(|a| a == l.trim())))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each rule of the layers refuses one edge that breaks it and lets a legal one pass.
    #[test]
    fn edges_are_judged_by_rank() {
        assert!(breaks_layers("store", 2, "net", 2).is_some());
        assert!(breaks_layers("broker", 4, "store", 2).is_none());
        assert!(breaks_layers("proxy", 5, "store", 2).is_some());
        assert!(breaks_layers("cli", 6, "client", 3).is_none());
        assert!(breaks_layers("env", 1, "wire", 0).is_some());
        assert!(breaks_layers("server", 7, "xtask", TOOL).is_some());
        assert!(breaks_bans("wire", "tokio").is_some());
        assert!(breaks_bans("net", "tokio").is_none());
        assert!(breaks_bans("store", "anyhow").is_some());
    }

    /// A license expression passes only if each of its parts has an allowed alternative.
    #[test]
    fn license_expressions_are_read() {
        let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
        assert!(is_allowed("MIT OR GPL-3.0", &allowed));
        assert!(is_allowed("(MIT OR GPL-3.0) AND Apache-2.0", &allowed));
        assert!(is_allowed("MIT/Apache-2.0", &allowed));
        assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    }
}
