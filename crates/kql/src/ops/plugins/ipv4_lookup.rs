//! `ipv4_lookup` — see [`super::ip_lookup`].

use super::Plugin;
use super::ip_lookup::{ARGS_V4, bind};

pub static PLUGIN: Plugin = Plugin {
    name: "ipv4_lookup",
    summary: "Rows of a table whose network holds an address",
    args: ARGS_V4,
    required: 3,
    repeats: true,
    needs_rows: false,
    bind: |call| bind(call, "ipv4_lookup", false),
    examples: &[("datatable(ip:string)['5.8.1.2'] | evaluate ipv4_lookup((datatable(net:string)['5.8.0.0/19']), ip, net)", "5.8.0.0/19")],
};
