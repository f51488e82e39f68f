//! What is special to tasks on a few threads.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use server::Server;

#[test]
fn threads_are_as_many_as_asked_for() {
    for workers in [1, 3] {
        let server = Server::start("async-tasks", &["--workers", &workers.to_string()]);
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.exchange(b"WAIT 1\r\n", b"+OK\r\n");
        }
        let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
        assert_eq!(threads.expect("it runs").count(), workers + 1);
    }
}
