//! What only the assembled parts can show.

mod chance;
mod email;
mod fakes;
mod mail_in;
mod outside;
mod paging;
mod phone;
mod reference;
mod rotations;
mod stories;
mod web;
