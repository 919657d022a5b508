//! Gives memory back to the system once a site rests.
//!
//! A look at 10,000 objects takes some tens of megabytes for a second, page by page. The allocator of glibc keeps what
//! is freed between what is still in use, for the next time; an agent rests for hours.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

/// How long after a site came to rest: of many sites that rest one after another, once.
const AFTER: Duration = Duration::from_secs(5);

/// Whether it is on its way to be given back.
static COMING: AtomicBool = AtomicBool::new(false);

/// Gives back what nothing holds, in a moment; asked for many times, once.
pub(super) fn give_back_soon() {
    if COMING.swap(true, Ordering::Relaxed) {
        return;
    }
    tokio::spawn(async {
        sleep(AFTER).await;
        COMING.store(false, Ordering::Relaxed);
        let _ = spawn_blocking(give_back).await;
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "malloc_trim(3) takes a number, touches no memory of ours that is in use, and may be \
    called from any thread at any time: it takes the locks of the allocator"
)]
fn give_back() {
    // SAFETY: see the reason above
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The allocator of musl gives back by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
