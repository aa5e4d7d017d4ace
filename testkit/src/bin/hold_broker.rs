//! Starts the shared broker, prints its process id, folder and address, and waits to be killed.
//!
//! The test that a broker dies with its parent needs a parent that it can kill. It is also a
//! broker for trying things by hand: it lives until Ctrl-C.

use std::{io::Write as _, thread, time::Duration};

use tidegate_testkit::kafka::Broker;

fn main() -> std::io::Result<()> {
    let broker = Broker::shared();
    let mut out = std::io::stdout();
    let folder = broker.folder().display();
    writeln!(out, "{}\t{folder}\t{}", broker.process_id(), broker.bootstrap())?;
    out.flush()?;
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
