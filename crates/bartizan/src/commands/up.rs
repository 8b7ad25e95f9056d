use super::{Failure, Outcome};

#[derive(clap::Args)]
pub struct Args {}

#[derive(clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    up: Args,
}

pub fn run(_args: Args) -> Outcome {
    Err(Failure::Wrong("this command is being built".to_owned()))
}

pub fn demo(args: DemoArgs) -> Outcome {
    run(args.up)
}
