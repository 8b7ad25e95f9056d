//! Fuzzes the binder with mutated queries; constants in them are folded by the kernels.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use kql::check::{TableSchemas, check};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

static SCHEMAS: LazyLock<TableSchemas> = LazyLock::new(fuzz::schemas);

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| { fuzz::change(data, size, most, seed) });

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    fuzz::within(Duration::from_secs(1), "binding", || {
        let bound = check(text, &*SCHEMAS, fuzz::NOW);
        for wrong in &bound.diagnostics {
            assert!(wrong.start <= wrong.end && wrong.end <= text.len(), "{wrong:?}");
            assert!(!wrong.message.is_empty());
        }
        if let (Some(plan), Some(columns)) = (&bound.plan, &bound.columns) {
            let visible: Vec<_> =
                plan.root.fields.iter().filter(|field| !field.is_hidden()).map(|field| (field.name.to_string(), Some(field.ty))).collect();
            assert_eq!(&visible, columns);
        }
    });
});
