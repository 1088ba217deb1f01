//! Project chores: `cargo xtask <task>`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers, on a real machine"
)]

mod compare;
mod fixtures;
mod generate;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["fixtures"] => fixtures::wire::capture_all().and_then(|()| fixtures::store::capture_all(None)),
        ["fixtures", "store"] => fixtures::store::capture_all(None),
        ["fixtures", "store", name] => fixtures::store::capture_all(Some(name)),
        ["fixtures", "wire"] => fixtures::wire::capture_all(),
        ["fixtures", "wire", format] => fixtures::wire::capture(format),
        ["gen", "reference"] => generate::reference(),
        ["compare", ..] => compare::run(&args[1..]),
        _ => anyhow::bail!("no such task: {args:?}"),
    }
}
