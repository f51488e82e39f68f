//! How clients and backend connections share the descriptors that a process may have: were all of
//! them clients', none of these could be served.

use crate::limits::raise_open_files;

/// What the pooler itself needs: standard streams, listener and its spare, signals, epoll, and one
/// for an accepted connection that is then refused.
const OWN: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// From clients.
    pub(crate) clients: usize,
    /// To the backend.
    pub(crate) backends: usize,
}

/// Of so many wanted, as many as this process may have.
pub(crate) fn divide(backends: usize, clients: usize) -> Places {
    let limit = usize::try_from(raise_open_files(0)).unwrap_or(usize::MAX);
    within(limit, backends, clients)
}

fn within(limit: usize, backends: usize, clients: usize) -> Places {
    let places = limit.saturating_sub(OWN).max(2);
    let backends = backends.min(places / 2);
    Places {
        clients: clients.min(places - backends),
        backends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_gets_its_part_but_never_more_than_half() {
        let places = |clients, backends| Places { clients, backends };
        assert_eq!(within(1024, 20, usize::MAX), places(996, 20));
        assert_eq!(within(1024, 20, 100), places(100, 20));
        assert_eq!(within(20, 20, 100), places(6, 6));
        assert_eq!(within(0, 20, 100), places(1, 1));
    }
}
