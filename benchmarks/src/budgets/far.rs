//! A way to the server that takes time: what is said arrives so much later, in both directions.
//!
//! Invariant: bytes arrive in their order and none before its time; how much is on the way is not limited.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Listens on a port of its own for connections to another one of this machine; gives the port. It ends with the process.
pub(super) fn open(to: u16, each_way: Duration) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.expect("a connection comes");
            let far = TcpStream::connect(("127.0.0.1", to)).expect("the server listens");
            for (from, to) in [(&near, &far), (&far, &near)] {
                let twin = |stream: &TcpStream| {
                    stream.set_nodelay(true).expect("it is open");
                    stream.try_clone().expect("there are descriptors")
                };
                carry(twin(from), twin(to), each_way);
            }
        }
    });
    port
}

/// Two threads: one hears and notes when, the other says it when it is time.
fn carry(mut from: TcpStream, mut to: TcpStream, later: Duration) {
    let (heard, say) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if heard.send((Instant::now() + later, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (when, bytes) in say {
            std::thread::sleep(when.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
