//! `bartizan-dev reference FOLDER` — writes the generated pages of the reference.

use std::path::PathBuf;

use anyhow::Context as _;

use bartizan::Outcome;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  bartizan-dev reference docs/reference")]
pub struct Args {
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    for (name, page) in bartizan::PAGES {
        let path = args.folder.join(name);
        std::fs::write(&path, page()).with_context(|| format!("cannot write `{}`", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
