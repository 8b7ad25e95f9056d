//! Fuzzes bound queries over a few rows of edge-case values, as far as operators and kernels run without the engine.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use kql::check::{TableSchemas, check};
use kql::watch::Watch;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

static SCHEMAS: LazyLock<TableSchemas> = LazyLock::new(fuzz::schemas);

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| { fuzz::change(data, size, most, seed) });

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    fuzz::within(Duration::from_secs(2), "running", || {
        if let Some(plan) = check(text, &*SCHEMAS, fuzz::NOW).plan {
            let watch = Watch::new(256 << 20);
            let _entered = watch.enter();
            fuzz::run(&plan);
        }
    });
});
