//! Asks for names and passwords: on a terminal without echo, or line by line from standard input.

use std::io::{self, BufRead, IsTerminal};

use anyhow::Context as _;
use console::Term;
use model::Secret;

/// Whether a person can be asked.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// The next line of standard input, without its end; `None` at the end of the input.
fn line() -> anyhow::Result<Option<String>> {
    let mut text = String::new();
    let count = io::stdin().lock().read_line(&mut text).context("cannot read standard input")?;
    Ok((count > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// A text that may be seen.
pub fn text(question: &str) -> anyhow::Result<String> {
    if is_interactive() {
        Term::stderr().write_str(&format!("{question}: ")).context("cannot write to the terminal")?;
    }
    line()?.with_context(|| format!("standard input ended before the line with the {}", question.to_lowercase()))
}

/// A text that is not shown while it is typed.
pub fn secret(question: &str) -> anyhow::Result<Secret<String>> {
    if !is_interactive() {
        let text = line()?.with_context(|| format!("standard input ended before the line with the {}", question.to_lowercase()))?;
        return Ok(Secret::new(text));
    }
    let terminal = Term::stderr();
    terminal.write_str(&format!("{question}: ")).context("cannot write to the terminal")?;
    Ok(Secret::new(terminal.read_secure_line().context("cannot read from the terminal")?))
}

/// A new password. On a terminal it is asked twice.
pub fn new_password(question: &str) -> anyhow::Result<Secret<String>> {
    let password = secret(question)?;
    if is_interactive() && secret(&format!("{question} again"))?.reveal() != password.reveal() {
        anyhow::bail!("the two passwords differ; nothing was changed");
    }
    Ok(password)
}
