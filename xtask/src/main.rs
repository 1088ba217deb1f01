//! Project chores: `cargo xtask <task>`.
//!
//! Owns what keeps the tree honest (`tidy`, `test`, `prove`), what is derived (`gen`, `fixtures`) and what is measured against the
//! reference (`compare`). Nothing here is part of the product.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers, on a real machine"
)]

mod compare;
mod fixtures;
mod gate;
mod generate;
mod tidy;

const USAGE: &str = "\
cargo xtask test                     format, lints, tests, documentation: what every change must pass
cargo xtask prove [--quick]          the same and the long tests; the report goes to docs/proofs
cargo xtask prove long | fuzz        the same in two parts: everything but the fuzzing, and the fuzzing
cargo xtask tidy                     rules of the tree; prints sizes
cargo xtask gen                      write the generated pages of docs/reference
cargo xtask gen reference            write the tables taken from the reference's classes
cargo xtask fixtures [wire|store]    capture golden frames and directories from the reference
cargo xtask compare …                measure against the reference";

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["test"] => gate::test(),
        ["prove"] => gate::prove(gate::Extent::Full),
        ["prove", "--quick"] => gate::prove(gate::Extent::Quick),
        ["prove", "long"] => gate::prove_long(),
        ["prove", "fuzz"] => gate::prove_fuzz(),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::documents_to_disk(),
        ["gen", "reference"] => generate::reference(),
        ["fixtures"] => {
            fixtures::wire::capture_all()?;
            fixtures::store::capture_all(None)
        }
        ["fixtures", "wire"] => fixtures::wire::capture_all(),
        ["fixtures", "wire", format] => fixtures::wire::capture(format, None),
        ["fixtures", "wire", format, scenario] => fixtures::wire::capture(format, Some(scenario)),
        ["fixtures", "store"] => fixtures::store::capture_all(None),
        ["fixtures", "store", name] => fixtures::store::capture_all(Some(name)),
        ["compare", ..] => compare::run(&args[1..]),
        _ => anyhow::bail!("no such task: {args:?}\n{USAGE}"),
    }
}
