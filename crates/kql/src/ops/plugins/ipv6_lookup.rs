//! `ipv6_lookup` — see [`super::ip_lookup`].

use super::Plugin;
use super::ip_lookup::{ARGS_V6, bind};

pub static PLUGIN: Plugin = Plugin {
    name: "ipv6_lookup",
    summary: "Rows of a table whose network holds an address",
    args: ARGS_V6,
    required: 3,
    repeats: false,
    needs_rows: false,
    bind: |call| bind(call, "ipv6_lookup", true),
    examples: &[(
        "datatable(ip:string)['2404:6800:4001::1'] | evaluate ipv6_lookup((datatable(net:string)['2404:6800:4001::/48']), ip, net)",
        "2404:6800:4001::1",
    )],
};
