//! When to send a request again, and how long to wait before.

use std::time::Duration;

/// How long requests may take, once it is their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// One attempt: connect, send, and the whole answer; default 40 s. kube has no read timeout, so a
    /// black-holed request would otherwise hang for ever. A webhook may take 30 s, and it is the server
    /// that must tell which one hangs: less would hide it.
    pub attempt: Duration,
    /// All attempts of one request and the waits between them; default a minute.
    pub operation: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(40), operation: Duration::from_secs(60) }
    }
}

/// The first wait; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The longest `Retry-After` that is obeyed.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Returns how long to wait before attempt `next` (the second is 1), with full jitter on the upper half,
/// so that many clients do not come back in step.
pub(crate) fn back_off(next: u32, asked: Option<Duration>) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(next.saturating_sub(1).min(16)));
    let wait = doubled.min(LONGEST_WAIT);
    let jittered = wait.mul_f64(rand::random_range(0.5..1.0));
    asked.map_or(jittered, |asked| asked.min(LONGEST_ASKED) + jittered.mul_f64(0.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        assert!(back_off(1, None) <= FIRST_WAIT);
        assert!(back_off(40, None) <= LONGEST_WAIT);
        assert!(back_off(1, Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        assert!(back_off(1, Some(Duration::from_secs(86_400))) <= Duration::from_secs(31));
    }
}
