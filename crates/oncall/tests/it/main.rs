//! Integration tests.

mod chance;
mod email;
mod examples;

mod fakes;
mod mail_in;
mod outside;
mod paging;
mod phone;
mod rotations;
mod stories;
mod web;
