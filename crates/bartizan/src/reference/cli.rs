//! docs/reference/cli.md.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::cell;

const INTRODUCTION: &str = "
Exit codes, everywhere: 0 done, 1 something is wrong with what was read, 2 it could not run. `--help` of each command says the same as this
page. Completion: `bartizan completion bash|zsh|fish|elvish|powershell`.
";

pub fn page() -> String {
    let mut command = crate::commands::definition();
    command.build();
    let mut text = format!("# Command line\n\n{}{INTRODUCTION}", super::made_from("the definitions of the commands"));
    for sub in command.get_subcommands() {
        section(&mut text, sub, "bartizan");
    }
    text
}

fn section(text: &mut String, command: &Command, parent: &str) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let _ = writeln!(text, "\n## {name}\n");
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _ = writeln!(text, "{about}\n");
    }
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help").collect();
    if !arguments.is_empty() {
        let _ = writeln!(text, "| argument | what |\n|---|---|");
        for argument in arguments {
            let _ = writeln!(text, "| `{}` | {} |", written(argument), cell(&described(argument)));
        }
    }
    if let Some(examples) = command.get_after_help() {
        let _ = writeln!(text, "\n```text\n{}\n```", examples.to_string().trim_end());
    }
    for sub in command.get_subcommands() {
        section(text, sub, &name);
    }
}

fn written(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()).unwrap_or_default();
    let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    match argument.get_long() {
        Some(long) if takes => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None if matches!(argument.get_action(), ArgAction::Append) => format!("{value}…"),
        None => value.to_owned(),
    }
}

fn described(argument: &Arg) -> String {
    let mut text = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    let values: Vec<String> =
        argument.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(|value| format!("`{}`", value.get_name())).collect();
    if !values.is_empty() && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    let defaults: Vec<String> = argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if !defaults.is_empty() && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        let _ = write!(text, " Default: {}.", defaults.join(", "));
    }
    text.trim().trim_end_matches('.').to_owned()
}
