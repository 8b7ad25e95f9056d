//! Simulated clock, disk and network; the case runner.
