//! Logs: structured, quiet, to standard error. `APOGEE_LOG` filters them as `RUST_LOG` does elsewhere.

use std::io::Write;

use tracing_subscriber::EnvFilter;

/// Starts logging; INFO and above unless `APOGEE_LOG` says otherwise.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("APOGEE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .init();
}

/// Prints a line for the person at the terminal, where logs go.
pub(crate) fn complain(line: &str) {
    // Nothing is left to be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line for the person or script that started us.
pub(crate) fn say(line: &str) {
    // As above: a closed standard output is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{line}");
}
