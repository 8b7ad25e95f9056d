//! File descriptors: raises the limit, and reserves some for files.
//!
//! If connections used all of them, the server could not open its log, its tables or a query's spill file, nor accept a connection to
//! report that.

use server::ServerConfig;

/// Descriptors reserved for files, queries and outbound connections. At most half of the limit.
const RESERVED: u64 = 512;

/// Raises the process's limit as far as possible, and lowers the connection limits to what it permits.
pub fn within_limits(config: ServerConfig) -> ServerConfig {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(error = error.to_string(), "cannot raise the limit of open files");
            rlimit::Resource::NOFILE.get_soft().unwrap_or(1_024)
        }
    };
    let fitted = fit(config, limit);
    tracing::debug!(open_files = limit, connections = fitted.max_connections, "limits of connections");
    fitted
}

fn fit(config: ServerConfig, limit: u64) -> ServerConfig {
    let room = usize::try_from(limit - RESERVED.min(limit / 2)).unwrap_or(usize::MAX).max(1);
    if room < config.max_connections {
        tracing::warn!(open_files = limit, connections = room, "fewer connections than configured: the limit of open files is low");
    }
    ServerConfig { max_connections: config.max_connections.min(room), ..config }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_all_descriptors() {
        let of = |limit: u64| fit(ServerConfig::default(), limit).max_connections;
        assert_eq!((of(1 << 20), of(1_536), of(1_024), of(100), of(1)), (1_024, 1_024, 512, 50, 1));
    }
}
