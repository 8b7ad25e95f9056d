//! Simulates a Sophos firewall that logs in its own format (S1-88, S1-91), over UDP or TCP.
//!
//! The lines follow the vendor's syslog guide for SFOS: a PRI, no time and host, `key="value"` pairs with quoted texts and unquoted
//! numbers. People, addresses and threats are fictitious; external addresses are those reserved for documentation.

use std::io;
use std::net::SocketAddr;

use model::{TICKS_PER_SECOND, Timestamp};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

/// Interval in lines between reports of command-and-control traffic.
pub const THREAT_EVERY: u64 = 10;

const PEOPLE: [&str; 5] = ["ann", "bo", "carla", "deniz", "eve"];
const SITES: [&str; 4] = ["news.example.com", "mail.example.net", "cdn.example.org", "shop.example.com"];

/// Line number `n`, without line ending. Deterministic in `n` and `at` (UTC).
pub fn line(n: u64, at: Timestamp) -> String {
    let civil = at.civil();
    let seconds = civil.time / TICKS_PER_SECOND;
    let date = format!("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day);
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let head = |pri: u8, id: &str, kind: &str, component: &str, subtype: &str, priority: &str| {
        format!(
            "<{pri}>device=\"SFW\" date={date} time={time} timezone=\"UTC\" device_name=\"XG230\" device_id=C44313350024-P29PUA \
             log_id={id} log_type=\"{kind}\" log_component=\"{component}\" log_subtype=\"{subtype}\" priority={priority}"
        )
    };
    let user = PEOPLE[(n % PEOPLE.len() as u64) as usize];
    let inside = format!("10.1.{}.{}", n / 200 % 200, 10 + n % 200);
    let outside = format!("203.0.113.{}", 1 + n % 250);
    let port = 49_152 + n % 16_000;
    if n % THREAT_EVERY == THREAT_EVERY - 1 {
        let head = head(33, "086304418010", "ATP", "Firewall", "Drop", "Notice");
        return format!(
            "{head} user_name=\"{user}\" protocol=\"TCP\" src_port={port} dst_port=443 sourceip={inside} destinationip={outside} \
             url=\"{outside}\" threatname=\"C2/Generic-A\" eventid=\"{n:08X}\" eventtype=\"Standard\" login_user=\"\" \
             process_user=\"\" ep_uuid=\"\" execution_path=\"\""
        );
    }
    match n % 3 {
        0 => {
            let head = head(30, "010101600001", "Firewall", "Firewall Rule", "Allowed", "Information");
            format!(
                "{head} status=\"Allow\" duration={} fw_rule_id=2 policy_type=1 user_name=\"{user}\" user_gp=\"Office\" application=\"HTTPS\" \
                 in_interface=\"Port1\" out_interface=\"Port2\" src_mac=00:00:5e:00:53:01 src_ip={inside} src_country_code=R1 \
                 dst_ip={outside} dst_country_code=NO protocol=\"TCP\" src_port={port} dst_port=443 sent_pkts=9 recv_pkts=12 \
                 sent_bytes={} recv_bytes={} tran_src_ip=198.51.100.1 tran_src_port=0 tran_dst_ip= tran_dst_port=0",
                n % 60,
                800 + n % 1000,
                4000 + n % 100_000,
            )
        }
        1 => {
            let head = head(28, "010102600002", "Firewall", "Firewall Rule", "Denied", "Information");
            format!(
                "{head} status=\"Deny\" duration=0 fw_rule_id=0 policy_type=0 user_name=\"\" in_interface=\"Port2\" out_interface=\"\" \
                 src_ip={outside} dst_ip=198.51.100.1 protocol=\"TCP\" src_port={port} dst_port={} sent_bytes=0 recv_bytes=0",
                [22, 445, 3389][(n / 3 % 3) as usize],
            )
        }
        _ => {
            let head = head(30, "050901616001", "Content Filtering", "HTTP", "Allowed", "Information");
            let site = SITES[(n % SITES.len() as u64) as usize];
            format!(
                "{head} fw_rule_id=2 user_name=\"{user}\" category=\"General Business\" url=\"https://{site}/\" contenttype=\"text/html\" \
                 src_ip={inside} dst_ip={outside} protocol=\"TCP\" src_port={port} dst_port=443 sent_bytes=420 recv_bytes=9000 \
                 domain={site} status_code=\"200\" http_user_agent=\"Mozilla/5.0 (X11; Linux)\""
            )
        }
    }
}

/// Sends lines as datagrams.
pub async fn send_udp(to: SocketAddr, lines: &[String]) -> io::Result<()> {
    let from: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(from).await?;
    for line in lines {
        socket.send_to(line.as_bytes(), to).await?;
    }
    Ok(())
}

/// Sends lines over one connection, each ended by a line feed.
pub async fn send_tcp(to: SocketAddr, lines: &[String]) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    for line in lines {
        stream.write_all(format!("{line}\n").as_bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_guide_shows_them() {
        let at = Timestamp::parse_iso("2026-11-20T09:08:07Z").unwrap();
        let threat = line(THREAT_EVERY - 1, at);
        assert!(threat.starts_with("<33>device=\"SFW\" date=2026-11-20 time=09:08:07 timezone=\"UTC\""), "{threat}");
        assert!(threat.contains("log_type=\"ATP\"") && threat.contains(" sourceip=10."), "{threat}");
        assert!((0..100).all(|n| !line(n, at).contains("  ") && !line(n, at).contains('\n')));
    }
}
