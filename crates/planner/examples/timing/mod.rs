//! Processor time, as finely as the system keeps it.

/// Processor time of this thread, in milliseconds.
pub fn cpu_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}
