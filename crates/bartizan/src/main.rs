//! The binary: reads the command line and the configuration, wires everything together.

fn main() {}
