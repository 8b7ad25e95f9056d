//! Control state: one file per aggregate, migrations, change feed.
