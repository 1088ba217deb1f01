//! Project chores: `cargo xtask <task>`.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("no such task")
}
