//! Who is on call: rotations, layers, temporary schedules and overrides, as intervals of time. Pure.
