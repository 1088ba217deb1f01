//! A server that answers every send and stores nothing: how fast the network side alone can be.
//!
//! `cargo run --release -p apogee-net --example echo -- 127.0.0.1:10911`

use std::net::SocketAddr;
use std::sync::Arc;

use apogee_net::{Limits, Server};
use env::Env;
use wire::call::{Call, Replies};
use wire::frame::ReplyTo;
use wire::{FrameError, FrameWriter, Frames, Peer};

/// Answers each request as a broker answers a stored message.
struct Echo;

impl Call for Echo {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while let Some(frame) = frames.next()? {
            if peer.accept(&frame) || frame.is_oneway() {
                continue;
            }
            let to = ReplyTo { opaque: frame.opaque, format: frame.format };
            let mut writer = FrameWriter::response(out.head(), to, 0);
            writer.field("msgId", "0A00000100002A9F0000000000000000");
            writer.field("queueId", frame.fields.get("e"));
            writer.field("queueOffset", 0);
            writer.finish(b"");
        }
        Ok(())
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let addr: SocketAddr = addr.parse().map_err(std::io::Error::other)?;
    let env = Env::real();
    let server =
        Server::start(env.clone(), addr, "echo", Arc::new(Echo), Limits::default()).await?;
    let mut out = std::io::stdout();
    std::io::Write::write_fmt(&mut out, format_args!("listening on {}\n", server.local_addr()))?;
    tokio::signal::ctrl_c().await?;
    env.tasks.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
