//! `bartizan reference FOLDER` — writes the generated reference pages.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Outcome;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  bartizan reference docs/reference")]
pub struct Args {
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    for (name, page) in crate::reference::PAGES {
        let path = args.folder.join(name);
        std::fs::write(&path, page()).with_context(|| format!("cannot write `{}`", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
