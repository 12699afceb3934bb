//! Executes calls to objects, and calls to the services that the engine expects from its runtime.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::thread::available_parallelism;
use std::time::Duration;

use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply};
use tidemark_engine::protocol::round::CallResult;
use tidemark_engine::protocol::web_crypto::Derivation;
use tokio::sync::Semaphore;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

use crate::backups;
use crate::engine::EngineThread;
use crate::limits::{BLOCKING_THREADS_MAX, DERIVATION_WAIT_MAX, DERIVATIONS_MIN};
use crate::sql::Session;

/// The number of times that a task yields during a pause of 0 ms. This number of yields is enough
/// for a new request to be read, to call an object, and to receive the object's reply.
const YIELDS_PER_PAUSE: u32 = 3;

const KEY_BYTES: usize = 32;

/// The permits of the running key derivations of all threads. Derivations may use half of the
/// cores, and half of the blocking threads of one engine thread.
static DERIVATIONS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores / 2).clamp(DERIVATIONS_MIN, BLOCKING_THREADS_MAX / 2))
});

/// The SQL session of a request. The first message opens the session.
pub type SqlSession = Rc<RefCell<Option<Session>>>;

/// Executes one call. `sql` is the SQL session of the request, or `None` if no request makes the
/// call.
pub async fn make_call(engine: Rc<EngineThread>, sql: Option<SqlSession>, call: Call) -> Reply {
    let Call { id, to, message, .. } = call;
    let result = match to {
        Address::Catalog | Address::Database(_) | Address::Shard(_) => {
            engine.call(to, message).await
        }
        Address::Timer { ms } => {
            pause(ms).await;
            Ok(Vec::new())
        }
        Address::KeyDerivation => derive_on_other_thread(message).await,
        Address::Backups => match engine.shared.backups.clone() {
            Some(folder) => blocking(move || backups::execute(&folder, &message)).await,
            None => Err(CallFailure::Failed("the server has no storage for backups".to_owned())),
        },
        Address::Sql => match sql {
            Some(sql) => {
                let open = || Session::open(&engine.shared.sql);
                let turn = sql.borrow_mut().get_or_insert_with(open).turn(message);
                turn.await
            }
            None => Err(CallFailure::Failed("this server has no SQL".to_owned())),
        },
        Address::AccessKeys | Address::SignatureCheck => {
            Err(CallFailure::Failed("this server does not support Cloudflare Access".to_owned()))
        }
    };
    Reply { id, result }
}

/// Lets other tasks of this thread run.
pub async fn pause(ms: u32) {
    if ms > 0 {
        return tokio::time::sleep(Duration::from_millis(ms.into())).await;
    }
    for _ in 0..YIELDS_PER_PAUSE {
        yield_now().await;
    }
}

/// Runs slow work, or work that waits for the disk, on another thread.
async fn blocking(work: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static) -> CallResult {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|reason| Err(reason.to_string())).map_err(CallFailure::Failed)
}

/// Waits for a permit before the work takes a thread, because commits need the same threads.
async fn derive_on_other_thread(message: Vec<u8>) -> CallResult {
    let permit = timeout(DERIVATION_WAIT_MAX, DERIVATIONS.acquire()).await;
    let permit = permit.map_err(|_| CallFailure::Overloaded)?;
    let permit = permit.map_err(|reason| CallFailure::Failed(reason.to_string()))?;
    blocking(move || {
        // The derivation continues after its client has disconnected, and keeps the permit.
        let _permit = permit;
        derive(&message)
    })
    .await
}

fn derive(message: &[u8]) -> Result<Vec<u8>, String> {
    let derivation =
        Derivation::read(message).ok_or("the message is not a request for a derived key")?;
    let (password, salt) = (derivation.password.as_bytes(), derivation.salt.as_bytes());
    let mut key = [0; KEY_BYTES];
    pbkdf2_hmac::<Sha256>(password, salt, derivation.iterations, &mut key);
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_key_matches_test_vector() {
        // These values are a test vector of RFC 7914, section 11.
        let request = Derivation { iterations: 1, salt: "salt", password: "passwd" }.request();
        let key = derive(&request.message).unwrap();
        assert_eq!(key[..4], [0x55, 0xac, 0x04, 0x6e]);
        assert!(derive(b"").is_err());
    }

    #[test]
    fn key_derivations_leave_threads_for_commits() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let permits = DERIVATIONS.available_permits();
            assert!((DERIVATIONS_MIN..BLOCKING_THREADS_MAX).contains(&permits));
            let running = DERIVATIONS.acquire_many(permits as u32).await.unwrap();
            let request = Derivation { iterations: 1, salt: "salt", password: "passwd" }.request();
            let derive = || derive_on_other_thread(request.message.clone());
            let mut waiting = std::pin::pin!(derive());
            let waited = timeout(Duration::from_millis(50), waiting.as_mut()).await;
            assert!(waited.is_err(), "a derivation ran above the limit");
            let commit = timeout(Duration::from_secs(60), blocking(|| Ok(Vec::new()))).await;
            assert!(commit.is_ok(), "the only thread waits for a permit");
            assert_eq!(waiting.await, Err(CallFailure::Overloaded));
            drop(running);
            assert_eq!(derive().await.unwrap()[..4], [0x55, 0xac, 0x04, 0x6e]);
        });
    }
}
