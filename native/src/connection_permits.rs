//! Limits the open connections of all clients, and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidemark_coordinator::logins::network_of;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{CONNECTIONS_MAX, REFUSAL_LOG_EVERY};
use crate::log;

/// The connections of all listeners.
#[derive(Debug)]
pub struct ConnectionPermits {
    free: Arc<Semaphore>,
    client_max: usize,
    /// The number of open connections for each client. An IPv6 client is a /64 network.
    clients: Mutex<HashMap<String, usize>>,
    /// The time at which the log last received a refusal.
    logged: Mutex<Option<Instant>>,
}

/// Counts an open connection as long as the value exists.
#[derive(Debug)]
pub struct ConnectionPermit {
    permits: Arc<ConnectionPermits>,
    client: String,
    _of_all: OwnedSemaphorePermit,
}

impl ConnectionPermits {
    /// Connections may use half of the process's open files. A client may use half of the
    /// connections, because a reverse proxy is a single client.
    pub fn new(open_files_max: Option<u64>) -> Arc<Self> {
        let half = open_files_max.and_then(|files| usize::try_from(files / 2).ok());
        let all_max = half.map_or(CONNECTIONS_MAX, |half| half.clamp(2, CONNECTIONS_MAX));
        let free = Arc::new(Semaphore::new(all_max));
        Arc::new(Self {
            free,
            client_max: all_max / 2,
            clients: Mutex::default(),
            logged: Mutex::default(),
        })
    }

    /// Waits until a further connection may open. Returns `None` when the program ends.
    pub async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Counts a connection from `address`. Returns `None` if its client has too many connections.
    pub fn open(
        self: &Arc<Self>,
        address: IpAddr,
        of_all: OwnedSemaphorePermit,
    ) -> Option<ConnectionPermit> {
        let client = network_of(&address.to_string());
        let mut clients = self.lock();
        let open = clients.entry(client.clone()).or_default();
        if *open >= self.client_max {
            if self.may_log(Instant::now()) {
                let address = address.to_canonical().to_string();
                log::event("connection_refused", &[("client", address.into())]);
            }
            return None;
        }
        *open += 1;
        Some(ConnectionPermit { permits: Arc::clone(self), client, _of_all: of_all })
    }

    /// Whether the log may receive a refusal now.
    fn may_log(&self, now: Instant) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let may_log = logged.is_none_or(|last| now >= last + REFUSAL_LOG_EVERY);
        if may_log {
            *logged = Some(now);
        }
        may_log
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut clients = self.permits.lock();
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_need_at_most_half_of_open_files() {
        for (open_files_max, all_max) in
            [(None, CONNECTIONS_MAX), (Some(1 << 20), CONNECTIONS_MAX), (Some(1_024), 512)]
        {
            let permits = ConnectionPermits::new(open_files_max);
            assert_eq!(permits.free.available_permits(), all_max, "{open_files_max:?}");
        }
    }

    #[tokio::test]
    async fn one_client_gets_half_of_connections() {
        let permits = ConnectionPermits::new(Some(16));
        let mut open = Vec::new();
        let addresses = ["2001:db8::1", "2001:db8::2", "192.0.2.7"];
        let mut accepted = [0; 3];
        for (address, accepted) in addresses.iter().zip(&mut accepted) {
            for _ in 0..3 {
                let of_all = permits.wait().await.unwrap();
                let permit = permits.open(address.parse().unwrap(), of_all);
                *accepted += usize::from(permit.is_some());
                open.extend(permit);
            }
        }
        assert_eq!(accepted, [3, 1, 3], "the first two addresses belong to one client");
        open.clear();
        assert!(permits.lock().is_empty());
        assert_eq!(permits.free.available_permits(), 8);
    }

    #[test]
    fn refusals_are_logged_at_intervals() {
        let permits = ConnectionPermits::new(None);
        let now = Instant::now();
        let times = [now, now + REFUSAL_LOG_EVERY / 2, now + REFUSAL_LOG_EVERY];
        assert_eq!(times.map(|at| permits.may_log(at)), [true, false, true]);
    }
}
