//! UDP: one datagram is one message (RFC 5426).
//!
//! A dedicated thread moves datagrams from the socket to a queue, so that the socket's small buffer is emptied even under load. Datagrams
//! that do not fit into the queue are counted.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::Notify;

use super::batch::{Batch, Reader};
use super::frame;
use super::store::{Counts, Door, WINDOW, submit};
use crate::SourceContext;

/// Queue size in bytes: about 100,000 messages.
const QUEUE: usize = 32 << 20;
/// How often the thread checks for cancellation.
const LOOK: Duration = Duration::from_millis(200);
const LARGEST_DATAGRAM: usize = 65_535;
/// Requested socket buffer; limited by `net.core.rmem_max`.
const KERNEL_BUFFER: usize = 8 << 20;

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    datagrams: Vec<(SocketAddr, usize, Timestamp)>,
    ended: bool,
}

pub async fn serve(socket: UdpSocket, reader: Arc<Reader>, max: usize, door: Door, counts: Counts, cx: SourceContext) {
    if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(KERNEL_BUFFER) {
        tracing::warn!(%error, listener = reader.listener, "the receive buffer of UDP stays small");
    }
    let queue = Arc::new((Mutex::new(Queue::default()), Notify::new()));
    let thread = std::thread::Builder::new().name("syslog-udp".to_owned());
    let spawned = thread.spawn({
        let (queue, counts, cx) = (queue.clone(), counts.clone(), cx.clone());
        move || receive(&socket, &queue, &counts, &cx)
    });
    if let Err(error) = spawned {
        tracing::error!(%error, listener = reader.listener, "cannot start the thread that reads UDP");
        return;
    }
    let mut batch = Batch::default();
    let mut pending = None;
    loop {
        queue.1.notified().await;
        let full = std::mem::take(&mut *queue.0.lock().unwrap_or_else(PoisonError::into_inner));
        counts.received(full.datagrams.len());
        let (mut at, mut last) = (0, (IpAddr::from([0, 0, 0, 0]), String::new()));
        for (from, len, arrived) in full.datagrams {
            let bytes = &full.bytes[at..at + len];
            at += len;
            let ip = from.ip().to_canonical();
            if last.0 != ip || last.1.is_empty() {
                last = (ip, ip.to_string());
            }
            // RFC 5426 has no counts, but `logger --udp --octet-count` sends them.
            let bytes = frame::uncounted(bytes);
            let len = bytes.len();
            let kept = &bytes[..len.min(max)];
            if let Some(reason) = batch.push(&reader, kept, len > max, &last.1, arrived) {
                counts.dropped(reason, 1);
            }
            if batch.bytes() >= WINDOW {
                wait(&mut pending).await;
                pending = Some(submit(&door, batch.take(&reader, "", arrived)).await);
                tokio::task::yield_now().await;
            }
        }
        if !batch.is_empty() {
            wait(&mut pending).await;
            pending = Some(submit(&door, batch.take(&reader, "", cx.clock.now())).await);
        }
        if full.ended {
            wait(&mut pending).await;
            return;
        }
    }
}

async fn wait(pending: &mut Option<tokio::sync::oneshot::Receiver<()>>) {
    if let Some(pending) = pending.take() {
        // An error means that the service is stopping, which the loop detects itself.
        let _ = pending.await;
    }
}

fn receive(socket: &UdpSocket, queue: &(Mutex<Queue>, Notify), counts: &Counts, cx: &SourceContext) {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    if let Err(error) = socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(LOOK))) {
        tracing::error!(%error, "cannot read UDP");
    } else {
        while !cx.stop.is_cancelled() {
            // Errors are timeouts and ICMP errors of senders; neither ends the listener.
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            let arrived = cx.clock.now();
            let mut waiting = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.len() + len > QUEUE {
                drop(waiting);
                counts.dropped("queue_full", 1);
                continue;
            }
            waiting.bytes.extend_from_slice(&buffer[..len]);
            waiting.datagrams.push((from, len, arrived));
            drop(waiting);
            queue.1.notify_one();
        }
    }
    queue.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    queue.1.notify_one();
}
