//! How many connections to the server behind it a pooler needs for thousands of clients.

use super::{Family, Spec, round::Round, servers::plan};
use crate::{attach::launched::Server, figures::Unit};
use anyhow::Result;

pub(super) const FAMILY: Family = Family {
    name: "sizes of pools",
    figures: &[
        Spec {
            name: "pool_throughput",
            unit: Unit::PerSecond,
            axis: "pooled connections",
            method: "2,000 clients of the pooler in front of thread-per-connection; nine requests of ten wait for 5 ms \
                     as for a disk, the tenth takes 50 µs of CPU time; 3,000 a second offered: answers a second",
        },
        Spec {
            name: "pool_served",
            unit: Unit::Share,
            axis: "pooled connections",
            method: "the same, of what is offered",
        },
    ],
    takes_ms: [7_600, 2_200],
    take,
};

const BACKEND: &str = "thread-per-connection";
const CLIENTS: u32 = 2_000;
const OFFERED: u32 = 3_000;
/// In full, and with --quick.
const SIZES: [&[u32]; 2] = [&[1, 2, 5, 10, 20, 50, 100], &[2, 5, 50]];

fn take(round: &mut Round<'_>) -> Result<()> {
    let setting = round.setting;
    let sizes = SIZES[usize::from(setting.quick)];
    let plan = plan("mixed", CLIENTS, OFFERED, setting.window(600, 400));
    for &size in sizes {
        let behind = setting.start(BACKEND, &[])?;
        let options = ["--pool-size", &size.to_string()];
        let mut pooler = Server::start_before(
            setting.servers()?,
            "pooler",
            &options,
            behind,
            setting.interrupt,
        )?;
        let client = setting.offer(&mut pooler, &plan)?;
        let served = client.throughput_per_second;
        round.tell_number("pool_throughput", size, vec![served]);
        round.tell_number(
            "pool_served",
            size,
            vec![served / client.offered_per_second],
        );
    }
    Ok(())
}
