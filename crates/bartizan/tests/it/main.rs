//! What only the whole house can show: the arrows, the map, the cases, the loop.

mod arrows;
mod documents;
mod map;
mod shared;
