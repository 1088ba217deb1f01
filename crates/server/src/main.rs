//! The `apogee` binary.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("no such command")
}
