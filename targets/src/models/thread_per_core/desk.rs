//! What a core has for whichever connection it serves, and where requests are executed.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Batch, Spare};
use super::pull::Pull;
use super::routes::{Place, Routes};
use crate::protocol::Request;
use crate::session::MAX_WAITING_BYTES;
use crate::store::SingleThread;
use crate::work::{Context, Held, Outcome, execute};

/// Batches and buffers for output that are kept for later, each.
const MOST_SPARE: usize = 256;

/// What a core has for whichever connection it serves.
pub(super) struct Desk<'a> {
    pub(super) own: u16,
    pub(super) context: Context<'a, SingleThread>,
    routes: Routes,
    pub(super) parts: Spare,
    #[allow(clippy::vec_box, reason = "connections have room for a box only")]
    batches: Vec<Box<Batch>>,
    /// Buffers for output, empty.
    outputs: Vec<Vec<u8>>,
    /// The server was asked to end: nothing more is read.
    pub(super) ending: bool,
    /// How many cores were not asked to end yet.
    open: &'static AtomicUsize,
}

impl<'a> Desk<'a> {
    /// A desk of core `own`.
    pub(super) fn new(
        own: u16,
        context: Context<'a, SingleThread>,
        routes: Routes,
        open: &'static AtomicUsize,
    ) -> Self {
        Self {
            own,
            context,
            routes,
            parts: Spare::default(),
            batches: Vec::new(),
            outputs: Vec::new(),
            ending: false,
            open,
        }
    }

    /// The server was asked to end.
    pub(super) fn begin_to_end(&mut self) {
        if !std::mem::replace(&mut self.ending, true) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether no core has a client, or will have one, that may need this one.
    pub(super) fn is_needed_no_more(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0 && self.context.count_clients() == 0
    }

    /// Executes a request, or takes it into the batch for its core. `None`: not before the batch.
    pub(super) fn execute(
        &mut self,
        request: Request<'_>,
        bytes: &[u8],
        held: &mut Held,
        output: &mut Vec<u8>,
        batch: &mut Option<Box<Batch>>,
        pull: &mut Pull,
    ) -> Option<Outcome> {
        let place = self.routes.place(request);
        // Whose request it is, but for those of this core.
        let away = match place {
            Place::One { core, .. } => core.filter(|core| *core != self.own),
            Place::Many => None,
        };
        let in_turn = matches!(place, Place::One { in_turn: true, .. });
        let Some(begun) = batch else {
            pull.asked_for(place, self.own);
            if away.is_none() && place != Place::Many {
                return Some(execute(request, &self.context, held, output));
            }
            let mut begun = self.batches.pop().unwrap_or_default();
            match away {
                Some(core) if in_turn => begun.add_alone(core, bytes, &mut self.parts),
                Some(core) => begun.add(core, bytes, &mut self.parts),
                None => {
                    let core_of = |key: &[u8]| self.routes.core_of(key);
                    begun.add_deletion(request, core_of, &mut self.parts);
                }
            }
            *batch = Some(begun);
            return Some(Outcome::Replied);
        };
        if in_turn || place == Place::Many || !begun.has_room(self.own, bytes.len()) {
            return None;
        }
        pull.asked_for(place, self.own);
        match away {
            Some(core) => begun.add(core, bytes, &mut self.parts),
            None => begun.add_own(self.own, &mut self.parts, |output| {
                execute(request, &self.context, held, output);
            }),
        }
        Some(Outcome::Replied)
    }

    /// Whether each of so many cores has keys: else all connections would end up with those that have.
    pub(super) fn each_has_keys(&self, cores: usize) -> bool {
        self.routes.owners() == cores
    }

    /// An empty buffer for output.
    pub(super) fn output(&mut self) -> Vec<u8> {
        self.outputs.pop().unwrap_or_default()
    }

    /// Keeps an empty buffer for later, if it is worth its memory.
    pub(super) fn keep_output(&mut self, output: Vec<u8>) {
        if output.capacity() <= 4 * MAX_WAITING_BYTES && self.outputs.len() < MOST_SPARE {
            self.outputs.push(output);
        }
    }

    /// Keeps an empty batch for later.
    pub(super) fn keep_batch(&mut self, batch: Box<Batch>) {
        if self.batches.len() < MOST_SPARE {
            self.batches.push(batch);
        }
    }
}
