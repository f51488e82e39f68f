//! Rules on what connections hold.

use super::thresholds::{PAGE_TABLES_MIN_BYTES, SAMPLED_MIN};
use super::{Confidence, Facts, Measured, Seen, lacking, too_few};
use crate::report::new_connection::{ConnectionMemory, Made};
use crate::snapshot::TargetKind;
use crate::units;

/// Below so many sampled the median is rough.
const MANY: u64 = 10;

/// What was sampled of processes that serve one connection each.
fn sampled<'a>(facts: &Facts<'a>) -> Result<&'a ConnectionMemory, String> {
    let new = facts.target.new_connection.as_ref();
    let new = new.filter(|new| new.made == Made::Process);
    let memory = &new
        .ok_or("connections have no process of their own")?
        .memory;
    match memory.sampled {
        sampled if sampled < SAMPLED_MIN => {
            let (there, needed) = (sampled as f64, SAMPLED_MIN as f64);
            Err(too_few("processes sampled for own memory", there, needed))
        }
        _ => Ok(memory),
    }
}

fn as_sure_as(memory: &ConnectionMemory, seen: Measured) -> Measured {
    match memory.sampled < MANY {
        true => seen.but(Confidence::Medium, "few processes were sampled"),
        false => seen,
    }
}

pub(super) fn page_tables(facts: &Facts<'_>) -> Seen {
    let memory = sampled(facts)?;
    let tables = memory
        .page_table_bytes
        .ok_or_else(|| lacking("page tables"))?;
    let own = memory.own_bytes.ok_or_else(|| lacking("own memory"))?;
    let rest = own - tables;
    if rest <= 0.0 {
        return Err("processes hold nothing but page tables".to_owned());
    }
    let sentence = format!(
        "page tables are {} of the {} that a client's process holds of its own (medians), {} as much as all the rest",
        units::bytes(tables),
        units::bytes(own),
        super::Unit::Ratio.show(tables / rest),
    );
    let advice = match facts.target.kind {
        TargetKind::Postgresql => {
            "huge pages for the shared memory (huge_pages = on, vm.nr_hugepages) need hardly any page tables; a \
             pooler needs fewer processes"
        }
        _ => "huge pages for what the processes share need hardly any page tables",
    };
    let because = "page tables and own memory are the kernel's accounts of the processes sampled";
    let seen = as_sure_as(
        memory,
        Measured::sure(tables / rest, sentence, advice, because),
    );
    Ok(seen.unless(tables < PAGE_TABLES_MIN_BYTES, || {
        let (tables, least) = (units::bytes(tables), units::bytes(PAGE_TABLES_MIN_BYTES));
        format!("too small to matter: {tables} a process, below {least}")
    }))
}

pub(super) fn idle(facts: &Facts<'_>) -> Seen {
    let connected = facts.target.connected.as_ref();
    let idle = connected
        .ok_or("it is not known which connections there are")?
        .idle;
    let idle = idle.ok_or("no task is known to serve one connection")?;
    let memory = sampled(facts)?;
    let own = memory.own_bytes.ok_or_else(|| lacking("own memory"))?;
    let held = own * idle as f64;
    if facts.host.memory_bytes == 0 {
        return Err(lacking("memory of the host"));
    }
    let share = held / facts.host.memory_bytes as f64;
    let sentence = format!(
        "{} connections did nothing in the window and hold {} of their own ({} each, median), {} of the host's memory",
        units::count(idle as f64),
        units::bytes(held),
        units::bytes(own),
        units::percent(share),
    );
    let advice = "close what is not used (idle_session_timeout, the pool's own limits), or let a pooler serve many \
                  clients with few connections";
    let because = "the kernel's switches say who was idle, and each memory counts what is shared by its share";
    Ok(as_sure_as(
        memory,
        Measured::sure(share, sentence, advice, because),
    ))
}
