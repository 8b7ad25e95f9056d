//! What only the assembled parts can show.

mod email;
mod fakes;
mod mail_in;
mod outside;
mod phone;
mod web;
