//! How a core goes to sleep: only when it has told all others what it has for them, and nobody has
//! anything for it.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Core;

/// How often a core looks whether all others have drained.
const LOOK: Duration = Duration::from_millis(10);

impl Core<'_> {
    /// Waits for an answer, a message or a timer. Whether all requests were handed over.
    pub(super) fn wait(&mut self) -> std::io::Result<bool> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let look = self.end_at.map(|end| end.min(Instant::now() + LOOK));
        let next = [timer, self.accept_at, look].into_iter().flatten().min();
        let mut timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        if !self.queue.is_empty() || self.has_more_to_do() {
            timeout = Some(Duration::ZERO);
        }
        // What this round has for other cores is complete.
        self.outbox.ring();
        if timeout == Some(Duration::ZERO) {
            return self.ring.wait(timeout);
        }
        self.letter_box.bell().fall_asleep();
        if let Some(message) = self.letter_box.take() {
            self.letter_box.bell().wake_up();
            self.read(message);
            self.read_all();
            self.outbox.ring();
            return self.ring.wait(Some(Duration::ZERO));
        }
        let waited = self.ring.wait(timeout);
        self.letter_box.bell().wake_up();
        waited
    }

    /// Whether a connection goes on as soon as its output is handed over, of which no answer may tell.
    fn has_more_to_do(&mut self) -> bool {
        let (connections, desk) = (&mut self.connections, &self.desk);
        self.handed_over.iter().any(|&slot| {
            let connection = connections.get(slot);
            connection.is_some_and(|connection| connection.has_more_to_do(desk))
        })
    }
}
